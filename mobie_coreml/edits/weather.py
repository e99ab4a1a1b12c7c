"""Edits of weather, season, light and place.

Particles are drawn from the photograph's own structure (bright detail becomes flakes, detail smeared along the wind
becomes rain, edges smeared upwards become flames): nothing is random, so a network can learn the exact target, and
the pattern moves with the things in a clip instead of flickering.
"""

from __future__ import annotations

import numpy as np

from mobie_coreml.edits.color import (
    blue_mask,
    contrast,
    gradient_map,
    green_mask,
    hue_saturation_value,
    mix,
    red_mask,
    rgb,
    saturate,
    skin_mask,
    tint,
)
from mobie_coreml.edits.filters import Array, blur, box_blur, edges, luminance, pixels, ramp, shift, smear


def _height(image: Array) -> Array:
    """1 at the top row, 0 at the bottom row: (H, 1)."""
    return np.linspace(1, 0, image.shape[0], dtype=np.float32)[:, None]


def _detail(light: Array, radius: float) -> Array:
    """Luminance minus its blur: positive on bright detail."""
    return np.asarray(light - blur(light, radius), dtype=np.float32)


def _peaks(light: Array) -> Array:
    """How far each pixel is above all four neighbours three pixels away: points, not lines."""
    reach = pixels(light, 3)
    ways = ((reach, 0), (-reach, 0), (0, reach), (0, -reach))
    lowest = np.minimum.reduce([light - shift(light, down, right) for down, right in ways])
    return np.asarray(np.maximum(lowest, 0), dtype=np.float32)


def snow(image: Array) -> Array:
    """Cold pale light, snow on foliage, on bright ground and on what is lit from above, flakes on bright detail."""
    light = luminance(image)
    cold = 0.14 + 0.82 * mix(image, tint(light, (0.92, 0.98, 1.08)), 0.7)
    reach = pixels(light, 3)
    soft = blur(light, 1)
    # Bright above dark: luminance that falls downwards marks an upper side.
    upper_sides = ramp(shift(soft, reach, 0) - shift(soft, -reach, 0), 0.02, 0.12)
    planes = hue_saturation_value(image)
    foliage = blur(green_mask(image, planes), 1)
    cover = np.maximum(
        np.maximum(0.85 * foliage, 0.9 * upper_sides), 0.6 * ramp(soft - 0.5 * blur(light, 16), 0.08, 0.40)
    )
    cover = cover * (1 - 0.8 * skin_mask(image, planes))
    white = tint(0.74 + 0.26 * ramp(light, 0.0, 0.6), (0.96, 0.985, 1.0))
    flakes = ramp(box_blur(_peaks(soft), 1), 0.004, 0.014)
    return np.asarray(mix(mix(cold, white, cover), np.ones_like(image), 0.75 * flakes), dtype=np.float32)


def fog(image: Array) -> Array:
    """Thin near the bottom, thick towards the top; scattering takes the detail with it."""
    density = 0.36 + 0.50 * ramp(np.broadcast_to(_height(image), image.shape[:2]), 0.05, 0.8)
    grey = saturate(mix(image, blur(image, 5), 0.7), 0.5)
    return mix(grey, np.broadcast_to(np.array([0.80, 0.82, 0.84], dtype=np.float32), image.shape), density)


def rain(image: Array) -> Array:
    """Dark blue-grey light, and streaks of rain: fine detail, evened out, smeared along the wind."""
    light = luminance(image)
    gloomy = mix(image, tint(light, (0.86, 0.97, 1.10)), 0.6) * np.float32(0.62)
    fine = np.abs(_detail(light, 1.5))
    fine = fine / (blur(fine, 12) + np.float32(0.015))
    streaks = ramp(smear(fine, 18, -6, taps=10), 0.5, 1.1)
    return mix(gloomy, tint(np.ones_like(light), (0.76, 0.83, 0.90)), 0.5 * streaks)


