"""Colour on the way in and out: Y'CbCr of any kind, HDR too, to 8-bit RGB, and 8-bit RGB to tagged BT.709.

Numbers of colour spaces, primaries and transfers are those of ISO/IEC 23091-4 (H.273), which libav uses too.
"""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from mobie_coreml.editing import hdr
from mobie_coreml.editing.resample import Pixels

UNSPECIFIED = 2
BT709 = 1
LIMITED, FULL = 1, 2

# H.273 matrix -> libswscale's number of the same matrix.
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
_MATRIX_601, _MATRIX_709 = 5, 1
# Chroma is interpolated, not repeated, and every result is rounded to the nearest level.
_EXACT = int(
    Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT
)
_LIMITED_TO_FULL = np.clip(np.floor((np.arange(256) - 16) * 255 / 219 + 0.5), 0, 255).astype(np.uint8)


def source_matrix(matrix: int, width: int, height: int) -> int:
    """libswscale's matrix for an H.273 matrix; where the clip does not say, BT.709 from HD sizes on, else BT.601."""
    hd = width >= 1280 or height > 576
    return _MATRICES.get(matrix, _MATRIX_709 if hd else _MATRIX_601)


class ToRGB:
    """Converts decoded frames to 8-bit RGB, honouring their matrix and range; HDR is brought to the standard range.

    Args:
        transfer: The clip's H.273 transfer.
        primaries: Its H.273 primaries.
    """

    def __init__(self, transfer: int = UNSPECIFIED, primaries: int = UNSPECIFIED) -> None:
        self._transfer, self._primaries = transfer, primaries
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> Pixels:
        """(H, W, 3) uint8 RGB of a decoded frame of any pixel format, without scaling or rotation."""
        if frame.format.is_rgb or frame.format.name == "pal8":
            converted = self._reformatter.reformat(frame, format="rgb24", interpolation=_EXACT, threads=1)
            return np.asarray(converted.to_ndarray(), np.uint8)
        grey = frame.format.name.startswith(("gray", "ya"))
        full = frame.color_range == FULL or grey or frame.format.name.startswith("yuvj")
        matrix = source_matrix(int(frame.colorspace), frame.width, frame.height)
        is_hdr = self._transfer in hdr.TRANSFERS
        converted = self._reformatter.reformat(
            frame,
            format="rgb48le" if is_hdr else "rgb24",
            interpolation=_EXACT,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=FULL if full else LIMITED,
            dst_color_range=FULL,
            threads=1,
        )
        if is_hdr:
            signal = np.asarray(converted.to_ndarray(), np.uint16)
            return hdr.to_standard_range(signal, self._transfer, self._primaries)
        pixels = np.asarray(converted.to_ndarray(), np.uint8)
        # libswscale takes every grey format as full range.
        return _LIMITED_TO_FULL[pixels] if grey and frame.color_range == LIMITED else pixels


class FromRGB:
    """Converts 8-bit RGB to BT.709 limited-range 4:2:0 frames."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, pixels: Pixels) -> av.VideoFrame:
        """A yuv420p frame of (H, W, 3) uint8 RGB with even sides."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        return self._reformatter.reformat(
            frame,
            format="yuv420p",
            interpolation=_EXACT,
            src_colorspace=_MATRIX_709,
            dst_colorspace=_MATRIX_709,
            src_color_range=FULL,
            dst_color_range=LIMITED,
            threads=1,
        )
