"""The two forms that Core ML has for palettes, written into a program: iOS16's and iOS18's.

iOS16 (also iOS17): packed indices as uint8, a one-dimensional table and a shape, all attributes of the operation.
iOS18: indices in the weight's shape with an element type of their width and a table of rank + 2, both arguments
(coremltools, converters/mil/backend/mil/load.py, and the definitions in ops/defs/iOS16 and iOS18).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from palettization.package import BlobWriter, file_value, immediate_value

LUT = "constexpr_lut_to_dense"


def write_palette(
    blob: BlobWriter,
    packed: Iterable[npt.NDArray[np.uint8]],
    tables: npt.NDArray[np.floating],
    shape: tuple[int, ...],
    group_axis: int,
    *,
    ios18: bool,
) -> dict[str, Any]:
    """Writes indices and tables to a weight file.

    Args:
        blob: The weight file.
        packed: Indices of all elements in row-major order, as `pack_bits` packs them, piece by piece.
        tables: (G, 2^bits), float16 or float32.
        shape: Of the weight.
        group_axis: The axis along which the G tables follow each other.
        ios18: Which form.

    Returns:
        The operands of the operation, by parameter name, as MIL `Value` messages.

    Raises:
        PackageWriteError: no space, no permission.
    """
    bits = int(tables.shape[1]).bit_length() - 1
    count = math.prod(shape)
    size = -(-count * bits // 8)
    if not ios18:
        return {
            "indices": file_value("uint8", (size,), blob.add_pieces(packed, "uint8", size)),
            "lut": file_value(tables.dtype.name, tables.shape[1:], blob.add(tables[0])),
            "shape": immediate_value(np.array(shape, np.uint32)),
        }
    lut_shape = [1] * len(shape) + [tables.shape[1], 1]
    lut_shape[group_axis] = tables.shape[0]
    return {
        "indices": file_value(f"uint{bits}", shape, blob.add_pieces(packed, f"uint{bits}", count)),
        "lut": file_value(tables.dtype.name, lut_shape, blob.add(tables)),
    }


def put_palette(operation: Any, operands: dict[str, Any], *, ios18: bool) -> None:
    """Turns a `const` or `constexpr_cast` operation into a palette; its name and output stay."""
    for parameter in [key for key in operation.attributes if key != "name"]:
        del operation.attributes[parameter]
    operation.inputs.clear()
    operation.type = LUT
    for parameter, value in operands.items():
        if ios18:
            operation.inputs[parameter].arguments.add().value.CopyFrom(value)
        else:
            operation.attributes[parameter].CopyFrom(value)


def put_dense(operation: Any, value: Any) -> None:
    """Turns a `constexpr_*` operation with one output into a `const`; its name and output stay."""
    for parameter in [key for key in operation.attributes if key != "name"]:
        del operation.attributes[parameter]
    operation.inputs.clear()
    operation.type = "const"
    operation.attributes["val"].CopyFrom(value)
