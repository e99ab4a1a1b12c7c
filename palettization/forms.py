"""The two forms that Core ML has for palettes, written into a program: iOS16's and iOS18's.

iOS16 (also iOS17): packed indices as uint8, a one-dimensional table and a shape, all attributes of the operation.
iOS18: indices in the weight's shape with an element type of their width and a table of rank + 2, both arguments; for
vectors a `vector_axis`, along which there are as many times fewer indices as a vector is long; for scales a second
operation, which multiplies what the first one decodes to (coremltools, converters/mil/backend/mil/load.py, and the
definitions in ops/defs/iOS16 and iOS18).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from palettization.package import BlobWriter, file_value, immediate_value, operation_name, proto

LUT, SCALE = "constexpr_lut_to_dense", "constexpr_blockwise_shift_scale"


def lut_shape(tables: npt.NDArray[np.floating], rank: int, axis: int) -> tuple[int, ...]:
    """The shape that iOS18 wants of tables (G, P, V): G along `axis` of `rank` axes, then P and V."""
    shape = [1] * rank + list(tables.shape[1:])
    shape[axis] = tables.shape[0]
    return tuple(shape)


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
        tables: (G, 2^bits, V), float16 or float32.
        shape: Of the weight.
        group_axis: The axis along which the G tables follow each other, and the V values of a vector.
        ios18: Which form.

    Returns:
        The operands of the operation, by parameter name, as MIL `Value` messages.

    Raises:
        PackageWriteError: no space, no permission.
    """
    bits = int(tables.shape[1]).bit_length() - 1
    index_shape = list(shape)
    index_shape[group_axis] //= tables.shape[2]
    count = math.prod(index_shape)
    size = -(-count * bits // 8)
    if not ios18:
        return {
            "indices": file_value("uint8", (size,), blob.add_pieces(packed, "uint8", size)),
            "lut": file_value(tables.dtype.name, tables.shape[1:2], blob.add(tables[0])),
            "shape": immediate_value(np.array(shape, np.uint32)),
        }
    operands = {
        "indices": file_value(f"uint{bits}", index_shape, blob.add_pieces(packed, f"uint{bits}", count)),
        "lut": file_value(tables.dtype.name, lut_shape(tables, len(shape), group_axis), blob.add(tables)),
    }
    if tables.shape[2] > 1:
        operands["vector_axis"] = immediate_value(group_axis)
    return operands


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


def put_scaled_palette(block: Any, operation: Any, operands: dict[str, Any], scale: Any) -> Any:
    """Turns an operation into a scale over a palette, which becomes an operation of its own before it.

    Args:
        block: That holds the operation.
        operation: A `const` or `constexpr_cast`; its name and output stay.
        operands: Of the palette, as `write_palette` gives them.
        scale: A MIL `Value`.

    Returns:
        The operation added.
    """
    taken = {output.name for other in block.operations for output in other.outputs}
    name = f"{operation_name(operation)}_unscaled"
    while name in taken:
        name += "_"
    added = proto().MIL_pb2.Operation()
    added.attributes["name"].CopyFrom(immediate_value(name))
    added.outputs.add().CopyFrom(operation.outputs[0])
    added.outputs[0].name = name
    put_palette(added, operands, ios18=True)
    for parameter in [key for key in operation.attributes if key != "name"]:
        del operation.attributes[parameter]
    operation.inputs.clear()
    operation.type = SCALE
    operation.inputs["data"].arguments.add().name = name
    operation.inputs["scale"].arguments.add().value.CopyFrom(scale)
    position = next(index for index, other in enumerate(block.operations) if other is operation)
    block.operations.insert(position, added)
    return block.operations[position]


def put_dense(operation: Any, value: Any) -> None:
    """Turns a `constexpr_*` operation with one output into a `const`; its name and output stay."""
    for parameter in [key for key in operation.attributes if key != "name"]:
        del operation.attributes[parameter]
    operation.inputs.clear()
    operation.type = "const"
    operation.attributes["val"].CopyFrom(value)
