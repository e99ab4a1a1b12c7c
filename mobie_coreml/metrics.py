"""How far a result is from its reference, and rank correlation, the same for every part that measures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SSIM_MARGIN = 5
"""Pixels that `ssim_map` loses on every side."""


def psnr(reference: Array, result: Array, *, peak: float | None = None, weight: Array | None = None) -> float:
    """PSNR in dB: 20 log10(peak / RMS error).

    Args:
        reference: The values that count as right; any shape.
        result: The values under test, same shape.
        peak: Largest value; max |reference| without.
        weight: Weighs the values (a region); its shape broadcasts to theirs. Every value counts the same without.

    Returns:
        Infinite without any error; minus infinite where `result` is not finite, or has errors and the peak is 0.
    """
    right, found = np.asarray(reference, np.float64), np.asarray(result, np.float64)
    if not np.isfinite(found).all():
        return -math.inf
    squared = np.square(right - found)
    if weight is None:
        error = float(squared.mean())
    else:
        weights = np.broadcast_to(weight, squared.shape)
        error = float((squared * weights).sum()) / max(float(weights.sum(dtype=np.float64)), 1e-12)
    if error == 0.0:
        return math.inf
    if peak is None:
        peak = float(np.abs(right).max())
    return 20.0 * math.log10(peak) - 10.0 * math.log10(error) if peak > 0 else -math.inf


def _gaussian(planes: Array) -> Array:
    """Gaussian window of 11 pixels and standard deviation 1.5 over the last two axes, valid region only."""
    taps = np.exp(-0.5 * (np.arange(-SSIM_MARGIN, SSIM_MARGIN + 1) / 1.5) ** 2)
    taps /= taps.sum()
    for axis in (-2, -1):
        windows = np.lib.stride_tricks.sliding_window_view(planes, len(taps), axis=axis)
        planes = np.asarray(windows @ taps)
    return planes


def ssim_map(reference: Array, result: Array, *, peak: float) -> Array:
    """Structural similarity around every pixel at least 5 from the border.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural similarity",
    2004: Gaussian window of 11 pixels with sigma 1.5, K1 = 0.01, K2 = 0.03.

    Args:
        reference: Image planes (..., H, W), H and W at least 11.
        result: Likewise.
        peak: Difference between the largest and the smallest level that images can have.

    Returns:
        (..., H - 10, W - 10), float64.
    """
    x, y = np.asarray(reference, np.float64), np.asarray(result, np.float64)
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_x, mean_y = _gaussian(x), _gaussian(y)
    variance_x = _gaussian(x * x) - mean_x**2
    variance_y = _gaussian(y * y) - mean_y**2
    covariance = _gaussian(x * y) - mean_x * mean_y
    return np.asarray(
        ((2 * mean_x * mean_y + c1) * (2 * covariance + c2))
        / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))
    )


def ssim(reference: Array, result: Array, *, peak: float, weight: Array | None = None) -> float:
    """Mean of `ssim_map`, all planes alike; with `weight`, a plane (H, W), the mean weighted by that region."""
    similarity = ssim_map(reference, result, peak=peak)
    if weight is None:
        return float(similarity.mean())
    inner = np.broadcast_to(weight[SSIM_MARGIN:-SSIM_MARGIN, SSIM_MARGIN:-SSIM_MARGIN], similarity.shape)
    return float((similarity * inner).sum() / max(float(inner.sum(dtype=np.float64)), 1e-12))


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's rank correlation of two equally long sequences; equal values share their mean rank.

    0 where one of them is constant.
    """
    ranks = [_ranks(np.asarray(values, np.float64)) for values in (one, other)]
    centred = [rank - rank.mean() for rank in ranks]
    norm = math.sqrt(float(np.dot(centred[0], centred[0]) * np.dot(centred[1], centred[1])))
    return float(np.dot(centred[0], centred[1])) / norm if norm else 0.0


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    means: npt.NDArray[np.float64] = np.cumsum(counts) - (counts - 1) / 2
    return means[inverse]
