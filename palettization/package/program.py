"""Walking a MIL program: functions, blocks, nested blocks, operations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from palettization.package.errors import SpecError


@dataclass(frozen=True)
class Function:
    """One function of a program.

    Attributes:
        name: "main" unless the package is multifunction.
        opset: Operation set, for example "CoreML7".
        proto: The MIL `Function` message.
        block: The MIL `Block` message that runs: the specialization of `opset`.
    """

    name: str
    opset: str
    proto: Any
    block: Any

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the function's inputs, in order."""
        return tuple(value.name for value in self.proto.inputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the function's outputs, in order."""
        return tuple(self.block.outputs)

    def walk(self) -> Iterator[Located]:
        """All operations in the order they appear; those of nested blocks follow their operation."""
        return walk_block(self.block, self.name, ())


@dataclass(frozen=True)
class Located:
    """An operation and where it is.

    Attributes:
        function: Name of its function.
        path: Of nested blocks: ((operation index, block index), ...), empty in the function's own block.
        index: Of the operation in its block.
        operation: The MIL `Operation` message.
    """

    function: str
    path: tuple[tuple[int, int], ...]
    index: int
    operation: Any


def walk_block(block: Any, function: str, path: tuple[tuple[int, int], ...]) -> Iterator[Located]:
    """All operations of a MIL `Block`; those of nested blocks (`cond`, `while_loop`) follow their operation."""
    for index, operation in enumerate(block.operations):
        yield Located(function, path, index, operation)
        for number, nested in enumerate(operation.blocks):
            yield from walk_block(nested, function, (*path, (index, number)))


def read_functions(program: Any, source: str) -> dict[str, Function]:
    """The functions of a MIL `Program`, by name in sorted order.

    Raises:
        SpecError: no function, or one without a block for its opset.
    """
    functions: dict[str, Function] = {}
    for name in sorted(program.functions):
        function = program.functions[name]
        blocks = function.block_specializations
        if function.opset in blocks:
            block = blocks[function.opset]
        elif len(blocks) == 1:
            block = next(iter(blocks.values()))
        else:
            have = ", ".join(sorted(blocks)) or "none"
            raise SpecError(
                f"{source}: function {name!r} has no block for its opset {function.opset!r} (it has {have})."
            )
        functions[name] = Function(name, function.opset, function, block)
    if not functions:
        raise SpecError(f"{source} holds a program without functions.")
    return functions


def operation_name(operation: Any) -> str:
    """The operation's `name` attribute, or its first output, or its type."""
    attribute = operation.attributes.get("name") if "name" in operation.attributes else None
    if attribute is not None and attribute.immediateValue.tensor.strings.values:
        return str(attribute.immediateValue.tensor.strings.values[0])
    return str(operation.outputs[0].name) if operation.outputs else str(operation.type)


def constants_of(operation: Any) -> Iterator[tuple[str, Any]]:
    """(parameter, MIL `Value`) of every constant an operation holds itself: attributes and literal arguments.

    The `name` attribute is left out. A parameter with several literal arguments gives one pair an argument.
    """
    for parameter in sorted(operation.attributes):
        if parameter != "name":
            yield parameter, operation.attributes[parameter]
    for parameter in sorted(operation.inputs):
        for binding in operation.inputs[parameter].arguments:
            if binding.WhichOneof("binding") == "value":
                yield parameter, binding.value
