"""Outputs appear whole or not at all: write beside, fsync, rename."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mobie_coreml.errors import InputError


def check_output(path: Path, *, force: bool, is_file: bool = False) -> None:
    """Refuses an output that exists unless `force`, and a parent that is not a writable folder.

    Args:
        path: The output.
        force: It may replace what is there.
        is_file: It is a file, so that a folder in its place is refused in any case.

    Raises:
        InputError: the output exists and `force` is false, or its place cannot take it.
    """
    if is_file and path.is_dir():
        raise InputError(f"{path} is a folder.", "Give the name of a file.")
    if path.exists() and not force:
        raise InputError(f"{path} exists already.", "Choose another output or pass --force.")
    parent = path.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise InputError(f"{parent} is not a folder.", "Choose another output.")
    if not os.access(parent, os.W_OK):
        raise InputError(f"{parent} cannot be written to.", "Choose another output.")


def check_replaceable(path: Path, marker: str) -> None:
    """Refuses to replace anything but a folder of its own kind: `--force` must never cost a user other files.

    Args:
        path: The output, a folder.
        marker: Name of the file that every folder of this kind holds.

    Raises:
        InputError: something is at `path` that is neither an empty folder nor one that holds `marker`.
    """
    if not path.exists() or (path / marker).is_file() or (path.is_dir() and not any(path.iterdir())):
        return
    raise InputError(f"{path} holds no {marker} and is not replaced.", "Choose another output.")


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, with the same suffix; renames it over `path` when the block succeeds.

    The temporary file is removed on any exception, KeyboardInterrupt included.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A part of the name only: the longest names leave no room for more.
    handle, name = tempfile.mkstemp(prefix=f".{path.stem[:16]}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def atomic_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yields an empty temporary folder beside `path`; renames it to `path` when the block succeeds.

    Raises:
        InputError: `path` exists and `force` is false.
    """
    check_output(path, force=force)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name[:16]}-"
    temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
    replaced: Path | None = None
    try:
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        yield temporary
        if path.exists():
            replaced = Path(tempfile.mkdtemp(prefix=f"{prefix}old-", dir=path.parent))
            path.replace(replaced / "was")
        temporary.replace(path)
    except BaseException:
        # Also between the two renames: what was there comes back.
        if replaced is not None and (replaced / "was").exists() and not path.exists():
            (replaced / "was").replace(path)
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        if replaced is not None and path.exists():
            shutil.rmtree(replaced, ignore_errors=True)


def recover_folder(path: Path) -> None:
    """Undoes what an `atomic_folder` left that was killed: a folder moved aside comes back, unfinished ones go.

    Nothing else may be writing `path` at the time.
    """
    beside = f".{glob.escape(path.name[:16])}-"
    if not path.exists():
        for aside in sorted(path.parent.glob(f"{beside}old-*/was"))[:1]:
            aside.replace(path)
    for left in path.parent.glob(f"{beside}*"):
        shutil.rmtree(left, ignore_errors=True)


def read_json_object(path: Path, hint: str = "") -> dict[str, Any]:
    """Reads a JSON file that holds an object.

    Args:
        path: The file.
        hint: What the user can do where it is missing.

    Raises:
        InputError: it is missing, cannot be read, is not JSON or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing.", hint) from error
    except RecursionError as error:
        raise InputError(f"{path} cannot be read: it is nested too deeply.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} is not a JSON object.")
    return value


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON with a final newline, atomically; key order is kept."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes in lower-case hex, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
