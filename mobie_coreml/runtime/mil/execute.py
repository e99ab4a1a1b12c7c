"""Runs resolved operations one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from mobie_coreml.runtime.mil.constants import Constant, Scratch
from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.registry import Kernel
from mobie_coreml.runtime.mil.types import REPRESENTATION, ValueType
from palettization.errors import PackageError

OnValue = Callable[[int, str, str, torch.Tensor], "torch.Tensor | None"]
Environment = list["torch.Tensor | None"]

# What torch and Python raise where values don't suit an operation.
_KERNEL_ERRORS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(slots=True)
class Result:
    """One output of a step: its slot, name and declared type, and whether it is rounded to float16."""

    slot: int
    name: str
    type: ValueType
    shape: tuple[int, ...] | None
    dtype: torch.dtype | None
    rounded: bool


@dataclass(slots=True)
class Step:
    """An operation bound to slots of the environment.

    Attributes:
        index: Position among the function's non-constant operations, nested ones included.
        type: Operation type.
        kernel: Called with the tensors in `inputs`.
        control: The kernel also gets the environment and the observer.
        inputs: Slots of the tensor arguments; slot 0 holds None.
        results: The outputs.
        loads: Constants to decode into slots before the kernel runs.
        scratch: Whether they may lie in scratch memory.
        frees: Slots that nothing needs after this step, those of `loads` among them.
    """

    index: int
    type: str
    kernel: Kernel
    control: bool
    inputs: tuple[int, ...]
    results: tuple[Result, ...]
    loads: tuple[tuple[int, Constant], ...] = ()
    scratch: bool = False
    frees: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Name for errors: the first output."""
        return self.results[0].name if self.results else self.type

    def failure(self, error: Exception) -> ProgramError:
        """The error of a kernel, with its place."""
        text = str(error).strip().splitlines()
        detail = text[0].rstrip(".") if text else type(error).__name__
        message = f"Operation {self.index} ({self.type}, {self.name!r}) failed: {detail}."
        return ProgramError(message, error.hint) if isinstance(error, PackageError) else ProgramError(message)


@dataclass(slots=True)
class Block:
    """A resolved block: its steps, and the slots of its inputs and outputs."""

    steps: list[Step]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def run_block(
    steps: Sequence[Step], environment: Environment, scratch: Scratch, on_value: OnValue | None = None
) -> None:
    """Runs `steps` in order on the values in `environment`.

    Args:
        steps: What to run.
        environment: A value per slot, changed in place.
        scratch: Memory for weights that aren't kept.
        on_value: Called for every output; what it returns replaces the value.

    Raises:
        ProgramError: a kernel failed, or its result isn't what the program declares.
    """
    for step in steps:
        try:
            if step.loads:
                scratch.reset()
                for slot, constant in step.loads:
                    environment[slot] = constant.load(scratch if step.scratch else None)
            arguments = [environment[slot] for slot in step.inputs]
            produced = step.kernel(environment, on_value, *arguments) if step.control else step.kernel(*arguments)
            del arguments
            values = (produced,) if isinstance(produced, torch.Tensor) else produced
            if len(values) != len(step.results):
                raise ProgramError(f"it gives {len(values)} values but declares {len(step.results)}")
            for result, value in zip(step.results, values, strict=True):
                if value.dtype is not result.dtype:
                    value = _converted(value, result)
                if result.shape is not None and value.shape != result.shape:
                    raise ProgramError(
                        f"{result.name!r} is declared as {result.type} but has shape {list(value.shape)}"
                    )
                if result.rounded:
                    value = value.half().float()
                if on_value is not None:
                    value = _observed(step, result, value, on_value)
                environment[result.slot] = value
        except PackageError as error:
            if error.message.startswith("Operation "):
                raise
            raise step.failure(error) from error
        except _KERNEL_ERRORS as error:
            raise step.failure(error) from error
        for slot in step.frees:
            environment[slot] = None


def _converted(value: torch.Tensor, result: Result) -> torch.Tensor:
    """Widths may differ between torch and the declared type; kinds may not."""
    if result.dtype is None:
        return value
    same_kind = value.is_floating_point() == result.dtype.is_floating_point
    if not same_kind or (value.dtype == torch.bool) != (result.dtype == torch.bool):
        raise ProgramError(f"{result.name!r} is declared as {result.type} but holds {value.dtype} values")
    return value.to(result.dtype)


def _observed(step: Step, result: Result, value: torch.Tensor, on_value: OnValue) -> torch.Tensor:
    replacement = on_value(step.index, step.type, result.name, value)
    if replacement is None:
        return value
    if replacement.shape != value.shape:
        raise ProgramError(f"the replacement of {result.name!r} has shape {list(replacement.shape)}")
    return replacement.to(value.dtype)


def make_result(slot: int, name: str, type: ValueType, rounded: bool) -> Result:
    """A step's output with what is checked about it."""
    return Result(slot, name, type, type.static_shape, REPRESENTATION.get(type.dtype), rounded)
