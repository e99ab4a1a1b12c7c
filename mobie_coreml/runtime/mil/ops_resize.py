"""Resizing of the last axes, nearest or linear, in every sampling mode.

Where a grid point lies between values, linear interpolation weighs its two neighbours on each axis in turn.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.limits import check_elements
from mobie_coreml.runtime.mil.node import Node
from mobie_coreml.runtime.mil.registry import Kernel, operation

Tensor = torch.Tensor

SAMPLING_MODES = ("DEFAULT", "STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "OFFSET_CORNERS", "UNALIGN_CORNERS")


def grid(length: float | Tensor, count: int, mode: str) -> Tensor:
    """(count,) sampling positions on an axis of `length` values, not yet limited to the axis.

    Formulas of coremltools' `resize_bilinear` (mil/ops/defs/iOS15/image_resizing.py), in double precision.
    """
    steps = torch.arange(count, dtype=torch.float64)
    if mode == "ALIGN_CORNERS" and count == 1:
        return (steps + 1) * (length - 1) / 2
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        return steps * ((length - 1) / max(count - 1, 1))
    if mode == "DEFAULT":
        return steps * (length / count)
    if mode == "OFFSET_CORNERS":
        delta = torch.clamp(torch.as_tensor(length - 1, dtype=torch.float64), min=1.0) / count
        return (steps + 0.5) * delta
    return (steps + 0.5) * (length / count) - 0.5


def interpolate_axis(x: Tensor, axis: int, positions: Tensor) -> Tensor:
    """Linear interpolation of x at `positions` of `axis`; positions outside take the edge's value."""
    last = x.shape[axis] - 1
    positions = positions.clamp(0, last)
    low = positions.floor()
    share = (positions - low).float().reshape([-1 if other == axis % x.dim() else 1 for other in range(x.dim())])
    below = x.index_select(axis, low.long())
    above = x.index_select(axis, (low.long() + 1).clamp(max=last))
    return torch.lerp(below, above, share.expand_as(below))


def nearest_axis(x: Tensor, axis: int, positions: Tensor, mode: str) -> Tensor:
    """The nearest value; DEFAULT takes the one at or before each position."""
    rounded = positions.floor() if mode == "DEFAULT" else (positions + 0.5).floor()
    return x.index_select(axis, rounded.long().clamp(0, x.shape[axis] - 1))


def resize_last(x: Tensor, sizes: tuple[int, ...], mode: str, linear: bool) -> Tensor:
    """Resizes the last len(sizes) axes of x."""
    first = x.dim() - len(sizes)
    if first < 0 or any(size < 1 for size in sizes):
        raise ProgramError(f"it resizes shape {list(x.shape)} to {list(sizes)}")
    check_elements((*x.shape[:first], *sizes))
    if linear and len(sizes) == 2 and x.dim() == 4 and _native(mode, sizes):
        aligned = mode != "UNALIGN_CORNERS"
        return F.interpolate(x, size=sizes, mode="bilinear", align_corners=aligned)
    for axis, size in enumerate(sizes, first):
        if size == x.shape[axis] and mode != "OFFSET_CORNERS":
            continue
        positions = grid(x.shape[axis], size, mode)
        x = interpolate_axis(x, axis, positions) if linear else nearest_axis(x, axis, positions, mode)
    return x


def _native(mode: str, sizes: tuple[int, ...]) -> bool:
    """Whether torch has the mode itself."""
    return mode == "UNALIGN_CORNERS" or (mode.endswith("ALIGN_CORNERS") and min(sizes) > 1)


@operation("resize", takes="x shape", moves=False)
def resize(node: Node) -> Kernel:
    """The last `resized_dims` entries of `shape` are the new sizes; 0 keeps a size."""
    count = node.integer("resized_dims")
    linear = node.text("interpolation_mode", "LINEAR", ("LINEAR", "NEAREST_NEIGHBOR")) == "LINEAR"
    mode = node.text("sampling_mode", "DEFAULT", SAMPLING_MODES)
    read = node.integer_reader("shape")

    def run(x: Tensor, shape: Tensor) -> Tensor:
        asked = read(shape)
        if not 0 <= count <= min(len(asked), x.dim()):
            raise ProgramError(f"it resizes {count} axes of x of rank {x.dim()} to shape {list(asked)}")
        sizes = zip(asked[len(asked) - count :], x.shape[x.dim() - count :], strict=True)
        values = x if x.is_floating_point() else x.float()
        result = resize_last(values, tuple(new or old for new, old in sizes), mode, linear)
        return result if x.is_floating_point() else result.to(x.dtype)

    return run


@operation("resize_bilinear")
def resize_bilinear(node: Node) -> Kernel:
    size = node.integer("target_size_height", 1), node.integer("target_size_width", 1)
    mode = node.text("sampling_mode", "DEFAULT", SAMPLING_MODES)
    return lambda x: resize_last(x, size, mode, True)


@operation("resize_nearest_neighbor", moves=True)
def resize_nearest_neighbor(node: Node) -> Kernel:
    size = node.integer("target_size_height"), node.integer("target_size_width")
    return lambda x: resize_last(x, size, "DEFAULT", False)


def _scaled(node: Node, x: Tensor) -> tuple[int, int]:
    factors = node.number("scale_factor_height", 1.0), node.number("scale_factor_width", 1.0)
    return math.floor(x.shape[-2] * factors[0]), math.floor(x.shape[-1] * factors[1])


@operation("upsample_nearest_neighbor", moves=True)
def upsample_nearest_neighbor(node: Node) -> Kernel:
    def run(x: Tensor) -> Tensor:
        size = _scaled(node, x)
        if x.dim() == 4 and size[0] % x.shape[2] == 0 and size[1] % x.shape[3] == 0:
            check_elements((*x.shape[:2], *size))
            return F.interpolate(x, size=size, mode="nearest")
        return resize_last(x, size, "DEFAULT", False)

    return run


@operation("upsample_bilinear")
def upsample_bilinear(node: Node) -> Kernel:
    """With `align_corners` corner values stay; otherwise pixels are areas (`half_pixel_centers`) or points."""
    if node.flag("align_corners", True):
        mode = "STRICT_ALIGN_CORNERS"
    else:
        mode = "UNALIGN_CORNERS" if node.flag("half_pixel_centers", True) else "DEFAULT"
    return lambda x: resize_last(x, _scaled(node, x), mode, True)
