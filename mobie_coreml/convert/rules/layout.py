"""Reshapes, transposes, slices, splits and concatenations."""

from __future__ import annotations

from typing import Any

from mobie_coreml.convert.builder import Builder, Call, Result, axis_of, rule
from mobie_coreml.convert.graph import Tensor, Unsupported, Value


@rule(
    "aten.view.default",
    "aten.reshape.default",
    "aten._unsafe_view.default",
    "aten.flatten.using_ints",
    "aten.unflatten.int",
    "aten.view_as.default",
    "aten.reshape_as.default",
)
def _reshape(b: Builder, call: Call) -> Result:
    return b.reshape(call["self"], call.shape)


@rule("aten.unsqueeze.default")
def _unsqueeze(b: Builder, call: Call) -> Result:
    x: Tensor = call["self"]
    axis = axis_of(int(call["dim"]), len(call.shape))
    return b.add("expand_dims", call.shape, x.dtype, x=x, axes=[axis])


@rule("aten.squeeze.dim", "aten.squeeze.dims", "aten.squeeze.default")
def _squeeze(b: Builder, call: Call) -> Result:
    x: Tensor = call["self"]
    wanted = call.get("dim")
    axes = range(len(x.shape)) if wanted is None else [wanted] if isinstance(wanted, int) else wanted
    singletons = [axis_of(axis, len(x.shape)) for axis in axes if x.shape[axis] == 1]
    return b.add("squeeze", call.shape, x.dtype, x=x, axes=singletons) if singletons else x


@rule("aten.permute.default")
def _permute(b: Builder, call: Call) -> Result:
    return b.transpose(call["self"], call["dims"])


@rule("aten.transpose.int", "aten.swapaxes.default", "aten.swapdims.default")
def _transpose(b: Builder, call: Call) -> Result:
    x: Tensor = call["self"]
    first, second = (
        axis_of(int(next(call[name] for name in names if call.get(name) is not None)), len(x.shape))
        for names in (("dim0", "axis0"), ("dim1", "axis1"))
    )
    perm = list(range(len(x.shape)))
    perm[first], perm[second] = perm[second], perm[first]
    return b.transpose(x, perm)


@rule("aten.t.default", "aten.mT.default")
def _matrix_transpose(b: Builder, call: Call) -> Result:
    rank = len(call["self"].shape)
    return b.transpose(call["self"], [*range(rank - 2), rank - 1, rank - 2] if rank > 1 else [0])


@rule("aten.movedim.int", "aten.movedim.intlist")
def _movedim(b: Builder, call: Call) -> Result:
    x: Tensor = call["self"]
    rank = len(x.shape)
    sources, targets = (
        [axis_of(axis, rank) for axis in ([value] if isinstance(value, int) else value)]
        for value in (call["source"], call["destination"])
    )
    perm = [axis for axis in range(rank) if axis not in sources]
    for target, source in sorted(zip(targets, sources, strict=True)):
        perm.insert(target, source)
    return b.transpose(x, perm)


@rule("aten.cat.default")
def _cat(b: Builder, call: Call) -> Result:
    dtype = b.result_dtype(call)
    parts = [b.cast(tensor, dtype) for tensor in call["tensors"]]
    axis = axis_of(int(call["dim"]), len(call.shape))
    return b.add("concat", call.shape, dtype, values=parts, axis=axis, interleave=False) if len(parts) > 1 else parts[0]


@rule("aten.stack.default")
def _stack(b: Builder, call: Call) -> Result:
    dtype = b.result_dtype(call)
    axis = axis_of(int(call["dim"]), len(call.shape))
    return b.add("stack", call.shape, dtype, values=[b.cast(tensor, dtype) for tensor in call["tensors"]], axis=axis)


@rule(
    "aten.split.Tensor",
    "aten.split.sizes",
    "aten.split_with_sizes.default",
    "aten.chunk.default",
    "aten.tensor_split.sections",
    "aten.tensor_split.indices",
)
def _split(b: Builder, call: Call) -> Result:
    x: Tensor = call["self"]
    shapes = [tuple(result.shape) for result in call.results]
    return list(split(b, x, axis_of(int(call["dim"]), len(x.shape)), shapes))


