"""Several frames next to each other, each under a bar with its caption."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mobie_coreml.editing.resample import Pixels

_BACKGROUND = (24, 24, 24)
_FOREGROUND = (240, 240, 240)
_GAP = 4


def _bar_height(height: int) -> int:
    """Even, about a tenth of the frame, 16 to 48 pixels."""
    return 2 * min(24, max(8, (height // 10 + 1) // 2))


@lru_cache(maxsize=64)
def caption_bar(text: str, width: int, height: int) -> Pixels:
    """A bar (height, width, 3) with `text` centred in Pillow's own font, cut with an ellipsis where it is too long."""
    font = ImageFont.load_default(size=max(8, round(height * 0.62)))
    image = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(image)
    shown = " ".join(text.split())
    while len(shown) > 1 and draw.textlength(shown, font=font) > width - 8:
        shown = shown.rstrip("…")[:-1].rstrip() + "…"
    draw.text((width / 2, height / 2), shown, fill=_FOREGROUND, font=font, anchor="mm")
    bar = np.array(image, np.uint8)
    bar.setflags(write=False)
    return bar


def side_by_side(panels: list[tuple[str, Pixels]]) -> Pixels:
    """Puts captioned frames of one size next to each other, left to right, with a gap of 4 pixels.

    Args:
        panels: Caption and frame (H, W, 3) uint8 RGB of each.

    Returns:
        (H + bar, total width, 3) uint8 RGB.
    """
    height, width = panels[0][1].shape[:2]
    bar = _bar_height(height)
    total = len(panels) * width + (len(panels) - 1) * _GAP
    canvas = np.empty((bar + height, total, 3), np.uint8)
    canvas[:] = _BACKGROUND
    for index, (caption, frame) in enumerate(panels):
        left = index * (width + _GAP)
        canvas[:bar, left : left + width] = caption_bar(caption, width, bar)
        canvas[bar:, left : left + width] = frame
    return canvas
