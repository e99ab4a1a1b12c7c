"""Images and folders of images in and out."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from mobie_coreml.editing.images import FolderSink, FolderSource, ImageSink, ImageSource, read_image, write_image
from mobie_coreml.errors import InputError

from .conftest import picture


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg", ".jpeg", ".PNG"])
def test_images_survive_writing_and_reading(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    write_image(path, picture(0))
    difference = np.abs(read_image(path, []).astype(int) - picture(0))
    assert difference.mean() < 2 if "j" in suffix else difference.max() == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path: Path, orientation: int) -> None:
    upright = picture(2, (40, 24))
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png", []), upright)


def test_an_animated_image_is_read_as_its_first_frame_and_that_is_said(tmp_path: Path) -> None:
    first, second = (Image.fromarray(picture(index)) for index in (0, 1))
    first.save(tmp_path / "a.webp", save_all=True, append_images=[second], lossless=True)
    notes: list[str] = []
    assert np.array_equal(read_image(tmp_path / "a.webp", notes), picture(0))
    assert notes == ["An animated image was read as its first frame."]


def test_no_warning_of_pillow_reaches_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large image, and of transparency in a palette."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60 * 50)
    large = Image.fromarray(picture(0))
    large.save(tmp_path / "large.png")
    large.quantize(16).save(tmp_path / "palette.png", transparency=bytes(range(16)))
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        for name in ("large.png", "palette.png"):
            assert read_image(tmp_path / name, []).shape == (60, 80, 3)
    assert shown == []


def test_transparency_becomes_white_and_is_said(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:, 2:] = (10, 20, 30, 255)
    pixels[0, 0] = (0, 0, 0, 128)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    notes: list[str] = []
    result = read_image(tmp_path / "a.png", notes)
    assert (result[:, 2:] == (10, 20, 30)).all()
    assert (result[1, 0] == 255).all()
    assert (result[0, 0] == 127).all()
    assert len(notes) == 1


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "CMYK", "I;16"])
def test_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    grey = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (16, 1))
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    if mode == "I;16":
        Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    else:
        Image.fromarray(grey).convert(mode, dither=Image.Dither.NONE).save(
            path, **({"quality": 100} if mode == "CMYK" else {})
        )
    result = read_image(path, [])
    assert result.shape == (16, 32, 3)
    expected = np.where(grey > 127, 255, 0) if mode == "1" else grey
    assert np.abs(result.astype(int) - expected[..., None]).max() <= 3


def test_a_colour_profile_is_applied(tmp_path: Path) -> None:
    pixels = np.full((8, 8, 3), (200, 40, 40), np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels).save(tmp_path / "same.png", icc_profile=profile)
    assert np.abs(read_image(tmp_path / "same.png", []).astype(int) - pixels).max() <= 1
    Image.fromarray(pixels).save(tmp_path / "broken.png", icc_profile=b"no profile at all")
    assert np.array_equal(read_image(tmp_path / "broken.png", []), pixels)


def test_broken_images_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture(0)).save(buffer, "PNG")
    for name, data in (("cut.png", buffer.getvalue()[:200]), ("text.png", b"hello"), ("none.webp", b"RIFF0000WEBP")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=name):
            ImageSource(tmp_path / name)
    (tmp_path / "empty.png").touch()
    with pytest.raises(InputError, match="is empty"):
        ImageSource(tmp_path / "empty.png")


def test_a_folder_is_read_in_order_of_names(tmp_path: Path) -> None:
    for name, index in (("b.png", 1), ("a.jpg", 0), ("c.webp", 2)):
        write_image(tmp_path / name, picture(index, (40 + 8 * index, 24)))
    (tmp_path / "notes.txt").write_text("left out")
    (tmp_path / "more").mkdir()
    source = FolderSource(tmp_path)
    assert source.info.count == 3
    frames = list(source.frames())
    assert [frame.name for frame in frames] == ["a.jpg", "b.png", "c.webp"]
    assert [frame.pixels.shape[1] for frame in frames] == [40, 48, 56]
    assert len(list(FolderSource(tmp_path, limit=2).frames())) == 2


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image"):
        FolderSource(tmp_path)


def test_a_folder_sink_keeps_names_and_appears_whole(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for index in range(3):
        write_image(tmp_path / "in" / f"{index}.png", picture(index))
    source = FolderSource(tmp_path / "in")
    sink = FolderSink(tmp_path / "out")
    for frame in source.frames():
        sink.write(frame.pixels, frame)
    assert not (tmp_path / "out").exists()
    sink.commit()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "1.png", "2.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_discarded_sinks_leave_nothing(tmp_path: Path) -> None:
    write_image(tmp_path / "in.png", picture(0))
    source = ImageSource(tmp_path / "in.png")
    for sink in (FolderSink(tmp_path / "out"), ImageSink(tmp_path / "out.png")):
        for frame in source.frames():
            sink.write(frame.pixels, frame)
        sink.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]
