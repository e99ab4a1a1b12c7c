"""Small image filters in numpy: images are float32 (H, W, 3) or planes (H, W), values 0..1.

Radii are in pixels of a frame whose short side is at most `REFERENCE_SIDE`; larger frames scale them up, so that an
edit looks the same at every resolution and crops of 128 to 192 pixels share one set of kernels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

REFERENCE_SIDE = 192


def pixels(image: Array, radius: float) -> int:
    """`radius` of the reference frame in whole pixels of `image`, at least 1."""
    side = int(min(image.shape[:2]))
    return max(1, round(radius * max(1.0, side / REFERENCE_SIDE)))


def _box_axis(image: Array, radius: int, axis: int) -> Array:
    """Mean over 2 * radius + 1 samples along `axis`, edge samples repeated."""
    widths = [(0, 0)] * image.ndim
    widths[axis] = (radius + 1, radius)
    total = np.cumsum(np.pad(image, widths, mode="edge"), axis=axis, dtype=np.float32)
    size = image.shape[axis]
    window = 2 * radius + 1
    high = [slice(None)] * image.ndim
    low = [slice(None)] * image.ndim
    high[axis] = slice(window, window + size)
    low[axis] = slice(0, size)
    return np.asarray((total[tuple(high)] - total[tuple(low)]) / np.float32(window), dtype=np.float32)


def box_blur(image: Array, radius: float) -> Array:
    """Box mean with a window of 2 * radius + 1 pixels on both axes, from running sums."""
    count = pixels(image, radius)
    return _box_axis(_box_axis(image, count, 0), count, 1)


def blur(image: Array, radius: float) -> Array:
    """Two box means: a triangular kernel, close to a Gaussian of standard deviation 0.8 * radius."""
    return box_blur(box_blur(image, radius), radius)


def shift(image: Array, down: int, right: int) -> Array:
    """`image` moved by whole pixels, edge pixels repeated: out[y, x] = image[y - down, x - right]."""
    height, width = image.shape[:2]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return np.asarray(image[rows][:, columns], dtype=np.float32)


def smear(image: Array, down: float, right: float, *, decay: float = 1.0, taps: int = 8) -> Array:
    """Weighted mean of copies moved along the straight way from (0, 0) to (down, right).

    Args:
        image: Plane or image.
        down: Length of the way in reference pixels, negative for up.
        right: Likewise, negative for left.
        decay: Weight of a copy relative to the one before it.
        taps: Number of copies.
    """
    scale = max(1.0, min(image.shape[:2]) / REFERENCE_SIDE)
    total = np.zeros_like(image)
    weights = np.float32(0)
    for tap in range(taps):
        way = scale * tap / max(1, taps - 1)
        weight = np.float32(decay**tap)
        total += weight * shift(image, round(down * way), round(right * way))
        weights += weight
    return np.asarray(total / weights, dtype=np.float32)


def ramp(values: Array, low: float, high: float) -> Array:
    """Smooth step: 0 below `low`, 1 above `high`, 3t^2 - 2t^3 between (falling when `low` > `high`)."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def edges(plane: Array) -> Array:
    """Gradient magnitude of a plane by central differences over two pixels."""
    reach = pixels(plane, 1)
    down = shift(plane, -reach, 0) - shift(plane, reach, 0)
    right = shift(plane, 0, -reach) - shift(plane, 0, reach)
    return np.asarray(np.sqrt(down * down + right * right) * np.float32(0.5), dtype=np.float32)


def smooth_regions(image: Array, radius: float) -> Array:
    """Generalised Kuwahara filter: the mean of four quadrants around each pixel, flat ones weighted most.

    Kuwahara et al., "Processing of RI-angiocardiographic images", 1976; weights by a power of the variance instead of
    the hard choice after Papari, Petkov and Campisi, "Artistic edge and corner enhancing smoothing", 2007, so that the
    result has no blocks and follows small changes smoothly. Edges stay sharp while texture turns into flat patches.
    The quadrant means are one box mean read at four offsets.
    """
    reach = max(1, (pixels(image, radius) + 1) // 2)
    light = luminance(image)
    stacked = np.concatenate([image, light[..., None], (light * light)[..., None]], axis=2)
    means = _box_axis(_box_axis(stacked, reach, 0), reach, 1)
    variance = np.maximum(means[..., 4] - means[..., 3] * means[..., 3], 0) + np.float32(1e-4)
    weight = 1 / (variance * variance * variance)
    weighted = np.concatenate([means[..., :3] * weight[..., None], weight[..., None]], axis=2)
    total = np.zeros_like(weighted)
    for down, right in ((-reach, -reach), (-reach, reach), (reach, -reach), (reach, reach)):
        total += shift(weighted, down, right)
    return np.asarray(total[..., :3] / total[..., 3:], dtype=np.float32)


def luminance(image: Array) -> Array:
    """Luma of ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B; (H, W, 3) to (H, W)."""
    return np.asarray(image @ np.array([0.299, 0.587, 0.114], dtype=np.float32), dtype=np.float32)
