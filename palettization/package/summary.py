"""What a package holds: interface, operations, and every weight tensor with its form, bits and bytes."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from palettization.package.elements import BY_MIL, BY_NAME
from palettization.package.errors import SpecError
from palettization.package.features import Interface, read_interface
from palettization.package.program import Function, constants_of, operation_name
from palettization.package.reader import Package
from palettization.package.values import element_name, tensor_shape

_FORMS = {
    "constexpr_affine_dequantize": "quantized",
    "constexpr_blockwise_shift_scale": "quantized",
    "constexpr_cast": "cast",
    "constexpr_lut_to_dense": "palettized",
    "constexpr_lut_to_sparse": "palettized",
    "constexpr_sparse_blockwise_shift_scale": "quantized",
    "constexpr_sparse_to_dense": "sparse",
}
_DATA_OPERANDS = ("quantized_data", "data", "nonzero_data", "source_val")


@dataclass(frozen=True)
class WeightSummary:
    """One weight tensor.

    Attributes:
        name: Of its operation.
        functions: That use it.
        shape: Of the dense weight.
        form: "dense", or what it is compressed by: "palettized", "quantized", "sparse", joined by "+" where several;
            "scaled" for factors over what is no quantized number.
        element: Element type that computation sees.
        bits: Of one stored element: of an index for palettes, of a quantized value, of the element itself if dense.
        elements: Of the dense weight.
        granularity: What parts of the tensor share, for example "1 table", "8 tables, vectors of 2, 64 scales"; "" if
            dense.
        bytes: Stored, tables, scales and masks included.
        immediate: Whether it lies in the specification instead of a weight file.
    """

    name: str
    functions: tuple[str, ...]
    shape: tuple[int, ...]
    form: str
    element: str
    bits: int
    elements: int
    granularity: str
    bytes: int
    immediate: bool


@dataclass(frozen=True)
class FunctionSummary:
    """One function: interface and how often each operation occurs, nested blocks included, constants left out."""

    name: str
    opset: str
    interface: Interface
    operations: dict[str, int]
    constants: int


@dataclass(frozen=True)
class PackageSummary:
    """What `summarise` found.

    Attributes:
        path: Of the package.
        specification_version: 7 is iOS 16, 8 is iOS 17, 9 is iOS 18.
        metadata: As `Package.metadata`.
        functions: In sorted order.
        weights: Largest first.
        elements: Of all weights.
        weight_bytes: Stored bytes of all weights; what two tensors or functions share counts once.
        bits_per_weight: 8 * weight_bytes / elements; 0 without weights.
        specification_bytes: Size of the specification file.
        file_bytes: Size of the weight files that the program names.
    """

    path: str
    specification_version: int
    metadata: dict[str, str]
    functions: tuple[FunctionSummary, ...]
    weights: tuple[WeightSummary, ...]
    elements: int
    weight_bytes: int
    bits_per_weight: float
    specification_bytes: int
    file_bytes: int


@dataclass
class _Stored:
    """What one constant or chain of constexpr operations takes, by where it lies."""

    form: list[str]
    bits: int
    bytes_at: dict[tuple[str, int], int]
    immediate: bool
    granularity: list[str] = field(default_factory=list)


def summarise(package: Package) -> PackageSummary:
    """Describes a package without reading its weights; every weight's place and type is checked.

    Raises:
        ConstantError, BlobError, UnsafePathError, SpecError: as `Package.constant` and `Package.description`.
    """
    package.check_weights()
    found: dict[tuple[str, frozenset[tuple[str, int]]], tuple[WeightSummary, dict[tuple[str, int], int]]] = {}
    functions: list[FunctionSummary] = []
    for function in package.functions.values():
        counts = Counter(located.operation.type for located in function.walk())
        constants = counts.pop("const", 0)
        ordered = {kind: counts[kind] for kind in sorted(counts, key=lambda kind: (-counts[kind], kind))}
        interface = read_interface(package, function.name)
        functions.append(FunctionSummary(function.name, function.opset, interface, ordered, constants))
        for summary, places in _weights(package, function):
            key = (summary.name, frozenset(places))
            if key in found:
                summary = replace(summary, functions=(*found[key][0].functions, function.name))
            found[key] = (summary, places)
    weights = sorted((summary for summary, _ in found.values()), key=lambda item: (-item.bytes, item.name))
    stored: dict[tuple[str, int], int] = {}
    dense: dict[frozenset[tuple[str, int]], int] = {}
    for summary, places in found.values():
        stored.update(places)
        dense[frozenset(places)] = summary.elements
    elements, weight_bytes = sum(dense.values()), sum(stored.values())
    files = {name for name, offset in stored if offset >= 0}
    return PackageSummary(
        path=str(package.path),
        specification_version=int(package.spec.specificationVersion),
        metadata=package.metadata,
        functions=tuple(functions),
        weights=tuple(weights),
        elements=elements,
        weight_bytes=weight_bytes,
        bits_per_weight=8 * weight_bytes / elements if elements else 0.0,
        specification_bytes=package.specification_bytes,
        file_bytes=sum(package.blob_file(name).size for name in files),
    )


def _weights(package: Package, function: Function) -> list[tuple[WeightSummary, dict[tuple[str, int], int]]]:
    """The weight tensors of a function: constants in files, float vectors in the specification, and constexpr results.

    A constexpr operation that feeds another one is part of that one's form.
    """
    operations = [located.operation for located in function.walk()]
    compressed = {
        output.name: operation
        for operation in operations
        if operation.type.startswith("constexpr_")
        for output in operation.outputs
    }
    inner = {
        binding.name
        for operation in operations
        if operation.type.startswith("constexpr_")
        for argument in operation.inputs.values()
        for binding in argument.arguments
        if binding.WhichOneof("binding") == "name"
    }
    result: list[tuple[WeightSummary, dict[tuple[str, int], int]]] = []
    for operation in operations:
        if operation.type == "const":
            if not _is_weight(operation) or operation.outputs[0].name in inner:
                continue
        elif not operation.type.startswith("constexpr_") or any(output.name in inner for output in operation.outputs):
            continue
        if not operation.outputs:
            raise SpecError(f"{package.path} has an operation {operation_name(operation)} without outputs.")
        stored = _stored(package, function.name, operation, compressed, set())
        output = operation.outputs[-1]
        shape = tensor_shape(output.type.tensorType, output.name)
        summary = WeightSummary(
            name=operation_name(operation),
            functions=(function.name,),
            shape=shape,
            form="+".join(dict.fromkeys(stored.form)) or "dense",
            element=element_name(output.type.tensorType.dataType),
            bits=stored.bits,
            elements=math.prod(shape),
            granularity=", ".join(stored.granularity),
            bytes=sum(stored.bytes_at.values()),
            immediate=stored.immediate,
        )
        result.append((summary, stored.bytes_at))
    return result


def _is_weight(operation: Any) -> bool:
    """Whether a `const` is a weight and not a parameter: it lies in a file, or is a float tensor of rank 1 or more."""
    if "val" not in operation.attributes or not operation.outputs:
        return False
    value = operation.attributes["val"]
    if value.WhichOneof("value") == "blobFileValue":
        return True
    if value.type.WhichOneof("type") != "tensorType":
        return False
    element = BY_MIL.get(value.type.tensorType.dataType)
    return element is not None and element.value.kind == "f" and value.type.tensorType.rank >= 1


def _stored(package: Package, function: str, operation: Any, compressed: dict[str, Any], seen: set[str]) -> _Stored:
    """Sums up an operation's own constants and those of the constexpr operations that feed it.

    `seen` holds the outputs already counted: one operation may feed another twice, and damaged programs run in circles.
    """
    result = _Stored([], 0, {}, True)
    seen.update(output.name for output in operation.outputs)
    if operation.type != "const":
        result.form.append(_FORMS.get(operation.type, operation.type.removeprefix("constexpr_")))
    for number, (parameter, value) in enumerate(constants_of(operation)):
        if value.type.WhichOneof("type") != "tensorType":
            continue
        bits = BY_MIL.get(value.type.tensorType.dataType, BY_NAME["uint8"]).bits
        shape = tensor_shape(value.type.tensorType, parameter)
        if value.WhichOneof("value") == "blobFileValue":
            record, _ = package.record(value, f"{operation_name(operation)}.{parameter}")
            result.bytes_at[(value.blobFileValue.fileName, record.offset)] = record.size
            result.immediate = False
        elif element_name(value.type.tensorType.dataType) != "string":
            place = f"{function}/{operation_name(operation)}/{parameter}"
            result.bytes_at[(place, -1 - number)] = -(-math.prod(shape) * bits // 8)
        if parameter == "lut" and shape:
            # (P,) in iOS16's form, (..., P, V) in iOS18's.
            result.bits = (shape[0] if len(shape) == 1 else shape[-2]).bit_length() - 1
            result.granularity += _tables(shape)
        elif parameter == "scale":
            result.granularity.append(_count(math.prod(shape), "scale"))
        elif parameter in ("val", *_DATA_OPERANDS) and not result.bits:
            result.bits = bits
    for parameter in sorted(operation.inputs):
        for binding in operation.inputs[parameter].arguments:
            feeder = compressed.get(binding.name) if binding.WhichOneof("binding") == "name" else None
            if feeder is None or binding.name in seen:
                continue
            below = _stored(package, function, feeder, compressed, seen)
            if parameter == "data" and _is_float(feeder):
                result.form = ["scaled"]
            result.form += below.form
            result.granularity = below.granularity + result.granularity
            result.bytes_at.update(below.bytes_at)
            result.immediate = result.immediate and below.immediate
            if parameter in _DATA_OPERANDS or not result.bits:
                result.bits = below.bits or result.bits
    return result


def _tables(shape: tuple[int, ...]) -> list[str]:
    """How many tables a `lut` of this shape holds, and of what."""
    if len(shape) == 1:
        return ["1 table"]
    return [_count(math.prod(shape[:-2]), "table"), *([f"vectors of {shape[-1]}"] if shape[-1] > 1 else [])]


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("s" if number != 1 else "")


def _is_float(operation: Any) -> bool:
    """Whether an operation's weight, its last output, is of floats."""
    return element_name(operation.outputs[-1].type.tensorType.dataType).startswith("float")
