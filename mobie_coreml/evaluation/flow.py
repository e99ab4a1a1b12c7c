"""Optical flow of a clip's own frames, and what moves along it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mobie_coreml.evaluation.frames import Pixels

Flow = npt.NDArray[np.float32]
Array = npt.NDArray[np.float32]

# Constants of the consistency check: Sundaram, Brox and Keutzer 2010, eq. 5; Ruder et al. 2016 (arXiv 1604.08610).
_RELATIVE, _ABSOLUTE = 0.01, 0.5


@dataclass(frozen=True)
class Motion:
    """From a frame back to the one before it.

    Attributes:
        x, y: Where each pixel was in the frame before, (H, W) float32 pixels.
        visible: (H, W) bool: it was inside that frame and not hidden in it.
    """

    x: Flow
    y: Flow
    visible: npt.NDArray[np.bool_]

    def warp(self, before: Array) -> Array:
        """The frame before, moved to where its pixels are now: (H, W, 3), bilinear."""
        import cv2

        moved = cv2.remap(before, self.x, self.y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved, np.float32)


def is_available() -> bool:
    """Whether OpenCV is installed."""
    from importlib.util import find_spec

    return find_spec("cv2") is not None


def motion_between(before: Pixels, now: Pixels) -> Motion:
    """Dense flow by dense inverse search (Kroeger et al. 2016, arXiv 1603.03590), with occlusions found.

    A pixel counts as hidden where the flow back and the flow forth do not cancel:
    |b + f|^2 > 0.01 (|b|^2 + |f|^2) + 0.5, with f taken where b leads.

    Args:
        before: (H, W, 3) uint8 RGB.
        now: The next frame.
    """
    import cv2

    greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (before, now)]
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # stripes of several threads find slightly different flows
    try:
        search: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        back = np.asarray(search.calc(greys[1], greys[0], None), np.float32)
        forth = np.asarray(search.calc(greys[0], greys[1], None), np.float32)
    finally:
        cv2.setNumThreads(threads)
    height, width = greys[0].shape
    grid_y, grid_x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = grid_x + back[..., 0], grid_y + back[..., 1]
    there = np.asarray(cv2.remap(forth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
    gap = np.square(back + there).sum(axis=2)
    lengths = np.square(back).sum(axis=2) + np.square(there).sum(axis=2)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return Motion(x, y, inside & (gap <= _RELATIVE * lengths + _ABSOLUTE))
