"""Bits of a package's weights, as the manifest states them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palettization.package import Package


def stored_bits(package: Package) -> float:
    """Stored bits a weight, over all float weights that lie in the weight file, tables included; 0 without any.

    Raises:
        PackageError: the program names what the weight file does not hold.
    """
    from palettization.package import constants_of
    from palettization.stored import stored_weights

    makers = {
        output.name: located.operation
        for located in package.walk()
        if located.operation.type.startswith("constexpr_")
        for output in located.operation.outputs
    }

    def stored(operation: Any) -> int:
        """Bytes of an operation's constants, and of those that it is computed from."""
        own = [value for _, value in constants_of(operation) if value.WhichOneof("value") == "blobFileValue"]
        read = [binding.name for argument in operation.inputs.values() for binding in argument.arguments]
        sizes = (package.record(value, operation.outputs[0].name)[0].size for value in own)
        return sum(sizes) + sum(stored(makers[name]) for name in read if name in makers)

    weights = stored_weights(package)
    elements = sum(weight.elements for weight in weights)
    return 8 * sum(stored(weight.operations[0][0]) for weight in weights) / elements if elements else 0.0


def palettized_weights(package: Package) -> tuple[str, ...]:
    """Names of the weights that are compressed, in program order; every name of those that several functions share."""
    from palettization.stored import COMPRESSED, stored_weights

    return tuple(name for weight in stored_weights(package) if weight.form == COMPRESSED for name in weight.names)
