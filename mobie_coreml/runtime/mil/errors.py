"""Errors of the executor: what is wrong with a program, and which of its operations nobody taught us yet."""

from __future__ import annotations

from collections.abc import Sequence

from palettization.errors import PackageError

_HINT = "The package is damaged, or the tool that made it has a fault: convert the model again."


class ProgramError(PackageError):
    """The program inside a package contradicts itself, or one of its operations failed on the values it was given.

    Args:
        message: What was wrong and where.
        hint: What to do; by default, to convert the model again.
    """

    def __init__(self, message: str, hint: str = _HINT) -> None:
        super().__init__(message, hint)


class UnsupportedOperationError(PackageError):
    """The program uses operations (or forms of them) that the executor doesn't know.

    Args:
        message: Lists every such operation, how often and where.
        operations: Their types, sorted.
    """

    def __init__(self, message: str, hint: str, operations: Sequence[str]) -> None:
        super().__init__(message, hint)
        self.operations = tuple(operations)
