"""A folder of photographs in memory, and random crops of them.

Everything random here is drawn from a generator made of (seed, step, place in the batch), so any step of a run can be
made again without replaying the ones before it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from mobie_coreml.errors import InputError
from mobie_coreml.training.config import PhotoConfig

Pixels = npt.NDArray[np.float32]
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")


class _Unusable(Exception):
    """Why one file is left out."""


@dataclass(frozen=True)
class Photo:
    """One photograph: its file name within the folder and its pixels as 8-bit RGB."""

    name: str
    image: Image.Image


@dataclass(frozen=True)
class Photos:
    """The photographs to train on, those held out, and how many files were left out and why."""

    training: tuple[Photo, ...]
    held_out: tuple[Photo, ...]
    skipped: dict[str, int]

    def summary(self) -> str:
        """One line for people."""
        left_out = sum(self.skipped.values())
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.skipped.items()))
        skipped = f"; {left_out} left out ({reasons})" if left_out else ""
        return f"{len(self.training)} photographs to train on, {len(self.held_out)} held out{skipped}"

    def digest(self) -> str:
        """SHA-256 over the names and pixels of the photographs to train on."""
        digest = hashlib.sha256()
        for photo in self.training:
            digest.update(f"{photo.name}\0{photo.image.size}\0".encode())
            digest.update(photo.image.tobytes())
        return digest.hexdigest()


def photo_files(folder: Path) -> list[Path]:
    """Image files below `folder`, sorted by path.

    Raises:
        InputError: `folder` is not a folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder of photographs.", "Pass a folder of .jpg or .png files.")
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def is_held_out(path: Path, index: int, every: int) -> bool:
    """Whether a photograph is held out: its number, or else its index, is divisible by `every` (0: never)."""
    if every == 0:
        return False
    number = re.fullmatch(r"\D*(\d+)\D*", path.stem)
    return (int(number.group(1)) if number else index) % every == 0


def why_unusable(path: Path, min_side: int) -> str | None:
    """Why a photograph would be left out, or None: it cannot be read, is no 8-bit colour, animated, or too small."""
    try:
        _read(path, min_side, min_side)
    except _Unusable as reason:
        return str(reason)
    return None


def load_photos(
    folder: Path, config: PhotoConfig, *, min_side: int, advance: Callable[[int, int], None] | None = None
) -> Photos:
    """Reads every usable photograph of a folder into memory.

    Args:
        folder: Searched with its subfolders.
        config: Which to hold out, and the resolution to keep.
        min_side: Photographs with a shorter side are left out, in pixels.
        advance: Called with (files read, files in all).

    Raises:
        InputError: no folder, or fewer than `config.min_photos` usable photographs to train on.
    """
    files = photo_files(folder)
    kept: dict[bool, list[Photo]] = {True: [], False: []}
    skipped: Counter[str] = Counter()

    def read(path: Path) -> Image.Image | str:
        try:
            return _read(path, config.short_side, min_side)
        except _Unusable as reason:
            return str(reason)

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for index, (path, image) in enumerate(zip(files, pool.map(read, files), strict=True)):
            if isinstance(image, str):
                skipped[image] += 1
            else:
                name = path.relative_to(folder).as_posix()
                kept[is_held_out(path, index, config.held_out_every)].append(Photo(name, image))
            if advance is not None:
                advance(index + 1, len(files))
    photos = Photos(tuple(kept[False]), tuple(kept[True]), dict(skipped))
    if len(photos.training) < config.min_photos:
        raise InputError(
            f"{folder} holds too few photographs: {photos.summary()}.",
            f"At least {config.min_photos} RGB photographs of {min_side} pixels or more a side are needed.",
        )
    return photos


def _read(path: Path, short_side: int, min_side: int) -> Image.Image:
    """Upright 8-bit RGB, reduced to `short_side` where it is larger."""
    try:
        with Image.open(path) as image:
            # In the MPO files of phones a preview or a depth map follows the photograph, which comes first.
            if getattr(image, "is_animated", False) and image.format != "MPO":
                raise _Unusable("animated")
            if image.mode in ("L", "LA", "1"):
                raise _Unusable("greyscale")
            if image.mode == "CMYK":
                raise _Unusable("CMYK")
            if image.mode not in ("RGB", "RGBA", "P") or _is_deep(image):
                raise _Unusable("not 8 bits a channel")
            if min(image.size) < min_side:
                raise _Unusable("too small")
            image.draft("RGB", (2 * short_side, 2 * short_side))
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except _Unusable:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _Unusable("unreadable") from error
    scale = short_side / min(upright.size)
    if scale >= 1:
        return upright
    size = (max(round(upright.width * scale), short_side), max(round(upright.height * scale), short_side))
    return upright.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _is_deep(image: Image.Image) -> bool:
    """Whether an image has 16 bits a channel in its file: Pillow gives 8 of them without saying so."""
    return any(";16" in str(tile[-1]) for tile in getattr(image, "tile", ()))


def generator(seed: int, *counters: int) -> np.random.Generator:
    """A generator that depends on `seed` and the counters alone."""
    return np.random.default_rng(np.random.SeedSequence([seed, *counters]))


def random_crop(photo: Photo, size: tuple[int, int], max_zoom_out: float, rng: np.random.Generator) -> Pixels:
    """A random part of a photograph, mirrored half of the time.

    Args:
        photo: Where from.
        size: (width, height) of the crop in pixels.
        max_zoom_out: The part shown has between 1 and this many times the crop's sides (log-uniform), bounded by the
            photograph; it is resampled to `size` with antialiasing.
        rng: Source of randomness.

    Returns:
        (height, width, 3) float32, 0..1.
    """
    width, height = size
    largest = min(photo.image.width / width, photo.image.height / height)
    zoom = float(np.exp(rng.uniform(0.0, np.log(max(min(max_zoom_out, largest), 1.0)))))
    zoom = min(zoom, largest)
    left = rng.uniform(0.0, photo.image.width - zoom * width)
    top = rng.uniform(0.0, photo.image.height - zoom * height)
    box = (left, top, min(left + zoom * width, photo.image.width), min(top + zoom * height, photo.image.height))
    crop = np.asarray(photo.image.resize(size, Image.Resampling.BICUBIC, box=box), np.float32) / 255.0
    return np.ascontiguousarray(crop[:, ::-1]) if rng.random() < 0.5 else crop


def center_crop(photo: Photo, size: tuple[int, int]) -> Pixels:
    """The largest centred part of a photograph with the shape of `size`, resampled to it: (height, width, 3), 0..1."""
    fitted = ImageOps.fit(photo.image, size, Image.Resampling.BICUBIC)
    return np.asarray(fitted, np.float32) / np.float32(255.0)


def recolor(image: Pixels, rng: np.random.Generator) -> Pixels:
    """A random colour change: channels permuted, saturation, gain and gamma varied; (H, W, 3), 0..1."""
    permuted = image[..., rng.permutation(3)]
    gray = permuted.mean(axis=-1, keepdims=True)
    saturated = np.clip(gray + rng.uniform(0.0, 2.5) * (permuted - gray), 0.0, 1.0)
    gained = np.clip(saturated * rng.uniform(0.5, 1.4, size=3), 0.0, 1.0)
    return np.asarray(gained ** rng.uniform(0.6, 1.7), np.float32)
