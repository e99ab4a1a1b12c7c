"""Layers with weights: convolutions, linear layers, norms, embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np

from mobie_coreml.convert.builder import Builder, Call, Result, rule
from mobie_coreml.convert.graph import DType, Tensor, Unsupported, Weight


def _floats(b: Builder, tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else b.cast(tensor, b.floats)


def _constant(b: Builder, tensor: Tensor, what: str) -> Weight:
    if not isinstance(tensor, Weight):
        raise Unsupported(f"a {what} that is computed at run time")
    return tensor.cast(b.floats)


def _per_axis(value: Any, axes: int) -> list[int]:
    items = [int(value)] if isinstance(value, int) else [int(item) for item in value]
    return items * axes if len(items) == 1 else items


@rule("aten.conv2d.default", "aten.conv1d.default", "aten.convolution.default", "aten.conv2d.padding")
def _conv(b: Builder, call: Call) -> Result:
    if call.get("transposed", False):
        raise Unsupported("a transposed convolution")
    if isinstance(call["padding"], str):
        raise Unsupported(f"padding {call['padding']!r}")
    x = b.cast(call["input"], b.floats)
    axes = len(x.shape) - 2
    padding = _per_axis(call["padding"], axes)
    return b.add(
        "conv",
        call.shape,
        x=x,
        weight=_constant(b, call["weight"], "convolution weight"),
        bias=_floats(b, call["bias"]),
        strides=_per_axis(call["stride"], axes),
        pad_type="custom" if any(padding) else "valid",
        pad=[side for amount in padding for side in (amount, amount)],
        dilations=_per_axis(call["dilation"], axes),
        groups=int(call["groups"]),
    )


@rule("aten.linear.default")
def _linear(b: Builder, call: Call) -> Result:
    return b.add(
        "linear",
        call.shape,
        x=b.cast(call["input"], b.floats),
        weight=_constant(b, call["weight"], "linear weight"),
        bias=linear_bias(b, call["bias"], call.shape[-1]),
    )


def linear_bias(b: Builder, bias: Tensor | None, width: int) -> Weight:
    """The bias of a linear layer; MIL's own default would be a constant of the wrong type, so zeros are written."""
    if bias is not None:
        return _constant(b, bias, "linear bias")
    return zeros(width, b.floats)


def zeros(width: int, dtype: DType) -> Weight:
    """A weight (width,) of zeros, the same for everyone who asks."""
    return Weight(("zeros", width), f"zeros_{width}", (width,), dtype, lambda _: np.zeros(width, np.float32))


@rule("aten.layer_norm.default")
def _layer_norm(b: Builder, call: Call) -> Result:
    axes = list(range(-len(call["normalized_shape"]), 0))
    return b.add(
        "layer_norm",
        call.shape,
        x=b.cast(call["input"], b.floats),
        axes=axes,
        gamma=_floats(b, call["weight"]),
        beta=_floats(b, call["bias"]),
        epsilon=float(call["eps"]),
    )


@rule("mobie.channel_layer_norm.default")
def _channel_layer_norm(b: Builder, call: Call) -> Result:
    return b.add(
        "layer_norm",
        call.shape,
        x=b.cast(call["x"], b.floats),
        axes=[1],
        gamma=_floats(b, call["weight"]),
        beta=_floats(b, call["bias"]),
        epsilon=float(call["eps"]),
    )


@rule("aten.group_norm.default")
def _group_norm(b: Builder, call: Call) -> Result:
    x = b.cast(call["input"], b.floats)
    batch, channels = x.shape[:2]
    groups = int(call["num_groups"])
    grouped = b.reshape(x, (batch, groups, x_size(x) // (batch * groups)))
    normal = b.add("layer_norm", grouped.shape, x=grouped, axes=[-1], epsilon=float(call["eps"]))
    result: Tensor = b.reshape(normal, x.shape)
    per_channel = (1, channels, *(1,) * (len(x.shape) - 2))
    for operation, name in (("mul", "weight"), ("add", "bias")):
        if call[name] is not None:
            result = b.add(operation, x.shape, x=result, y=b.reshape(b.cast(call[name], b.floats), per_channel))
    return result


def x_size(tensor: Tensor) -> int:
    """Number of elements."""
    return int(np.prod(tensor.shape, dtype=np.int64))


@rule("aten.batch_norm.default")
def _batch_norm(b: Builder, call: Call) -> Result:
    if call["training"]:
        raise Unsupported("a batch norm in training mode")
    return b.add(
        "batch_norm",
        call.shape,
        x=b.cast(call["input"], b.floats),
        mean=_constant(b, call["running_mean"], "running mean"),
        variance=_constant(b, call["running_var"], "running variance"),
        gamma=_floats(b, call["weight"]),
        beta=_floats(b, call["bias"]),
        epsilon=float(call["eps"]),
    )


@rule("aten.embedding.default")
def _embedding(b: Builder, call: Call) -> Result:
    table = _constant(b, call["weight"], "embedding table")
    indices = b.cast(call["indices"], DType.INT32)
    return gather(b, call, table, indices, 0)


@rule("aten.index_select.default")
def _index_select(b: Builder, call: Call) -> Result:
    return gather(b, call, call["self"], b.cast(call["index"], DType.INT32), int(call["dim"]))


def gather(b: Builder, call: Call, table: Tensor, indices: Tensor, axis: int) -> Tensor:
    """Rows of `table` along `axis`."""
    return b.add(
        "gather", call.shape, table.dtype, x=table, indices=indices, axis=axis, batch_dims=0, validate_indices=False
    )
