"""Clips that cannot be used give one clear error that names the frame."""

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mobie_coreml.editing.clip_source import ClipSource
from mobie_coreml.errors import InputError

from .conftest import add_tone, picture

Maker = Callable[..., Path]


def noisy(index: int) -> np.ndarray:
    """Frames that do not compress, so that cutting a file in half cuts its frames in half."""
    return np.random.default_rng(index).integers(0, 256, (60, 80, 3), np.uint8)


def read_all(path: Path, limit: int | None = None) -> int:
    return sum(1 for _ in ClipSource(path, limit=limit).frames())


@pytest.mark.parametrize("faststart", [True, False])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_truncated_clip_names_the_frame(clip_maker: Maker, tmp_path: Path, suffix: str, faststart: bool) -> None:
    whole = tmp_path / f"whole{suffix}"
    frames = [noisy(i) for i in range(60)]
    options = {"bf": "0"}
    with av.open(str(whole), "w", options={"movflags": "+faststart"} if faststart and suffix == ".mp4" else {}) as out:
        stream = out.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 80, 60, "yuv420p"
        for pixels in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode())
    data = whole.read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(data[: len(data) * 6 // 10])
    with pytest.raises(InputError) as caught:
        read_all(cut)
    if suffix == ".mp4" and not faststart:
        assert "cannot be read" in caught.value.message  # the index at the end is lost: nothing can be read
    else:
        number = re.search(r"at frame (\d+)", caught.value.message)
        assert number is not None
        assert 15 <= int(number[1]) <= 45
        assert read_all(cut, limit=8) == 8
    assert read_all(whole) == 60


def test_damage_in_the_middle_names_the_frame(clip_maker: Maker, tmp_path: Path) -> None:
    path = clip_maker(tmp_path / "in.mp4", [noisy(i) for i in range(50)])
    data = bytearray(path.read_bytes())
    middle = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2
    for position in range(middle, middle + 3000):
        data[position] ^= 0x5A
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"at frame \d+"):
        read_all(path)


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.mp4"
    with av.open(str(path), "w") as out:
        add_tone(out, out.add_stream("aac", rate=16000, layout="mono"), 1024)
    with pytest.raises(InputError, match="no video stream"):
        ClipSource(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 5000])
def test_files_that_are_no_clip_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "in.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError):
        ClipSource(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        ClipSource(tmp_path / "none.mp4")


def test_a_single_frame_is_a_clip(clip_maker: Maker, tmp_path: Path) -> None:
    assert read_all(clip_maker(tmp_path / "in.mp4", [picture(0)])) == 1


def test_frames_that_change_size_are_brought_to_the_first_size(tmp_path: Path) -> None:
    path = tmp_path / "in.h264"
    with path.open("wb") as file:
        for size in ((80, 60), (64, 48)):
            context = av.CodecContext.create("libx264", "w")
            context.width, context.height, context.pix_fmt = *size, "yuv420p"
            context.time_base = Fraction(1, 25)
            frame = av.VideoFrame.from_ndarray(picture(0, size), format="rgb24").reformat(format="yuv420p")
            for packet in (*context.encode(frame), *context.encode()):
                file.write(bytes(packet))
    source = ClipSource(path)
    shapes = [frame.pixels.shape for frame in source.frames()]
    assert shapes == [(60, 80, 3)] * 2
    assert any("size changes" in note for note in source.notes)
