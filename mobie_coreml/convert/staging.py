"""A folder built beside its destination and renamed into place: nothing half-made ever has its name."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mobie_coreml.errors import InputError, WorkError
from mobie_coreml.files import check_output
from mobie_coreml.manifest.content import FILE_NAME


def check_model_output(out: Path) -> None:
    """Refuses a destination that is neither free, nor an empty folder, nor a model folder.

    Raises:
        InputError: see above; whatever is there is not touched.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise InputError(f"{out} exists and is not a folder.", "Choose another output.")
    if out.is_dir() and any(out.iterdir()) and not (out / FILE_NAME).is_file():
        raise InputError(
            f"{out} exists and is not a model folder, so it is not replaced.", "Choose another output, or empty it."
        )
    check_output(out, force=True)


@contextlib.contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """Yields an empty folder beside `out`; when the block succeeds it takes the place of `out`.

    On any exception, KeyboardInterrupt included, it is removed and `out` is what it was.

    Raises:
        WorkError: the file system refuses: no space, no permission.
    """
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.absolute().parent))
    except OSError as error:
        raise WorkError(f"{out} cannot be made: {error.strerror or error}.", "Choose another output.") from error
    try:
        umask = os.umask(0)
        os.umask(umask)
        staging.chmod(0o777 & ~umask)
        yield staging
        _swap(staging, out)
    except OSError as error:
        raise WorkError(
            f"{out} cannot be written: {error.strerror or error}.", "Free some space or choose another output."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _swap(staging: Path, out: Path) -> None:
    """Renames `staging` to `out`; what was at `out` is removed last, and put back if anything fails before."""
    if not out.exists():
        staging.rename(out)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{out.name}-old-", dir=out.absolute().parent))
    kept = aside / out.name
    try:
        out.rename(kept)
        staging.rename(out)
    except BaseException:
        if kept.exists() and not out.exists():
            kept.rename(out)
        raise
    finally:
        if out.exists():
            shutil.rmtree(aside, ignore_errors=True)


def link_tree(source: Path, target: Path) -> None:
    """Makes a folder with the same files, sharing their storage where the file system can and copying where not."""
    target.mkdir()
    for item in sorted(source.iterdir()):
        if item.is_dir():
            link_tree(item, target / item.name)
            continue
        try:
            os.link(item, target / item.name)
        except OSError:
            shutil.copyfile(item, target / item.name)
