"""How a source frame becomes a frame of the model's size, and where its pixels come from.

Everything is integers, so that another language places the same pixels. `div` rounds down; (sw, sh) is the upright
source, (mw, mh) the model's frame.

    stretch   crop = the whole source, region = the whole model frame.
    cover     region = the whole model frame; crop = the largest centred rectangle with the model's aspect ratio:
              if sw * mh > sh * mw:  height = sh,  width  = max(1, (2 * sh * mw + mh) div (2 * mh))
              else:                  width  = sw,  height = max(1, (2 * sw * mh + mw) div (2 * mw))
              never larger than the source;  x = (sw - width) div 2,  y = (sh - height) div 2
    contain   crop = the whole source; region = the centred rectangle with the source's aspect ratio and even sides:
              if sw * mh > sh * mw:  width  = mw,  height = max(2, 2 * ((sh * mw + sw) div (2 * sw)))
              else:                  height = mh,  width  = max(2, 2 * ((sw * mh + sh) div (2 * sh)))
              never larger than the model;  x = (mw - width) div 2,  y = (mh - height) div 2
              outside the region the nearest pixel of the region's edge is repeated

Sides of the region are even because 4:2:0 video has no odd ones. The crop is resized to the region (`resample.resize`),
the model edits its frame, and the region of the edited frame is the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

import numpy as np

from mobie_coreml.editing.resample import Pixels, resize
from mobie_coreml.errors import InputError

Fit = Literal["cover", "contain", "stretch"]
FITS: tuple[str, ...] = get_args(Fit)


@dataclass(frozen=True)
class Rectangle:
    """A rectangle of whole pixels; (x, y) is its upper left corner."""

    x: int
    y: int
    width: int
    height: int

    def of(self, frame: Pixels) -> Pixels:
        """The view of `frame` (H, W, C) inside this rectangle."""
        return frame[self.y : self.y + self.height, self.x : self.x + self.width]


@dataclass(frozen=True)
class FramePlan:
    """Places a source frame in a model frame and back.

    `crop` is the part of the source that the model sees, `region` the part of the model's frame that it fills.
    """

    source_size: tuple[int, int]
    model_size: tuple[int, int]
    crop: Rectangle
    region: Rectangle

    def prepare(self, frame: Pixels) -> Pixels:
        """The model's frame (mh, mw, 3) of a source frame (sh, sw, 3), both uint8 RGB."""
        placed = resize(self.crop.of(frame), self.region.width, self.region.height)
        width, height = self.model_size
        region = self.region
        if (region.width, region.height) == (width, height):
            return placed
        below, right = height - region.y - region.height, width - region.x - region.width
        return np.pad(placed, ((region.y, below), (region.x, right), (0, 0)), mode="edge")

    def restore(self, edited: Pixels, *, source_scale: bool = False) -> Pixels:
        """The result inside an edited model frame (mh, mw, 3).

        Args:
            edited: The model's output, uint8 RGB.
            source_scale: Enlarge (or shrink) the result to the size of `crop`, in source pixels.
        """
        result = self.region.of(edited)
        if source_scale:
            return resize(result, self.crop.width, self.crop.height)
        return np.ascontiguousarray(result)

    def to_source(self, x: Fraction | int, y: Fraction | int) -> tuple[Fraction, Fraction]:
        """Where the point (x, y) of the model's frame lies in the source; pixel i covers i to i + 1 on both sides."""
        return (
            self.crop.x + Fraction(x - self.region.x) * self.crop.width / self.region.width,
            self.crop.y + Fraction(y - self.region.y) * self.crop.height / self.region.height,
        )

    def to_model(self, x: Fraction | int, y: Fraction | int) -> tuple[Fraction, Fraction]:
        """Where the point (x, y) of the source lies in the model's frame: the inverse of `to_source`."""
        return (
            self.region.x + Fraction(x - self.crop.x) * self.region.width / self.crop.width,
            self.region.y + Fraction(y - self.crop.y) * self.region.height / self.crop.height,
        )


def plan_frame(source_size: tuple[int, int], model_size: tuple[int, int], fit: str) -> FramePlan:
    """Plans how frames of `source_size` go through a model of `model_size`, both (width, height), by the rules above.

    Raises:
        InputError: `fit` is not one of cover, contain, stretch, or a size is not positive.
    """
    (sw, sh), (mw, mh) = source_size, model_size
    if min(sw, sh, mw, mh) < 1:
        raise InputError(f"A frame of {sw}x{sh} pixels cannot be fitted to {mw}x{mh}.")
    crop, region = Rectangle(0, 0, sw, sh), Rectangle(0, 0, mw, mh)
    wider = sw * mh > sh * mw
    if fit == "cover":
        width = sw if not wider else min(sw, max(1, (2 * sh * mw + mh) // (2 * mh)))
        height = sh if wider else min(sh, max(1, (2 * sw * mh + mw) // (2 * mw)))
        crop = Rectangle((sw - width) // 2, (sh - height) // 2, width, height)
    elif fit == "contain":
        width = mw if wider else min(mw, max(2, 2 * ((sw * mh + sh) // (2 * sh))))
        height = mh if not wider else min(mh, max(2, 2 * ((sh * mw + sw) // (2 * sw))))
        region = Rectangle((mw - width) // 2, (mh - height) // 2, width, height)
    elif fit != "stretch":
        raise InputError(f"--fit {fit} is unknown.", f"Choose one of {', '.join(FITS)}.")
    return FramePlan(source_size, model_size, crop, region)
