"""Constants between MIL's protobuf form and numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from palettization.package.bits import pack_bits, packed_size, unpack_bits
from palettization.package.elements import BY_MIL, BY_NAME, STRING, Element, element_of, to_values
from palettization.package.errors import ConstantError
from palettization.package.layout import MODEL_PATH
from palettization.package.protobuf import proto

WEIGHT_FILE = f"{MODEL_PATH}/weights/weight.bin"
"""The name of a package's usual weight file inside its specification."""

_IN_BYTES = frozenset({"float16", "int4", "int8", "uint1", "uint2", "uint3", "uint4", "uint6", "uint8", "uint32"})
_IN_LONGS = frozenset({"int64", "uint64"})


def tensor_shape(tensor_type: Any, name: str = "") -> tuple[int, ...]:
    """The shape of a MIL `TensorType` without unknown dimensions.

    Raises:
        ConstantError: a dimension is unknown, or the rank contradicts the dimensions.
    """
    shape: list[int] = []
    for dimension in tensor_type.dimensions:
        if dimension.WhichOneof("dimension") != "constant":
            raise ConstantError(f"Tensor {name or '?'} has a dimension that is not constant.")
        shape.append(int(dimension.constant.size))
    if tensor_type.rank != len(shape):
        raise ConstantError(f"Tensor {name or '?'} says rank {tensor_type.rank} but has {len(shape)} dimensions.")
    return tuple(shape)


def element_name(code: int) -> str:
    """The name of a MIL element type code, "string" included; unknown codes become "type N"."""
    if code == STRING:
        return "string"
    found = BY_MIL.get(code)
    return found.name if found else f"type {code}"


def immediate_array(value: Any, name: str = "") -> npt.NDArray[Any]:
    """The array of an immediate MIL `Value`.

    Args:
        value: A `Value` of tensor type, or of list type whose values are tensors of one shape.
        name: Of the tensor, for error messages.

    Returns:
        Tensors in their shape (rank 0 for scalars); strings as numpy str arrays; lists stacked on a new first axis.

    Raises:
        ConstantError: it contradicts its own type, or is a tuple or dictionary.
    """
    kind = value.type.WhichOneof("type")
    held = value.immediateValue.WhichOneof("value")
    if kind == "tensorType" and held in ("tensor", None):
        return _tensor(value.type.tensorType, value.immediateValue.tensor, name)
    if kind == "listType" and held in ("list", None):
        items = [immediate_array(item, name) for item in value.immediateValue.list.values]
        if any(item.shape != items[0].shape or item.dtype.kind != items[0].dtype.kind for item in items):
            raise ConstantError(f"List {name or '?'} mixes types or shapes.")
        if not items:
            code = value.type.listType.type.tensorType.dataType
            return np.empty(0, np.str_ if code == STRING else _element(code, name).value)
        return np.stack(items)
    raise ConstantError(f"Constant {name or '?'} of {kind or 'no type'} cannot be read as an array.")


def _element(code: int, name: str) -> Element:
    element = BY_MIL.get(code)
    if element is None:
        raise ConstantError(f"Tensor {name or '?'} has the unknown element type {code}.")
    return element


def _tensor(tensor_type: Any, tensor: Any, name: str) -> npt.NDArray[Any]:
    shape = tensor_shape(tensor_type, name)
    count = math.prod(shape)
    field = tensor.WhichOneof("value")
    if tensor_type.dataType == STRING:
        if field not in ("strings", None):
            raise ConstantError(f"Tensor {name or '?'} of strings holds {field}.")
        return _shaped(np.array(list(tensor.strings.values), dtype=np.str_), count, shape, name)
    element = _element(tensor_type.dataType, name)
    if field is None:
        return _shaped(np.empty(0, element.value), count, shape, name)
    if field == "bytes":
        return _from_bytes(tensor.bytes.values, element, count, shape, name)
    if field == "strings":
        raise ConstantError(f"Tensor {name or '?'} of {element.name} holds strings.")
    numbers: npt.NDArray[Any] = np.array(getattr(tensor, field).values, dtype=_FIELD_TYPES[field])
    integral = element.value.kind in "iu"
    if field in ("floats", "doubles", "bools") if integral else (element.name == "bool" and field != "bools"):
        raise ConstantError(f"Tensor {name or '?'} of {element.name} holds {field}.")
    if integral and numbers.size:
        low, high = _range(element)
        if int(numbers.min()) < low or int(numbers.max()) > high:
            raise ConstantError(f"Tensor {name or '?'} holds values that do not fit in {element.name}.")
    return _shaped(numbers.astype(element.value), count, shape, name)


_FIELD_TYPES = {"floats": np.float32, "ints": np.int64, "bools": np.bool_, "longInts": np.int64, "doubles": np.float64}


def _range(element: Element) -> tuple[int, int]:
    if element.signed:
        return -(1 << (element.bits - 1)), (1 << (element.bits - 1)) - 1
    return 0, (1 << element.bits) - 1


