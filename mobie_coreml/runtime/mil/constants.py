"""Constants of a program: read when they are used, kept where they are small.

A constant that a device reads in place (weights in the file, palettes) stays as it is stored until an operation needs
it. If all weights of a program fit into `CACHE_BYTES` once decoded, they are decoded once and kept, so that a small
model runs at full speed; otherwise only those up to `ALWAYS_KEPT_BYTES` are, and every other one is decoded at each
use into scratch memory that is used again and again (fresh memory costs more than the decoding itself).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.types import REPRESENTATION, ValueType

CACHE_BYTES = 640 << 20
ALWAYS_KEPT_BYTES = 1 << 18
_SMALL_ELEMENTS = 4096


class Scratch:
    """Memory for the decoded weights of one operation at a time."""

    def __init__(self) -> None:
        self._buffer = torch.empty(0)
        self._used = 0

    def reset(self) -> None:
        """Everything handed out before may be overwritten from now on."""
        self._used = 0

    def reserve(self, elements: int) -> None:
        """Makes room for `elements` float32 numbers at once."""
        if self._buffer.numel() < elements:
            self._buffer = torch.empty(elements)

    def take(self, shape: tuple[int, ...]) -> torch.Tensor:
        """A float32 tensor of `shape` with arbitrary content, valid until `reset`."""
        count = math.prod(shape)
        if self._used + count > self._buffer.numel():
            return torch.empty(shape)
        view = self._buffer[self._used : self._used + count].view(shape)
        # Whole cache lines, so that the next weight starts aligned as a fresh tensor would.
        self._used += -(-count // 16) * 16
        return view


class Constant:
    """One constant value of a program.

    Args:
        name: Name of the value, for errors.
        type: Declared type.
        read: Reads the value from the package: an array of the declared shape, or of strings.
    """

    def __init__(self, name: str, type: ValueType, read: Callable[[], np.ndarray[Any, Any]]) -> None:
        self.name = name
        self.type = type
        self._read = read
        self._small: np.ndarray[Any, Any] | None = None
        self._kept: torch.Tensor | None = None

    @property
    def decoded_bytes(self) -> int:
        """Bytes of the decoded tensor."""
        if self.type.dtype not in REPRESENTATION:
            return 0
        return (self.type.elements or 0) * REPRESENTATION[self.type.dtype].itemsize

    def value(self) -> Any:
        """The value as an array, or as a str for a single string; small ones are kept."""
        value = self._small if self._small is not None else self._checked()
        if value.size <= _SMALL_ELEMENTS:
            self._small = value
        return str(value.item()) if value.dtype.kind == "U" and value.ndim == 0 else value

    def keep(self) -> torch.Tensor:
        """The decoded tensor, decoded once and kept."""
        if self._kept is None:
            tensor = self.load()
            # A view of the weight file would make the file resident as long as the tensor lives.
            self._kept = tensor.clone() if tensor.dtype != torch.float32 or self.type.dtype == "fp32" else tensor
        return self._kept

    def load(self, scratch: Scratch | None = None) -> torch.Tensor:
        """The decoded tensor: float32 for every floating-point type, else as `types.REPRESENTATION` says.

        Args:
            scratch: Where float16 values may be widened.

        Raises:
            PackageError: the package contradicts itself here.
        """
        if self._kept is not None:
            return self._kept
        array = self._checked()
        if self.type.dtype not in REPRESENTATION or array.dtype.kind == "U":
            raise ProgramError(f"Constant {self.name!r} of type {self.type} is used as a tensor.")
        target = REPRESENTATION[self.type.dtype]
        if array.dtype == np.float16 and scratch is not None:
            return scratch.take(array.shape).copy_(_borrow(array))
        if array.dtype in (np.uint16, np.uint32, np.uint64):
            array = array.astype(np.int64)
        return _borrow(array).to(target)

    def _checked(self) -> np.ndarray[Any, Any]:
        array = self._read()
        declared = self.type.static_shape
        if self.type.kind == "tensor" and declared is not None and array.shape != declared:
            raise ProgramError(f"Constant {self.name!r} declares shape {list(declared)} but has {list(array.shape)}.")
        return array


def _borrow(array: np.ndarray[Any, Any]) -> torch.Tensor:
    """The array's memory as a tensor, which nobody writes to."""
    view = np.asarray(array, order="C").view()
    if not view.flags.writeable:
        try:
            # Weight files are mapped privately; torch warns of memory that says it is read-only.
            view.flags.writeable = True
        except ValueError:
            view = view.copy()
    return torch.from_numpy(view)


def kept_constants(constants: Iterable[Constant]) -> set[int]:
    """Which constants to decode once and keep, by `id` (see the policy above)."""
    unique = {id(constant): constant for constant in constants}
    total = sum(constant.decoded_bytes for constant in unique.values())
    limit = CACHE_BYTES if total <= CACHE_BYTES else ALWAYS_KEPT_BYTES
    return {key for key, constant in unique.items() if constant.decoded_bytes <= limit}
