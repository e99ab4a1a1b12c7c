"""Constants of a function by name: `const` values and decoded `constexpr_*` weights, found and decoded on demand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy.typing as npt

from palettization.package.errors import ConstantError
from palettization.package.program import Function, operation_name
from palettization.package.reader import Package
from palettization.package.weights import decode_outputs

Array = npt.NDArray[Any]


class Constants:
    """The values of a function that are known before it runs, nested blocks included. Nothing is kept in memory."""

    def __init__(self, package: Package, function: Function | None = None) -> None:
        """Indexes the function's `const` and `constexpr_*` operations.

        Args:
            package: An open package.
            function: One of its functions; the default one unless given.
        """
        self._package = package
        self._producers: dict[str, tuple[Any, int]] = {}
        for located in (function or package.function()).walk():
            operation = located.operation
            if operation.type == "const" or operation.type.startswith("constexpr_"):
                for index, output in enumerate(operation.outputs):
                    self._producers[output.name] = (operation, index)

    def __contains__(self, name: str) -> bool:
        return name in self._producers

    def __iter__(self) -> Iterator[str]:
        return iter(self._producers)

    def __len__(self) -> int:
        return len(self._producers)

    def operation(self, name: str) -> Any:
        """The MIL `Operation` that produces `name`.

        Raises:
            ConstantError: no constant has that name.
        """
        if name not in self._producers:
            raise ConstantError(f"{self._package.path} has no constant {name!r}.")
        return self._producers[name][0]

    def value(self, name: str) -> Array:
        """The array called `name`; compressed weights are decoded.

        Raises:
            ConstantError: no constant has that name, or constants depend on each other in a circle.
            BlobError, UnsafePathError, WeightFormError: as `Package.constant` and `decode_constexpr`.
        """
        return self._value(name, ())

    def operands(self, operation: Any) -> dict[str, Array]:
        """The operands of a `const` or `constexpr_*` operation by parameter name, for `decode_constexpr`.

        Raises:
            As `value`.
        """
        return self._operands(operation, ())

    def _value(self, name: str, chain: tuple[str, ...]) -> Array:
        if name in chain:
            raise ConstantError(f"{self._package.path}: constants depend on each other: {' <- '.join((*chain, name))}.")
        operation = self.operation(name)
        index = self._producers[name][1]
        if operation.type == "const":
            if "val" not in operation.attributes:
                raise ConstantError(f"{self._package.path}: the constant {name!r} has no value.")
            return self._package.constant(operation.attributes["val"], name)
        operands = self._operands(operation, (*chain, name))
        with self._package.located():
            return decode_outputs(operation, operands)[index]

    def _operands(self, operation: Any, chain: tuple[str, ...]) -> dict[str, Array]:
        where = operation_name(operation)
        values: dict[str, Array] = {}
        for parameter in sorted(operation.attributes):
            if parameter != "name":
                values[parameter] = self._package.constant(operation.attributes[parameter], f"{where}.{parameter}")
        for parameter in sorted(operation.inputs):
            bindings = operation.inputs[parameter].arguments
            if len(bindings) != 1:
                raise ConstantError(f"{self._package.path}: {where} has {len(bindings)} values for {parameter}.")
            if bindings[0].WhichOneof("binding") == "name":
                values[parameter] = self._value(bindings[0].name, chain)
            else:
                values[parameter] = self._package.constant(bindings[0].value, f"{where}.{parameter}")
        return values
