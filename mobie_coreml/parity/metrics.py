"""How far a result is from its reference: PSNR, errors, cosine, and SSIM for images."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobie_coreml.metrics import psnr, ssim

Array = NDArray[Any]

LEVELS = 255.0
"""Peak of images."""


@dataclass(frozen=True)
class Comparison:
    """One output against its reference.

    `psnr_db` is 20 log10(max |reference| / RMS error): infinite for equal arrays, minus infinity where the result holds
    NaN or inf. `ssim` is set for images only. `problem` names what makes the comparison fail whatever its figures say
    (a shape that differs, NaN, inf); empty otherwise.
    """

    psnr_db: float
    max_error: float
    mean_error: float
    cosine: float
    ssim: float | None
    problem: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: infinite and undefined figures become None, `problem` says why."""
        return {
            key: (None if isinstance(value, float) and not math.isfinite(value) else value)
            for key, value in asdict(self).items()
        }


def compare(reference: Array, result: Array, *, image: bool = False) -> Comparison:
    """Compares `result` with `reference`; never raises for a bad result: `problem` says what is wrong with it.

    Args:
        reference: The values that count as right; any shape.
        result: The values under test.
        image: The arrays are images (..., H, W) from 0 to 255, so SSIM is computed too.
    """
    nan = math.nan
    if reference.shape != result.shape:
        problem = f"shape {tuple(result.shape)} instead of {tuple(reference.shape)}"
        return Comparison(-math.inf, nan, nan, nan, None, problem)
    result64 = np.asarray(result, np.float64)
    reference64 = np.asarray(reference, np.float64)
    if not np.isfinite(reference64).all():
        return Comparison(-math.inf, nan, nan, nan, None, "the reference itself holds NaN or inf")
    if not np.isfinite(result64).all():
        nans, infs = int(np.isnan(result64).sum()), int(np.isinf(result64).sum())
        return Comparison(-math.inf, nan, nan, nan, None, f"{nans} NaN and {infs} inf of {result64.size} values")
    error = np.abs(reference64 - result64)
    norms = float(np.linalg.norm(reference64) * np.linalg.norm(result64))
    cosine = float(np.vdot(reference64, result64)) / norms if norms > 0 else float(not error.any())
    similarity = ssim(reference64, result64, peak=LEVELS) if image and min(reference.shape[-2:]) >= 11 else None
    return Comparison(
        psnr(reference64, result64), float(error.max()), float(error.mean()), cosine, similarity, problem=""
    )


def decibels(value: float) -> str:
    """A PSNR for people: one decimal, `equal` for identical arrays."""
    if value == math.inf:
        return "equal"
    return "none" if value == -math.inf else f"{value:.1f}"
