"""The weights of a package as they are stored: what each is, where it lies, and who uses it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import Any

from palettization.package import Package, constants_of, element_name, operation_name, tensor_shape

DENSE, CAST, COMPRESSED = "dense", "cast", "compressed"
_FLOATS = ("float16", "float32")


@dataclass(frozen=True)
class Use:
    """A parameter of an operation that a weight is given to.

    Attributes:
        operation: Its type.
        parameter: Its name.
        order: Of the operation among all of the package.
    """

    operation: str
    parameter: str
    order: int


@dataclass
class StoredWeight:
    """One weight tensor. Constants of several functions that lie at one place in a weight file are one tensor.

    Attributes:
        name: Of its first operation.
        shape: Of the dense weight.
        element: Element type that computation sees.
        form: "dense", a constant; "cast", fp16 brought to fp32 by `constexpr_cast`; or "compressed".
        value: A copy of the MIL `Value` of a dense or cast weight's data, else None.
        operations: The `const` or `constexpr_*` operations that produce it, and the opset number of each.
        uses: Who takes it.
    """

    name: str
    shape: tuple[int, ...]
    element: str
    form: str
    value: Any
    operations: list[tuple[Any, int]]
    uses: list[Use] = field(default_factory=list)

    @property
    def elements(self) -> int:
        """Of the dense weight."""
        return math.prod(self.shape)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all its operations."""
        return tuple(dict.fromkeys(operation_name(operation) for operation, _ in self.operations))

    @property
    def opsets(self) -> tuple[int, ...]:
        """Of the functions it occurs in, ascending."""
        return tuple(sorted({opset for _, opset in self.operations}))


def opset_number(opset: str) -> int:
    """7 for "CoreML7"; 0 for names that are none."""
    digits = opset.removeprefix("CoreML")
    return int(digits) if digits.isdecimal() else 0


def stored_weights(package: Package) -> list[StoredWeight]:
    """The float weights of a package that lie in weight files or are compressed, in program order.

    Raises:
        ConstantError: a weight without a constant shape.
    """
    found: dict[tuple[object, ...], StoredWeight] = {}
    order = 0
    for function in package.functions.values():
        opset = opset_number(function.opset)
        inside: dict[str, StoredWeight] = {}
        for located in function.walk():
            operation = located.operation
            order += 1
            for parameter in sorted(operation.inputs):
                for binding in operation.inputs[parameter].arguments:
                    if binding.WhichOneof("binding") == "name" and binding.name in inside:
                        inside[binding.name].uses.append(Use(operation.type, parameter, order))
            described = _described(operation, opset)
            if described is None:
                continue
            weight, key = described
            known = found.setdefault((*key, weight.form, weight.shape, weight.element), weight)
            if known is not weight:
                known.operations += weight.operations
            for output in operation.outputs:
                inside[output.name] = known
    # What only feeds another constexpr operation is part of that one.
    return [weight for weight in found.values() if not weight.uses or not all(map(_feeds_constexpr, weight.uses))]


def _feeds_constexpr(use: Use) -> bool:
    return use.operation.startswith("constexpr_")


def _described(operation: Any, opset: int) -> tuple[StoredWeight, tuple[object, ...]] | None:
    """The weight that an operation produces, if it does, and what tells it from others."""
    compressed = operation.type.startswith("constexpr_")
    if not (compressed or operation.type == "const") or not operation.outputs:
        return None
    output = operation.outputs[-1]
    element = element_name(output.type.tensorType.dataType)
    constants = dict(constants_of(operation))
    in_file = {key: value for key, value in constants.items() if value.WhichOneof("value") == "blobFileValue"}
    if element not in _FLOATS or (operation.type == "const" and "val" not in in_file):
        return None
    name, shape = operation_name(operation), tensor_shape(output.type.tensorType, output.name)
    form, value = COMPRESSED, None
    if operation.type == "const":
        form, value = DENSE, in_file["val"]
    elif operation.type == "constexpr_cast" and "source_val" in in_file:
        form, value = CAST, in_file["source_val"]
    if value is not None:
        copied = type(value)()
        copied.CopyFrom(value)
        value = copied
    place = (value.blobFileValue.fileName, value.blobFileValue.offset) if value is not None else (id(operation),)
    return StoredWeight(name, shape, element, form, value, [(operation, opset)]), place


def architecture_digest(weights: list[StoredWeight]) -> str:
    """SHA-256 over the names and shapes of weights, one "name AxBxC" a line in sorted order.

    It is the same for a package and its palettized forms, and for other weights in the same network.
    """
    lines = sorted({f"{weight.name} {'x'.join(map(str, weight.shape))}\n" for weight in weights})
    return hashlib.sha256("".join(lines).encode()).hexdigest()
