"""The table of operations: each family of operations lives in a file `ops_*.py` and registers itself here.

An operation is a builder: it reads the constant attributes of one node once, when a program is loaded, and returns the
kernel that is called at every run with the node's tensor arguments.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mobie_coreml.runtime.mil.node import Node

Kernel = Callable[..., Any]
Builder = Callable[["Node"], Kernel]


@dataclass(frozen=True, slots=True)
class OperationDefinition:
    """How one operation type is executed.

    Attributes:
        takes: Names of the tensor arguments in the kernel's order; "?" marks an optional one (None when absent), "*" a
            variadic one (must be last).
        build: Makes the kernel of a node.
        moves: The results consist of values of the arguments, so that fp16 mode has nothing to round.
        fresh: The result never shares memory with an argument, so that a large weight may be decoded into scratch
            memory.
        control: The kernel gets the environment and `on_value` before its tensors and runs the node's blocks itself.
    """

    takes: tuple[str, ...]
    build: Builder
    moves: bool = False
    fresh: bool = False
    control: bool = False


_OPERATIONS: dict[str, OperationDefinition] = {}
_FAMILIES = (
    "activation",
    "attention",
    "classify",
    "control",
    "conv",
    "elementwise",
    "gather",
    "linear",
    "norm",
    "pool",
    "random",
    "recurrent",
    "reduction",
    "resize",
    "sample",
    "scatter",
    "shape",
    "slice",
    "sort",
    "space",
    "state",
)


def operation(
    *names: str, takes: str = "x", moves: bool = False, fresh: bool = False, control: bool = False
) -> Callable[[Builder], Builder]:
    """Registers a builder for the operation types `names`; `takes` lists its tensor arguments, separated by spaces."""

    def register(build: Builder) -> Builder:
        for name in names:
            _OPERATIONS[name] = OperationDefinition(tuple(takes.split()), build, moves, fresh, control)
        return build

    return register


@functools.cache
def operations() -> dict[str, OperationDefinition]:
    """All operations that can be executed, by type; loads the families on first use."""
    for family in _FAMILIES:
        importlib.import_module(f"mobie_coreml.runtime.mil.ops_{family}")
    return _OPERATIONS
