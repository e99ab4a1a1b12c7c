"""The frames that models are evaluated on: held-out photographs, and frames of clips, spread evenly or consecutive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mobie_coreml.editing.clip_source import ClipSource
from mobie_coreml.editing.geometry import plan_frame
from mobie_coreml.editing.images import read_image
from mobie_coreml.editing.media import SourceFrame
from mobie_coreml.errors import InputError
from mobie_coreml.files import sha256_file
from mobie_coreml.training.photos import is_held_out, photo_files, why_unusable

Pixels = npt.NDArray[np.uint8]
Image = npt.NDArray[np.float32]
PHOTOS = "photos"
"""Name of the source that all held-out photographs form."""


@dataclass(frozen=True)
class EvaluationFrame:
    """One frame of the model's size.

    Attributes:
        source: The clip's file stem, or `PHOTOS`.
        label: Frame number in the clip, or the photograph's file name.
        pixels: RGB (H, W, 3) uint8, the source cropped ("cover") and resized as an edit does it.
    """

    source: str
    label: str
    pixels: Pixels

    @property
    def image(self) -> Image:
        """The pixels as float32, 0..1."""
        return to_image(self.pixels)


def to_image(pixels: Pixels) -> Image:
    """8-bit levels as float32, 0..1."""
    return pixels.astype(np.float32) / np.float32(255)


def to_levels(image: Image) -> Pixels:
    """Values 0..1 as 8-bit levels, rounded to the nearest, halves up."""
    levels: Pixels = np.floor(image * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    return levels


@dataclass(frozen=True)
class HeldOutPhotos:
    """Photographs that no training saw.

    Attributes:
        frames: One a photograph.
        sha256: File name to digest.
        skipped: File name to the reason why it was left out.
    """

    frames: list[EvaluationFrame]
    sha256: dict[str, str]
    skipped: dict[str, str]


def clip_frames(
    path: Path, count: int, size: tuple[int, int], consecutive: int = 0
) -> tuple[list[EvaluationFrame], list[EvaluationFrame]]:
    """Frames of a clip; decodes it twice, and keeps no others in memory.

    Args:
        path: The clip.
        count: At most this many, spread evenly from the first to the last (all of a shorter clip).
        size: (width, height) of the model's frame.
        consecutive: Frames in a row, from the middle of the clip (all of a shorter one).

    Returns:
        The frames spread evenly, and those in a row.

    Raises:
        InputError: the clip cannot be read.
    """
    total = sum(1 for _ in _decode(path))
    spread = {int(number) for number in np.linspace(0, total - 1, min(count, total)).round()}
    first = max(total - consecutive, 0) // 2
    row = range(first, min(first + consecutive, total))
    chosen: dict[int, EvaluationFrame] = {}
    for frame in _decode(path):
        if frame.index in spread or frame.index in row:
            chosen[frame.index] = EvaluationFrame(path.stem, f"{frame.index:05d}", _fit(frame.pixels, size))
    return [chosen[number] for number in sorted(spread)], [chosen[number] for number in row]


def _decode(path: Path) -> Iterator[SourceFrame]:
    source = ClipSource(path)
    try:
        yield from source.frames()
    finally:
        source.close()


def held_out_photos(folder: Path, every: int, size: tuple[int, int]) -> HeldOutPhotos:
    """The photographs whose number (or place, where a name has none) is divisible by `every`.

    Files that training would leave out are left out: unreadable, no 8-bit colour, animated, smaller than the frame.

    Raises:
        InputError: there is none.
    """
    found = HeldOutPhotos([], {}, {})
    for index, path in enumerate(photo_files(folder)):
        if not is_held_out(path, index, every):
            continue
        name = path.relative_to(folder).as_posix()
        reason = why_unusable(path, min(size))
        if reason is not None:
            found.skipped[name] = reason
            continue
        found.frames.append(EvaluationFrame(PHOTOS, name, _fit(read_image(path, []), size)))
        found.sha256[name] = sha256_file(path)
    if not found.frames:
        unusable = f" that can be used ({', '.join(sorted(set(found.skipped.values())))})" if found.skipped else ""
        raise InputError(
            f"{folder} has no photograph whose number is divisible by {every}{unusable}.",
            "Choose another --held-out-every, or other photographs.",
        )
    return found


def _fit(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    height, width = pixels.shape[:2]
    return np.ascontiguousarray(plan_frame((width, height), size, "cover").prepare(pixels))
