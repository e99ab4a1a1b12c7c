"""Errors of the package reader, writer and palettizer; `hint` says what to do."""


class PackageError(Exception):
    """Base of everything that can be wrong with a Core ML package or a request about one.

    Args:
        message: What was wrong and where, one sentence.
        hint: What the user can do about it; may be empty.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()
