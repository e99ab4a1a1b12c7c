"""Local edits: the things of one colour change, the rest of the frame stays as it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mobie_coreml.edits.color import hue_saturation_value, mix, red_mask, rgb
from mobie_coreml.edits.filters import Array, luminance, ramp

Mask = Callable[[Array], Array]


def recolour(mask: Mask, hue: float, *, saturation: float = 0.75, lift: float = 0.0) -> Callable[[Array], Array]:
    """An edit that gives the masked things one hue and keeps their shading.

    Args:
        mask: Plane 0..1 of the things to change.
        hue: Target hue in degrees.
        saturation: The least saturation of the result where the photograph is not nearly white.
        lift: Added to the value, for target colours that are lighter than the things they replace.
    """

    def edit(image: Array) -> Array:
        _, colourfulness, value = hue_saturation_value(image)
        strong = np.maximum(colourfulness, np.float32(saturation) * ramp(value, 1.25, 0.75))
        return mix(image, rgb(hue, strong, np.clip(value * (1 + lift) + lift * 0.2, 0, 1)), mask(image))

    return edit


def everything_but_red(image: Array) -> Array:
    """The region that "keep only the red things in colour" changes."""
    return np.asarray(1 - red_mask(image), dtype=np.float32)


def only_red(image: Array) -> Array:
    """Black and white except for the red things."""
    return mix(image, luminance(image)[..., None], everything_but_red(image))
