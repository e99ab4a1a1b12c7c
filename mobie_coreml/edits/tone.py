"""Edits of the whole frame's tone: each pixel's new colour depends on its own colour alone."""

from __future__ import annotations

import numpy as np

from mobie_coreml.edits.color import contrast, gradient_map, mix, tint
from mobie_coreml.edits.filters import Array, luminance


def black_and_white(image: Array) -> Array:
    """Luminance with a little more contrast."""
    return np.repeat(contrast(luminance(image), 1.1)[..., None], 3, axis=2)


def sepia(image: Array) -> Array:
    """Brown monochrome of an aged print."""
    return gradient_map(luminance(image), [(0, (0.13, 0.08, 0.04)), (0.5, (0.58, 0.44, 0.28)), (1, (1.0, 0.93, 0.76))])


def night(image: Array) -> Array:
    """Dark and blue, colours nearly gone, as moonlight is rendered in film ("day for night")."""
    cool = np.array([0.30, 0.38, 0.62], dtype=np.float32)
    faded = mix(image, luminance(image)[..., None], 0.55)
    return np.asarray(np.clip(faded * cool * 0.85 - np.float32(0.02), 0, 1), dtype=np.float32)


def sunset(image: Array) -> Array:
    """Purple shadows, orange middle, yellow lights over the darkened photograph."""
    light = luminance(image)
    glow = gradient_map(
        light, [(0, (0.12, 0.03, 0.16)), (0.4, (0.62, 0.22, 0.20)), (0.75, (0.98, 0.52, 0.22)), (1, (1.0, 0.80, 0.42))]
    )
    return mix(image * np.array([1.0, 0.66, 0.46], dtype=np.float32), glow, 0.7)


def negative(image: Array) -> Array:
    """Photographic negative."""
    return np.asarray(1 - image, dtype=np.float32)


def thermal(image: Array) -> Array:
    """False colours of a thermal camera, cold black and blue to hot yellow and white."""
    return gradient_map(
        contrast(luminance(image), 1.15),
        [
            (0, (0.0, 0.0, 0.12)),
            (0.25, (0.28, 0.0, 0.55)),
            (0.5, (0.85, 0.12, 0.42)),
            (0.72, (1.0, 0.55, 0.05)),
            (0.9, (1.0, 0.92, 0.25)),
            (1, (1.0, 1.0, 0.9)),
        ],
    )


def cyberpunk(image: Array) -> Array:
    """Teal shadows and magenta lights with strong contrast."""
    light = contrast(luminance(image), 1.5, 0.45)
    duotone = gradient_map(
        light, [(0, (0.01, 0.03, 0.12)), (0.4, (0.02, 0.50, 0.66)), (0.75, (0.95, 0.18, 0.74)), (1, (1.0, 0.82, 0.98))]
    )
    return mix(tint(light, (1, 1, 1)) * image, duotone, 0.85)
