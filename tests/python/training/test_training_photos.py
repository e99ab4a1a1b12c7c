"""Photographs: what is read, held out and left out, and how crops are drawn."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mobie_coreml.errors import InputError
from mobie_coreml.training.config import PhotoConfig
from mobie_coreml.training.photos import (
    Photo,
    center_crop,
    generator,
    is_held_out,
    load_photos,
    photo_files,
    random_crop,
    recolor,
)


def drawing(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def write_deep_colour(path: Path, side: int) -> None:
    """A PNG of 16 bits in each of three channels, which Pillow cannot write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + b"\x9c\x40" * 3 * side for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def fill(folder: Path, count: int) -> None:
    for index in range(count):
        drawing(96, 80, index).save(folder / f"{index:04d}.png")


def test_unusable_files_are_left_out_and_counted(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    whole = tmp_path / "whole.jpg"
    drawing(400, 300).save(whole)
    (tmp_path / "truncated.jpg").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    whole.unlink()
    drawing(20, 300).save(tmp_path / "tiny.png")
    drawing(96, 96).convert("L").save(tmp_path / "grey.png")
    drawing(96, 96).convert("CMYK").save(tmp_path / "print.jpg")
    Image.fromarray(np.full((96, 96), 40_000, np.uint16)).save(tmp_path / "deep.png")
    write_deep_colour(tmp_path / "deep_colour.png", 96)
    for name in ("moving.gif", "moving.webp", "moving.png"):
        drawing(96, 96).save(tmp_path / name, save_all=True, append_images=[drawing(96, 96, 1)])
    drawing(96, 80, 10).save(tmp_path / "with_depth.jpg", "MPO", save_all=True, append_images=[drawing(96, 80, 1)])
    (tmp_path / "notes.txt").write_text("not a photograph")

    photos = load_photos(tmp_path, PhotoConfig(held_out_every=0), min_side=64)

    assert [photo.name for photo in photos.training] == [*(f"{index:04d}.png" for index in range(10)), "with_depth.jpg"]
    assert photos.skipped == {
        "unreadable": 2,
        "too small": 1,
        "greyscale": 1,
        "CMYK": 1,
        "not 8 bits a channel": 2,
        "animated": 3,
    }
    assert "10 left out" in photos.summary()
    assert "2 unreadable" in photos.summary()


def test_photographs_are_held_out_by_number_and_reduced(tmp_path: Path) -> None:
    for number in (1, 2, 19, 20, 21, 39, 40, 41, 100):
        drawing(200, 120, number).save(tmp_path / f"{number:04d}.jpg")
    photos = load_photos(tmp_path, PhotoConfig(held_out_every=20, short_side=60, min_photos=1), min_side=32)
    assert [photo.name for photo in photos.held_out] == ["0020.jpg", "0040.jpg", "0100.jpg"]
    assert len(photos.training) == 6
    assert {photo.image.size for photo in photos.training} == {(100, 60)}


def test_names_without_a_number_are_held_out_by_place() -> None:
    held_out = [index for index in range(10) if is_held_out(Path(f"{'abcdefghij'[index]}.jpg"), index, 4)]
    assert held_out == [0, 4, 8]
    assert not is_held_out(Path("0000.jpg"), 0, 0)
    assert is_held_out(Path("IMG_0040.jpg"), 3, 20)


def test_too_few_photographs_are_one_error(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    (tmp_path / "broken.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"too few photographs: 3 photographs .* 1 left out \(1 unreadable\)"):
        load_photos(tmp_path, PhotoConfig(held_out_every=0, min_photos=8), min_side=64)


def test_a_folder_that_is_none_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        photo_files(tmp_path / "absent")


@settings(max_examples=30, deadline=None)
@given(
    width=st.integers(33, 300),
    height=st.integers(33, 300),
    size=st.sampled_from([(32, 32), (64, 48), (48, 64)]),
    zoom=st.floats(1.0, 6.0),
    seed=st.integers(0, 2**32),
)
def test_crops_have_their_size_and_range_and_depend_on_the_seed_alone(
    width: int, height: int, size: tuple[int, int], zoom: float, seed: int
) -> None:
    photo = Photo("a", drawing(width, height))
    crop = random_crop(photo, size, zoom, generator(seed, 1))
    assert crop.shape == (size[1], size[0], 3)
    assert crop.dtype == np.float32
    assert 0 <= crop.min() <= crop.max() <= 1
    np.testing.assert_array_equal(crop, random_crop(photo, size, zoom, generator(seed, 1)))


def test_a_crop_without_zoom_is_a_part_of_the_photograph() -> None:
    photo = Photo("a", drawing(64, 32))
    pixels = np.asarray(photo.image, np.float32) / 255
    crop = random_crop(photo, (64, 32), 1.0, generator(0))
    assert np.array_equal(crop, pixels) or np.array_equal(crop, pixels[:, ::-1])


def test_center_crop_keeps_the_middle() -> None:
    pixels = np.zeros((40, 120, 3), np.uint8)
    pixels[:, 40:80] = 255
    assert center_crop(Photo("a", Image.fromarray(pixels)), (40, 40)).min() == 1.0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_recoloring_stays_in_range_and_keeps_the_shape(seed: int) -> None:
    image = generator(seed).random((9, 7, 3)).astype(np.float32)
    changed = recolor(image, generator(seed, 1))
    assert changed.shape == image.shape
    assert changed.dtype == np.float32
    assert 0 <= changed.min() <= changed.max() <= 1
