"""Arithmetic, activations, comparisons and reductions."""

from __future__ import annotations

import numpy as np

from mobie_coreml.convert.builder import Builder, Call, Result, Rule, rule
from mobie_coreml.convert.graph import DType, Literal, Tensor, Unsupported, Weight

# MIL adds this to the argument of rsqrt, log and inverse; PyTorch adds nothing. It vanishes in fp16.
_EPSILON = 1e-12

_UNARY = (
    "abs",
    "ceil",
    "cos",
    "erf",
    "exp",
    "floor",
    "relu",
    "round",
    "sigmoid",
    "silu",
    "sin",
    "sqrt",
    "square",
    "tanh",
)
_ARITHMETIC = {"add": "add", "sub": "sub", "mul": "mul", "div": "real_div"}
_COMPARISONS = {
    "gt": "greater",
    "ge": "greater_equal",
    "lt": "less",
    "le": "less_equal",
    "eq": "equal",
    "ne": "not_equal",
}
_REDUCTIONS = {"mean": "reduce_mean", "sum": "reduce_sum", "amax": "reduce_max", "amin": "reduce_min"}


def _unary(operation: str) -> Rule:
    def emit(b: Builder, call: Call) -> Result:
        return b.add(operation, call.shape, x=b.cast(call["self"], b.floats))

    return emit


def _elementwise(b: Builder, call: Call, operation: str, x: object, y: object) -> Tensor:
    dtype = b.result_dtype(call)
    return b.add(operation, call.shape, dtype, x=b.number(x, dtype), y=b.number(y, dtype))


def _arithmetic(operation: str) -> Rule:
    def emit(b: Builder, call: Call) -> Result:
        if call.get("rounding_mode") is not None:
            raise Unsupported("a rounding mode")
        other, alpha = call["other"], call.get("alpha", 1)
        if alpha != 1:
            dtype = b.result_dtype(call)
            shape = tuple(getattr(other, "shape", ()))
            other = b.add("mul", shape, dtype, x=b.number(other, dtype), y=b.number(alpha, dtype))
        return _elementwise(b, call, operation, call["self"], other)

    return emit


def _plain_binary(operation: str) -> Rule:
    return lambda b, call: _elementwise(b, call, operation, call["self"], call["other"])


def _comparison(operation: str) -> Rule:
    def emit(b: Builder, call: Call) -> Result:
        x, y = call["self"], call["other"]
        integers = isinstance(x.dtype, DType) and x.dtype is DType.INT32 and not isinstance(y, float)
        dtype = DType.INT32 if integers else b.floats
        return b.add(operation, call.shape, DType.BOOL, x=b.number(x, dtype), y=b.number(y, dtype))

    return emit


def _reduction(operation: str) -> Rule:
    def emit(b: Builder, call: Call) -> Result:
        x = b.cast(call["self"], b.floats)
        axes = call.get("dim")
        axes = list(range(len(x.shape))) if axes is None or axes == [] else [axes] if isinstance(axes, int) else axes
        keep = bool(call.get("keepdim", False))
        return b.add(operation, call.shape, x=x, axes=list(axes), keep_dims=keep)

    return emit


for _name in _UNARY:
    rule(f"aten.{_name}.default")(_unary(_name))
for _name, _operation in _ARITHMETIC.items():
    rule(f"aten.{_name}.Tensor", f"aten.{_name}.Scalar")(_arithmetic(_operation))
rule("aten.div.Tensor_mode", "aten.div.Scalar_mode")(_arithmetic("real_div"))
for _name in ("maximum", "minimum"):
    rule(f"aten.{_name}.default")(_plain_binary(_name))
for _name, _operation in _COMPARISONS.items():
    rule(f"aten.{_name}.Tensor", f"aten.{_name}.Scalar")(_comparison(_operation))
for _name, _operation in _REDUCTIONS.items():
    rule(f"aten.{_name}.dim", f"aten.{_name}.dim_IntList", f"aten.{_name}.default")(_reduction(_operation))


@rule("aten.rsub.Scalar", "aten.rsub.Tensor")
def _reversed_sub(b: Builder, call: Call) -> Result:
    if call.get("alpha", 1) != 1:
        raise Unsupported("alpha other than 1")
    return _elementwise(b, call, "sub", call["other"], call["self"])


@rule("aten.neg.default")
def _neg(b: Builder, call: Call) -> Result:
    return _elementwise(b, call, "mul", call["self"], -1.0)


