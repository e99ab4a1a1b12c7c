"""Resolves a function of a package into a flat list of steps: names to slots, attributes to kernels, last uses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mobie_coreml.runtime.mil.constants import Constant, Scratch, kept_constants
from mobie_coreml.runtime.mil.errors import ProgramError, UnsupportedOperationError
from mobie_coreml.runtime.mil.execute import Block, Step, make_result
from mobie_coreml.runtime.mil.limits import check_elements
from mobie_coreml.runtime.mil.node import Argument, Node
from mobie_coreml.runtime.mil.registry import OperationDefinition, operations
from mobie_coreml.runtime.mil.types import ValueType, parse_type
from palettization.errors import PackageError
from palettization.package import Function, Package
from palettization.package.weights import decode_outputs

_SITES_LISTED = 3


@dataclass(frozen=True, slots=True)
class OperationInfo:
    """A non-constant operation of a function, for reports.

    Attributes:
        index: Its number, as `on_value` gives it; operations of nested blocks come before the one that holds them.
        type: Operation type.
        outputs: Names of its values.
        inputs: Names of the values it takes, by input; literal arguments are left out.
    """

    index: int
    type: str
    outputs: tuple[str, ...]
    inputs: dict[str, tuple[str, ...]]


@dataclass(slots=True)
class Resolved:
    """A function ready to run.

    Attributes:
        block: Its steps.
        slots: Size of the environment.
        inputs: Slot and type of each input that isn't a state.
        states: Slot and type of each state.
        outputs: Names and slots of the outputs, with their types.
        constants: Constants that stay in the environment, by slot.
        operations: Its non-constant operations.
        scratch: Memory for the others.
        labels: Class labels by the slot of the class number that they name.
    """

    block: Block
    slots: int
    inputs: dict[str, tuple[int, ValueType]]
    states: dict[str, tuple[int, ValueType]]
    outputs: dict[str, tuple[int, ValueType]]
    constants: dict[int, Constant]
    operations: tuple[OperationInfo, ...]
    scratch: Scratch
    labels: dict[int, Constant]


def resolve(package: Package, function: Function, *, half: bool) -> Resolved:
    """Resolves `function` of `package`.

    Args:
        package: Stays open as long as the result is run, since weights are read when they are used.
        function: One of its functions.
        half: Round every value that the program types float16.

    Raises:
        UnsupportedOperationError: lists every operation that cannot be executed.
        PackageError: the program contradicts itself.
    """
    _check_supported(function)
    return _Resolver(package, function, half).resolve()


def _check_supported(function: Function) -> None:
    known = operations()
    sites: dict[str, list[str]] = defaultdict(list)
    for located in function.walk():
        kind = str(located.operation.type)
        if kind not in known and kind != "const" and not kind.startswith("constexpr_"):
            sites[kind].append(located.operation.outputs[0].name if located.operation.outputs else "?")
    if not sites:
        return
    lines = []
    for kind in sorted(sites):
        names = sites[kind]
        listed = ", ".join(names[:_SITES_LISTED]) + (", ..." if len(names) > _SITES_LISTED else "")
        lines.append(f"{kind} ({len(names)}x: {listed})")
    raise UnsupportedOperationError(
        f"Function {function.name!r} uses {len(sites)} kinds of operations that the executor doesn't know: "
        + "; ".join(lines)
        + ".",
        "Run the package with --runtime coreml on a Mac, or convert the model without these operations.",
        sorted(sites),
    )


@dataclass(slots=True)
class _Scope:
    """Names visible in a block, and the slots of the values that the block itself computes or takes."""

    names: dict[str, Argument]
    own: set[int] = field(default_factory=set)


class _Resolver:
    def __init__(self, package: Package, function: Function, half: bool) -> None:
        self._package = package
        self._function = function
        self._half = half
        self._opset = _opset(function.opset)
        self._slots = 1
        self._constants: dict[int, Constant] = {}
        self._operations: list[OperationInfo] = []
        self._steps: list[tuple[Step, OperationDefinition]] = []
        self._scratch = Scratch()
        self._labels: dict[int, Constant] = {}
        self._defined = {output.name for located in function.walk() for output in located.operation.outputs}

    def resolve(self) -> Resolved:
        scope = _Scope({})
        inputs: dict[str, tuple[int, ValueType]] = {}
        states: dict[str, tuple[int, ValueType]] = {}
        for declared in self._function.proto.inputs:
            type = parse_type(declared.type, f"Input {declared.name!r}")
            argument = self._define(scope, declared.name, type)
            (states if type.kind == "state" else inputs)[declared.name] = (argument.slot, type)
        block = self._block(self._function.block, scope)
        outputs = {
            name: (self._find(scope, name, "the function's output").slot, scope.names[name].type)
            for name in self._function.outputs
        }
        if not outputs:
            raise ProgramError(f"Function {self._function.name!r} has no outputs.")
        kept = self._place_constants(block)
        return Resolved(
            block, self._slots, inputs, states, outputs, kept, tuple(self._operations), self._scratch, self._labels
        )

    def _block(self, proto: Any, scope: _Scope) -> Block:
        """Resolves a block's operations; its inputs are in `scope` already."""
        steps: list[Step] = []
        uses: list[set[int]] = []
        for operation in proto.operations:
            kind = str(operation.type)
            if kind == "const" or kind.startswith("constexpr_"):
                self._constant_operation(operation, scope)
                continue
            step, used = self._step(operation, scope)
            steps.append(step)
            uses.append(used)
        outputs = tuple(self._find(scope, name, "a block's output").slot for name in proto.outputs)
        seen = set(outputs)
        for step, used in zip(reversed(steps), reversed(uses), strict=True):
            mine = used | {result.slot for result in step.results}
            step.frees = tuple(sorted((mine & scope.own) - seen))
            seen |= mine
        return Block(steps, (), outputs)

    def _step(self, operation: Any, scope: _Scope) -> tuple[Step, set[int]]:
        kind = str(operation.type)
        names = tuple(str(output.name) for output in operation.outputs)
        where = f"Operation {names[0] if names else kind!r} ({kind})"
        arguments = self._arguments(operation, scope)
        types = tuple(parse_type(output.type, f"Value {output.name!r}") for output in operation.outputs)
        for name, type in zip(names, types, strict=True):
            self._check_size(name, type)
        blocks, used = self._nested(operation, scope)
        index = len(self._operations)
        taken = {
            name: tuple(binding.name for binding in argument.arguments if binding.WhichOneof("binding") == "name")
            for name, argument in sorted(operation.inputs.items())
        }
        self._operations.append(
            OperationInfo(index, kind, names, {key: value for key, value in taken.items() if value})
        )
        node = Node(kind, names[0] if names else kind, self._opset, arguments, types, index, blocks, self._scratch)
        definition = operations()[kind]
        try:
            kernel = definition.build(node)
            inputs = _positional(node, definition)
        except PackageError as error:
            raise ProgramError(f"{where} is malformed: {error.message.rstrip('.')}.", error.hint) from error
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
            raise ProgramError(f"{where} is malformed: {error}.") from error
        results = []
        for name, type in zip(names, types, strict=True):
            slot = self._define(scope, name, type).slot
            results.append(make_result(slot, name, type, self._half and type.dtype == "fp16" and not definition.moves))
        step = Step(index, kind, kernel, definition.control, inputs, tuple(results))
        classes = arguments.get("classes", []) if kind == "classify" else []
        if classes and classes[0].constant is not None and results:
            self._labels[results[0].slot] = classes[0].constant
        self._steps.append((step, definition))
        return step, used | set(inputs)

    def _nested(self, operation: Any, scope: _Scope) -> tuple[list[Block], set[int]]:
        """Resolves the blocks of a control operation; also the outer slots that they use."""
        blocks = []
        used: set[int] = set()
        for proto in operation.blocks:
            inner = _Scope(dict(scope.names))
            first = len(self._steps)
            inputs = [
                self._define(inner, declared.name, parse_type(declared.type, f"Block input {declared.name!r}")).slot
                for declared in proto.inputs
            ]
            block = self._block(proto, inner)
            block.inputs = tuple(inputs)
            blocks.append(block)
            for step, _ in self._steps[first:]:
                used |= set(step.inputs)
            used |= set(block.outputs)
        return blocks, used

    def _arguments(self, operation: Any, scope: _Scope) -> dict[str, list[Argument]]:
        arguments: dict[str, list[Argument]] = {}
        for name in sorted(operation.inputs):
            bound = []
            for binding in operation.inputs[name].arguments:
                if binding.WhichOneof("binding") == "value":
                    bound.append(self._literal(f"{operation.type}.{name}", binding.value))
                else:
                    bound.append(self._find(scope, str(binding.name), f"input {name!r} of a {operation.type}"))
            arguments[name] = bound
        for name in sorted(operation.attributes):
            if name != "name" and name not in arguments:
                arguments[name] = [self._literal(f"{operation.type}.{name}", operation.attributes[name])]
        return arguments

    def _literal(self, name: str, value: Any) -> Argument:
        """A constant without a name of its own, or the value of a `const` operation."""
        type = parse_type(value.type, f"Constant {name!r}")
        self._check_size(name, type)
        constant = Constant(name, type, lambda: self._package.constant(value, name))
        self._slots += 1
        self._constants[self._slots - 1] = constant
        return Argument(self._slots - 1, type, constant)

    def _constant_operation(self, operation: Any, scope: _Scope) -> None:
        if operation.type == "const":
            if "val" not in operation.attributes or len(operation.outputs) != 1:
                raise ProgramError("A const operation has no value or not one output.")
            name = str(operation.outputs[0].name)
            argument = self._literal(name, operation.attributes["val"])
            declared = parse_type(operation.outputs[0].type, f"Constant {name!r}")
            if declared.kind == argument.type.kind == "tensor" and declared != argument.type:
                raise ProgramError(f"Constant {name!r} is declared as {declared} but holds {argument.type}.")
            self._name(scope, name, argument)
            return
        operands = self._arguments(operation, scope)
        computed = [name for name, bound in operands.items() if any(argument.constant is None for argument in bound)]
        if computed:
            raise ProgramError(
                f"Weight {operation.outputs[0].name!r} ({operation.type}) has computed operands: {computed}."
            )
        decoder = _WeightDecoder(operation, operands)
        for position, output in enumerate(operation.outputs):
            type = parse_type(output.type, f"Weight {output.name!r}")
            self._check_size(output.name, type)
            constant = Constant(output.name, type, decoder.reader(position))
            slot = self._slots
            self._slots += 1
            self._constants[slot] = constant
            self._name(scope, str(output.name), Argument(slot, type, constant))

    def _define(self, scope: _Scope, name: str, type: ValueType) -> Argument:
        self._check_size(name, type)
        argument = Argument(self._slots, type)
        self._slots += 1
        scope.own.add(argument.slot)
        self._name(scope, name, argument)
        return argument

    def _name(self, scope: _Scope, name: str, argument: Argument) -> None:
        if not name:
            raise ProgramError("A value has no name.")
        if name in scope.names:
            raise ProgramError(f"Two values are called {name!r}.")
        scope.names[name] = argument

    def _find(self, scope: _Scope, name: str, user: str) -> Argument:
        found = scope.names.get(name)
        if found is None:
            reason = "is used before it is computed" if name in self._defined else "is never computed"
            raise ProgramError(f"Value {name!r}, {user}, {reason}.")
        return found

    def _check_size(self, name: str, type: ValueType) -> None:
        shape = type.static_shape
        if shape is None:
            return
        try:
            check_elements(shape)
        except ProgramError as error:
            raise ProgramError(f"Value {name!r} cannot be held: {error.message}.") from error

    def _place_constants(self, block: Block) -> dict[int, Constant]:
        """Decides which constants stay in the environment; the others are loaded by the steps that use them."""
        used = {slot for step, _ in self._steps for slot in step.inputs if slot in self._constants}
        passed = {slot for step, _ in self._steps if step.control for slot in step.inputs} | set(block.outputs)
        numeric = {slot: self._constants[slot] for slot in used | (passed & self._constants.keys())}
        kept_ids = kept_constants(numeric.values())
        kept = {slot: constant for slot, constant in numeric.items() if id(constant) in kept_ids or slot in passed}
        for step, definition in self._steps:
            loads = tuple(
                (slot, self._constants[slot])
                for slot in dict.fromkeys(step.inputs)
                if slot in numeric and slot not in kept
            )
            if loads:
                step.loads = loads
                step.frees = (*step.frees, *(slot for slot, _ in loads))
                step.scratch = definition.fresh
                if step.scratch:
                    self._scratch.reserve(sum(-(-(constant.type.elements or 0) // 16) * 16 for _, constant in loads))
        return kept


class _WeightDecoder:
    """The outputs of one `constexpr_*` operation; sparse forms have two."""

    def __init__(self, operation: Any, operands: Mapping[str, list[Argument]]) -> None:
        self._operation = operation
        self._operands = operands

    def reader(self, position: int) -> Any:
        """Reads one output."""
        return lambda: self._decode()[position]

    def _decode(self) -> tuple[np.ndarray[Any, Any], ...]:
        values = {}
        for name, bound in self._operands.items():
            if len(bound) != 1 or bound[0].constant is None:
                raise ProgramError(f"Weight {self._operation.outputs[0].name!r} has {len(bound)} values for {name!r}.")
            values[name] = np.asarray(bound[0].constant.value())
        return decode_outputs(self._operation, values)


def _positional(node: Node, definition: OperationDefinition) -> tuple[int, ...]:
    """Slots of a node's tensor arguments in the kernel's order."""
    slots: list[int] = []
    for entry in definition.takes:
        name = entry.rstrip("?*")
        bound = node.arguments.get(name, [])
        if entry.endswith("*"):
            if not bound:
                raise ProgramError(f"its input {name!r} is missing")
            slots += [argument.slot for argument in bound]
        elif entry.endswith("?") and not bound:
            slots.append(0)
        elif len(bound) != 1:
            raise ProgramError(f"its input {name!r} must be bound to one value, not {len(bound)}")
        else:
            slots.append(bound[0].slot)
    return tuple(slots)


def _opset(name: str) -> int:
    """The number in "CoreML7"."""
    digits = name.removeprefix("CoreML")
    if not digits.isdecimal():
        raise ProgramError(f"The operation set {name!r} is unknown.")
    return int(digits)
