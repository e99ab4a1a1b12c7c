"""Typed errors. Each says what was wrong, where, and what to do; the CLI prints them as one message."""


class MobieError(Exception):
    """Base of all errors that users see.

    Args:
        message: What was wrong and where, one sentence.
        hint: What the user can do about it; may be empty.
    """

    exit_code = 3

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InputError(MobieError):
    """Wrong use or bad input (exit code 2)."""

    exit_code = 2


class CheckFailed(MobieError):
    """The work was done and a check did not hold (exit code 1)."""

    exit_code = 1


class WorkError(MobieError):
    """The work itself failed (exit code 3): no space, a tool that broke, a bug."""

    exit_code = 3
