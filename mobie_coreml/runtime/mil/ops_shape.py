"""Operations that rearrange axes or join and part values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.limits import check_elements
from mobie_coreml.runtime.mil.node import Node
from mobie_coreml.runtime.mil.registry import Kernel, operation

Tensor = torch.Tensor
IOS17 = 7


def resolve_shape(shape: Sequence[int], source: Sequence[int], opset: int) -> list[int]:
    """Replaces the zeros of a `reshape` target.

    A 0 means the size of the same axis of the source: counted from the left up to iOS 16, from the right since iOS 17,
    where a 0 without a counterpart is 1.
    """
    resolved = list(shape)
    for axis, size in enumerate(shape):
        if size != 0:
            continue
        if opset < IOS17:
            if len(shape) != len(source):
                raise ProgramError(f"its shape {list(shape)} has a 0 but x has rank {len(source)}")
            resolved[axis] = source[axis]
        else:
            partner = axis - len(shape) + len(source)
            resolved[axis] = source[partner] if partner >= 0 else 1
    return resolved


@operation("reshape", takes="x shape", moves=True)
def reshape(node: Node) -> Kernel:
    read = node.integer_reader("shape")
    opset = node.opset

    def run(x: Tensor, shape: Tensor) -> Tensor:
        target = read(shape)
        return x.reshape(resolve_shape(target, x.shape, opset) if 0 in target else target)

    return run


@operation("reshape_like", takes="x ref_tensors*", moves=True)
def reshape_like(node: Node) -> Kernel:
    """The new shape joins, per reference tensor, its sizes from `begins` to `ends` (to the last with `end_masks`)."""
    begins, ends, masks = (
        [int(argument.constant.value()) if argument.constant else None for argument in node.arguments.get(name, [])]
        for name in ("begins", "ends", "end_masks")
    )

    def run(x: Tensor, *references: Tensor) -> Tensor:
        shape: list[int] = []
        for reference, begin, end, mask in zip(references, begins, ends, masks, strict=True):
            shape += reference.shape[begin : None if mask else end]
        return x.reshape(shape)

    return run


@operation("transpose", moves=True)
def transpose(node: Node) -> Kernel:
    axes = node.integer_list("perm")
    return lambda x: x.permute(axes)


@operation("expand_dims", moves=True)
def expand_dims(node: Node) -> Kernel:
    axes = node.integer_list("axes")

    def run(x: Tensor) -> Tensor:
        rank = x.dim() + len(axes)
        for axis in sorted(axis % rank for axis in axes):
            x = x.unsqueeze(axis)
        return x

    return run


@operation("squeeze", moves=True)
def squeeze(node: Node) -> Kernel:
    axes = node.integer_list("axes") if node.has("axes") else None

    def run(x: Tensor) -> Tensor:
        if axes is None:
            return x.squeeze()
        for axis in axes:
            if x.shape[axis] != 1:
                raise ProgramError(f"its axis {axis} has size {x.shape[axis]}, not 1")
        return x.squeeze(axes)

    return run


@operation("flatten2d", moves=True)
def flatten2d(node: Node) -> Kernel:
    axis = node.integer("axis", 1)
    return lambda x: x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@operation("shape")
def shape(node: Node) -> Kernel:
    return lambda x: torch.tensor(x.shape, dtype=torch.int32)


@operation("concat", takes="values*", moves=True, fresh=True)
def concat(node: Node) -> Kernel:
    """Joins along `axis`; `interleave` takes one slice of each value in turn."""
    axis = node.integer("axis")
    if not node.flag("interleave", False):
        return lambda *values: torch.cat(values, axis)

    def run(*values: Tensor) -> Tensor:
        place = axis % values[0].dim()
        return torch.stack(values, place + 1).flatten(place, place + 1)

    return run


@operation("stack", takes="values*", moves=True, fresh=True)
def stack(node: Node) -> Kernel:
    axis = node.integer("axis")
    return lambda *values: torch.stack(values, axis)


@operation("split", moves=True)
def split(node: Node) -> Kernel:
    """Into `num_splits` equal pieces, or pieces of `split_sizes`."""
    axis = node.integer("axis")
    sizes = node.integer_list("split_sizes") if node.has("split_sizes") else None
    count = node.integer("num_splits") if sizes is None else len(sizes)
    if count < 1:
        raise ProgramError(f"it splits into {count} pieces")

    def run(x: Tensor) -> tuple[Tensor, ...]:
        if sizes is not None:
            return torch.split(x, list(sizes), axis)
        if x.shape[axis] % count:
            raise ProgramError(f"axis {axis} of size {x.shape[axis]} cannot be split into {count} equal pieces")
        return torch.split(x, x.shape[axis] // count, axis)

    return run


@operation("tile", takes="x reps", moves=True, fresh=True)
def tile(node: Node) -> Kernel:
    read = node.integer_reader("reps")

    def run(x: Tensor, reps: Tensor) -> Tensor:
        times = read(reps)
        if len(times) != x.dim():
            raise ProgramError(f"its reps {list(times)} don't match x of rank {x.dim()}")
        check_elements(size * count for size, count in zip(x.shape, times, strict=True))
        return x.repeat(times)

    return run


@operation("reverse", moves=True)
def reverse(node: Node) -> Kernel:
    axes = node.integer_list("axes") if node.has("axes") else None
    return lambda x: torch.flip(x, tuple(range(x.dim())) if axes is None else axes)


@operation("reverse_sequence", takes="x lengths", moves=True)
def reverse_sequence(node: Node) -> Kernel:
    """Reverses the first `lengths[i]` elements along `seq_axis` of every slice i along `batch_axis`."""
    sequence, batch = node.integer("seq_axis", 0), node.integer("batch_axis", 0)

    def run(x: Tensor, lengths: Tensor) -> Tensor:
        steps = torch.arange(x.shape[sequence]).unsqueeze(0)
        ends = lengths.reshape(-1, 1).long()
        order = torch.where(steps < ends, ends - 1 - steps, steps)
        view = [1] * x.dim()
        view[batch], view[sequence] = order.shape[0], order.shape[1]
        if batch % x.dim() > sequence % x.dim():
            order = order.T
        return torch.gather(x, sequence, order.reshape(view).expand(x.shape))

    return run


@operation("band_part", takes="x lower? upper?", moves=True)
def band_part(node: Node) -> Kernel:
    """Zero outside `lower` diagonals below and `upper` above the main one; negative keeps that whole side."""
    read_lower = node.integer_reader("lower") if node.has("lower") else lambda tensor: (-1,)
    read_upper = node.integer_reader("upper") if node.has("upper") else lambda tensor: (-1,)

    def run(x: Tensor, lower: Tensor | None, upper: Tensor | None) -> Tensor:
        below, above = read_lower(lower)[0], read_upper(upper)[0]
        difference = torch.arange(x.shape[-2]).unsqueeze(1) - torch.arange(x.shape[-1])
        keep = torch.ones_like(difference, dtype=torch.bool)
        if below >= 0:
            keep &= difference <= below
        if above >= 0:
            keep &= -difference <= above
        return torch.where(keep, x, torch.zeros((), dtype=x.dtype))

    return run


@operation("sliding_windows", moves=True)
def sliding_windows(node: Node) -> Kernel:
    axis, size, stride = node.integer("axis"), node.integer("size"), node.integer("stride", 1)

    def run(x: Tensor) -> Tensor:
        place = axis % x.dim()
        return x.unfold(place, size, stride).movedim(-1, place + 1)

    return run
