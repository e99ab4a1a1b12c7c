"""The `mobie` command: one Typer application; each command group lives in a module of its own."""

from __future__ import annotations

import errno
import os
import sys
from itertools import pairwise

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

    for name in (
        "checkpoint",
        "convert",
        "verify",
        "run",
        "inspect",
        "palettize",
        "parity",
        "edit",
        "train",
        "evaluate",
        "doctor",
    ):
        module = importlib.import_module(f"mobie_coreml.cli.{name}")
        module.register(app)


def main(argv: list[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        0 success, 1 a check failed, 2 wrong use or bad input, 3 the work itself failed, 130 interrupted.
    """
    from mobie_coreml.errors import MobieError
    from palettization.errors import PackageError

    _register()
    if _has_empty_argument(sys.argv[1:] if argv is None else argv):
        print("Error: An argument is empty.\n  Is a variable of your shell not set?", file=sys.stderr)
        return 2
    try:
        result = app(args=argv, standalone_mode=False, prog_name="mobie")
        code = int(result) if isinstance(result, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        code = 130
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
    if code == 130:  # Typer answers Ctrl-C inside a command with this code itself
        print("Interrupted; nothing half-written was left behind.", file=sys.stderr)
    return code


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
