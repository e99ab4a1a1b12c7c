"""Decodes the compressed weight forms of ML Programs (`constexpr_*` operations) to numpy.

Semantics are those of coremltools' operation definitions (converters/mil/mil/ops/defs/iOS16/constexpr_ops.py and
iOS18/compression.py), which the tests compare with. iOS16 forms carry packed bytes and a `shape` operand, iOS18 forms
carry typed sub-byte tensors in the shape of the weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from palettization.package.bits import packed_size, unpack_bits
from palettization.package.elements import BY_MIL
from palettization.package.errors import WeightFormError
from palettization.package.program import operation_name
from palettization.package.values import tensor_shape

Array = npt.NDArray[Any]

_CHUNK = 1 << 20
"""Elements looked up at a time: numpy turns indices into 64-bit integers, eight times the size of a weight's own."""


def decode_constexpr(op: Any, operand_values: Mapping[str, Array]) -> Array:
    """The dense weight of a `constexpr_*` operation with one output.

    Args:
        op: The MIL `Operation` message, whose declared output type the result is checked against, or the operation's
            type alone.
        operand_values: The operation's operands by parameter name, attributes and inputs alike, as arrays. Sub-byte
            integers are unpacked to one byte an element, as `Package.constant` gives them; optional ones may be absent.

    Returns:
        The weight, C-contiguous.

    Raises:
        WeightFormError: unknown operation, operands that are missing or do not fit, or an operation with two outputs.
    """
    outputs = decode_outputs(op, operand_values)
    if len(outputs) != 1:
        raise WeightFormError(f"{_where(op)} has {len(outputs)} outputs, a mask and data, not one weight.")
    return outputs[0]


def decode_outputs(op: Any, operand_values: Mapping[str, Array]) -> tuple[Array, ...]:
    """All outputs of a `constexpr_*` operation: one dense weight, or mask and non-zero data for the sparse-to-sparse
    operations `constexpr_lut_to_sparse` and `constexpr_sparse_blockwise_shift_scale`.

    Args and errors are those of `decode_constexpr`.
    """
    kind = op if isinstance(op, str) else str(op.type)
    decode = _DECODERS.get(kind)
    if decode is None:
        raise WeightFormError(f"{_where(op)} is no known weight form.", f"Known: {', '.join(sorted(_DECODERS))}.")
    operands = _Operands(_where(op), operand_values)
    try:
        outputs = tuple(np.ascontiguousarray(output) for output in decode(operands))
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        raise WeightFormError(f"{_where(op)} has operands that do not fit together: {error}.") from error
    if not isinstance(op, str):
        _check_declared(op, outputs)
    return outputs


def _where(op: Any) -> str:
    return op if isinstance(op, str) else f"{op.type} {operation_name(op)}"


class _Operands:
    """Operands by name with errors that say whose they are."""

    def __init__(self, where: str, values: Mapping[str, Array]) -> None:
        self._where = where
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __getitem__(self, name: str) -> Array:
        if name not in self._values:
            raise WeightFormError(f"{self._where} has no operand {name!r}.")
        return np.asarray(self._values[name])

    def optional(self, name: str) -> Array | None:
        return np.asarray(self._values[name]) if name in self._values else None

    def integer(self, name: str) -> int:
        value = self[name]
        if value.size != 1 or value.dtype.kind not in "iu":
            raise WeightFormError(f"{self._where} needs one integer for {name!r}.")
        return int(value.reshape(-1)[0])

    def shape(self) -> tuple[int, ...]:
        value = self["shape"]
        if value.ndim != 1 or value.dtype.kind not in "iu":
            raise WeightFormError(f"{self._where} needs a vector of integers for 'shape'.")
        return tuple(int(size) for size in value)

    def check(self, holds: bool, problem: str) -> None:
        if not holds:
            raise WeightFormError(f"{self._where}: {problem}.")


