"""Resizing of 8-bit frames in integers only, so that another language gives the same pixels.

One axis. A frame's axis of `length` pixels becomes `size` pixels. The filter is the triangle, as wide as one pixel of
the coarser of the two grids (linear interpolation when enlarging, area-weighted averaging when shrinking). All
distances are integers in units of 1 / (2 * size) source pixels:

    centre of output pixel i:  c = (2i + 1) * length
    centre of source pixel j:  (2j + 1) * size
    weight of j for i:         w = max(0, 2 * max(size, length) - |(2j + 1) * size - c|),   0 <= j < length

Pixels outside the frame have no weight. With W(j) the sum of the weights up to and including j and W their sum, the
fixed-point weight of j is q = R(W(j)) - R(W(j - 1)), where R(v) = (2 * v * 2^14 + W) div (2 * W). So the weights of an
output pixel are never negative and add up to exactly 2^14.

Two axes. Rows first, then columns:

    rows:     r = (sum of q * pixel + 2^5)  >> 6     (0 .. 65280: 8 bits and 8 fractional bits)
    columns:  p = (sum of q * r     + 2^21) >> 22    (0 .. 255)

Every sum fits a signed 32-bit integer. An axis that keeps its size is copied exactly by the same rule.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

WEIGHT_BITS = 14
_INTERMEDIATE_SHIFT = 6
_FINAL_SHIFT = 2 * WEIGHT_BITS - _INTERMEDIATE_SHIFT

Pixels = npt.NDArray[np.uint8]


@lru_cache(maxsize=64)
def axis_weights(length: int, size: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int32]]:
    """Source positions and fixed-point weights of one axis, `length` pixels to `size` pixels.

    Returns:
        Two arrays of shape (taps, size): positions, and weights that add up to 2^14 in every column. Columns that need
        fewer taps are filled up with weight 0.
    """
    reach = 2 * max(size, length)
    taps: list[list[int]] = []
    weights: list[list[int]] = []
    for index in range(size):
        centre = (2 * index + 1) * length
        first = max(0, (centre - reach) // (2 * size) - 1)
        last = min(length - 1, (centre + reach) // (2 * size) + 1)
        pairs = [(j, reach - abs((2 * j + 1) * size - centre)) for j in range(first, last + 1)]
        pairs = [(j, weight) for j, weight in pairs if weight > 0]
        sums = [0, *accumulate(weight for _, weight in pairs)]
        total = sums[-1]
        rounded = [(2 * (part << WEIGHT_BITS) + total) // (2 * total) for part in sums]
        fixed = [after - before for before, after in pairwise(rounded)]
        taps.append([j for j, _ in pairs])
        weights.append(fixed)
    count = max(len(column) for column in taps)
    positions = np.zeros((count, size), np.intp)
    values = np.zeros((count, size), np.int32)
    for index, (column, fixed) in enumerate(zip(taps, weights, strict=True)):
        positions[: len(column), index] = column
        positions[len(column) :, index] = column[-1]
        values[: len(fixed), index] = fixed
    positions.setflags(write=False)
    values.setflags(write=False)
    return positions, values


def _weighted_rows(
    rows: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], size: int, shift: int
) -> npt.NDArray[np.int32]:
    """Resamples the first axis of a (length, n) array to `size`; sums are rounded and shifted right by `shift`."""
    positions, weights = axis_weights(rows.shape[0], size)
    total = np.full((size, rows.shape[1]), 1 << (shift - 1), np.int32)
    product = np.empty_like(total)
    for taps, weight in zip(positions, weights, strict=True):
        np.multiply(rows[taps], weight[:, None], out=product)
        total += product
    total >>= shift
    return total


def resize(frame: Pixels, width: int, height: int) -> Pixels:
    """Resizes an 8-bit frame by the rule at the top of this module.

    Args:
        frame: (H, W, C) uint8.
        width: Output width in pixels, at least 1.
        height: Output height in pixels, at least 1.

    Returns:
        (height, width, C) uint8, contiguous.
    """
    old_height, old_width, channels = frame.shape
    if (old_width, old_height) == (width, height):
        return np.ascontiguousarray(frame)
    flat = np.ascontiguousarray(frame).reshape(old_height, old_width * channels)
    rows = _weighted_rows(flat, height, _INTERMEDIATE_SHIFT).astype(np.uint16)
    turned = np.ascontiguousarray(rows.reshape(height, old_width, channels).transpose(1, 0, 2))
    columns = _weighted_rows(turned.reshape(old_width, height * channels), width, _FINAL_SHIFT).astype(np.uint8)
    return np.ascontiguousarray(columns.reshape(width, height, channels).transpose(1, 0, 2))
