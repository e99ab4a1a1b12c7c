"""The frames that models are evaluated on: held-out photographs, and frames spread evenly over clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mobie_coreml.editing.clip_source import ClipSource
from mobie_coreml.editing.geometry import plan_frame
from mobie_coreml.editing.images import read_image
from mobie_coreml.errors import InputError
from mobie_coreml.training.photos import is_held_out, photo_files

Pixels = npt.NDArray[np.uint8]
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
    def image(self) -> npt.NDArray[np.float32]:
        """The pixels as float32, 0..1."""
        return self.pixels.astype(np.float32) / np.float32(255)


def clip_frames(path: Path, count: int, size: tuple[int, int]) -> list[EvaluationFrame]:
    """`count` frames spread evenly over a clip (all of a shorter one); decodes it twice, one frame in memory at a time.

    Args:
        path: The clip.
        count: At most this many.
        size: (width, height) of the model's frame.

    Raises:
        InputError: the clip cannot be read.
    """
    total = 0
    source = ClipSource(path)
    try:
        for _ in source.frames():
            total += 1
    finally:
        source.close()
    wanted = {int(number) for number in np.linspace(0, total - 1, min(count, total)).round()}
    chosen: list[EvaluationFrame] = []
    source = ClipSource(path)
    try:
        for frame in source.frames():
            if frame.index in wanted:
                pixels = _fit(frame.pixels, size)
                chosen.append(EvaluationFrame(path.stem, f"{frame.index:05d}", pixels))
    finally:
        source.close()
    return chosen


def held_out_photos(folder: Path, every: int, size: tuple[int, int]) -> list[EvaluationFrame]:
    """The photographs whose number (or place, where a name has none) is divisible by `every`.

    Raises:
        InputError: there is none, or one cannot be read.
    """
    files = photo_files(folder)
    chosen = [path for index, path in enumerate(files) if is_held_out(path, index, every)]
    if not chosen:
        raise InputError(
            f"{folder} has no photograph whose number is divisible by {every}.", "Choose another --held-out-every."
        )
    return [
        EvaluationFrame(PHOTOS, path.relative_to(folder).as_posix(), _fit(read_image(path, []), size))
        for path in chosen
    ]


def _fit(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    height, width = pixels.shape[:2]
    return np.ascontiguousarray(plan_frame((width, height), size, "cover").prepare(pixels))
