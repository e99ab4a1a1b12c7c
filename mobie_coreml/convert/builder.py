"""What lowering rules use to read a call and to add MIL operations for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import fx

from mobie_coreml.convert.constants import mil_dtype
from mobie_coreml.convert.graph import (
    DType,
    Graph,
    Literal,
    Names,
    Operand,
    Operation,
    Tensor,
    Value,
    Weight,
)

Result: TypeAlias = Tensor | list[Tensor]


class Call:
    """One ATen call with its arguments by their names in the operator's schema.

    Tensor arguments are what they were lowered to; all others are plain Python.
    """

    def __init__(self, node: fx.Node, known: dict[fx.Node, Result]) -> None:
        self.node = node
        schema = getattr(node.target, "_schema", None)
        self._arguments: dict[str, Any] = {}
        if schema is None:
            for index, argument in enumerate(node.args):
                self._arguments[str(index)] = _lowered(argument, known)
            return
        for index, argument in enumerate(schema.arguments):
            if index < len(node.args):
                self._arguments[argument.name] = _lowered(node.args[index], known)
            elif argument.name in node.kwargs:
                self._arguments[argument.name] = _lowered(node.kwargs[argument.name], known)
            elif argument.has_default_value():
                self._arguments[argument.name] = argument.default_value

    def __getitem__(self, name: str) -> Any:
        return self._arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The argument, or `default` where the operator has none of this name."""
        return self._arguments.get(name, default)

    @property
    def results(self) -> list[torch.Tensor]:
        """Data-less results of the call."""
        value = self.node.meta["val"]
        return [value] if isinstance(value, torch.Tensor) else list(value)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the (first) result."""
        return tuple(self.results[0].shape)


def _lowered(argument: Any, known: dict[fx.Node, Result]) -> Any:
    if isinstance(argument, fx.Node):
        return known[argument]
    if isinstance(argument, (list, tuple)):
        return [_lowered(item, known) for item in argument]
    return argument


@dataclass
class Builder:
    """Appends operations to a graph.

    Attributes:
        graph: Where operations go.
        names: Identifiers given out so far.
        floats: Type of the arithmetic: every floating-point tensor has it.
        opset: 7 for iOS17, 8 for iOS18: "CoreML7", "CoreML8".
        path: Module of the call that is being lowered.
    """

    graph: Graph
    names: Names
    floats: DType
    opset: int
    path: str = ""

    def add(self, operation: str, shape: Sequence[int], out: DType | None = None, /, **inputs: Any) -> Value:
        """Appends an operation with one output of `shape`; plain Python inputs become literals, None is left out."""
        return self.add_many(operation, [shape], out, **inputs)[0]

    def add_many(
        self, operation: str, shapes: Sequence[Sequence[int]], out: DType | None = None, /, **inputs: Any
    ) -> list[Value]:
        """Appends an operation with an output of each of `shapes`, all of type `out` (default: the arithmetic's)."""
        outputs = tuple(
            Value(self.names.value(self.path, operation), tuple(int(size) for size in shape), out or self.floats)
            for shape in shapes
        )
        operands = {name: self.operand(value) for name, value in inputs.items() if value is not None}
        self.graph.operations.append(Operation(operation, operands, outputs, self.path))
        return list(outputs)

    def operand(self, value: Any) -> Operand:
        """A tensor as it is, a list of tensors as a tuple, anything else as a literal (floats as the arithmetic's)."""
        if isinstance(value, (Value, Weight, Literal)):
            return value
        if isinstance(value, (list, tuple)) and value and isinstance(value[0], (Value, Weight, Literal)):
            return tuple(value)
        return Literal.of(value, self.floats)

    def cast(self, tensor: Tensor, dtype: DType) -> Tensor:
        """`tensor` as values of `dtype`; constants change type without an operation."""
        if tensor.dtype is dtype:
            return tensor
        if isinstance(tensor, Literal):
            return Literal.from_array(tensor.array(), dtype)
        if isinstance(tensor, Weight):
            return tensor.cast(dtype)
        return self.add("cast", tensor.shape, dtype, x=tensor, dtype=dtype.value)

    def number(self, value: Any, dtype: DType) -> Tensor:
        """A tensor or a Python number as an operand of element-wise arithmetic in `dtype`."""
        if isinstance(value, (Value, Weight, Literal)):
            return self.cast(value, dtype)
        return Literal.from_array(np.asarray(value), dtype)

    def reshape(self, tensor: Tensor, shape: Sequence[int]) -> Tensor:
        """`tensor` in another shape of as many elements."""
        target = tuple(int(size) for size in shape)
        if tensor.shape == target:
            return tensor
        if isinstance(tensor, Weight):
            return tensor.map(("reshape", target), lambda array: array.reshape(target), target)
        if isinstance(tensor, Literal):
            return Literal.from_array(tensor.array().reshape(target), tensor.dtype)
        return self.add("reshape", target, tensor.dtype, x=tensor, shape=list(target))

    def transpose(self, tensor: Tensor, permutation: Sequence[int]) -> Tensor:
        """`tensor` with its axes in another order."""
        perm = [axis % len(tensor.shape) for axis in permutation]
        if perm == sorted(perm):
            return tensor
        shape = tuple(tensor.shape[axis] for axis in perm)
        if isinstance(tensor, Weight):
            return tensor.map(("transpose", tuple(perm)), lambda array: array.transpose(perm), shape)
        if isinstance(tensor, Literal):
            return Literal.from_array(tensor.array().transpose(perm), tensor.dtype)
        return self.add("transpose", shape, tensor.dtype, x=tensor, perm=perm)

    def result_dtype(self, call: Call) -> DType:
        """MIL type of the call's result."""
        return mil_dtype(call.results[0].dtype, self.floats)


Rule = Callable[[Builder, Call], Result]
RULES: dict[str, Rule] = {}
"""ATen overload ("aten.linear.default") to the rule that expresses it in MIL."""


def rule(*targets: str) -> Callable[[Rule], Rule]:
    """Registers a lowering rule for ATen overloads."""

    def register(function: Rule) -> Rule:
        for target in targets:
            if target in RULES:
                raise ValueError(f"two rules for {target}")
            RULES[target] = function
        return function

    return register


def axis_of(axis: int, rank: int) -> int:
    """A non-negative axis."""
    return axis % rank if rank else 0
