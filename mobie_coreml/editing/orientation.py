"""Upright frames from the display matrix that phones write beside their video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mobie_coreml.editing.resample import Pixels


@dataclass(frozen=True)
class Orientation:
    """What makes a stored frame upright: first transpose it (swap rows and columns), then flip it."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def apply(self, frame: Pixels) -> Pixels:
        """The upright frame of a stored frame (H, W, C)."""
        if self.transpose:
            frame = frame.transpose(1, 0, 2)
        if self.flip_x:
            frame = frame[:, ::-1]
        if self.flip_y:
            frame = frame[::-1]
        return np.ascontiguousarray(frame)


UPRIGHT = Orientation()


def from_display_matrix(matrix: bytes) -> Orientation:
    """The orientation in a display matrix: nine 32-bit integers (a b u, c d v, x y w; ISO 14496-12, 8.3.2).

    A stored point (p, q) is shown at (a p + c q, b p + d q). Angles between right angles go to the nearest one.
    """
    a, b, _, c, d, *_ = (int(value) for value in np.frombuffer(matrix[:36], np.dtype("=i4")))
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(transpose=True, flip_x=c < 0, flip_y=b < 0)
    return Orientation(flip_x=a < 0, flip_y=d < 0)
