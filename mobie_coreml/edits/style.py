"""Edits of style: drawings, paintings and materials."""

from __future__ import annotations

import numpy as np

from mobie_coreml.edits.color import contrast, gradient_map, mix, saturate, tint
from mobie_coreml.edits.filters import Array, blur, edges, luminance, pixels, ramp, shift, smooth_regions


def _levels(plane: Array, count: int, softness: float = 0.25) -> Array:
    """Quantises 0..1 to `count` levels with steps of finite width, so that a small change stays a small change."""
    scaled = plane * np.float32(count - 1)
    floor = np.floor(scaled)
    return np.asarray((floor + ramp(scaled - floor, 0.5 - softness, 0.5 + softness)) / (count - 1), dtype=np.float32)


def _relief(plane: Array) -> Array:
    """Light from the top left on the plane taken as a height: positive on lit slopes."""
    reach = pixels(plane, 1)
    return np.asarray(plane - shift(plane, -reach, -reach), dtype=np.float32)


def pencil_sketch(image: Array) -> Array:
    """Colour dodge of the luminance by its own blur leaves lines, a little shading stays."""
    light = luminance(image)
    lines = np.clip((light + np.float32(0.04)) / (blur(light, 4) + np.float32(0.04)), 0, 1)
    shading = 0.72 + 0.28 * ramp(blur(light, 1), 0.0, 0.6)
    return tint(np.clip(lines**3 * shading, 0, 1), (0.97, 0.96, 0.93))


def oil_painting(image: Array) -> Array:
    """Flat patches of saturated paint, each stroke lit from the side, warm varnish."""
    paint = saturate(contrast(smooth_regions(image, 4), 1.15, 0.45), 1.7)
    thickness = _relief(blur(luminance(paint), 1))
    varnish = paint * np.array([1.08, 0.98, 0.74], dtype=np.float32) + np.array([0.07, 0.04, 0.0], dtype=np.float32)
    return np.clip(varnish + 1.6 * thickness[..., None], 0, 1)


def cartoon(image: Array) -> Array:
    """Few flat, bright colours and black outlines."""
    flat = smooth_regions(image, 3)
    light = luminance(flat)
    bright = np.clip(0.12 + 1.05 * _levels(light, 5), 0, 1)
    colours = np.clip(saturate(flat * (bright / (light + np.float32(0.03)))[..., None], 1.6), 0, 1)
    outlines = ramp(edges(blur(light, 1)), 0.03, 0.09)
    return np.asarray(colours * (1 - 0.9 * outlines[..., None]), dtype=np.float32)


def pop_art(image: Array) -> Array:
    """Four flat poster colours by luminance: ink, magenta, cyan, yellow."""
    levels = _levels(contrast(blur(luminance(image), 2), 1.25), 4, 0.2)
    return gradient_map(
        levels,
        [(0, (0.10, 0.05, 0.30)), (1 / 3, (0.93, 0.10, 0.48)), (2 / 3, (0.15, 0.72, 0.88)), (1, (1.0, 0.92, 0.20))],
    )


def watercolor(image: Array) -> Array:
    """Bright washes that darken towards their borders, white paper in the lights."""
    wash = saturate(smooth_regions(image, 3), 1.5)
    wash = np.asarray(0.16 + 0.84 * wash ** np.float32(0.7), dtype=np.float32)
    light = luminance(wash)
    paper = mix(wash, np.ones_like(wash), 0.9 * ramp(light, 0.5, 0.9))
    borders = ramp(edges(blur(light, 1)), 0.02, 0.10)
    return np.asarray(np.clip(paper - 0.5 * borders[..., None] * (1.1 - wash), 0, 1), dtype=np.float32)


def wooden_statue(image: Array) -> Array:
    """Carved wood: browns by luminance, year rings along the contours of light, lit relief."""
    light = luminance(image)
    rings = np.sin(blur(light, 2) * np.float32(56))
    carved = 0.20 + 0.56 * blur(light, 1) + 0.11 * rings
    brown = gradient_map(
        carved, [(0, (0.12, 0.05, 0.02)), (0.4, (0.46, 0.25, 0.10)), (0.7, (0.74, 0.47, 0.22)), (1, (0.95, 0.73, 0.44))]
    )
    return np.clip(brown + 1.8 * _relief(blur(light, 1))[..., None], 0, 1)


def marble_statue(image: Array) -> Array:
    """Polished white stone with dark veins along contours of light, lit relief."""
    light = luminance(image)
    veins = ramp(np.abs(np.sin(blur(light, 5) * np.float32(24))), 0.22, 0.0)
    stone = 0.48 + 0.42 * light + 2.0 * _relief(blur(light, 1)) - 0.22 * veins
    return np.clip(tint(stone, (1.0, 0.985, 0.95)), 0, 1)


def blueprint(image: Array) -> Array:
    """White lines on blue paper."""
    lines = ramp(edges(blur(luminance(image), 1)), 0.012, 0.10)
    wash = 0.10 * luminance(image)
    paper = tint(np.ones_like(wash), (0.06, 0.20, 0.52)) + wash[..., None]
    return np.clip(mix(paper, tint(np.ones_like(wash), (0.88, 0.94, 1.0)), lines), 0, 1)


def neon_lights(image: Array) -> Array:
    """A dark scene whose contours glow in the photograph's own colours."""
    tubes = ramp(edges(blur(luminance(image), 1)), 0.015, 0.10)
    glow = np.clip(blur(tubes, 4) * 1.3, 0, 1)
    hue = saturate(image / (image.max(axis=2, keepdims=True) + np.float32(0.05)), 2.5)
    dark = image * np.float32(0.10)
    lit = dark + hue * (0.75 * glow + 0.5 * tubes)[..., None] + 0.35 * tubes[..., None] ** 2
    return np.asarray(np.clip(lit, 0, 1), dtype=np.float32)