def _lookup(table: Array, indices: Array) -> Array:
    """(N, ...) rows of `table` (P, ...) at flat `indices` (N,), in pieces; indices are known to be below P."""
    output = np.empty((indices.size, *table.shape[1:]), table.dtype)
    for start in range(0, indices.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        np.take(table, indices[part], axis=0, out=output[part], mode="clip")
    return output


def _lut_ios16(operands: _Operands) -> tuple[Array, ...]:
    lut, packed, shape = operands["lut"], operands["indices"], operands.shape()
    operands.check(lut.ndim == 1 and lut.size in (2, 4, 16, 64, 256), f"a table of shape {lut.shape} is no palette")
    bits = int(lut.size).bit_length() - 1
    count = math.prod(shape)
    fits = packed.ndim == 1 and packed.dtype == np.uint8 and packed.size == packed_size(count, bits)
    operands.check(fits, f"{packed.size} bytes of indices are not {count} indices of {bits} bits for shape {shape}")
    return (_lookup(lut, unpack_bits(packed, bits, count)).reshape(shape),)


def _lut_ios18(operands: _Operands) -> tuple[Array, ...]:
    axis = None if "vector_axis" not in operands else operands.integer("vector_axis")
    return (_lut_dense(operands, operands["indices"], operands["lut"], axis),)


def _lut_dense(operands: _Operands, indices: Array, lut: Array, vector_axis: int | None) -> Array:
    """Looks up grouped tables.

    Args:
        operands: For error messages.
        indices: (d0, ..., dk) integers.
        lut: (g0, ..., gk, P, V): a table of P vectors of V values for each of g0 x ... x gk blocks of indices.
        vector_axis: Axis that the V values are laid out along; may be None where V is 1.

    Returns:
        (d0, ..., dk), with V * d at `vector_axis`.
    """
    rank = indices.ndim
    operands.check(
        rank >= 1 and lut.ndim == rank + 2, f"tables of shape {lut.shape} for indices of shape {indices.shape}"
    )
    groups, (palette, vector) = lut.shape[:rank], lut.shape[rank:]
    divides = all(g and d % g == 0 for d, g in zip(indices.shape, groups, strict=True))
    operands.check(divides, f"tables of shape {lut.shape} do not divide indices of shape {indices.shape}")
    operands.check(indices.dtype.kind in "iu", "indices are not integers")
    operands.check(palette >= 2 and palette & (palette - 1) == 0, f"{palette} entries are no power of two")
    if indices.size:
        operands.check(int(indices.min()) >= 0 and int(indices.max()) < palette, f"an index is not below {palette}")
    if vector > 1 or vector_axis is not None:
        operands.check(vector_axis is not None and -rank <= vector_axis < rank, "vector_axis is missing or outside")
    operands.check(vector >= 1, "vectors of no values")
    flat = indices.reshape(-1)
    if math.prod(groups) > 1:
        flat = (_table_numbers(indices.shape, groups) * np.uint32(palette) + indices).reshape(-1)
    values = _lookup(lut.reshape(-1, vector) if vector > 1 else lut.reshape(-1), flat)
    if vector == 1 or vector_axis is None:
        return values.reshape(indices.shape)
    axis = vector_axis % rank
    spread = np.moveaxis(values.reshape(*indices.shape, vector), -1, axis + 1)
    return spread.reshape(*indices.shape[:axis], indices.shape[axis] * vector, *indices.shape[axis + 1 :])


def _table_numbers(shape: tuple[int, ...], groups: tuple[int, ...]) -> npt.NDArray[np.uint32]:
    """Broadcastable to `shape`: the row-major number of the table each index belongs to."""
    numbers = np.zeros((1,) * len(shape), np.uint32)
    for axis, (size, count) in enumerate(zip(shape, groups, strict=True)):
        block = np.arange(size, dtype=np.uint32) // np.uint32(size // count)
        aligned = block.reshape([-1 if i == axis else 1 for i in range(len(shape))])
        numbers = numbers * np.uint32(count) + aligned
    return numbers


def _affine(operands: _Operands) -> tuple[Array, ...]:
    """scale * (quantized_data - zero_point) in float32, rounded once to the type of `scale`."""
    data, scale, zero = operands["quantized_data"], operands["scale"], operands["zero_point"]
    axis = operands.integer("axis")
    operands.check(-data.ndim <= axis < data.ndim, f"axis {axis} of data of shape {data.shape}")

    def along_axis(value: Array, name: str) -> npt.NDArray[np.float32]:
        single = value.ndim == 0
        operands.check(
            single or value.shape == (data.shape[axis],),
            f"{name} of shape {value.shape} for {data.shape} on axis {axis}",
        )
        target = [1] * data.ndim
        if not single:
            target[axis] = data.shape[axis]
        return value.astype(np.float32).reshape(target)

    values = data.astype(np.float32)
    values -= along_axis(zero, "zero_point")
    values *= along_axis(scale, "scale")
    return (values.astype(scale.dtype, copy=False),)


def _sparse_ios16(operands: _Operands) -> tuple[Array, ...]:
    data, mask, shape = operands["nonzero_data"], operands["mask"], operands.shape()
    count = math.prod(shape)
    fits = mask.ndim == 1 and mask.dtype == np.uint8 and mask.size == packed_size(count, 1)
    operands.check(fits, f"{mask.size} bytes of mask are not {count} bits for shape {shape}")
    selected = np.unpackbits(mask, count=count, bitorder="little").astype(np.bool_)
    return (_scatter(operands, data, selected).reshape(shape),)


def _sparse_ios18(operands: _Operands) -> tuple[Array, ...]:
    return (_scatter(operands, operands["nonzero_data"], operands["mask"]),)


def _scatter(operands: _Operands, data: Array, mask: Array) -> Array:
    """Zeros in the shape of `mask` with `data` (D,) at its D ones, in row-major order."""
    selected = mask != 0
    operands.check(
        data.ndim == 1 and data.size == np.count_nonzero(selected),
        f"{data.size} values for a mask with other many ones",
    )
    dense = np.zeros(mask.shape, data.dtype)
    dense[selected] = data
    return dense


def _cast(operands: _Operands) -> tuple[Array, ...]:
    source, wanted = operands["source_val"], operands["output_dtype"]
    operands.check(wanted.size == 1 and str(wanted.reshape(-1)[0]) == "fp32", f"output_dtype {wanted} is not fp32")
    return (source.astype(np.float32),)


def _blockwise(operands: _Operands) -> tuple[Array, ...]:
    return (_shift_scale(operands, operands["data"]),)


def _shift_scale(operands: _Operands, data: Array) -> Array:
    """scale * (data - offset) with one scale and offset a block, in the arithmetic of the type of `scale`.

    Args:
        operands: Holds `scale` (s0, ..., sk) and optionally `offset` of the same shape.
        data: (d0, ..., dk), each d a multiple of its s.
    """
    scale, offset = operands["scale"], operands.optional("offset")
    operands.check(
        scale.dtype.kind == "f" and data.ndim == scale.ndim >= 1, f"scale {scale.shape} for data {data.shape}"
    )
    divides = all(s and d % s == 0 for d, s in zip(data.shape, scale.shape, strict=True))
    operands.check(divides, f"scale of shape {scale.shape} does not divide data of shape {data.shape}")
    operands.check(offset is None or offset.shape == scale.shape, "offset and scale differ in shape")
    blocked: list[int] = []
    spread: list[int] = []
    for size, count in zip(data.shape, scale.shape, strict=True):
        blocked += [count, size // count]
        spread += [count, 1]
    values: Array = data.astype(scale.dtype).reshape(blocked)
    with np.errstate(over="ignore", invalid="ignore"):
        if offset is not None:
            values = values - offset.reshape(spread)
        values = scale.reshape(spread) * values
    return values.reshape(data.shape).astype(scale.dtype, copy=False)


def _lut_sparse(operands: _Operands) -> tuple[Array, ...]:
    mask, lut = operands["indices_mask"], operands["lut"]
    axis = None if "vector_axis" not in operands else operands.integer("vector_axis")
    indices = _scatter(operands, operands["indices_nonzero_data"], mask)
    dense = _lut_dense(operands, indices, lut, axis)
    if axis is not None and lut.shape[-1] > 1:
        mask = np.repeat(mask, lut.shape[-1], axis=axis)
    return mask, dense[mask != 0]


def _sparse_blockwise(operands: _Operands) -> tuple[Array, ...]:
    mask = operands["data_mask"]
    dense = _shift_scale(operands, _scatter(operands, operands["nonzero_data"], mask))
    return mask, dense[mask != 0]


def _either(ios16: Callable[[_Operands], tuple[Array, ...]], ios18: Callable[[_Operands], tuple[Array, ...]]) -> Any:
    """iOS16's form where there is a `shape` operand, else iOS18's."""
    return lambda operands: ios16(operands) if "shape" in operands else ios18(operands)


_DECODERS: dict[str, Callable[[_Operands], tuple[Array, ...]]] = {
    "constexpr_affine_dequantize": _affine,
    "constexpr_blockwise_shift_scale": _blockwise,
    "constexpr_cast": _cast,
    "constexpr_lut_to_dense": _either(_lut_ios16, _lut_ios18),
    "constexpr_lut_to_sparse": _lut_sparse,
    "constexpr_sparse_blockwise_shift_scale": _sparse_blockwise,
    "constexpr_sparse_to_dense": _either(_sparse_ios16, _sparse_ios18),
}


def _check_declared(op: Any, outputs: tuple[Array, ...]) -> None:
    """The decoded outputs have the shapes and types that the program declares."""
    if len(op.outputs) != len(outputs):
        raise WeightFormError(f"{_where(op)} declares {len(op.outputs)} outputs and has {len(outputs)}.")
    for declared, output in zip(op.outputs, outputs, strict=True):
        if declared.type.WhichOneof("type") != "tensorType":
            raise WeightFormError(f"{_where(op)} declares an output that is no tensor.")
        shape = tensor_shape(declared.type.tensorType, declared.name)
        element = BY_MIL.get(declared.type.tensorType.dataType)
        if shape != output.shape or element is None or element.value != output.dtype:
            raise WeightFormError(
                f"{_where(op)} declares {element.name if element else 'an unknown type'} of shape {shape} and decodes "
                f"to {output.dtype} of shape {output.shape}."
            )
