"""Writes a graph as a MIL program, its weights streamed into the weight file one at a time, or left for later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mobie_coreml.convert.constants import LITERAL_LIMIT
from mobie_coreml.convert.graph import DType, Graph, Literal, LoadWeight, Names, Operand, Operation, Value, Weight
from mobie_coreml.errors import InputError
from palettization.package import BlobWriter, DeferredBlob, file_value, immediate_value, proto, set_tensor_type

_ELEMENTS = {
    DType.FP16: "float16",
    DType.FP32: "float32",
    DType.INT32: "int32",
    DType.BOOL: "bool",
    DType.STRING: "string",
}

Progress = Callable[[int, int], None]
"""Called after every weight with the bytes written so far and in all."""


def program_of(
    graph: Graph,
    load: LoadWeight,
    blob: BlobWriter | DeferredBlob,
    *,
    opset: int,
    progress: Progress | None = None,
) -> Any:
    """The MIL program of `graph`.

    Args:
        graph: Cleaned up; its outputs have the names of the package's outputs.
        load: Gives parameters; each array is written and forgotten.
        blob: Where weights go, in the order of their first use. A deferred one makes them when they are read.
        opset: 7 for iOS17 ("CoreML7"), 8 for iOS18 ("CoreML8").
        progress: Told about bytes of weights, where they are written now.

    Returns:
        A `MIL_pb2.Program` with one function, "main".

    Raises:
        InputError: a weight has another shape than the network, or does not fit fp16; later where weights are deferred.
    """
    return _Writer(graph, load, blob, opset, progress).program()


def weight_bytes(graph: Graph) -> int:
    """Bytes that the weights of `graph` will take in the weight file, alignment aside."""
    found = {weight.key: weight for operation in graph.operations for weight in _weights(operation)}
    return sum(_stored_size(weight) for weight in found.values() if weight.size >= LITERAL_LIMIT)


def _weights(operation: Operation) -> list[Weight]:
    return [operand for operand in operation.operands() if isinstance(operand, Weight)]


def _stored_dtype(weight: Weight) -> DType:
    """fp16 for weights; their own type for exact tables, and for biases and norms, which must be plain constants."""
    return weight.dtype if weight.exact or len(weight.shape) < 2 else DType.FP16


def _stored_size(weight: Weight) -> int:
    return weight.size * (4 if _stored_dtype(weight) is DType.FP32 else 2)


class _Writer:
    def __init__(
        self,
        graph: Graph,
        load: LoadWeight,
        blob: BlobWriter | DeferredBlob,
        opset: int,
        progress: Progress | None,
    ) -> None:
        self.graph, self.load, self.blob, self.opset, self.progress = graph, load, blob, opset, progress
        self.mil = proto().MIL_pb2
        self.names = Names()
        for value in (*graph.inputs, *(value for operation in graph.operations for value in operation.outputs)):
            self.names.unique(value.name)
        self.constants: dict[object, str] = {}
        self.total, self.written = (weight_bytes(graph), 0) if progress else (0, 0)
        self.block = self.mil.Block()

    def program(self) -> Any:
        for operation in self.graph.operations:
            self._operation(operation)
        self.block.outputs.extend(value.name for value in self.graph.outputs)
        program = self.mil.Program(version=1)
        function = program.functions["main"]
        function.opset = f"CoreML{self.opset}"
        for value in self.graph.inputs:
            self._declare(function.inputs.add(), value)
        function.block_specializations[function.opset].CopyFrom(self.block)
        return program

    def _operation(self, operation: Operation) -> None:
        names = {name: self._names_of(operand, name, operation) for name, operand in operation.inputs.items()}
        written = self.block.operations.add(type=operation.type)
        for name, arguments in names.items():
            for argument in arguments:
                written.inputs[name].arguments.add(name=argument)
        for value in operation.outputs:
            self._declare(written.outputs.add(), value)
        self._label(written, operation.outputs[0].name)

    def _names_of(self, operand: Operand, parameter: str, operation: Operation) -> list[str]:
        return [
            item.name if isinstance(item, Value) else self._constant(item, parameter, operation)
            for item in (operand if isinstance(operand, tuple) else (operand,))
        ]

    def _constant(self, constant: Literal | Weight, parameter: str, operation: Operation) -> str:
        """The name of the `const` that holds `constant`, written before its first use and shared afterwards."""
        name = self.constants.get(constant)
        if name is None:
            if isinstance(constant, Literal):
                name = self.names.unique(f"{operation.type}_{parameter}")
                self._const(name, constant)
            else:
                name = self._weight(constant)
            self.constants[constant] = name
        return name

    def _weight(self, weight: Weight) -> str:
        name = self.names.unique(weight.name.replace(".", "_"))
        if weight.size < LITERAL_LIMIT or not weight.dtype.is_float:
            self._const(name, Literal.from_array(self._array(weight), weight.dtype))
            return name
        stored = _stored_dtype(weight)
        value = file_value(_ELEMENTS[stored], weight.shape, self._stored(weight, stored))
        if stored is weight.dtype:
            self._const_operation(name, weight.shape, stored, value)
        else:
            self._constexpr_cast(name, weight, value)
        return name

    def _stored(self, weight: Weight, dtype: DType) -> int:
        """Offset of the weight in the weight file."""

        def data() -> npt.NDArray[np.generic]:
            return _rounded(self._array(weight), dtype, weight.name)

        if isinstance(self.blob, DeferredBlob):
            return self.blob.defer(_ELEMENTS[dtype], weight.size, data)
        offset = self.blob.add(data())
        if self.progress:
            self.written += _stored_size(weight)
            self.progress(self.written, self.total)
        return offset

    def _array(self, weight: Weight) -> npt.NDArray[np.generic]:
        array = weight.make(self.load)
        if array.shape != weight.shape:
            raise InputError(
                f"Weight {weight.name} has shape {array.shape} where the network needs {weight.shape}.",
                "The checkpoint's weights and its config.json do not belong together.",
            )
        return array

    def _const(self, name: str, literal: Literal) -> None:
        content = str(literal.value) if literal.dtype is DType.STRING else literal.array()
        self._const_operation(name, literal.shape, literal.dtype, immediate_value(content))

    def _const_operation(self, name: str, shape: tuple[int, ...], dtype: DType, value: Any) -> None:
        written = self.block.operations.add(type="const")
        self._declare(written.outputs.add(), Value(name, shape, dtype))
        self._label(written, name)
        written.attributes["val"].CopyFrom(value)

    def _constexpr_cast(self, name: str, weight: Weight, stored: Any) -> None:
        """An fp32 constant that is stored in fp16; its parts are attributes for iOS17 and inline inputs for iOS18."""
        written = self.block.operations.add(type="constexpr_cast")
        self._declare(written.outputs.add(), Value(name, weight.shape, weight.dtype))
        self._label(written, name)
        for parameter, value in (("source_val", stored), ("output_dtype", immediate_value(weight.dtype.value))):
            if self.opset < 8:
                written.attributes[parameter].CopyFrom(value)
            else:
                written.inputs[parameter].arguments.add().value.CopyFrom(value)

    def _label(self, operation: Any, name: str) -> None:
        operation.attributes["name"].CopyFrom(immediate_value(name))

    def _declare(self, named: Any, value: Value) -> None:
        named.name = value.name
        set_tensor_type(named.type.tensorType, _ELEMENTS[value.dtype], value.shape)


def _rounded(array: npt.NDArray[np.generic], dtype: DType, name: str) -> npt.NDArray[np.generic]:
    """`array` in `dtype`.

    Raises:
        InputError: it holds NaN or infinity, or values beyond the range of `dtype`.
    """
    with np.errstate(over="ignore"):
        rounded = array.astype(dtype.numpy, copy=False)
    if not _is_finite(rounded):
        given = np.isfinite(array.astype(np.float32, copy=False)).all()
        raise InputError(
            f"Weight {name} has values beyond the range of {dtype.value}."
            if given
            else f"Weight {name} holds NaN or infinity.",
            "Scale the layer before conversion." if given else "The checkpoint is damaged.",
        )
    return rounded


_PIECE = 1 << 20


def _is_finite(array: npt.NDArray[np.generic]) -> bool:
    """Whether an fp16 or fp32 array holds neither NaN nor infinity: no exponent is all ones.

    On the bits, piece by piece: NumPy's own fp16 comparisons go through fp32 one by one, ten times slower.
    """
    half = array.dtype == np.float16
    exponent = 0x7C00 if half else 0x7F800000
    flat: npt.NDArray[Any] = np.ascontiguousarray(array).reshape(-1).view(np.uint16 if half else np.uint32)
    mask = flat.dtype.type(exponent)
    return all(int((flat[start : start + _PIECE] & mask).max()) < exponent for start in range(0, flat.size, _PIECE))
