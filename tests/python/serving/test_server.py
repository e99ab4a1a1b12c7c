"""Calls and their answers, and what ends a server."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mobie_coreml.editing.clip_source import ClipSource
from mobie_coreml.errors import WorkError
from mobie_coreml.serving.message import Fault, Kind, Message, MessageError, encode_message

from .conftest import Served

PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Three frames of 34x18 pixels."""
    path = tmp_path / "in.mp4"
    generator = np.random.default_rng(1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 34, 18, "yuv420p"
        for _ in range(3):
            pixels = generator.integers(0, 256, (18, 34, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_components_are_called_each_on_its_own(served: Served) -> None:
    host = served.host
    hello = host.result("hello")
    assert hello["program"].startswith("mobie ")
    assert hello["manifest_sha256"] == "0" * 64
    assert host.result("TextEncoder", input_ids=np.array([[3, 4]], np.int32))["made"].tolist() == [[7, 7]]
    half = np.array([1.5], np.float16)
    assert host.result("Conditioner", text_states=half, timestep=half)["made"].tolist() == [[3, 3]]
    latents = host.result("Encoder", frame=PIXELS)["image_latents"]
    assert (latents.shape, latents.dtype, latents[0, 0, 0, 0]) == ((1, 1, 1, 2), np.float32, PIXELS.sum())
    # Rounded to the nearest, halves up, within 0 to 255.
    for value, level in ((4.5, 5), (4.25, 4), (-3, 0), (300, 255)):
        frame = host.result("Decoder", denoised_latents=np.array([value], np.float32))["edited_frame"]
        assert (frame.shape, frame.dtype, frame.flat[0]) == ((2, 4, 3), np.uint8, level)
    served.end()


def test_what_cannot_be_answered_is_said_and_the_next_call_is_answered(served: Served) -> None:
    host = served.host
    assert "no call nonsense" in host.failure("nonsense")["message"]
    for values in ({}, {"frame": "text"}, {"frame": PIXELS, "more": PIXELS}, {"framed": PIXELS}):
        assert "It takes arrays named frame" in host.failure("Encoder", **values)["hint"]
    for pixels in (PIXELS.astype(np.float32), PIXELS[0], PIXELS.reshape(2, 3, 4)):
        assert "uint8 (height" in host.failure("Encoder", frame=pixels)["hint"]
    assert "no integers" in host.failure("TextEncoder", input_ids=np.ones((1, 77), np.float32))["message"]
    wrong_size = host.failure("Encoder", frame=PIXELS.reshape(4, 2, 3))
    assert "The frame is 2x4 pixels, the model's is 4x2" in wrong_size["message"]
    nan = host.failure("Decoder", denoised_latents=np.array([np.nan], np.float32))
    assert (nan["code"], "not numbers" in nan["message"]) == (3, True)
    assert host.result("hello")
    served.end()


def test_a_clip_is_read_and_another_written(served: Served, clip: Path, tmp_path: Path) -> None:
    host, output = served.host, tmp_path / "made" / "out.mkv"
    opened = host.result("clip.open", path=str(clip))
    assert (opened["size"].tolist(), int(opened["frames"])) == ([34, 18], 3)
    assert host.result("clip.create", path=str(output)) == {}
    expected = list(ClipSource(clip).frames())
    for frame in expected:
        read = host.result("clip.read")
        assert np.array_equal(read["pixels"], frame.pixels)
        assert int(read["index"]) == frame.index
        assert Fraction(*read["pts"].tolist()) == frame.pts
        assert Fraction(*read["duration"].tolist()) == frame.duration
        host.result("clip.write", **{**read, "pixels": read["pixels"][::2, ::2]})
    assert host.result("clip.read") == {}
    assert host.result("clip.read") == {}
    assert not output.exists()
    assert host.result("clip.finish") == {"notes": ""}
    written = list(ClipSource(output).frames())
    assert [frame.pixels.shape for frame in written] == [(10, 18, 3)] * 3  # 9 rows are not even
    # Matroska counts milliseconds.
    assert [round(frame.pts, 3) for frame in written] == [round(frame.pts, 3) for frame in expected]
    assert host.result("clip.open", path=str(clip), limit=np.array(1, np.int64))["frames"] == 1
    assert host.result("clip.read")
    assert host.result("clip.read") == {}
    served.end()


def test_clips_that_cannot_be_are_refused(served: Served, clip: Path, tmp_path: Path) -> None:
    host, output = served.host, str(tmp_path / "out.mp4")
    for call in ("clip.read", "clip.create", "clip.write", "clip.finish"):
        assert host.failure(call, path=output)["code"] == 2
    assert "does not exist" in host.failure("clip.open", path=output)["message"]
    for path in (np.ones(1, np.uint8), "", "a\0b"):
        assert "path is missing" in host.failure("clip.open", path=path)["message"]
    assert "limit 0" in host.failure("clip.open", path=str(clip), limit=np.array(0, np.int64))["message"]
    host.result("clip.open", path=str(clip))
    assert "open already" in host.failure("clip.open", path=str(clip))["message"]
    (tmp_path / "there.mp4").touch()
    (tmp_path / "folder.mp4").mkdir()
    for path, problem in (
        (str(clip), "exists already"),
        (str(tmp_path / "there.mp4"), "exists already"),
        (str(tmp_path / "folder.mp4"), "is a folder"),
        (str(tmp_path / "out.webm"), "clips are written as"),
        (str(tmp_path / "out"), "clips are written as"),
    ):
        assert problem in host.failure("clip.create", path=path)["message"]
    force = {"path": str(clip), "force": np.array(1, np.int64)}
    assert "would replace the input" in host.failure("clip.create", **force)["message"]
    host.result("clip.create", path=str(tmp_path / "there.mp4"), force=np.array(1, np.int64))
    frame = host.result("clip.read")
    zero = np.array([0, 0], np.int64)
    for wrong in ({"pixels": "x"}, {"pixels": PIXELS[..., :2]}, {"index": zero}, {"pts": zero}, {"duration": PIXELS}):
        assert host.failure("clip.write", **{**frame, **wrong})["code"] == 2
    for name, seconds in (("pts", [2**62, 1]), ("pts", [-(2**63), 1]), ("duration", [2**32 + 1, 2])):
        wrong_time = {name: np.array(seconds, np.int64)}
        assert f"{name} of" in host.failure("clip.write", **{**frame, **wrong_time})["message"]
    assert "got no frame" in host.failure("clip.finish")["message"]
    served.end()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.mp4", "in.mp4", "there.mp4"]
    assert (tmp_path / "there.mp4").stat().st_size == 0


def test_an_output_that_is_not_finished_goes(served: Served, clip: Path, tmp_path: Path) -> None:
    host = served.host
    host.result("clip.open", path=str(clip))
    host.result("clip.create", path=str(tmp_path / "new" / "out.mp4"))
    host.result("clip.write", **host.result("clip.read"))
    assert (tmp_path / "new").exists()
    host.result("clip.discard")
    assert list(tmp_path.iterdir()) == [clip]
    host.result("clip.open", path=str(clip))
    host.result("clip.create", path=str(tmp_path / "out.mp4"))
    host.result("clip.write", **host.result("clip.read"))
    served.end()
    assert list(tmp_path.iterdir()) == [clip]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", Fault.GARBAGE),
        (encode_message(Message(Kind.CALL, 1, "hello"))[:-1], Fault.TRUNCATED),
        (encode_message(Message(Kind.RESULT, 1, "hello")), Fault.KIND),
        (encode_message(Message(Kind.CALL, 1, "hello")) * 2, Fault.FORM),
        (encode_message(Message(Kind.CALL, 1, "hello")) + b"MOB\1\1\0\0\0\2\0\0\0\xff\xff\xff\xff", Fault.TOO_LARGE),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_call_ends_the_server(served: Served, content: bytes, fault: Fault) -> None:
    served.host.send(content)
    with pytest.raises(MessageError) as caught:
        served.end()
    assert caught.value.fault is fault


def test_a_host_that_does_not_read_is_noticed(served: Served, clip: Path, tmp_path: Path) -> None:
    host = served.host
    host.result("clip.open", path=str(clip))
    host.result("clip.create", path=str(tmp_path / "out.mp4"))
    host.result("clip.write", **host.result("clip.read"))
    host.answers.close()
    host.send(encode_message(Message(Kind.CALL, 100, "hello")))
    deadline = time.monotonic() + 60
    while served.error is None and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(WorkError, match="closed the pipe"):
        served.end()
    assert list(tmp_path.iterdir()) == [clip]
