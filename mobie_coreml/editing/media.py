"""What sources and sinks of frames have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from mobie_coreml.editing.resample import Pixels
from mobie_coreml.errors import InputError

CLIP_INPUTS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".gif")
CLIP_OUTPUTS = (".mp4", ".mov", ".m4v", ".mkv")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class SourceFrame:
    """One upright frame with square pixels.

    `pixels` is (H, W, 3) uint8 RGB. `pts` and `duration` are seconds, exact; `duration` is 0 where the source does not
    say. `name` is the file an image came from ("" in clips); `index` counts from 0.
    """

    pixels: Pixels
    index: int
    pts: Fraction
    duration: Fraction
    name: str = ""


@dataclass(frozen=True)
class SourceInfo:
    """What is known of a source before its first frame is read.

    `size` is the upright (width, height) of the first frame; `count` the number of frames if known; `time_base` the
    unit of the timestamps in seconds; `rate` frames a second, an average; `primaries` and `transfer` are the numbers of
    ISO/IEC 23091-4, 2 where the source does not say.
    """

    size: tuple[int, int]
    count: int | None
    time_base: Fraction
    rate: Fraction
    primaries: int = 2
    transfer: int = 2


class Source(Protocol):
    """Frames in, one at a time. `notes` collects what the user should know, one sentence each."""

    info: SourceInfo
    path: Path
    notes: list[str]

    def frames(self) -> Iterator[SourceFrame]:
        """Yields the frames in order of presentation; nothing is kept of a frame once the next one is asked for."""

    def close(self) -> None:
        """Releases the file."""


class Sink(Protocol):
    """Frames out. Nothing is visible at the output's path before `commit`."""

    notes: list[str]

    def write(self, pixels: Pixels, frame: SourceFrame) -> None:
        """Adds the result (H, W, 3) uint8 RGB of a source frame."""

    def finish(self) -> None:
        """Completes what was written, still out of sight; most that can fail has failed by then."""

    def commit(self) -> None:
        """Makes the output appear, whole."""

    def discard(self) -> None:
        """Removes everything that was written; does nothing after `commit`."""


def is_image(path: Path) -> bool:
    """Whether the file's suffix is that of an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def check_input(path: Path) -> None:
    """Refuses a path that cannot be read at all.

    Raises:
        InputError: it does not exist, is empty, or is not a file or folder.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist.", "Give a clip, an image or a folder of images.")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path} is empty.", "Give a clip, an image or a folder of images.")
    if not path.is_file() and not path.is_dir():
        raise InputError(f"{path} is neither a file nor a folder.", "Give a clip, an image or a folder of images.")
