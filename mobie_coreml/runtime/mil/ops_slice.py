"""Slices, updates of slices, and padding."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.limits import check_elements
from mobie_coreml.runtime.mil.node import Node
from mobie_coreml.runtime.mil.registry import Kernel, operation

Tensor = torch.Tensor
Index = list[slice | int]
Reader = Callable[[Tensor, Tensor, Tensor, Tensor | None], Index]


def _slices(node: Node) -> Reader:
    """Reads begin, end and stride with their masks into Python slices; a squeezed axis becomes an integer."""
    read_begin, read_end = node.integer_reader("begin"), node.integer_reader("end")
    read_stride = node.integer_reader("stride") if node.has("stride") else None
    masks = [_mask(node, name) for name in ("begin_mask", "end_mask", "squeeze_mask")]

    def read(x: Tensor, begin: Tensor, end: Tensor, stride: Tensor | None) -> Index:
        rank = x.dim()
        begins, ends = read_begin(begin), read_end(end)
        strides = read_stride(stride) if read_stride is not None else (1,) * rank
        open_begin, open_end, squeezed = (mask or (False,) * rank for mask in masks)
        sizes = {len(begins), len(ends), len(strides), len(open_begin), len(open_end), len(squeezed)}
        if sizes != {rank}:
            raise ProgramError(f"begin, end, stride and masks must have {rank} entries each, as x has axes")
        index: Index = []
        for axis in range(rank):
            first = None if open_begin[axis] else begins[axis]
            if squeezed[axis]:
                index.append(first or 0)
            else:
                index.append(slice(first, None if open_end[axis] else ends[axis], strides[axis]))
        return index

    return read


def _mask(node: Node, name: str) -> tuple[bool, ...] | None:
    return tuple(bool(bit) for bit in node.integer_list(name)) if node.has(name) else None


def _forwards(index: Index, shape: torch.Size) -> list[int]:
    """Turns slices that run backwards around, as torch takes no negative steps; gives the result's axes to flip."""
    flips = []
    axis_after = 0
    for axis, part in enumerate(index):
        if not isinstance(part, slice):
            continue
        if part.step is not None and part.step < 0:
            places = range(*part.indices(shape[axis]))
            index[axis] = slice(places[-1], places[0] + 1, -places.step) if places else slice(0, 0)
            flips.append(axis_after)
        axis_after += 1
    return flips


@operation("slice_by_index", takes="x begin end stride?", moves=True)
def slice_by_index(node: Node) -> Kernel:
    read = _slices(node)

    def run(x: Tensor, begin: Tensor, end: Tensor, stride: Tensor | None) -> Tensor:
        index = read(x, begin, end, stride)
        flips = _forwards(index, x.shape)
        result = x[tuple(index)]
        return result.flip(flips) if flips else result

    return run


@operation("slice_update", takes="x update begin end stride?", moves=True)
def slice_update(node: Node) -> Kernel:
    """A copy of x whose slice is replaced by `update`."""
    read = _slices(node)

    def run(x: Tensor, update: Tensor, begin: Tensor, end: Tensor, stride: Tensor | None) -> Tensor:
        index = read(x, begin, end, stride)
        flips = _forwards(index, x.shape)
        result = x.clone()
        place = result[tuple(index)]
        if place.shape != update.shape:
            raise ProgramError(f"its update has shape {list(update.shape)} but the slice has {list(place.shape)}")
        place.copy_(update.flip(flips) if flips else update)
        return result

    return run


@operation("slice_by_size", takes="x begin size", moves=True)
def slice_by_size(node: Node) -> Kernel:
    """`size` elements from `begin`; -1 takes all that are left."""
    read_begin, read_size = node.integer_reader("begin"), node.integer_reader("size")

    def run(x: Tensor, begin: Tensor, size: Tensor) -> Tensor:
        index = []
        for first, count, length in zip(read_begin(begin), read_size(size), x.shape, strict=True):
            first = first + length if first < 0 else first
            last = length if count == -1 else first + count
            if not 0 <= first <= last <= length:
                raise ProgramError(f"{count} elements from {first} lie outside an axis of size {length}")
            index.append(slice(first, last))
        return x[tuple(index)]

    return run


@operation("crop", moves=True)
def crop(node: Node) -> Kernel:
    (top, bottom), (left, right) = node.integer_list("crop_height"), node.integer_list("crop_width")
    return lambda x: x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


@operation("pad", takes="x pad", moves=True)
def pad(node: Node) -> Kernel:
    """Pads the last axes by (before, after) pairs: with a constant, by reflection or by the edge."""
    mode = node.text("mode", "constant", ("constant", "reflect", "replicate"))
    value = node.number("constant_val", 0.0)
    read = node.integer_reader("pad")

    def run(x: Tensor, pad: Tensor) -> Tensor:
        amounts = read(pad)
        if len(amounts) % 2 or len(amounts) > 2 * x.dim() or any(amount < 0 for amount in amounts):
            raise ProgramError(f"its pad {list(amounts)} doesn't fit x of rank {x.dim()}")
        pairs = list(zip(amounts[::2], amounts[1::2], strict=True))
        first = x.dim() - len(pairs)
        check_elements((*x.shape[:first], *(x.shape[first + i] + sum(pair) for i, pair in enumerate(pairs))))
        if mode == "constant":
            number = value if x.is_floating_point() else int(value)
            return F.pad(x, [amount for pair in reversed(pairs) for amount in pair], value=number)
        for axis, (before, after) in enumerate(pairs, first):
            if before or after:
                x = x.index_select(axis, _mirror(mode, before, after, x.shape[axis]))
        return x

    return run


def _mirror(mode: str, before: int, after: int, size: int) -> Tensor:
    """Source indices of a padded axis."""
    places = torch.arange(-before, size + after)
    if mode == "replicate":
        return places.clamp(0, size - 1)
    if max(before, after) >= size:
        raise ProgramError(f"reflection by {before} and {after} needs an axis longer than {size}")
    places = places.abs()
    return torch.where(places >= size, 2 * (size - 1) - places, places)
