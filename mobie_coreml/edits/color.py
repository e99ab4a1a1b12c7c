"""Colour: hue, saturation, gradient maps and the masks that local edits select by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mobie_coreml.edits.filters import Array, box_blur, luminance, ramp

Planes = tuple[Array, Array, Array]


def hue_saturation_value(image: Array) -> Planes:
    """HSV planes of an RGB image (Smith, "Color gamut transform pairs", 1978).

    Returns:
        Hue in degrees 0..360 (0 where grey), saturation 0..1, value 0..1, each (H, W).
    """
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    # Pairwise extremes: numpy's reduction over an axis of length 3 is many times slower.
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    safe = np.maximum(chroma, np.float32(1e-6))
    hue = np.where(
        value == red,
        (green - blue) / safe,
        np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    hue = np.where(chroma > 1e-6, (hue * 60) % 360, 0)
    saturation = chroma / np.maximum(value, np.float32(1e-6))
    return hue.astype(np.float32), saturation.astype(np.float32), value


def rgb(hue: float, saturation: Array, value: Array) -> Array:
    """RGB image of one hue (degrees) with the given saturation and value planes."""
    sector = (np.array([5, 3, 1], dtype=np.float32) + np.float32(hue / 60)) % 6
    weight = np.clip(np.minimum(sector, 4 - sector), 0, 1)
    return np.asarray(value[..., None] * (1 - saturation[..., None] * weight), dtype=np.float32)


def gradient_map(plane: Array, stops: Sequence[tuple[float, tuple[float, float, float]]]) -> Array:
    """Colours a plane by linear interpolation between (position, RGB) stops; (H, W) to (H, W, 3)."""
    positions = np.array([position for position, _ in stops], dtype=np.float32)
    colours = np.array([colour for _, colour in stops], dtype=np.float32)
    return np.stack([np.interp(plane, positions, colours[:, i]) for i in range(3)], axis=2).astype(np.float32)


def tint(plane: Array, colour: tuple[float, float, float]) -> Array:
    """The plane times one colour; (H, W) to (H, W, 3)."""
    return np.asarray(plane[..., None] * np.array(colour, dtype=np.float32), dtype=np.float32)


def contrast(image: Array, amount: float, centre: float = 0.5) -> Array:
    """Scales around `centre` and clips to 0..1."""
    return np.asarray(np.clip((image - np.float32(centre)) * np.float32(amount) + np.float32(centre), 0, 1))


def saturate(image: Array, amount: float) -> Array:
    """Scales the distance to the pixel's luminance (0 grey, 1 unchanged) and clips to 0..1."""
    grey = luminance(image)[..., None]
    return np.asarray(np.clip(grey + (image - grey) * np.float32(amount), 0, 1), dtype=np.float32)


def mix(first: Array, second: Array, weight: Array | float) -> Array:
    """first * (1 - weight) + second * weight; a plane as weight applies to every channel."""
    if isinstance(weight, np.ndarray) and weight.ndim == 2 and first.ndim == 3:
        weight = weight[..., None]
    return np.asarray(first + (second - first) * weight, dtype=np.float32)


def hue_mask(planes: Planes, centre: float, width: float, saturation: float, value: float = 0.12) -> Array:
    """How far each pixel is a saturated colour around `centre`: (H, W), 0..1, with soft borders.

    Args:
        planes: From `hue_saturation_value`.
        centre: Hue in degrees.
        width: Half width of the full-strength range in degrees; it fades out over another 12.
        saturation: Saturation below which a pixel counts as grey; full strength 0.2 above it.
        value: Value below which a pixel counts as black; full strength 0.15 above it.
    """
    hue, colourfulness, bright = planes
    distance = np.abs((hue - np.float32(centre) + 180) % 360 - 180).astype(np.float32)
    mask = ramp(distance, width + 12, width)
    mask = mask * ramp(colourfulness, saturation, saturation + 0.2) * ramp(bright, value, value + 0.15)
    return box_blur(mask, 1)


# Masks by hue; an edit that needs several of one image passes its `planes`. Skin and wood, pale orange, lie between red
# and yellow and belong to neither.
def red_mask(image: Array, planes: Planes | None = None) -> Array:
    """Red things; the saturation floor keeps skin, which is a pale orange, out."""
    return hue_mask(planes or hue_saturation_value(image), 354, 12, 0.42)


def yellow_mask(image: Array, planes: Planes | None = None) -> Array:
    """Yellow things."""
    return hue_mask(planes or hue_saturation_value(image), 52, 7, 0.42, 0.3)


def green_mask(image: Array, planes: Planes | None = None) -> Array:
    """Green things: foliage is a yellowish green, so the range reaches down to 70 degrees."""
    return hue_mask(planes or hue_saturation_value(image), 115, 45, 0.16)


def blue_mask(image: Array, planes: Planes | None = None) -> Array:
    """Blue things, sky included."""
    return hue_mask(planes or hue_saturation_value(image), 216, 28, 0.26, 0.2)


def skin_mask(image: Array, planes: Planes | None = None) -> Array:
    """Pale orange of middling saturation: skin of every tone, and some wood. Weather leaves it recognisable."""
    return hue_mask(planes or hue_saturation_value(image), 20, 18, 0.12, 0.2)
