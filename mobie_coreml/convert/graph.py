"""The graph between the traced module and the package: typed MIL operations whose weights are not loaded yet."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

LoadWeight = Callable[[str], npt.NDArray[np.generic]]
"""Gives a parameter or buffer by its name in the module; called once for each use, so that nothing is held."""


class Unsupported(Exception):
    """Raised for a call that MIL cannot express; the message says which part of it."""


class DType(enum.StrEnum):
    """Types of MIL values that converted components use; the value is MIL's own name in `cast`."""

    FP16 = "fp16"
    FP32 = "fp32"
    INT32 = "int32"
    BOOL = "bool"
    STRING = "string"

    @property
    def is_float(self) -> bool:
        return self in (DType.FP16, DType.FP32)

    @property
    def numpy(self) -> npt.DTypeLike:
        """The NumPy type of tensors of this type (not for strings)."""
        return {"fp16": np.float16, "fp32": np.float32, "int32": np.int32, "bool": np.bool_}[self.value]


@dataclass(eq=False, slots=True)
class Value:
    """A tensor that exists when the package runs: an input or an operation's output.

    `node` is the call of the trace whose result it is; empty where the trace has no such result.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType
    node: str = ""


Plain = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Literal:
    """A small constant kept in the program itself: a scalar (`shape` is ()) or a flat row-major tuple.

    Floats are rounded to `dtype` when the literal is made, so that equal literals are equal constants.
    """

    dtype: DType
    value: Plain | tuple[Plain, ...]
    shape: tuple[int, ...] = ()

    @classmethod
    def of(cls, value: object, float_dtype: DType = DType.FP32) -> Literal:
        """A literal of a Python scalar or of a (nested) sequence of one kind of them."""
        if isinstance(value, str):
            return cls(DType.STRING, value)
        array = np.asarray(value)
        if array.dtype == np.bool_:
            dtype = DType.BOOL
        elif array.dtype.kind in "iu":
            dtype = DType.INT32
        elif array.dtype.kind == "f":
            dtype = float_dtype
        else:
            raise TypeError(f"{value!r} is not a MIL constant")
        return cls.from_array(array, dtype)

    @classmethod
    def from_array(cls, array: npt.NDArray[np.generic], dtype: DType) -> Literal:
        """A literal of an array, rounded to `dtype`."""
        with np.errstate(over="ignore"):
            rounded = array.astype(dtype.numpy)
        flat = tuple(rounded.reshape(-1).tolist())
        return cls(dtype, flat[0] if array.ndim == 0 else flat, tuple(array.shape))

    def array(self) -> npt.NDArray[np.generic]:
        """The constant as an array of its shape."""
        return np.asarray(self.value, dtype=self.dtype.numpy).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Weight:
    """A constant tensor that is made only while the package is written.

    `key` says what it is, so that the same tensor is stored once; `name` is what the package calls it. Floating-point
    weights are stored in fp16 whatever `dtype` is: one of fp32 is brought back by `constexpr_cast`. Vectors, and those
    that are `exact` (tables computed from nothing, such as the frequencies of the timestep), are stored in `dtype`.
    """

    key: Hashable
    name: str = field(compare=False)
    shape: tuple[int, ...]
    dtype: DType
    make: Callable[[LoadWeight], npt.NDArray[np.generic]] = field(compare=False, repr=False)
    exact: bool = False

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def map(
        self,
        what: Hashable,
        change: Callable[[npt.NDArray[np.generic]], npt.NDArray[np.generic]],
        shape: tuple[int, ...] | None = None,
    ) -> Weight:
        """This weight after `change`, still unloaded; `what` names the change for `key`."""
        make, shape = self.make, self.shape if shape is None else shape
        return replace(self, key=(what, self.key), shape=shape, make=lambda load: change(make(load)))

    def cast(self, dtype: DType) -> Weight:
        """This weight as values of another type."""
        return self if dtype is self.dtype else replace(self, dtype=dtype)


Tensor = Value | Weight | Literal
Operand = Tensor | tuple[Tensor, ...]


@dataclass(eq=False, slots=True)
class Operation:
    """One MIL operation. `path` is the PyTorch module that it comes from, dotted; "" for the outermost."""

    type: str
    inputs: dict[str, Operand]
    outputs: tuple[Value, ...]
    path: str = ""

    def operands(self) -> Iterator[Tensor]:
        """Every tensor it reads, those inside tuples too."""
        for operand in self.inputs.values():
            if isinstance(operand, tuple):
                yield from operand
            else:
                yield operand

    def values(self) -> Iterator[Value]:
        """The run-time tensors it reads."""
        for operand in self.operands():
            if isinstance(operand, Value):
                yield operand

    @property
    def output(self) -> Value:
        """The only output.

        Raises:
            ValueError: there are several.
        """
        (value,) = self.outputs
        return value


@dataclass(eq=False)
class Graph:
    """Operations in an order in which each comes after what it reads."""

    inputs: list[Value]
    operations: list[Operation]
    outputs: list[Value]

    def consumers(self) -> dict[Value, list[Operation]]:
        """For each value the operations that read it, in order, one entry a read."""
        uses: dict[Value, list[Operation]] = {}
        for operation in self.operations:
            for value in operation.values():
                uses.setdefault(value, []).append(operation)
        return uses

    def producers(self) -> dict[Value, Operation]:
        """For each computed value the operation that makes it."""
        return {value: operation for operation in self.operations for value in operation.outputs}

    def substitute(self, replaced: dict[Value, Tensor]) -> None:
        """Makes every reader of a key read its replacement; chains of replacements are followed."""

        def final(tensor: Tensor) -> Tensor:
            while isinstance(tensor, Value) and tensor in replaced:
                tensor = replaced[tensor]
            return tensor

        if not replaced:
            return
        for operation in self.operations:
            operation.inputs = {
                name: tuple(final(item) for item in operand) if isinstance(operand, tuple) else final(operand)
                for name, operand in operation.inputs.items()
            }
        for index, value in enumerate(self.outputs):
            tensor = final(value)
            if not isinstance(tensor, Value):
                raise ValueError(f"output {value.name} would become a constant")
            self.outputs[index] = tensor


class Names:
    """Gives out MIL identifiers, each once."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def unique(self, wanted: str) -> str:
        """`wanted` as an identifier; `_1`, `_2`, … follow where it is taken."""
        name = re.sub(r"[^A-Za-z0-9_]", "_", wanted)
        if not name or name[0].isdigit():
            name = f"_{name}"
        candidate = name
        while candidate in self._taken:
            self._taken[name] += 1
            candidate = f"{name}_{self._taken[name]}"
        self._taken[candidate] = 0
        return candidate

    def value(self, path: str, operation: str) -> str:
        """The name of a value that a module's operation makes: `down_blocks_0_resnets_0_conv1__conv`."""
        return self.unique(f"{path.replace('.', '_') or 'main'}__{operation}")
