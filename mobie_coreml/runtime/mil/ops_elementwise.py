"""Elementwise operations on one, two and three values."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.limits import SURELY_SMALL, check_elements
from mobie_coreml.runtime.mil.node import Node
from mobie_coreml.runtime.mil.registry import Kernel, operation
from mobie_coreml.runtime.mil.types import REPRESENTATION

Tensor = torch.Tensor

_UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs,
    "acos": torch.acos,
    "asin": torch.asin,
    "atan": torch.atan,
    "atanh": torch.atanh,
    "ceil": torch.ceil,
    "cos": torch.cos,
    "cosh": torch.cosh,
    "erf": torch.erf,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "floor": torch.floor,
    "logical_not": torch.logical_not,
    "round": torch.round,
    "sign": torch.sign,
    "sin": torch.sin,
    "sinh": torch.sinh,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "tan": torch.tan,
    "tanh": torch.tanh,
}

_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "equal": torch.eq,
    "floor_div": torch.floor_divide,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "less": torch.lt,
    "less_equal": torch.le,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "mod": torch.remainder,
    "mul": torch.mul,
    "not_equal": torch.ne,
    "pow": torch.pow,
    "sub": torch.sub,
}


def broadcast_guard(*values: Tensor) -> None:
    """Refuses a broadcast whose result could not fit into memory."""
    if math.prod(value.numel() for value in values) <= SURELY_SMALL:
        return
    rank = max(value.dim() for value in values)
    check_elements(max(v.shape[axis] if -axis <= v.dim() else 1 for v in values) for axis in range(-rank, 0))


@operation(*_UNARY)
def unary(node: Node) -> Kernel:
    return _UNARY[node.type]


@operation(*_BINARY, takes="x y")
def binary(node: Node) -> Kernel:
    function = _BINARY[node.type]

    def run(x: Tensor, y: Tensor) -> Tensor:
        if x.numel() * y.numel() > SURELY_SMALL:
            broadcast_guard(x, y)
        return function(x, y)

    return run


@operation("real_div", takes="x y")
def real_div(node: Node) -> Kernel:
    """True division; between integers with an integer result it truncates."""
    rounding = None if node.outputs[0].is_float else "trunc"

    def run(x: Tensor, y: Tensor) -> Tensor:
        if x.numel() * y.numel() > SURELY_SMALL:
            broadcast_guard(x, y)
        return torch.div(x, y, rounding_mode=rounding)

    return run


@operation("select", takes="cond a b", moves=True)
def select(node: Node) -> Kernel:
    def run(cond: Tensor, a: Tensor, b: Tensor) -> Tensor:
        broadcast_guard(cond, a, b)
        return torch.where(cond.bool(), a, b)

    return run


@operation("clip")
def clip(node: Node) -> Kernel:
    low, high = node.number("alpha"), node.number("beta")
    return lambda x: torch.clamp(x, low, high)


@operation("threshold")
def threshold(node: Node) -> Kernel:
    """max(x, alpha)."""
    alpha = node.number("alpha")
    return lambda x: torch.clamp(x, min=alpha)


@operation("inverse")
def inverse(node: Node) -> Kernel:
    epsilon = node.number("epsilon", 1e-4)
    return lambda x: torch.reciprocal(x + epsilon)


@operation("log")
def log(node: Node) -> Kernel:
    epsilon = node.number("epsilon", 1e-45)
    return lambda x: torch.log(x + epsilon)


@operation("rsqrt")
def rsqrt(node: Node) -> Kernel:
    epsilon = node.number("epsilon", 1e-12)
    return lambda x: torch.rsqrt(x + epsilon)


@operation("cast")
def cast(node: Node) -> Kernel:
    """Floats become integers by truncation and truth values by "not zero"; float widths are the executor's concern."""
    dtype = node.text("dtype")
    if dtype not in REPRESENTATION:
        raise ProgramError(f"it casts to {dtype!r}, which is no element type")
    target = REPRESENTATION[dtype]
    if target == torch.bool:
        return lambda x: x != 0
    return lambda x: x.to(target)


@operation("identity", moves=True)
def identity(node: Node) -> Kernel:
    return lambda x: x


def _quantization_shape(node: Node, x: Tensor, parameter: Tensor) -> Tensor:
    if parameter.dim() == 0:
        return parameter
    shape = [1] * x.dim()
    shape[node.axis(rank=x.dim())] = -1
    return parameter.reshape(shape)


@operation("quantize", takes="input scale zero_point?")
def quantize(node: Node) -> Kernel:
    """clip(round(input / scale) + zero_point)."""
    dtype = node.text("output_dtype", None, ("int8", "uint8"))
    target = REPRESENTATION[dtype]
    limits = torch.iinfo(target)

    def run(x: Tensor, scale: Tensor, zero_point: Tensor | None) -> Tensor:
        steps = torch.round(x / _quantization_shape(node, x, scale))
        if zero_point is not None:
            steps = steps + _quantization_shape(node, x, zero_point)
        return steps.clamp(limits.min, limits.max).to(target)

    return run


@operation("dequantize", takes="input scale zero_point?")
def dequantize(node: Node) -> Kernel:
    """scale * (input - zero_point)."""

    def run(x: Tensor, scale: Tensor, zero_point: Tensor | None) -> Tensor:
        steps = x.float()
        if zero_point is not None:
            steps = steps - _quantization_shape(node, x, zero_point.float())
        return steps * _quantization_shape(node, x, scale)

    return run
