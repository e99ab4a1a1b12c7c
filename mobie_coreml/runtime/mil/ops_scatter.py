"""Scattering by index. Where indices repeat, "update" keeps any one value, the other modes combine all of them."""

from __future__ import annotations

import math

import torch

from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.node import Node
from mobie_coreml.runtime.mil.ops_gather import index_wrapper
from mobie_coreml.runtime.mil.registry import Kernel, operation

Tensor = torch.Tensor

MODES = ("add", "div", "max", "min", "mul", "sub", "update")
_REDUCE = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def _combine(data: Tensor, axis: int, places: Tensor, updates: Tensor, mode: str) -> Tensor:
    """Combines `updates` into `data` where `places` (of the same shape) say along `axis`."""
    if mode == "update":
        return data.scatter(axis, places, updates)
    if mode == "sub":
        return data.scatter_reduce(axis, places, -updates, "sum")
    if mode == "div":
        divisor = torch.ones_like(data).scatter_reduce(axis, places, updates, "prod")
        return torch.div(data, divisor, rounding_mode=None if data.is_floating_point() else "trunc")
    return data.scatter_reduce(axis, places, updates, _REDUCE[mode])


@operation("scatter", takes="data indices updates")
def scatter(node: Node) -> Kernel:
    """Slices of `updates` go to the positions `indices` of `axis`."""
    axis, mode = node.integer("axis", 0), node.text("mode", "add", MODES)
    wrap = index_wrapper(node)

    def run(data: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
        place = axis % data.dim()
        places = wrap(indices.reshape(-1), data.shape[place])
        shape = [*data.shape[:place], places.numel(), *data.shape[place + 1 :]]
        view = [-1 if other == place else 1 for other in range(data.dim())]
        return _combine(data, place, places.reshape(view).expand(shape), updates.reshape(shape), mode)

    return run


@operation("scatter_along_axis", takes="data indices updates")
def scatter_along_axis(node: Node) -> Kernel:
    axis, mode = node.integer("axis", 0), node.text("mode", "add", MODES)
    wrap = index_wrapper(node)

    def run(data: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
        return _combine(data, axis, wrap(indices, data.shape[axis]), updates, mode)

    return run


@operation("scatter_nd", takes="data indices updates")
def scatter_nd(node: Node) -> Kernel:
    """The last axis of `indices` addresses the leading axes of `data`."""
    mode = node.text("mode", "add", MODES)
    wrap = index_wrapper(node)

    def run(data: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
        depth = indices.shape[-1]
        if not 1 <= depth <= data.dim():
            raise ProgramError(f"indices of depth {depth} don't fit data of rank {data.dim()}")
        place = torch.zeros(indices.shape[:-1], dtype=torch.long)
        for axis, part in enumerate(indices.unbind(-1)):
            place = place * data.shape[axis] + wrap(part, data.shape[axis])
        rest = math.prod(data.shape[depth:])
        flat = data.reshape(-1, rest)
        rows = place.reshape(-1, 1).expand(-1, rest)
        return _combine(flat, 0, rows, updates.reshape(rows.shape), mode).reshape(data.shape)

    return run
