"""Gathering by index, and values made from a few numbers.

Indices count from 0; negative ones count from the end. An index outside raises, except where the program is iOS 17 or
later and doesn't ask for validation: there a device may return anything, and the nearest valid index is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.limits import check_elements
from mobie_coreml.runtime.mil.node import Node
from mobie_coreml.runtime.mil.ops_shape import IOS17
from mobie_coreml.runtime.mil.registry import Kernel, operation

Tensor = torch.Tensor
Wrap = Callable[[Tensor, int], Tensor]


def index_wrapper(node: Node) -> Wrap:
    """Brings indices into 0..size - 1 (see above)."""
    lenient = node.opset >= IOS17 and not node.flag("validate_indices", False)

    def wrap(indices: Tensor, size: int) -> Tensor:
        places = indices.long()
        places = torch.where(places < 0, places + size, places)
        if size == 0 and places.numel():
            raise ProgramError("it indexes an axis of size 0")
        if lenient:
            return places.clamp(0, max(size - 1, 0))
        if places.numel() and (int(places.min()) < 0 or int(places.max()) >= size):
            raise ProgramError(f"an index lies outside an axis of size {size}")
        return places

    return wrap


@operation("gather", takes="x indices", moves=True, fresh=True)
def gather(node: Node) -> Kernel:
    """x's slices along `axis`: shape x[:axis] + indices[batch_dims:] + x[axis + 1:]."""
    axis, batch = node.integer("axis", 0), node.integer("batch_dims", 0)
    wrap = index_wrapper(node)

    def run(x: Tensor, indices: Tensor) -> Tensor:
        if not -x.dim() <= axis < x.dim():
            raise ProgramError(f"its axis {axis} is outside a value of rank {x.dim()}")
        place = axis % x.dim()
        if not 0 <= batch <= min(place, indices.dim()):
            raise ProgramError(f"its batch_dims {batch} don't fit axis {axis} and indices of rank {indices.dim()}")
        places = wrap(indices, x.shape[place])
        shape = (*x.shape[:place], *indices.shape[batch:], *x.shape[place + 1 :])
        check_elements(shape)
        if batch == 0:
            return x.index_select(place, places.reshape(-1)).reshape(shape)
        count = math.prod(x.shape[:batch])
        flat = x.reshape(count, *x.shape[batch:]).movedim(place - batch + 1, 1)
        chosen = flat[torch.arange(count).unsqueeze(1), places.reshape(count, -1)]
        return chosen.movedim(1, place - batch + 1).reshape(shape)

    return run


@operation("gather_along_axis", takes="x indices", moves=True, fresh=True)
def gather_along_axis(node: Node) -> Kernel:
    axis = node.integer("axis", 0)
    wrap = index_wrapper(node)
    return lambda x, indices: torch.gather(x, axis, wrap(indices, x.shape[axis]))


@operation("gather_nd", takes="x indices", moves=True, fresh=True)
def gather_nd(node: Node) -> Kernel:
    """The last axis of `indices` addresses the axes of x after `batch_dims`."""
    batch = node.integer("batch_dims", 0)
    wrap = index_wrapper(node)

    def run(x: Tensor, indices: Tensor) -> Tensor:
        depth = indices.shape[-1]
        if batch + depth > x.dim() or batch < 0:
            raise ProgramError(f"indices of depth {depth} are too deep for x of rank {x.dim()}")
        check_elements((*indices.shape[:-1], *x.shape[batch + depth :]))
        rank = indices.dim() - 1
        places = [
            torch.arange(x.shape[axis]).reshape([-1 if other == axis else 1 for other in range(rank)])
            for axis in range(batch)
        ]
        places += [wrap(part, x.shape[batch + axis]) for axis, part in enumerate(indices.unbind(-1))]
        return x[tuple(places)] if places else x.expand(*indices.shape[:-1], *x.shape)

    return run


@operation("one_hot", takes="indices one_hot_vector_size on_value? off_value?", moves=True)
def one_hot(node: Node) -> Kernel:
    axis = node.integer("axis", -1)
    read = node.integer_reader("one_hot_vector_size")
    target = torch.float32 if node.outputs[0].is_float else torch.int32

    def run(indices: Tensor, size: Tensor, on: Tensor | None, off: Tensor | None) -> Tensor:
        count = read(size)[0]
        check_elements((*indices.shape, count))
        places = indices.long()
        hot = places.unsqueeze(-1) == torch.arange(count)
        on = torch.ones((), dtype=target) if on is None else on
        off = torch.zeros((), dtype=target) if off is None else off
        result = torch.where(hot, on, off)
        return result.movedim(-1, axis)

    return run


@operation("fill", takes="shape value?", moves=True)
def fill(node: Node) -> Kernel:
    read = node.integer_reader("shape")
    target = torch.float32 if node.outputs[0].is_float else torch.int32

    def run(shape: Tensor, value: Tensor | None) -> Tensor:
        sizes = read(shape)
        check_elements(sizes)
        number = torch.zeros((), dtype=target) if value is None else value.reshape(())
        return number.expand(sizes).clone()

    return run


@operation("fill_like", takes="ref_tensor value?", moves=True)
def fill_like(node: Node) -> Kernel:
    def run(reference: Tensor, value: Tensor | None) -> Tensor:
        number = torch.zeros(()) if value is None else value.reshape(())
        return number.expand(reference.shape).clone()

    return run


@operation("range_1d", takes="end start step")
def range_1d(node: Node) -> Kernel:
    def run(end: Tensor, start: Tensor, step: Tensor) -> Tensor:
        first, last, stride = start.item(), end.item(), step.item()
        if stride == 0 or not all(map(math.isfinite, (first, last, stride))):
            raise ProgramError(f"a range from {first} to {last} by {stride} has no end")
        check_elements([max(0, math.ceil((last - first) / stride))])
        if (last - first) / stride <= 0:
            return torch.zeros(0, dtype=start.dtype)
        return torch.arange(first, last, stride, dtype=start.dtype)

    return run


@operation("non_zero")
def non_zero(node: Node) -> Kernel:
    return lambda x: torch.nonzero(x).to(torch.int32)
