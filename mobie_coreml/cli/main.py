"""The `mobie` command: one Typer application; each command group lives in a module of its own."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from types import FrameType

import typer

from mobie_coreml import __version__

app = typer.Typer(
    name="mobie",
    help="Put text-guided video editing on an iPhone: convert, run, check and edit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"mobie {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Put text-guided video editing on an iPhone: convert, run, check and edit."""


def _register() -> None:
    """Adds every command module: each has `register(app)`; they import heavy things only inside commands."""
    import importlib

    if app.registered_commands:
        return
    for name in (
        "checkpoint",
        "convert",
        "verify",
        "run",
        "inspect",
        "palettize",
        "sensitivity",
        "recipe",
        "parity",
        "edit",
        "serve",
        "train",
        "evaluate",
        "doctor",
    ):
        module = importlib.import_module(f"mobie_coreml.cli.{name}")
        module.register(app)


def main(argv: list[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        0 success, 1 a check failed, 2 wrong use or bad input, 3 the work itself failed; 130 interrupted, 129 hung up,
        143 terminated (128 and the signal's number).
    """
    from mobie_coreml.errors import MobieError
    from palettization.errors import PackageError

    _register()
    if _has_empty_argument(sys.argv[1:] if argv is None else argv):
        print("Error: An argument is empty.\n  Is a variable of your shell not set?", file=sys.stderr)
        return 2
    try:
        with _ends_cleanly():
            result = app(args=argv, standalone_mode=False, prog_name="mobie")
        code = int(result) if isinstance(result, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        code = 128 + signal.SIGINT
    except _EndedFromOutside as end:
        code = 128 + end.number
    except (MobieError, PackageError) as error:
        print(f"Error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader of standard output, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _refused_by_system(error)
    except Exception as error:  # click's own usage errors carry an exit code and show()
        show = getattr(error, "show", None)
        if show is not None:
            show()
            return int(getattr(error, "exit_code", 2))
        raise
    if code > 128:  # Typer answers Ctrl-C inside a command with this code itself
        print("Interrupted; nothing half-written was left behind.", file=sys.stderr)
    return code


class _EndedFromOutside(BaseException):
    """SIGTERM or SIGHUP, on its way through every clean-up, as Ctrl-C is."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def _ends_cleanly() -> Iterator[None]:
    """Lets SIGTERM and SIGHUP unwind the work instead of killing it on the spot; a second one kills it.

    What someone else handles or ignores (nohup) stays as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def unwind(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise _EndedFromOutside(number)

    taken = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, unwind)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _has_empty_argument(argv: list[str]) -> bool:
    """Whether an argument that is no option's value is empty: as a path it would mean the current folder."""
    return any(not word and not before.startswith("-") for before, word in pairwise(["", *argv]))


def _refused_by_system(error: OSError) -> int:
    """Says in one message what the operating system refused; where that depends on the user's choice of file, 2."""
    place = f"{error.filename}: " if error.filename else ""
    print(f"Error: {place}{error.strerror or error}.", file=sys.stderr)
    chosen = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)
    if isinstance(error, chosen) or error.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS):
        print("  Choose another file, or check its name and its permissions.", file=sys.stderr)
        return 2
    print("  Check the space that is left and the device, and try again.", file=sys.stderr)
    return 3


def entry() -> None:
    """Console entry point."""
    sys.exit(main())
