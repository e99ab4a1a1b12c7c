"""Element types: how MIL, the weight file and numpy each call the same thing.

Codes are facts of the two formats: `DataType` of coremltools' MIL.proto and `BlobDataType` of its MILBlob library
(coremltools/mlmodel/src/MILBlob/Blob/BlobDataType.hpp).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palettization.package.errors import ConstantError


@dataclass(frozen=True)
class Element:
    """One element type.

    Attributes:
        name: As coremltools prints it, for example "float16" or "uint4".
        mil: Code in a MIL program.
        blob: Code in a weight file, or None where weight files cannot hold it.
        bits: Size of one element in memory; below 8 elements are packed, least significant bits first.
        storage: numpy type of the stored bits (unpacked to one byte an element below 8 bits).
        value: numpy type of the values handed out. It differs from `storage` where numpy lacks the type: bfloat16 and
            the 8-bit floats are handed out as float32, which holds them exactly.
    """

    name: str
    mil: int
    blob: int | None
    bits: int
    storage: np.dtype[np.generic]
    value: np.dtype[np.generic]

    @property
    def sub_byte(self) -> bool:
        """Whether elements are packed several to a byte."""
        return self.bits < 8

    @property
    def signed(self) -> bool:
        """Whether stored integers carry a sign."""
        return self.storage.kind == "i"


def _element(name: str, mil: int, blob: int | None, bits: int, storage: str, value: str | None = None) -> Element:
    return Element(name, mil, blob, bits, np.dtype(storage), np.dtype(value or storage))


ELEMENTS: tuple[Element, ...] = (
    _element("bool", 1, None, 8, "?"),
    _element("float16", 10, 1, 16, "<f2"),
    _element("float32", 11, 2, 32, "<f4"),
    _element("float64", 12, None, 64, "<f8"),
    _element("bfloat16", 13, 5, 16, "<u2", "<f4"),
    _element("float8e4m3fn", 40, 16, 8, "u1", "<f4"),
    _element("float8e5m2", 41, 17, 8, "u1", "<f4"),
    _element("int4", 25, 8, 4, "i1"),
    _element("int8", 21, 4, 8, "i1"),
    _element("int16", 22, 6, 16, "<i2"),
    _element("int32", 23, 14, 32, "<i4"),
    _element("int64", 24, None, 64, "<i8"),
    _element("uint1", 37, 9, 1, "u1"),
    _element("uint2", 36, 10, 2, "u1"),
    _element("uint3", 39, 12, 3, "u1"),
    _element("uint4", 35, 11, 4, "u1"),
    _element("uint6", 38, 13, 6, "u1"),
    _element("uint8", 31, 3, 8, "u1"),
    _element("uint16", 32, 7, 16, "<u2"),
    _element("uint32", 33, 15, 32, "<u4"),
    _element("uint64", 34, None, 64, "<u8"),
)
STRING = 2
"""MIL's code of strings, which are no numbers and have no `Element`."""

BY_NAME = {element.name: element for element in ELEMENTS}
BY_MIL = {element.mil: element for element in ELEMENTS}
BY_BLOB = {element.blob: element for element in ELEMENTS if element.blob is not None}
_BY_NUMPY = {
    element.value: element for element in ELEMENTS if element.storage == element.value and not element.sub_byte
}


def element_of(array: npt.NDArray[np.generic], name: str | None = None) -> Element:
    """The element type called `name`, or the one of the array's own dtype.

    Raises:
        ConstantError: no such element type, or the array's dtype cannot hold it.
    """
    if name is None:
        found = _BY_NUMPY.get(array.dtype.newbyteorder("<"))
        if found is None:
            raise ConstantError(f"numpy's {array.dtype} has no Core ML element type.")
        return found
    element = BY_NAME.get(name)
    if element is None:
        raise ConstantError(f"{name!r} is not a Core ML element type.", f"Known: {', '.join(BY_NAME)}.")
    if array.dtype.newbyteorder("<") != element.storage:
        raise ConstantError(f"{name} is stored from {element.storage} arrays, not {array.dtype}.")
    return element


def to_values(stored: npt.NDArray[np.generic], element: Element) -> npt.NDArray[np.generic]:
    """Turns stored bits into values; a view where numpy has the type, float32 where it does not."""
    if element.storage == element.value:
        return stored
    if element.name == "bfloat16":
        return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return _FLOAT8[element.name][stored.astype(np.uint8)]


def _float8_table(exponent_bits: int, mantissa_bits: int, *, infinities: bool) -> npt.NDArray[np.float32]:
    """All 256 values of an 8-bit float (OCP 8-bit Floating Point Specification, tables 1 and 2)."""
    codes = np.arange(256)
    sign = np.where(codes & 0x80, -1.0, 1.0)
    exponent = (codes >> mantissa_bits) & ((1 << exponent_bits) - 1)
    mantissa = codes & ((1 << mantissa_bits) - 1)
    bias = (1 << (exponent_bits - 1)) - 1
    fraction = mantissa / (1 << mantissa_bits)
    normal = np.ldexp(1.0 + fraction, exponent - bias)
    values = sign * np.where(exponent == 0, np.ldexp(fraction, 1 - bias), normal)
    top = exponent == (1 << exponent_bits) - 1
    if infinities:
        values[top & (mantissa == 0)] = sign[top & (mantissa == 0)] * np.inf
        values[top & (mantissa != 0)] = np.nan
    else:
        values[top & (mantissa == (1 << mantissa_bits) - 1)] = np.nan
    return values.astype(np.float32)


_FLOAT8 = {
    "float8e4m3fn": _float8_table(4, 3, infinities=False),
    "float8e5m2": _float8_table(5, 2, infinities=True),
}
