"""Clips in and out: timestamps, rotation, depth, size, colour, audio, memory, bytes."""

import hashlib
import socket
import weakref
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mobie_coreml.editing.clip_sink import ClipSink
from mobie_coreml.editing.clip_source import ClipSource
from mobie_coreml.errors import InputError

from .conftest import picture

Maker = Callable[..., Path]
LOSSLESS = {"crf": "0"}


def copy(source: Path, output: Path, *, limit: int | None = None, start: float = 0.0, crf: int = 16) -> ClipSink:
    """Reads a clip and writes it again, as an edit that changes nothing would."""
    clip = ClipSource(source, start=Fraction(start), limit=limit)
    sink = ClipSink(output, clip.info, audio=source, whole=limit is None, start=Fraction(start), crf=crf)
    for frame in clip.frames():
        sink.write(frame.pixels, frame)
    sink.finish()
    sink.commit()
    clip.close()
    return sink


def times(path: Path) -> list[Fraction]:
    return [frame.pts for frame in ClipSource(path).frames()]


def audio_bytes(path: Path) -> bytes:
    with av.open(str(path)) as container:
        return b"".join(bytes(packet) for packet in container.demux(audio=0) if packet.size)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".m4v"])
@pytest.mark.parametrize("first", [0, 700])
def test_variable_frame_rates_keep_every_timestamp(clip_maker: Maker, tmp_path: Path, suffix: str, first: int) -> None:
    ticks = [first + tick for tick in (0, 40, 73, 200, 205, 500, 1000, 1400)]
    source = clip_maker(
        tmp_path / f"in{suffix}", [picture(i) for i in range(8)], ticks=ticks, time_base=Fraction(1, 1000)
    )
    copy(source, tmp_path / f"out{suffix}")
    expected = [Fraction(tick, 1000) for tick in ticks]
    assert times(source) == expected
    assert times(tmp_path / f"out{suffix}") == expected


def test_names_that_look_like_protocols_are_names(
    clip_maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a:b").mkdir()
    clip_maker(tmp_path / "12:30.mp4", [picture(i) for i in range(2)])
    copy(Path("12:30.mp4"), Path("a:b/http:out.mp4"))
    assert len(times(Path("a:b/http:out.mp4"))) == 2


def test_a_playlist_in_disguise_makes_no_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        (tmp_path / "clip.mp4").write_text(
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n"
            f"http://127.0.0.1:{server.getsockname()[1]}/a.ts\n#EXT-X-ENDLIST\n"
        )
        (tmp_path / "clip.m3u8").write_text((tmp_path / "clip.mp4").read_text())
        for name in ("clip.mp4", "clip.m3u8"):
            with pytest.raises(InputError, match="cannot be read as a clip"):
                ClipSource(tmp_path / name)
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_playlist_in_disguise_reads_no_other_file(clip_maker: Maker, tmp_path: Path) -> None:
    clip_maker(tmp_path / "private.mp4", [picture(i) for i in range(2)])
    (tmp_path / "clip.mp4").write_text("ffconcat version 1.0\nfile private.mp4\n")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nprivate.mp4\n#EXT-X-ENDLIST\n")
    for name in ("clip.mp4", "list.m3u8"):
        with pytest.raises(InputError, match="a playlist or of another kind"):
            ClipSource(tmp_path / name)


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        ("libvpx", ".webm"),
        ("mpeg2video", ".mpg"),
        ("wmv2", ".wmv"),
        ("mpeg2video", ".mxf"),
        ("flv", ".flv"),
        ("libx265", ".hevc"),
        ("libvpx", ".ivf"),
    ],
)
def test_containers_of_all_kinds_are_read(clip_maker: Maker, tmp_path: Path, codec: str, suffix: str) -> None:
    source = clip_maker(tmp_path / f"in{suffix}", [picture(i, (176, 144)) for i in range(3)], codec=codec)
    assert len(times(source)) == 3


def test_the_last_frame_keeps_its_duration(clip_maker: Maker, tmp_path: Path) -> None:
    source = clip_maker(
        tmp_path / "in.mp4",
        [picture(i) for i in range(3)],
        ticks=[0, 500, 600],
        time_base=Fraction(1, 1000),
        options={"bf": "0"},
    )
    copy(source, tmp_path / "out.mp4")
    lengths = [sum(frame.duration for frame in ClipSource(path).frames()) for path in (source, tmp_path / "out.mp4")]
    assert abs(lengths[0] - lengths[1]) < Fraction(1, 1000)


