"""Sorting and running sums. Equal values keep their order."""

from __future__ import annotations

import torch

from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.node import Node
from mobie_coreml.runtime.mil.registry import Kernel, operation

Tensor = torch.Tensor


@operation("topk", takes="x k?", moves=True)
def topk(node: Node) -> Kernel:
    """The k largest (`ascending`: smallest) values along `axis`, and their indices."""
    axis, ascending = node.integer("axis", -1), node.flag("ascending", False)
    both = node.flag("return_indices", True)
    read = node.integer_reader("k") if node.has("k") else lambda tensor: (1,)

    def run(x: Tensor, k: Tensor | None) -> tuple[Tensor, ...]:
        count = read(k)[0]
        if not 0 <= count <= x.shape[axis]:
            raise ProgramError(f"it asks for {count} values of an axis of size {x.shape[axis]}")
        values, places = torch.sort(x, dim=axis, descending=not ascending, stable=True)
        values, places = values.narrow(axis, 0, count), places.narrow(axis, 0, count)
        return (values, places.to(torch.int32)) if both else (values,)

    return run


@operation("argsort")
def argsort(node: Node) -> Kernel:
    axis, ascending = node.integer("axis", -1), node.flag("ascending", False)
    return lambda x: torch.argsort(x, dim=axis, descending=not ascending, stable=True).to(torch.int32)


@operation("cumsum")
def cumsum(node: Node) -> Kernel:
    """Running sum along `axis`; `exclusive` leaves each element itself out, `reverse` sums from the end."""
    axis = node.integer("axis", 0)
    exclusive, backwards = node.flag("exclusive", False), node.flag("reverse", False)

    def run(x: Tensor) -> Tensor:
        source = x.flip(axis) if backwards else x
        total = torch.cumsum(source, axis)
        if exclusive:
            total = total - source
        return total.flip(axis) if backwards else total

    return run
