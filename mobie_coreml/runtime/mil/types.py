"""Value types of a MIL program and how the executor represents them.

Every floating-point value is a float32 tensor whatever the program declares (in fp16 mode its values are rounded to
what float16 can hold); integers keep their width, except that unsigned 16 and 32 bit live one size up, because torch
has few kernels for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from mobie_coreml.runtime.mil.errors import ProgramError

_NAMES = {
    "BOOL": "bool",
    "STRING": "string",
    "FLOAT16": "fp16",
    "FLOAT32": "fp32",
    "FLOAT64": "fp64",
    "BFLOAT16": "bf16",
    "INT4": "int4",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "UINT1": "uint1",
    "UINT2": "uint2",
    "UINT3": "uint3",
    "UINT4": "uint4",
    "UINT6": "uint6",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
}

REPRESENTATION: dict[str, torch.dtype] = {
    "bool": torch.bool,
    "fp16": torch.float32,
    "fp32": torch.float32,
    "fp64": torch.float32,
    "bf16": torch.float32,
    "int4": torch.int8,
    "int8": torch.int8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "uint1": torch.uint8,
    "uint2": torch.uint8,
    "uint3": torch.uint8,
    "uint4": torch.uint8,
    "uint6": torch.uint8,
    "uint8": torch.uint8,
    "uint16": torch.int32,
    "uint32": torch.int64,
    "uint64": torch.int64,
}

FLOATS = frozenset({"fp16", "fp32", "fp64", "bf16"})


@dataclass(frozen=True, slots=True)
class ValueType:
    """Declared type of a value: `shape` has None where a dimension is decided at run time; None alone is any shape.

    `kind` is "tensor", "state" (a tensor that outlives a run) or "other" (lists and dictionaries).
    """

    dtype: str
    shape: tuple[int | None, ...] | None
    kind: str = "tensor"

    @property
    def is_float(self) -> bool:
        """Whether values of this type are floating-point numbers."""
        return self.dtype in FLOATS

    @property
    def static_shape(self) -> tuple[int, ...] | None:
        """The shape where all of it is known before a run, else None."""
        if self.shape is None:
            return None
        known = tuple(size for size in self.shape if size is not None)
        return known if len(known) == len(self.shape) else None

    @property
    def elements(self) -> int | None:
        """Number of elements where the shape is known."""
        shape = self.static_shape
        if shape is None:
            return None
        count = 1
        for size in shape:
            count *= size
        return count

    def __str__(self) -> str:
        shape = "any shape" if self.shape is None else str([size if size is not None else "?" for size in self.shape])
        return f"{self.dtype} {shape}"


def parse_type(proto: Any, where: str) -> ValueType:
    """Reads a MIL `ValueType` message.

    Args:
        proto: The message.
        where: What it belongs to, for the error.

    Raises:
        ProgramError: an unknown element type, or a size that no tensor can have.
    """
    kind = proto.WhichOneof("type")
    if kind == "stateType":
        inner = parse_type(proto.stateType.wrappedType, where)
        return ValueType(inner.dtype, inner.shape, "state")
    if kind != "tensorType":
        return ValueType("string", None, "other")
    tensor = proto.tensorType
    names = tensor.DESCRIPTOR.fields_by_name["dataType"].enum_type.values_by_number
    name = names[tensor.dataType].name if tensor.dataType in names else str(tensor.dataType)
    if name not in _NAMES:
        raise ProgramError(f"{where} has the element type {name}, which the executor doesn't know.")
    dimensions: list[int | None] = []
    for dimension in tensor.dimensions:
        which = dimension.WhichOneof("dimension")
        if which == "unknown" and dimension.unknown.variadic:
            return ValueType(_NAMES[name], None)
        dimensions.append(dimension.constant.size if which == "constant" else None)
    if tensor.rank not in (-1, len(dimensions)):
        raise ProgramError(f"{where} declares rank {tensor.rank} but lists {len(dimensions)} sizes.")
    return ValueType(_NAMES[name], tuple(dimensions))