@pytest.mark.parametrize("angle", [0, 90, 180, -90])
def test_rotated_clips_come_out_upright(clip_maker: Maker, tmp_path: Path, angle: int) -> None:
    upright = picture(3, (80, 48))
    stored = np.ascontiguousarray(np.rot90(upright, -angle // 90))  # the matrix turns it back, counter-clockwise
    source = clip_maker(tmp_path / "in.mp4", [stored] * 3, rotation=angle, options=LOSSLESS, pix_fmt="yuv444p")
    clip = ClipSource(source)
    frame = next(clip.frames())
    assert clip.info.size == (80, 48)
    assert np.abs(frame.pixels.astype(int) - upright).mean() < 2
    copy(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        out = next(container.decode(video=0))
        assert (out.width, out.height, out.rotation) == (80, 48, 0)


def test_mirrored_clips_come_out_upright(clip_maker: Maker, tmp_path: Path) -> None:
    upright = picture(3, (80, 48))
    matrix = [-(1 << 16), 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30]
    source = clip_maker(
        tmp_path / "in.mp4", [upright[:, ::-1].copy()] * 2, matrix=matrix, options=LOSSLESS, pix_fmt="yuv444p"
    )
    assert np.abs(next(ClipSource(source).frames()).pixels.astype(int) - upright).mean() < 2


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix"),
    [
        ("libx265", "yuv420p10le", ".mp4"),
        ("libx264", "yuv420p10le", ".mp4"),
        ("libx264", "yuv422p10le", ".mp4"),
        ("libx264", "yuv444p", ".mp4"),
        ("libx264rgb", "rgb24", ".mp4"),
        ("ffv1", "yuv444p12le", ".mkv"),
        ("ffv1", "bgra", ".mkv"),
        ("mpeg4", "yuv420p", ".avi"),
        ("gif", "rgb8", ".gif"),
    ],
)
def test_depths_and_layouts_are_accepted(
    clip_maker: Maker, tmp_path: Path, codec: str, pix_fmt: str, suffix: str
) -> None:
    options = {"libx264": LOSSLESS, "libx264rgb": LOSSLESS}.get(codec, {})
    source = clip_maker(
        tmp_path / f"in{suffix}", [picture(i) for i in range(3)], codec=codec, pix_fmt=pix_fmt, options=options
    )
    frames = [frame.pixels for frame in ClipSource(source).frames()]
    assert len(frames) == 3
    bound = 25 if suffix == ".gif" else 6
    assert max(np.abs(pixels.astype(int) - picture(i)).mean() for i, pixels in enumerate(frames)) < bound
    copy(source, tmp_path / "out.mp4")
    assert len(times(tmp_path / "out.mp4")) == 3


@pytest.mark.parametrize(("codec", "suffix"), [("libx264", ".mp4"), ("libx265", ".mkv"), ("ffv1", ".mkv")])
@pytest.mark.parametrize("full", [False, True])
def test_grey_clips_are_accepted(tmp_path: Path, codec: str, suffix: str, full: bool) -> None:
    path = tmp_path / f"in{suffix}"
    levels = np.linspace(0, 255, 64)
    stored = np.round(levels if full else 16 + levels * 219 / 255).astype(np.uint8)
    with av.open(str(path), "w") as container:
        options = {"libx265": {"x265-params": "log-level=none:crf=4"}, "libx264": LOSSLESS}.get(codec, {})
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
        stream.codec_context.color_range = 2 if full else 1
        frame = av.VideoFrame.from_ndarray(np.tile(stored, (48, 1)), format="gray")
        frame.color_range = 2 if full else 1
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    pixels = next(ClipSource(path).frames()).pixels
    assert (pixels[..., 0] == pixels[..., 2]).all()
    assert np.abs(pixels[..., 0] - levels).max() <= (3 if codec == "libx265" else 1.6)


def test_odd_sizes_become_even_without_losing_a_pixel(clip_maker: Maker, tmp_path: Path) -> None:
    source = clip_maker(
        tmp_path / "in.mp4", [picture(0, (81, 61))], codec="libx264", pix_fmt="yuv444p", options=LOSSLESS
    )
    copy(source, tmp_path / "out.mp4", crf=0)
    out = next(ClipSource(tmp_path / "out.mp4").frames()).pixels
    assert out.shape == (62, 82, 3)
    assert np.abs(out[:61, :81].astype(int) - picture(0, (81, 61))).mean() < 3
    assert np.abs(out[61].astype(int) - out[60]).mean() < 3


@pytest.mark.parametrize(("matrix", "kr", "kb"), [(1, 0.2126, 0.0722), (5, 0.299, 0.114), (9, 0.2627, 0.0593)])
@pytest.mark.parametrize("full", [False, True])
def test_matrix_and_range_are_honoured(tmp_path: Path, matrix: int, kr: float, kb: float, full: bool) -> None:
    """A flat clip of known Y'CbCr, tagged, against the conversion of ITU-R BT.601, BT.709 and BT.2020."""
    luma, cb, cr = 130, 90, 170
    path = tmp_path / "in.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=LOSSLESS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, 2 if full else 1
        frame = av.VideoFrame(64, 48, "yuv420p")
        frame.colorspace, frame.color_range = matrix, 2 if full else 1
        for plane, value in zip(frame.planes, (luma, cb, cr), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    y = luma / 255 if full else (luma - 16) / 219
    blue, red = ((value - 128) / (255 if full else 224) for value in (cb, cr))
    r, b = y + 2 * (1 - kr) * red, y + 2 * (1 - kb) * blue
    expected = np.array([r, (y - kr * r - kb * b) / (1 - kr - kb), b]) * 255
    pixels = next(ClipSource(path).frames()).pixels
    assert np.abs(pixels - expected).max() <= 1


@pytest.mark.parametrize(("size", "matrix"), [((640, 480), 5), ((1280, 720), 1)])
def test_untagged_clips_are_read_by_their_size(
    clip_maker: Maker, tmp_path: Path, size: tuple[int, int], matrix: int
) -> None:
    flat = np.broadcast_to(np.array([40, 180, 90], np.uint8), (size[1], size[0], 3)).copy()
    clips = [
        clip_maker(tmp_path / "tagged.mp4", [flat], colour=(matrix, 1), options=LOSSLESS),
        clip_maker(tmp_path / "untagged.mp4", [flat], options=LOSSLESS),
    ]
    with av.open(str(clips[0])) as tagged:  # the same samples without their tag
        frame = next(tagged.decode(video=0))
    with av.open(str(clips[1]), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=LOSSLESS)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        frame.colorspace, frame.color_range, frame.pts = 2, 0, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert np.abs(next(ClipSource(clips[1]).frames()).pixels.astype(int) - flat).max() <= 2


def test_the_output_is_tagged_and_its_colours_are_right(clip_maker: Maker, tmp_path: Path) -> None:
    flat = np.broadcast_to(np.array([200, 60, 30], np.uint8), (48, 64, 3)).copy()
    source = clip_maker(tmp_path / "in.mp4", [flat] * 2, colour=(5, 1), options=LOSSLESS)
    copy(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_range) == (1, 1)
    assert (frame.color_primaries, frame.color_trc, frame.format.name) == (1, 1, "yuv420p")
    assert np.abs(next(ClipSource(tmp_path / "out.mp4").frames()).pixels.astype(int) - flat).max() <= 3


def test_pixels_that_are_not_square_are_made_square(clip_maker: Maker, tmp_path: Path) -> None:
    source = clip_maker(tmp_path / "in.mp4", [picture(0, (72, 60))], aspect=Fraction(4, 3))
    assert ClipSource(source).info.size == (96, 60)


@pytest.mark.parametrize(("codec", "suffix"), [("aac", ".mp4"), ("libmp3lame", ".mp4"), ("pcm_s16le", ".mkv")])
def test_audio_is_copied_bit_for_bit(clip_maker: Maker, tmp_path: Path, codec: str, suffix: str) -> None:
    source = clip_maker(tmp_path / f"in{suffix}", [picture(i) for i in range(30)], audio=codec, audio_seconds=1.5)
    sink = copy(source, tmp_path / f"out{suffix}")
    assert sink.notes == []
    assert audio_bytes(tmp_path / f"out{suffix}") == audio_bytes(source)
    with av.open(str(tmp_path / f"out{suffix}")) as container, av.open(str(source)) as original:
        first, again = (next(clip.demux(audio=0)) for clip in (original, container))
        assert first.pts * first.time_base == again.pts * again.time_base


def test_audio_that_the_container_cannot_carry_is_named(clip_maker: Maker, tmp_path: Path) -> None:
    source = clip_maker(tmp_path / "in.avi", [picture(i) for i in range(5)], audio="adpcm_ms", options={"bf": "0"})
    notes = copy(source, tmp_path / "out.mp4").notes
    assert len(notes) == 1
    assert "adpcm_ms" in notes[0]
    assert ".mp4" in notes[0]


def test_audio_that_the_container_refuses_late_is_named(clip_maker: Maker, tmp_path: Path) -> None:
    source = clip_maker(tmp_path / "in.mkv", [picture(i) for i in range(5)], audio="libopus")
    notes = copy(source, tmp_path / "out.mov").notes
    assert len(notes) == 1
    assert ".mov" in notes[0]
    assert times(tmp_path / "out.mov") == times(source)


def test_limit_cuts_the_audio_with_the_frames(clip_maker: Maker, tmp_path: Path) -> None:
    source = clip_maker(tmp_path / "in.mp4", [picture(i) for i in range(50)], audio="aac")
    copy(source, tmp_path / "out.mp4", limit=10)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].frames == 10
        audio = container.streams.audio[0]
        assert abs(float(audio.duration * audio.time_base) - 0.4) < 0.1


def test_start_moves_frames_and_audio_to_zero_together(clip_maker: Maker, tmp_path: Path) -> None:
    source = clip_maker(tmp_path / "in.mp4", [picture(i) for i in range(50)], audio="aac")
    copy(source, tmp_path / "out.mp4", start=1.0)
    assert times(tmp_path / "out.mp4") == [Fraction(i, 25) for i in range(25)]
    with av.open(str(tmp_path / "out.mp4")) as container:
        audio = container.streams.audio[0]
        first = next(container.demux(audio))
        assert abs(float(first.pts * first.time_base)) <= 1024 / 16000
    pixels = next(ClipSource(tmp_path / "out.mp4").frames()).pixels
    assert np.abs(pixels.astype(int) - picture(25)).mean() < 4


def test_a_start_after_the_end_is_refused(clip_maker: Maker, tmp_path: Path) -> None:
    source = clip_maker(tmp_path / "in.mp4", [picture(0)])
    with pytest.raises(InputError, match="no frame at or after 9 s"):
        ClipSource(source, start=Fraction(9))


def test_the_same_frames_give_the_same_bytes(clip_maker: Maker, tmp_path: Path) -> None:
    source = clip_maker(tmp_path / "in.mp4", [picture(i) for i in range(12)], audio="aac")
    digests = set()
    for name in ("a.mp4", "b.mp4"):
        copy(source, tmp_path / name)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_the_index_comes_before_the_data(clip_maker: Maker, tmp_path: Path) -> None:
    source = clip_maker(tmp_path / "in.mp4", [picture(i) for i in range(12)])
    copy(source, tmp_path / "out.mp4")
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_transport_streams_start_at_zero(clip_maker: Maker, tmp_path: Path) -> None:
    source = clip_maker(
        tmp_path / "in.ts",
        [picture(i) for i in range(10)],
        ticks=[90000 + 3600 * i for i in range(10)],
        time_base=Fraction(1, 90000),
        options={"bf": "0"},
    )
    copy(source, tmp_path / "out.mp4")
    assert times(tmp_path / "out.mp4") == [Fraction(i, 25) for i in range(10)]


def test_avi_files_have_no_presentation_times_and_count_frames(clip_maker: Maker, tmp_path: Path) -> None:
    source = clip_maker(tmp_path / "in.avi", [picture(i) for i in range(20)], options={"bf": "3", "b-adapt": "0"})
    clip = ClipSource(source)
    assert [frame.pts for frame in clip.frames()] == [Fraction(i, 25) for i in range(20)]
    assert clip.notes == []


def test_one_frame_is_in_memory_at_a_time(clip_maker: Maker, tmp_path: Path) -> None:
    source = clip_maker(tmp_path / "in.mp4", [picture(i) for i in range(40)])
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0
    for frame in ClipSource(source).frames():
        alive.append(weakref.ref(frame.pixels))
        del frame
        most = max(most, sum(1 for reference in alive if reference() is not None))
    assert len(alive) == 40
    assert most <= 1


def test_discarding_leaves_nothing(clip_maker: Maker, tmp_path: Path) -> None:
    source = ClipSource(clip_maker(tmp_path / "in.mp4", [picture(i) for i in range(3)]))
    sink = ClipSink(tmp_path / "out.mp4", source.info, audio=source.path)
    for frame in source.frames():
        sink.write(frame.pixels, frame)
    sink.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
