"""Classifier-free guidance on text and image as a weighted sum of denoiser passes.

InstructPix2Pix (Brooks et al. 2022, arXiv 2211.09800, eq. 3), with null conditions written 0:

    e = e(x, 0, 0) + s_I [e(x, c_I, 0) - e(x, 0, 0)] + s_T [e(x, c_I, c_T) - e(x, c_I, 0)]
      = (1 - s_I) e(x, 0, 0) + (s_I - s_T) e(x, c_I, 0) + s_T e(x, c_I, c_T)

The weights sum to 1 and all passes share x, so the same sum holds for v and for x0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mobie_coreml.diffusion.schedule import Array
from mobie_coreml.errors import InputError


@dataclass(frozen=True)
class GuidanceRange:
    """The values that a guidance scale may take, and the one it takes unless asked otherwise."""

    minimum: float
    maximum: float
    default: float

    def choose(self, value: float | None, option: str) -> float:
        """`value`, or the default for None.

        Args:
            value: What the user asked for.
            option: The option's name, for the message.

        Raises:
            InputError: it is not a finite number or outside the range.
        """
        if value is None:
            return self.default
        if not math.isfinite(value) or not self.minimum <= value <= self.maximum:
            raise InputError(
                f"{option} {value:g} is out of range.",
                f"This model takes {self.minimum:g} to {self.maximum:g}; {self.default:g} is the default.",
            )
        return float(value)


@dataclass(frozen=True)
class GuidancePass:
    """One denoiser pass and its weight.

    Without `text` the prompt is the empty one; without `image` the image latents are zeros.
    """

    text: bool
    image: bool
    weight: float


def guidance_passes(text: float, image: float) -> list[GuidancePass]:
    """The passes of guidance scales s_T = `text` and s_I = `image`; those of weight zero are left out.

    Raises:
        InputError: a scale is not a finite number.
    """
    for name, value in (("Text", text), ("Image", image)):
        if not math.isfinite(value):
            raise InputError(f"{name} guidance {value} is not a finite number.")
    passes = (
        GuidancePass(text=False, image=False, weight=1.0 - image),
        GuidancePass(text=False, image=True, weight=image - text),
        GuidancePass(text=True, image=True, weight=float(text)),
    )
    return [one for one in passes if one.weight != 0.0]


def combine_passes(passes: Sequence[GuidancePass], estimates: Sequence[Array]) -> Array:
    """The weighted sum of one x0 estimate (or output) a pass.

    Raises:
        InputError: their numbers differ or there are none.
    """
    if not passes or len(passes) != len(estimates):
        raise InputError(f"{len(passes)} passes need as many estimates, not {len(estimates)}.")
    total: Any = passes[0].weight * estimates[0]
    for one, estimate in zip(passes[1:], estimates[1:], strict=True):
        total = total + one.weight * estimate
    return total  # type: ignore[no-any-return]
