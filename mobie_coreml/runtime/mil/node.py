"""One operation of a program as its builder sees it: constant attributes parsed, arguments bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mobie_coreml.runtime.mil.constants import Constant, Scratch
from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.types import ValueType


@dataclass(frozen=True, slots=True)
class Argument:
    """A value bound to an input: its slot in the environment, its declared type, its constant where it is one."""

    slot: int
    type: ValueType
    constant: Constant | None = None


@dataclass(slots=True)
class Node:
    """An operation with its bindings.

    Attributes:
        type: Operation type, such as "conv".
        name: Name of its first output, which reports use.
        opset: 5 for iOS 15 up to 9 for iOS 26, from the function's "CoreML5" and so on.
        arguments: Bound values per input name; several for variadic inputs.
        outputs: Declared types of the results.
        index: Position among the program's non-constant operations.
        blocks: Nested blocks, ready to run; only control flow has them.
        scratch: The program's scratch memory, for running them.
    """

    type: str
    name: str
    opset: int
    arguments: dict[str, list[Argument]]
    outputs: tuple[ValueType, ...]
    index: int = 0
    blocks: list[Any] = field(default_factory=list)
    scratch: Scratch = field(default_factory=Scratch)

    def has(self, name: str) -> bool:
        """Whether the input is bound to anything."""
        return bool(self.arguments.get(name))

    def input_type(self, name: str) -> ValueType:
        """Declared type of a single-valued input."""
        return self._single(name).type

    def is_constant(self, name: str) -> bool:
        """Whether the input's value is known at load."""
        return self.has(name) and all(argument.constant is not None for argument in self.arguments[name])

    def constant(self, name: str) -> Any:
        """The input's constant value (an array, or a str), or None when the input is absent.

        Raises:
            ProgramError: the value is computed at run time.
        """
        if not self.has(name):
            return None
        argument = self._single(name)
        if argument.constant is None:
            raise ProgramError(f"its input {name!r} must be a constant")
        return argument.constant.value()

    def integer(self, name: str, default: int | None = None) -> int:
        """A constant integer."""
        value = self._required(name, default)
        array = np.asarray(value)
        if array.size != 1 or array.dtype.kind not in "iufb":
            raise ProgramError(f"its input {name!r} must be one integer")
        return int(array.reshape(()).item())

    def integer_list(self, name: str, default: Sequence[int] | None = None) -> tuple[int, ...]:
        """A constant list of integers."""
        array = np.asarray(self._required(name, default)).reshape(-1)
        if array.size and array.dtype.kind not in "iub":
            raise ProgramError(f"its input {name!r} must be a list of integers")
        return tuple(int(number) for number in array)

    def number(self, name: str, default: float | None = None) -> float:
        """A constant number."""
        array = np.asarray(self._required(name, default))
        if array.size != 1 or array.dtype.kind not in "iufb":
            raise ProgramError(f"its input {name!r} must be one number")
        return float(array.reshape(()).item())

    def flag(self, name: str, default: bool | None = None) -> bool:
        """A constant truth value."""
        return bool(self.integer(name, None if default is None else int(default)))

    def text(self, name: str, default: str | None = None, allowed: Sequence[str] = ()) -> str:
        """A constant string, one of `allowed` where that is given."""
        value = self._required(name, default)
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(()).item()
        if not isinstance(value, str):
            raise ProgramError(f"its input {name!r} must be a string")
        if allowed and value not in allowed:
            raise ProgramError(f"its input {name!r} is {value!r}, not one of {', '.join(allowed)}")
        return value

    def integer_reader(self, name: str) -> Callable[[torch.Tensor | None], tuple[int, ...]]:
        """Reads an integer list that may be constant (parsed once) or computed (read from the tensor at every run)."""
        if self.is_constant(name):
            values = self.integer_list(name)
            return lambda tensor: values

        def read(tensor: torch.Tensor | None) -> tuple[int, ...]:
            if tensor is None:
                raise ProgramError(f"its input {name!r} is missing")
            return tuple(int(number) for number in tensor.reshape(-1).tolist())

        return read

    def axis(self, name: str = "axis", default: int | None = None, rank: int | None = None) -> int:
        """A constant axis; negative ones stay negative unless `rank` is given."""
        axis = self.integer(name, default)
        if rank is not None:
            if not -rank <= axis < rank:
                raise ProgramError(f"its axis {axis} is outside a value of rank {rank}")
            axis %= rank
        return axis

    def _single(self, name: str) -> Argument:
        bound = self.arguments.get(name, [])
        if len(bound) != 1:
            raise ProgramError(f"its input {name!r} must be bound to one value, not {len(bound)}")
        return bound[0]

    def _required(self, name: str, default: Any) -> Any:
        value = self.constant(name)
        if value is None:
            value = default
        if value is None:
            raise ProgramError(f"its input {name!r} is missing")
        return value
