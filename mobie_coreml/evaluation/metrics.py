"""How close an edited frame is to the known truth. Images are float32 (H, W, 3), 0..1; the peak is 1 throughout."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mobie_coreml import metrics

Array = npt.NDArray[np.float32]

Plane = npt.NDArray[np.float64]

INNER = (slice(metrics.SSIM_MARGIN, -metrics.SSIM_MARGIN),) * 2
"""The pixels that have a structural similarity."""
HIGHEST_DB = 100.0
"""PSNR that equal images get, so that means stay finite."""


def psnr(reference: Array, result: Array, weight: npt.NDArray[Any] | None = None) -> float:
    """PSNR in dB with peak 1, at most `HIGHEST_DB`.

    Args:
        reference: The truth.
        result: What is measured.
        weight: Plane (H, W) that weighs the pixels (a region); every pixel counts the same without.
    """
    plane = None if weight is None else weight[..., None]
    return min(metrics.psnr(reference, result, peak=1.0, weight=plane), HIGHEST_DB)


def similarity(reference: Array, result: Array) -> Plane:
    """Structural similarity around every pixel of `INNER`, mean over the channels: (H - 10, W - 10).

    Images must be at least 11x11.
    """
    planes = metrics.ssim_map(np.moveaxis(reference, -1, 0), np.moveaxis(result, -1, 0), peak=1.0)
    return np.asarray(planes.mean(axis=0), np.float64)


def mean_over(values: Plane, region: npt.NDArray[np.bool_]) -> float | None:
    """Mean of the values in a region of the same shape; None if it is empty."""
    return float(values[region].mean()) if region.any() else None


def best_color_transform(source: Array, target: Array) -> Array:
    """The source under the affine map of RGB (3x4, least squares, clipped to 0..1) that comes closest to the target.

    It sees the target, so it is the best that any global colour grading could do on this frame.
    """
    pixels = source.reshape(-1, 3).astype(np.float64)
    design = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1)
    solution, *_ = np.linalg.lstsq(design.T @ design, design.T @ target.reshape(-1, 3).astype(np.float64), rcond=None)
    mapped = np.clip(design @ solution, 0, 1).reshape(source.shape)
    return np.asarray(mapped, dtype=np.float32)


def edit_fraction(source: Array, truth: Array, result: Array) -> float:
    """How much of the edit was made: the projection of result - source on truth - source (1 the whole, 0 nothing)."""
    wanted = (truth - source).astype(np.float64)
    made = (result - source).astype(np.float64)
    length = float(np.vdot(wanted, wanted))
    return float(np.vdot(wanted, made)) / length if length > 0 else 0.0
