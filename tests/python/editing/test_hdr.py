"""HDR clips become what a standard display shows: known light in, known levels out."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from mobie_coreml.editing.clip_sink import ClipSink
from mobie_coreml.editing.clip_source import ClipSource
from mobie_coreml.editing.hdr import HLG, PQ, to_standard_range

from .conftest import picture

BT709, BT2020 = 1, 9


def pq(light: float) -> float:
    """The PQ signal of light in cd/m2 (SMPTE ST 2084, equation 5.2)."""
    power = (light / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def levels(signal: tuple[float, float, float], transfer: int, primaries: int = BT2020) -> np.ndarray:
    frame = np.round(np.array([[signal]]) * 65535).astype(np.uint16)
    return to_standard_range(frame, transfer, primaries)[0, 0].astype(int)


@pytest.mark.parametrize("light", [0.1, 1, 10, 50, 100, 150])
def test_light_below_the_knee_is_kept(light: float) -> None:
    assert np.abs(levels((pq(light),) * 3, PQ) - 255 * (light / 203) ** (1 / 2.4)).max() <= 1


def test_large_frames_are_converted_piece_by_piece() -> None:
    signal = np.random.default_rng(0).integers(0, 1 << 16, (150, 700, 3)).astype(np.uint16)
    whole = to_standard_range(signal, HLG, BT2020)
    assert np.array_equal(whole[93:95], to_standard_range(signal[93:95], HLG, BT2020))


def test_highlights_are_compressed_and_stay_in_order() -> None:
    shades = [levels((pq(light),) * 3, PQ)[0] for light in (0, 100, 152, 203, 300, 500, 800, 1000, 4000)]
    assert shades == sorted(shades)
    assert shades[0] == 0
    assert 235 <= shades[3] <= 248, "diffuse white leaves room for what is brighter"
    assert shades[3] < shades[4] < shades[5]
    assert shades[-2:] == [255, 255]


def test_pq_and_hlg_agree_on_diffuse_white() -> None:
    """ITU-R BT.2408: 203 cd/m2 is 75 % of HLG's signal on a display of 1,000 cd/m2."""
    assert np.abs(levels((0.75,) * 3, HLG) - levels((pq(203),) * 3, PQ)).max() <= 1


def test_primaries_are_converted() -> None:
    """The red of BT.709, given in BT.2020's primaries (ITU-R BT.2087, 0.6274 0.0691 0.0164), is pure red again."""
    red = levels(tuple(pq(100 * share) for share in (0.6274, 0.0691, 0.0164)), PQ)
    assert abs(red[0] - 255 * (100 / 203) ** (1 / 2.4)) <= 1
    assert red[1:].max() <= 12
    assert np.array_equal(levels((pq(100), 0, 0), PQ, BT709)[1:], [0, 0])


def test_bright_colours_keep_their_hue() -> None:
    bright, dim = (levels((pq(4 * light), pq(2 * light), pq(light)), PQ, BT709) for light in (200, 20))
    shares = [(shade / 255) ** 2.4 for shade in (bright, dim)]
    assert np.abs(shares[0] / shares[0][0] - shares[1] / shares[1][0]).max() < 0.02


@pytest.mark.parametrize(("transfer", "name"), [(PQ, "PQ"), (HLG, "HLG")])
def test_an_hdr_clip_is_read_and_written_as_a_standard_one(tmp_path: Path, transfer: int, name: str) -> None:
    white = 0.75 if transfer == HLG else pq(203)
    path = tmp_path / "in.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=25, options={"x265-params": "log-level=none:crf=4"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_range = BT2020, 1
        context.color_primaries, context.color_trc = BT2020, transfer
        frame = av.VideoFrame(64, 48, "yuv420p10le")
        frame.colorspace, frame.color_range = BT2020, 1
        for plane, value in zip(frame.planes, (round(64 + 876 * white), 512, 512), strict=True):
            plane.update(np.full(plane.buffer_size // 2, value, "<u2").tobytes())
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    source = ClipSource(path)
    assert source.notes == [f"The clip is HDR ({name}); its colours were brought to the standard range."]
    sink = ClipSink(tmp_path / "out.mp4", source.info)
    for shown in source.frames():
        assert np.abs(shown.pixels.astype(int) - 242).max() <= 1
        sink.write(shown.pixels, shown)
    sink.finish()
    sink.commit()
    with av.open(str(tmp_path / "out.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.color_primaries, context.color_trc, context.colorspace) == (BT709, BT709, BT709)


def test_ten_bits_without_hdr_are_not_touched(clip_maker: Callable[..., Path], tmp_path: Path) -> None:
    shown = picture(0)
    path = clip_maker(tmp_path / "in.mp4", [shown], pix_fmt="yuv420p10le", options={"crf": "0"})
    source = ClipSource(path)
    assert source.notes == []
    assert np.abs(next(source.frames()).pixels.astype(int) - shown).mean() < 6
