"""Reductions."""

from __future__ import annotations

from collections.abc import Callable

import torch

from mobie_coreml.runtime.mil.node import Node
from mobie_coreml.runtime.mil.registry import Kernel, operation
from mobie_coreml.runtime.mil.types import REPRESENTATION

Tensor = torch.Tensor
Axes = tuple[int, ...]


def _product(x: Tensor, axes: Axes, keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = torch.prod(x, axis, keepdim=True)
    return x if keep else x.reshape([size for axis, size in enumerate(x.shape) if axis not in axes])


def _mean(x: Tensor, axes: Axes, keep: bool) -> Tensor:
    if x.is_floating_point():
        return torch.mean(x, axes, keep)
    return torch.mean(x.double(), axes, keep).to(x.dtype)


_REDUCTIONS: dict[str, Callable[[Tensor, Axes, bool], Tensor]] = {
    "reduce_l1_norm": lambda x, axes, keep: torch.sum(torch.abs(x), axes, keep),
    "reduce_l2_norm": lambda x, axes, keep: torch.sqrt(torch.sum(torch.square(x), axes, keep)),
    "reduce_log_sum": lambda x, axes, keep: torch.log(torch.sum(x, axes, keep)),
    "reduce_log_sum_exp": torch.logsumexp,
    "reduce_max": torch.amax,
    "reduce_mean": _mean,
    "reduce_min": torch.amin,
    "reduce_prod": _product,
    "reduce_sum": torch.sum,
    "reduce_sum_square": lambda x, axes, keep: torch.sum(torch.square(x), axes, keep),
}


@operation(*_REDUCTIONS)
def reduce(node: Node) -> Kernel:
    """Over `axes`, all of them by default."""
    function = _REDUCTIONS[node.type]
    keep = node.flag("keep_dims", False)
    axes = node.integer_list("axes") if node.has("axes") else None

    def run(x: Tensor) -> Tensor:
        values = x if x.dim() else x.reshape(1)
        rank = values.dim()
        chosen = tuple(range(rank)) if axes is None else tuple(axis % rank for axis in axes)
        return function(values, chosen, keep and x.dim() > 0)

    return run


@operation("reduce_argmax", "reduce_argmin")
def reduce_arg(node: Node) -> Kernel:
    function = torch.argmax if node.type == "reduce_argmax" else torch.argmin
    axis = node.axis(default=-1)
    keep = node.flag("keep_dims", False)
    target = REPRESENTATION.get(node.text("output_dtype", "int32"), torch.int32)
    return lambda x: function(x, dim=axis, keepdim=keep).to(target)