def split(b: Builder, x: Tensor, axis: int, shapes: list[tuple[int, ...]]) -> list[Tensor]:
    """`x` cut along `axis` into parts of the given shapes."""
    if len(shapes) == 1:
        return [x]
    sizes = [shape[axis] for shape in shapes]
    return list(b.add_many("split", shapes, x.dtype, x=x, split_sizes=sizes, axis=axis))


@rule("aten.unbind.int")
def _unbind(b: Builder, call: Call) -> Result:
    x: Tensor = call["self"]
    axis = axis_of(int(call["dim"]), len(x.shape))
    kept = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    parts = split(b, x, axis, [kept] * x.shape[axis])
    return [b.add("squeeze", call.shape, x.dtype, x=part, axes=[axis]) for part in parts]


@rule("aten.slice.Tensor", "aten.narrow.default")
def _slice(b: Builder, call: Call) -> Result:
    x: Tensor = call["self"]
    axis = axis_of(int(call["dim"]), len(x.shape))
    size = x.shape[axis]
    start = call["start"] or 0
    start = max(start + size, 0) if start < 0 else min(start, size)
    step = call.get("step", 1)
    return slice_axis(b, x, axis, start, start + (call.shape[axis] - 1) * step + 1, step)


def slice_axis(b: Builder, x: Tensor, axis: int, start: int, end: int, step: int = 1) -> Tensor:
    """Elements `start` to `end` (excluded) of one axis, every `step`-th."""
    rank = len(x.shape)
    if start == 0 and end == x.shape[axis] and step == 1:
        return x
    shape = (*x.shape[:axis], -(-(end - start) // step), *x.shape[axis + 1 :])
    others = [index != axis for index in range(rank)]
    return b.add(
        "slice_by_index",
        shape,
        x.dtype,
        x=x,
        begin=[0 if other else start for other in others],
        end=[size if other else end for other, size in zip(others, x.shape, strict=True)],
        stride=[1 if other else step for other in others],
        begin_mask=[False] * rank,
        end_mask=others,
        squeeze_mask=[False] * rank,
    )


@rule("aten.select.int")
def _select(b: Builder, call: Call) -> Result:
    x: Tensor = call["self"]
    rank = len(x.shape)
    axis = axis_of(int(call["dim"]), rank)
    index = axis_of(int(call["index"]), x.shape[axis])
    others = [position != axis for position in range(rank)]
    return b.add(
        "slice_by_index",
        call.shape,
        x.dtype,
        x=x,
        begin=[0 if other else index for other in others],
        end=[size if other else index + 1 for other, size in zip(others, x.shape, strict=True)],
        stride=[1] * rank,
        begin_mask=[False] * rank,
        end_mask=others,
        squeeze_mask=[not other for other in others],
    )


@rule("aten.expand.default", "aten.expand_as.default", "aten.broadcast_to.default")
def _expand(b: Builder, call: Call) -> Result:
    x: Tensor = call["self"]
    shape = call.shape
    padded = b.reshape(x, (*(1,) * (len(shape) - len(x.shape)), *x.shape))
    repeats = [wanted // size for wanted, size in zip(shape, padded.shape, strict=True)]
    return _tiled(b, padded, shape, repeats)


@rule("aten.repeat.default")
def _repeat(b: Builder, call: Call) -> Result:
    x: Tensor = call["self"]
    repeats = list(call["repeats"])
    return _tiled(b, b.reshape(x, (*(1,) * (len(repeats) - len(x.shape)), *x.shape)), call.shape, repeats)


def _tiled(b: Builder, x: Tensor, shape: tuple[int, ...], repeats: list[int]) -> Tensor:
    if all(repeat == 1 for repeat in repeats):
        return x
    if any(repeat < 1 for repeat in repeats):
        raise Unsupported("a repetition of nothing")
    return b.add("tile", shape, x.dtype, x=x, reps=repeats)


@rule("<built-in function getitem>")
def _getitem(b: Builder, call: Call) -> Result:
    values: Any = call["0"]
    result: Value = values[call["1"]]
    return result


@rule(
    "aten.contiguous.default",
    "aten.clone.default",
    "aten.detach.default",
    "aten.detach_.default",
    "aten.alias.default",
    "aten.lift_fresh_copy.default",
    "aten.dropout.default",
)
def _same(b: Builder, call: Call) -> Result:
    if call.get("train", False):
        raise Unsupported("dropout in training mode")
    result: Tensor = call.get("self", call.get("input"))
    return result
