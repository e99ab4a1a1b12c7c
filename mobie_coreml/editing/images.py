"""Single images and folders of images in and out."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

from mobie_coreml.editing.media import IMAGE_SUFFIXES, SourceFrame, SourceInfo, check_input, is_image
from mobie_coreml.editing.resample import Pixels
from mobie_coreml.errors import InputError, WorkError
from mobie_coreml.files import atomic_file, atomic_folder

_RATE = Fraction(25)
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_OPTIONS: dict[str, dict[str, object]] = {
    "PNG": {"compress_level": 6},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
}
_SUPPORTED = ", ".join(IMAGE_SUFFIXES)


def read_image(path: Path, notes: list[str]) -> Pixels:
    """An image as upright sRGB pixels (H, W, 3) uint8: EXIF orientation and colour profile applied, alpha over white.

    Args:
        path: PNG, JPEG or WebP.
        notes: Gets one sentence for each thing that the model will not see.

    Raises:
        InputError: it cannot be read, is cut short, or is too large to be an honest image.
    """
    # Pillow warns of large images and of odd metadata; what it cannot use, it refuses.
    with warnings.catch_warnings(action="ignore"):
        image, is_animated = _open(path)
        if is_animated:
            _note(notes, "An animated image was read as its first frame.")
        return _to_pixels(image, notes)


def _open(path: Path) -> tuple[Image.Image, bool]:
    """An image, decoded and upright, and whether its file holds more than this one."""
    try:
        with Image.open(path, formats=sorted(set(_FORMATS.values()))) as opened:
            opened.load()
            return ImageOps.exif_transpose(opened), bool(getattr(opened, "is_animated", False))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read as an image: {error}.", f"Images may be {_SUPPORTED}.") from error


def _to_pixels(image: Image.Image, notes: list[str]) -> Pixels:
    """The image's pixels (H, W, 3) uint8, see `read_image`."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith(("I", "F")):
        levels = np.asarray(image, np.float64)
        image = Image.fromarray(np.clip(np.floor(levels / 257 + 0.5), 0, 255).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        if np.asarray(image.getchannel("A")).min() < 255:  # many files have the channel and nothing in it
            _note(notes, "Transparency was filled with white.")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    elif profile:
        image = _to_srgb(image, profile)
    return np.array(image.convert("RGB"), np.uint8)


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Applies a colour profile; a profile that cannot be read is ignored, as image viewers do."""
    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        if converted is not None:
            return converted
    return image


def write_image(path: Path, pixels: Pixels) -> None:
    """Writes (H, W, 3) uint8 RGB by the path's suffix: PNG and WebP without loss, JPEG at quality 95.

    Raises:
        InputError: the suffix is not one of an image.
        WorkError: the file cannot be written.
    """
    name = _FORMATS.get(path.suffix.lower())
    if name is None:
        raise InputError(f"{path.name}: images are written as {_SUPPORTED}.", "Choose one of these suffixes.")
    try:
        with atomic_file(path) as temporary:
            Image.fromarray(pixels).save(temporary, format=name, **_OPTIONS[name])
    except OSError as error:
        raise WorkError(f"{path} cannot be written: {error}.", "Check space and permissions.") from error


def _note(notes: list[str], sentence: str) -> None:
    if sentence not in notes:
        notes.append(sentence)


class ImageSource:
    """One image as a source of one frame.

    Raises:
        InputError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        check_input(path)
        self.path = path
        self.notes: list[str] = []
        self._pixels = read_image(path, self.notes)
        height, width = self._pixels.shape[:2]
        self.info = SourceInfo((width, height), 1, 1 / _RATE, _RATE)

    def frames(self) -> Iterator[SourceFrame]:
        """Yields the image."""
        yield SourceFrame(self._pixels, 0, Fraction(0), 1 / _RATE, self.path.name)

    def close(self) -> None:
        """Nothing is open."""


class FolderSource:
    """The images of a folder in the order of their names; other files and sub-folders are left out.

    As a clip they count as 25 frames a second. Sizes may differ from image to image.

    Args:
        path: The folder.
        limit: At most this many images are read.

    Raises:
        InputError: it holds no image, or the first one cannot be read.
    """

    def __init__(self, path: Path, *, limit: int | None = None) -> None:
        check_input(path)
        self.path = path
        self.notes: list[str] = []
        self._paths = sorted(item for item in path.iterdir() if item.is_file() and is_image(item))[:limit]
        if not self._paths:
            raise InputError(f"{path} holds no image.", f"Images may be {_SUPPORTED}.")
        height, width = read_image(self._paths[0], self.notes).shape[:2]
        self.info = SourceInfo((width, height), len(self._paths), 1 / _RATE, _RATE)

    def frames(self) -> Iterator[SourceFrame]:
        """Yields the images.

        Raises:
            InputError: one cannot be read; the message names it.
        """
        for index, path in enumerate(self._paths):
            yield SourceFrame(read_image(path, self.notes), index, index / _RATE, 1 / _RATE, path.name)

    def close(self) -> None:
        """Nothing is open."""


class ImageSink:
    """One image out; it takes exactly one frame.

    Raises:
        InputError: the suffix is not one of an image.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in _FORMATS:
            raise InputError(f"{path.name}: images are written as {_SUPPORTED}.", "Choose one of these suffixes.")
        self.notes: list[str] = []
        self._path = path
        self._pixels: Pixels | None = None

    def write(self, pixels: Pixels, frame: SourceFrame) -> None:
        """Keeps the result until `commit`.

        Raises:
            InputError: it is the second frame.
        """
        if frame.index:
            raise InputError(f"{self._path} holds one frame only.", "Pass --limit 1, or choose a clip as output.")
        self._pixels = pixels

    def finish(self) -> None:
        """Nothing is pending."""

    def commit(self) -> None:
        """Writes the image.

        Raises:
            WorkError: it cannot be written.
        """
        if self._pixels is None:
            raise WorkError(f"{self._path} got no frame.")
        write_image(self._path, self._pixels)

    def discard(self) -> None:
        """Forgets the frame."""
        self._pixels = None


class FolderSink:
    """A folder of images: names as in the source folder, or frame_000000.png and so on for the frames of a clip."""

    def __init__(self, path: Path, *, force: bool = False) -> None:
        self.notes: list[str] = []
        self._path = path
        self._force = force
        self._stack = contextlib.ExitStack()
        self._folder: Path | None = None

    def write(self, pixels: Pixels, frame: SourceFrame) -> None:
        """Adds one image.

        Raises:
            InputError: the folder exists and may not be replaced.
            WorkError: the image cannot be written.
        """
        if self._folder is None:
            self._folder = self._stack.enter_context(atomic_folder(self._path, force=self._force))
        write_image(self._folder / (frame.name or f"frame_{frame.index:06d}.png"), pixels)

    def finish(self) -> None:
        """Nothing is pending."""

    def commit(self) -> None:
        """Moves the folder to its place."""
        self._stack.close()

    def discard(self) -> None:
        """Removes what was written so far; does nothing after `commit`."""
        self._stack.__exit__(InterruptedError, InterruptedError("discarded"), None)
