"""What every rewriting of a package needs: copying constants between weight files, refusing to write over the input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from palettization.package import (
    WEIGHT_FILE,
    BlobWriter,
    Package,
    PackageExistsError,
    constants_of,
    operation_name,
)


class BlobCopier:
    """Copies the file constants of operations into a new weight file, each place once, and points them there.

    Attributes:
        sizes: Bytes of every record written.
    """

    def __init__(self, package: Package, blob: BlobWriter) -> None:
        self._package = package
        self._blob = blob
        self._offsets: dict[tuple[str, int], int] = {}
        self.sizes: list[int] = []

    def copy(self, operation: Any) -> None:
        """Copies what `operation` holds.

        Raises:
            BlobError, PackageWriteError: as reading and writing.
        """
        for parameter, value in constants_of(operation):
            if value.WhichOneof("value") == "blobFileValue":
                value.blobFileValue.offset = self._copied(value, f"{operation_name(operation)}.{parameter}")
                value.blobFileValue.fileName = WEIGHT_FILE

    def _copied(self, value: Any, name: str) -> int:
        place = (value.blobFileValue.fileName, value.blobFileValue.offset)
        if place not in self._offsets:
            record, _ = self._package.record(value, name)
            data = self._package.blob_file(place[0]).raw(record.offset, name, copy=True)
            self._offsets[place] = self._blob.add_raw(data, record.element.name, record.count)
            self.sizes.append(record.size)
        return self._offsets[place]


def check_apart(source: Path, target: Path) -> None:
    """Refuses an output that is the input, lies inside it or around it.

    Raises:
        PackageExistsError: see above.
    """
    given, wanted = source.resolve(), target.resolve()
    if given == wanted or given in wanted.parents or wanted in given.parents:
        raise PackageExistsError(f"{target} would overwrite the input {source}.", "Choose another output.")


def input_bytes(package: Package) -> int:
    """Size of an opened package: all files of its folder, or the one file of a plain model."""
    layout = package.layout
    if layout.plain:
        return layout.model.stat().st_size
    return sum(item.stat().st_size for item in layout.root.rglob("*") if item.is_file())