def _from_bytes(data: bytes, element: Element, count: int, shape: tuple[int, ...], name: str) -> npt.NDArray[Any]:
    expected = packed_size(count, element.bits) if element.sub_byte else count * element.storage.itemsize
    if len(data) != expected:
        raise ConstantError(
            f"Tensor {name or '?'} of {count} {element.name} elements needs {expected} bytes and holds {len(data)}."
        )
    raw = np.frombuffer(data, np.uint8)
    if element.sub_byte:
        return reshaped(unpack_bits(raw, element.bits, count, signed=element.signed), shape, name)
    return reshaped(to_values(raw.view(element.storage), element), shape, name)


def _shaped(flat: npt.NDArray[Any], count: int, shape: tuple[int, ...], name: str) -> npt.NDArray[Any]:
    if flat.size != count:
        raise ConstantError(f"Tensor {name or '?'} of shape {shape} needs {count} values and holds {flat.size}.")
    return reshaped(flat, shape, name)


def reshaped(flat: npt.NDArray[Any], shape: tuple[int, ...], name: str = "") -> npt.NDArray[Any]:
    """`flat` in `shape`, which has as many elements.

    Raises:
        ConstantError: numpy cannot have this shape: too many dimensions, or a huge one beside one of size 0.
    """
    try:
        return flat.reshape(shape)
    except (ValueError, OverflowError) as error:
        raise ConstantError(f"Tensor {name or '?'} has the impossible shape {shape}.") from error


def set_tensor_type(tensor_type: Any, element: str, shape: Sequence[int]) -> None:
    """Fills a MIL `TensorType` in place.

    Args:
        tensor_type: The message.
        element: Element type, or "string".
        shape: Constant dimensions.
    """
    tensor_type.Clear()
    tensor_type.dataType = STRING if element == "string" else BY_NAME[element].mil
    tensor_type.rank = len(shape)
    for size in shape:
        tensor_type.dimensions.add().constant.size = int(size)


def file_value(element: str, shape: Sequence[int], offset: int, file_name: str = WEIGHT_FILE) -> Any:
    """A MIL `Value` that lies in a weight file.

    Args:
        element: Element type of the record at `offset`.
        shape: Shape of the tensor.
        offset: What `BlobWriter.add` returned.
        file_name: "@model_path/..." name of the weight file.
    """
    value = proto().MIL_pb2.Value()
    set_tensor_type(value.type.tensorType, element, shape)
    value.blobFileValue.fileName = file_name
    value.blobFileValue.offset = offset
    return value


def immediate_value(content: npt.NDArray[Any] | str | bool | int | float, element: str | None = None) -> Any:
    """A MIL `Value` that lies in the specification itself, in the field coremltools uses for its type.

    Args:
        content: An array (numpy str arrays too) or a scalar: Python ints become int32, floats float32.
        element: Element type where numpy's dtype does not tell ("uint4", "int4", ...).

    Raises:
        ConstantError: the content has no MIL form or does not fit.
    """
    value = proto().MIL_pb2.Value()
    array = _as_array(content)
    tensor = value.immediateValue.tensor
    if array.dtype.kind == "U":
        set_tensor_type(value.type.tensorType, "string", array.shape)
        tensor.strings.values.extend(str(text) for text in array.reshape(-1))
        tensor.strings.SetInParent()
        return value
    kind = element_of(array, element)
    set_tensor_type(value.type.tensorType, kind.name, array.shape)
    flat = np.ascontiguousarray(array, dtype=kind.storage).reshape(-1)
    if kind.name in _IN_BYTES:
        tensor.bytes.values = (pack_bits(flat, kind.bits) if kind.sub_byte else flat).tobytes()
        return value
    field = {"bool": "bools", "float32": "floats", "float64": "doubles"}.get(kind.name)
    if field is None:
        if kind.storage.kind not in "iu" or kind.storage != kind.value:
            raise ConstantError(f"{kind.name} has no immediate form.", "Store it in the weight file.")
        field = "longInts" if kind.name in _IN_LONGS else "ints"
    if kind.name == "uint64" and flat.size and int(flat.max()) >= 1 << 63:
        raise ConstantError("MIL holds 64-bit integers as signed ones; the value is too large.")
    getattr(tensor, field).values.extend(flat.tolist())
    getattr(tensor, field).SetInParent()
    return value


def _as_array(content: npt.NDArray[Any] | str | bool | int | float) -> npt.NDArray[Any]:
    if isinstance(content, np.ndarray | np.generic):
        return np.asarray(content)
    if isinstance(content, str):
        return np.array(content, dtype=np.str_)
    if isinstance(content, bool):
        return np.array(content)
    if isinstance(content, int):
        if not -(1 << 31) <= content < 1 << 31:
            raise ConstantError(f"{content} does not fit in int32.", "Pass a numpy int64.")
        return np.array(content, dtype=np.int32)
    return np.array(content, dtype=np.float32)