def autumn(image: Array) -> Array:
    """Foliage turns orange and red by its brightness, the light turns warm."""
    light = luminance(image)
    leaves = gradient_map(
        light, [(0, (0.16, 0.04, 0.02)), (0.25, (0.62, 0.16, 0.04)), (0.5, (0.93, 0.45, 0.08)), (1, (1.0, 0.86, 0.42))]
    )
    warm = np.clip(image * np.array([1.10, 0.94, 0.74], dtype=np.float32), 0, 1)
    return mix(warm, leaves, green_mask(image))


def desert(image: Array) -> Array:
    """Everything of sand, with dunes along contours of light; skin, sky and strong colours stay, in hot light."""
    light = luminance(image)
    soft = blur(light, 3)
    reach = pixels(light, 2)
    slopes = soft - shift(soft, -reach, -reach)
    dunes = np.sin(blur(light, 6) * np.float32(40))
    height = 0.22 + 0.62 * soft + 1.6 * slopes + 0.05 * dunes
    sand = gradient_map(
        height, [(0, (0.30, 0.16, 0.07)), (0.35, (0.72, 0.47, 0.23)), (0.7, (0.97, 0.78, 0.47)), (1, (1.0, 0.95, 0.80))]
    )
    hot = np.clip(image * np.array([1.15, 0.98, 0.76], dtype=np.float32) + np.float32(0.04), 0, 1)
    planes = hue_saturation_value(image)
    kept = np.maximum(np.maximum(skin_mask(image, planes), red_mask(image, planes)), blue_mask(image, planes))
    return mix(sand, hot, 0.85 * box_blur(kept, 2))


def underwater(image: Array) -> Array:
    """Red is absorbed, detail dissolves, light falls from above and its caustics run over bright surfaces."""
    light = luminance(image)
    height = np.broadcast_to(_height(image), light.shape)
    soft = mix(image, blur(image, 3), 0.7)
    absorbed = soft * np.array([0.28, 0.78, 0.92], dtype=np.float32)
    water = gradient_map(height, [(0, (0.0, 0.10, 0.22)), (0.5, (0.02, 0.32, 0.46)), (1, (0.22, 0.72, 0.78))])
    caustics = ramp(np.abs(np.sin(blur(light, 4) * np.float32(20))), 0.5, 0.0) * ramp(light, 0.1, 0.5)
    caustics = caustics * (0.25 + 0.75 * height) * (1 - skin_mask(image))
    lit = mix(absorbed, water, 0.45) + tint(0.22 * caustics, (0.6, 1.0, 0.95))
    return np.asarray(np.clip(lit, 0, 1), dtype=np.float32)


def fire(image: Array) -> Array:
    """Flames rise from every edge, embers glow in the bright parts, the rest is charred."""
    light = luminance(image)
    source = edges(light)
    source = source / (blur(source, 16) + np.float32(0.03))
    flames = np.maximum(smear(source, -18, 0, decay=0.84, taps=10), smear(source, -12, 3, decay=0.8, taps=8))
    heat = np.clip(0.30 * blur(flames, 1) + 0.50 * light, 0, 1)
    return gradient_map(
        heat,
        [
            (0, (0.04, 0.0, 0.0)),
            (0.25, (0.36, 0.03, 0.0)),
            (0.5, (0.88, 0.26, 0.02)),
            (0.72, (1.0, 0.62, 0.08)),
            (1, (1.0, 0.98, 0.72)),
        ],
    )


def spring(image: Array) -> Array:
    """Foliage breaks into pink blossom, the light is soft and bright."""
    light = luminance(image)
    blossom = rgb(335, 0.62 - 0.5 * ramp(light, 0.1, 0.7), np.clip(0.55 + 0.75 * light, 0, 1))
    bright = np.clip(contrast(image, 0.9) + np.float32(0.07), 0, 1)
    return mix(bright, blossom, green_mask(image))