@rule("aten.reciprocal.default")
def _reciprocal(b: Builder, call: Call) -> Result:
    return _elementwise(b, call, "real_div", 1.0, call["self"])


@rule("aten.rsqrt.default")
def _rsqrt(b: Builder, call: Call) -> Result:
    return b.add("rsqrt", call.shape, x=b.cast(call["self"], b.floats), epsilon=_EPSILON)


@rule("aten.log.default")
def _log(b: Builder, call: Call) -> Result:
    return b.add("log", call.shape, x=b.cast(call["self"], b.floats), epsilon=_EPSILON)


@rule("aten.pow.Tensor_Scalar")
def _pow(b: Builder, call: Call) -> Result:
    x, exponent = b.cast(call["self"], b.floats), call["exponent"]
    if exponent == 2:
        return b.add("square", call.shape, x=x)
    if exponent == 0.5:
        return b.add("sqrt", call.shape, x=x)
    if exponent == -0.5:
        return b.add("rsqrt", call.shape, x=x, epsilon=_EPSILON)
    return b.add("pow", call.shape, x=x, y=b.number(exponent, b.floats))


@rule("aten.pow.Tensor_Tensor")
def _pow_tensor(b: Builder, call: Call) -> Result:
    return _elementwise(b, call, "pow", call["self"], call["exponent"])


@rule("aten.gelu.default")
def _gelu(b: Builder, call: Call) -> Result:
    mode = {"none": "EXACT", "tanh": "TANH_APPROXIMATION"}[call["approximate"]]
    return b.add("gelu", call.shape, x=b.cast(call["self"], b.floats), mode=mode)


@rule("aten.softmax.int", "aten._softmax.default")
def _softmax(b: Builder, call: Call) -> Result:
    return b.add("softmax", call.shape, x=b.cast(call["self"], b.floats), axis=int(call["dim"]))


@rule("aten.clamp.default", "aten.clamp_min.default", "aten.clamp_max.default", "aten.hardtanh.default")
def _clamp(b: Builder, call: Call) -> Result:
    low, high = call.get("min", call.get("min_val")), call.get("max", call.get("max_val"))
    dtype = b.result_dtype(call)
    x = b.cast(call["self"], dtype)
    if low is not None and high is not None:
        return b.add("clip", call.shape, dtype, x=x, alpha=b.number(low, dtype), beta=b.number(high, dtype))
    if low is not None:
        return b.add("maximum", call.shape, dtype, x=x, y=b.number(low, dtype))
    return b.add("minimum", call.shape, dtype, x=x, y=b.number(high, dtype))


@rule("aten.where.self", "aten.where.ScalarOther", "aten.where.ScalarSelf", "aten.where.Scalar")
def _where(b: Builder, call: Call) -> Result:
    return _select(b, call, call["condition"], call["self"], call["other"])


@rule("aten.masked_fill.Scalar", "aten.masked_fill.Tensor")
def _masked_fill(b: Builder, call: Call) -> Result:
    return _select(b, call, call["mask"], call["value"], call["self"])


def _select(b: Builder, call: Call, condition: Tensor, chosen: object, other: object) -> Result:
    """MIL takes the result's shape from the branches, so one of them has to have it."""
    dtype = b.result_dtype(call)
    first, second = b.number(chosen, dtype), b.number(other, dtype)
    if np.broadcast_shapes(first.shape, second.shape) != call.shape:
        if not isinstance(second, Literal):
            raise Unsupported("a choice between tensors that are both smaller than the condition")
        second = _filled(second, call.shape)
    return b.add("select", call.shape, dtype, cond=condition, a=first, b=second)


def _filled(value: Literal, shape: tuple[int, ...]) -> Weight:
    array = value.array()
    key = ("filled", value, shape)
    return Weight(key, "filled", shape, value.dtype, lambda _: np.broadcast_to(array, shape), exact=True)


@rule("aten.logical_not.default", "aten.bitwise_not.default")
def _logical_not(b: Builder, call: Call) -> Result:
    if call["self"].dtype is not DType.BOOL:
        raise Unsupported("a negation of numbers")
    return b.add("logical_not", call.shape, DType.BOOL, x=call["self"])


@rule(
    "aten.to.dtype",
    "aten.to.dtype_layout",
    "aten.to.device",
    "aten._to_copy.default",
    "aten.type_as.default",
    "aten.to.other",
)
def _convert(b: Builder, call: Call) -> Result:
    return b.cast(call["self"], b.result_dtype(call))
