"""Writing packages: deterministic bytes, whole or not at all, weights streamed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palettization.package.blob_writer import BlobWriter
from palettization.package.digests import sha256_file
from palettization.package.errors import PackageExistsError, PackageWriteError, SpecError
from palettization.package.layout import AUTHOR, DATA, MANIFEST

_MODEL = f"{DATA}/{AUTHOR}/model.mlmodel"
_WEIGHTS = f"{DATA}/{AUTHOR}/weights/weight.bin"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://apple.github.io/coremltools/mlpackage")


@dataclass(frozen=True)
class WrittenPackage:
    """A package just written.

    Attributes:
        path: Of the package.
        digests: SHA-256 of its files, as `tree_digests` gives them.
    """

    path: Path
    digests: dict[str, str]


class PackageWriter:
    """Writes one package: add weights to `blob` one at a time, then `finish(spec)`.

    Everything happens in a temporary folder beside the output; `finish` renames it into place. Leaving the context
    manager without `finish`, by an exception or an interruption too, leaves nothing behind.

        with PackageWriter(path) as writer:
            offset = writer.blob.add(array)
            ...
            writer.finish(spec)
    """

    def __init__(self, path: Path | str, *, force: bool = False, deduplicate: bool = False) -> None:
        """Creates the temporary folder and an empty weight file.

        Args:
            path: The package to write.
            force: Replace an existing package.
            deduplicate: As in `BlobWriter`.

        Raises:
            PackageExistsError: `path` exists and `force` is false, or it is not a package.
            PackageWriteError: no permission, no space.
        """
        self.path = Path(path)
        self._force = force
        check_replaceable(self.path, force=force)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=f".{self.path.name}-", dir=self.path.parent))
        except OSError as error:
            raise _failure(self.path, error) from error
        try:
            (self._folder / _WEIGHTS).parent.mkdir(parents=True)
            self.blob = BlobWriter(self._folder / _WEIGHTS, deduplicate=deduplicate)
        except BaseException as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise _failure(self.path, error) from error
            raise

    def __enter__(self) -> PackageWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def discard(self) -> None:
        """Removes the temporary folder; does nothing after `finish`."""
        if self._folder.exists():
            self.blob.discard()
            shutil.rmtree(self._folder, ignore_errors=True)

    def adopt_blob(self, source: Path, *, move: bool = False) -> None:
        """Takes a finished weight file as the package's instead of `blob`.

        Args:
            source: The file.
            move: Take the file itself where the file system allows it, instead of a copy.

        Raises:
            PackageWriteError: it cannot be read or copied.
        """
        self.blob.discard()
        target = self._folder / _WEIGHTS
        try:
            if move:
                shutil.move(source, target)
            else:
                shutil.copyfile(source, target)
            _sync(target)
        except OSError as error:
            raise _failure(self.path, error) from error

    def finish(self, spec: Any) -> WrittenPackage:
        """Writes specification and manifest, and renames the package into place.

        The bytes depend on the specification and the weights alone: maps are serialised in sorted order, identifiers
        in Manifest.json are derived from content, and there are no dates.

        Args:
            spec: A protobuf `Model` holding an ML Program.

        Raises:
            SpecError: not an ML Program, or too large to serialise.
            PackageWriteError: no space, no permission.
        """
        if spec.WhichOneof("Type") != "mlProgram":
            raise SpecError(f"{self.path} cannot be written: the specification is not an ML Program.")
        try:
            data = spec.SerializeToString(deterministic=True)
        except Exception as error:  # protobuf has several types for messages over 2 GiB
            raise SpecError(
                f"{self.path} cannot be written: {error}.", "Keep large constants in the weight file."
            ) from error
        try:
            return self._finish(data)
        except OSError as error:
            raise _failure(self.path, error) from error
        finally:
            self.discard()

    def _finish(self, data: bytes) -> WrittenPackage:
        weights = self._folder / _WEIGHTS
        if self.blob.count and not self.blob.closed:
            self.blob.close()
        elif not self.blob.closed:
            self.blob.discard()
        _write(self._folder / _MODEL, data)
        digests = {_MODEL: sha256_file(self._folder / _MODEL)}
        if weights.exists():
            digests[_WEIGHTS] = sha256_file(weights)
        else:
            weights.parent.rmdir()
        _write(self._folder / MANIFEST, _manifest(digests))
        digests[MANIFEST] = sha256_file(self._folder / MANIFEST)
        _open_permissions(self._folder)
        replace_folder(self._folder, self.path, force=self._force)
        return WrittenPackage(self.path, {name: digests[name] for name in sorted(digests)})


def write_package(
    path: Path | str, spec: Any, blob: BlobWriter | Path | None = None, *, force: bool = False
) -> WrittenPackage:
    """Writes a package in one call.

    Args:
        path: The package to write.
        spec: A protobuf `Model` holding an ML Program; file values name "@model_path/weights/weight.bin".
        blob: Its weights: a `BlobWriter`, which is closed and whose file is moved into the package, a weight file,
            which is copied, or None.
        force: Replace an existing package.

    Raises:
        PackageExistsError: `path` exists and `force` is false, or it is not a package.
        SpecError: `spec` is not an ML Program.
        PackageWriteError: no space, no permission.
    """
    with PackageWriter(path, force=force) as writer:
        if isinstance(blob, BlobWriter):
            writer.adopt_blob(blob.close(), move=True)
        elif blob is not None:
            writer.adopt_blob(blob)
        return writer.finish(spec)


def check_replaceable(path: Path, *, force: bool) -> None:
    """Refuses to overwrite what exists without `force`, and with it anything that is not a package.

    Raises:
        PackageExistsError: see above.
    """
    if not path.exists() and not path.is_symlink():
        return
    if not force:
        raise PackageExistsError(f"{path} exists already.", "Choose another output or pass --force.")
    if path.is_symlink() or not path.is_dir() or (any(path.iterdir()) and not (path / MANIFEST).is_file()):
        raise PackageExistsError(
            f"{path} exists and is not a package, so it is not replaced.", "Choose another output."
        )


def replace_folder(temporary: Path, path: Path, *, force: bool) -> None:
    """Renames `temporary` to `path`; what was there is removed only after the new folder is in place.

    Raises:
        PackageExistsError: something else created `path` meanwhile and `force` is false.
        OSError: the rename failed; what was at `path` is there again.
    """
    check_replaceable(path, force=force)
    if not path.exists():
        temporary.rename(path)
    else:
        aside = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=path.parent))
        path.rename(aside / path.name)
        try:
            temporary.rename(path)
        except BaseException:
            (aside / path.name).rename(path)
            aside.rmdir()
            raise
        shutil.rmtree(aside, ignore_errors=True)
    _sync(path.parent)


def _manifest(digests: dict[str, str]) -> bytes:
    """Manifest.json as coremltools writes it, with identifiers derived from the digests of what they name."""

    def item(name: str, description: str, path: str, digest: str) -> tuple[str, dict[str, str]]:
        identifier = str(uuid.uuid5(_NAMESPACE, f"{path} {digest}"))
        return identifier, {"author": AUTHOR, "description": description, "name": name, "path": path}

    root, entry = item("model.mlmodel", "CoreML Model Specification", f"{AUTHOR}/model.mlmodel", digests[_MODEL])
    items = {root: entry}
    if _WEIGHTS in digests:
        identifier, entry = item("weights", "CoreML Model Weights", f"{AUTHOR}/weights", digests[_WEIGHTS])
        items[identifier] = entry
    content = {"fileFormatVersion": "1.0.0", "itemInfoEntries": items, "rootModelIdentifier": root}
    return (json.dumps(content, indent=4, sort_keys=True) + "\n").encode()


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    """Flushes a file or folder to disk where the system can."""
    with contextlib.suppress(PermissionError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _open_permissions(folder: Path) -> None:
    """Gives the temporary folder, private until now, the permissions a new folder would have."""
    umask = os.umask(0)
    os.umask(umask)
    folder.chmod(0o777 & ~umask)


def _failure(path: Path, error: OSError) -> PackageWriteError:
    return PackageWriteError(
        f"{path} cannot be written: {error.strerror or error}.", "Free some space or choose another place."
    )
