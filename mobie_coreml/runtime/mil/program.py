"""A function of a package, loaded and ready to run."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from mobie_coreml.errors import InputError
from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.execute import Environment, OnValue, run_block
from mobie_coreml.runtime.mil.load import OperationInfo, Resolved, resolve
from mobie_coreml.runtime.mil.types import REPRESENTATION, ValueType
from palettization.package import Package

State = dict[str, torch.Tensor]
Value = np.ndarray | torch.Tensor


class MilProgram:
    """Executes one function of an ML Program on the CPU.

    Two modes: "fp32" does all floating-point arithmetic in float32 on the weights as stored, whatever the program
    types its values; "fp16" also rounds every value that the program types float16 after the operation that makes it
    (overflow becomes infinity), while sums inside an operation stay in float32. The second is what a device does
    closest.

    Attributes:
        inputs: Declared types of the inputs, by name; states aren't among them.
        outputs: Declared types of the outputs, by name.
        states: Declared types of the states, by name.
        operations: All operations but constants, with their names.
    """

    def __init__(self, package: Package, resolved: Resolved, precision: str) -> None:
        self._package = package
        self._resolved = resolved
        self._half = precision == "fp16"
        self._lock = threading.Lock()
        self._state: State | None = None
        self.precision = precision
        self.inputs: dict[str, ValueType] = {name: type for name, (_, type) in resolved.inputs.items()}
        self.outputs: dict[str, ValueType] = {name: type for name, (_, type) in resolved.outputs.items()}
        self.states: dict[str, ValueType] = {name: type for name, (_, type) in resolved.states.items()}
        self.operations: tuple[OperationInfo, ...] = resolved.operations

    @classmethod
    def load(
        cls, package: Package | Path | str, function: str | None = None, precision: Literal["fp32", "fp16"] = "fp32"
    ) -> MilProgram:
        """Loads a function; weights are read when they are used.

        Args:
            package: An opened package, or where one is. It stays in use as long as the program.
            function: Name in a multifunction package; None is the default one.
            precision: "fp32" or "fp16", as above.

        Raises:
            UnsupportedOperationError: lists every operation that cannot be executed.
            PackageError: the package cannot be read or contradicts itself.
        """
        opened = package if isinstance(package, Package) else Package.open(package)
        opened.check_weights()
        return cls(opened, resolve(opened, opened.function(function), half=precision == "fp16"), precision)

    def new_state(self) -> State:
        """Fresh states, all zeros."""
        return {
            name: torch.zeros(_static(name, type), dtype=REPRESENTATION[type.dtype])
            for name, type in self.states.items()
        }

    def reset_state(self) -> None:
        """Forgets what earlier runs left in the states."""
        self._state = None

    def run(
        self, inputs: Mapping[str, Value], on_value: OnValue | None = None, state: State | None = None
    ) -> dict[str, np.ndarray]:
        """Runs the function once.

        Args:
            inputs: A value per input, in the declared shape; numbers of any width.
            on_value: Called as (operation index, operation type, value name, tensor) for every value that is computed.
                What it returns, unless None, replaces the value for all that follows. The tensors must not be changed
                in place.
            state: States to read and write; None keeps them inside this object from run to run.

        Returns:
            Outputs by name: float32 for floating-point types, in the declared shape. A classifier's label is a
            string or an integer in an array of rank 0, its dictionary the array of probabilities.

        Raises:
            InputError: a missing or unknown name, or a wrong shape or element type.
            ProgramError: an operation failed, or gave something else than the program declares.
        """
        resolved = self._resolved
        environment: Environment = [None] * resolved.slots
        self._bind(environment, inputs)
        if resolved.states:
            self._state = self._state or self.new_state()
            for name, (slot, _) in resolved.states.items():
                environment[slot] = (state or self._state)[name]
        with self._lock, torch.inference_mode():
            for slot, constant in resolved.constants.items():
                environment[slot] = constant.keep()
            run_block(resolved.block.steps, environment, resolved.scratch, on_value)
            return {name: self._output(environment, slot, name) for name, (slot, _) in resolved.outputs.items()}

    def _output(self, environment: Environment, slot: int, name: str) -> np.ndarray:
        value = environment[slot]
        if value is None:
            raise ProgramError(f"Output {name!r} was not computed.")
        if slot in self._resolved.labels:
            return np.asarray(self._resolved.labels[slot].value()[int(value)])
        # A copy of its own: the value may share memory with an input, a state or a weight.
        return np.array(value.contiguous().numpy(), order="C")

    def _bind(self, environment: Environment, inputs: Mapping[str, Value]) -> None:
        unknown = sorted(set(inputs) - set(self.inputs))
        missing = sorted(set(self.inputs) - set(inputs))
        if unknown or missing:
            parts = [f"unknown: {', '.join(unknown)}"] * bool(unknown) + [f"missing: {', '.join(missing)}"] * bool(
                missing
            )
            raise InputError(
                f"The inputs don't match the program ({'; '.join(parts)}).", f"It takes {sorted(self.inputs)}."
            )
        for name, (slot, type) in self._resolved.inputs.items():
            value = inputs[name]
            tensor = value if isinstance(value, torch.Tensor) else torch.from_numpy(np.array(value, order="C"))
            target = REPRESENTATION.get(type.dtype)
            if target is None or (tensor.is_floating_point() and not target.is_floating_point):
                raise InputError(f"Input {name!r} is {tensor.dtype} but the program takes {type}.")
            if not _fits(tensor.shape, type):
                raise InputError(f"Input {name!r} has shape {list(tensor.shape)} but the program takes {type}.")
            tensor = tensor.to(target)
            environment[slot] = tensor.half().float() if self._half and type.dtype == "fp16" else tensor


def _fits(shape: torch.Size, type: ValueType) -> bool:
    if type.shape is None:
        return True
    return len(shape) == len(type.shape) and all(
        declared in (None, size) for size, declared in zip(shape, type.shape, strict=True)
    )


def _static(name: str, type: ValueType) -> tuple[int, ...]:
    shape = type.static_shape
    if shape is None:
        raise ProgramError(f"State {name!r} has no fixed shape.")
    return shape
