"""Sharpness against the truth: gradients and power spectra of luminance, where blur and false texture both show.

Images are float32 (H, W, 3), 0..1. Luminance is 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Plane = npt.NDArray[np.float64]

_WEIGHTS = np.array([0.299, 0.587, 0.114])
_BINS = 32
"""Rings of equal width between frequency 0 and half a cycle a pixel."""
_FLOOR = 1e-8
"""Power below that of a ripple of a fortieth of an 8-bit level counts as this."""


@dataclass(frozen=True)
class Sharpness:
    """One image against the truth.

    Attributes:
        gradient_error: Mean absolute difference of the gradients' magnitudes, levels of 255 a pixel.
        gradient_ratio: Mean magnitude over the truth's: below 1 is blur, above 1 false texture. 0 for a flat truth.
        spectrum_db: Mean distance of the radially averaged power spectra, dB.
    """

    gradient_error: float
    gradient_ratio: float
    spectrum_db: float


def sharpness(truth: Array, result: Array) -> Sharpness:
    """All measures of `result`."""
    right, found = gradient_magnitude(truth), gradient_magnitude(result)
    mean = float(right.mean())
    return Sharpness(
        gradient_error=255 * float(np.abs(found - right).mean()),
        gradient_ratio=float(found.mean()) / mean if mean > 0 else 0.0,
        spectrum_db=spectrum_distance(truth, result),
    )


def gradient_magnitude(image: Array) -> Plane:
    """Length of the luminance's gradient by central differences: (H - 2, W - 2), 1/pixel."""
    y = image.astype(np.float64) @ _WEIGHTS
    across = (y[1:-1, 2:] - y[1:-1, :-2]) / 2
    down = (y[2:, 1:-1] - y[:-2, 1:-1]) / 2
    return np.asarray(np.hypot(across, down), np.float64)


def radial_spectrum(image: Array) -> Plane:
    """Mean power of the luminance in rings of spatial frequency, the lowest first: at most 32 values.

    The mean is taken out and a Hann window laid over the image, so that its borders add no cross of high frequencies.
    Frequencies are in cycles a pixel along both axes, so an image needs not be square; corners beyond one half are
    left out.
    """
    y = image.astype(np.float64) @ _WEIGHTS
    window = np.outer(np.hanning(y.shape[0]), np.hanning(y.shape[1]))
    power = np.abs(np.fft.rfft2((y - y.mean()) * window)) ** 2 / np.square(window).sum()
    radius = np.hypot(np.fft.fftfreq(y.shape[0])[:, None], np.fft.rfftfreq(y.shape[1])[None])
    ring = np.floor(radius * 2 * _BINS).astype(np.int64)
    inside = ring < _BINS
    counts = np.bincount(ring[inside], minlength=_BINS)
    sums = np.bincount(ring[inside], power[inside], minlength=_BINS)
    return np.asarray(sums[counts > 0] / counts[counts > 0])


def spectrum_distance(truth: Array, result: Array) -> float:
    """Mean over the rings of |10 log10(power / the truth's power)|, dB.

    The comparison of radially averaged spectra in decibels is that of Durall, Keuper and Keuper, "Watch your
    up-convolution", 2020 (arXiv 2003.01826), who find networks' missing and false texture by it.
    """
    right, found = (np.maximum(radial_spectrum(image), _FLOOR) for image in (truth, result))
    return float(np.abs(10 * np.log10(found / right)).mean())
