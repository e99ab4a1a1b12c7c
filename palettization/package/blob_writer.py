"""Writes weight files (blob storage version 2, see blob.py) one array at a time."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from palettization.package.bits import pack_bits
from palettization.package.blob import ALIGNMENT, HEADER, RECORD, SENTINEL, VERSION
from palettization.package.elements import BY_NAME, Element, element_of
from palettization.package.errors import ConstantError, PackageWriteError


class BlobWriter:
    """Appends arrays to a new weight file; memory is that of the largest array.

    Byte for byte what coremltools' writer makes of the same arrays in the same order. The file is whole only after
    `close`, which writes the header; leaving the context manager by an exception removes the file.
    """

    def __init__(self, path: Path, *, deduplicate: bool = False) -> None:
        """Creates the file.

        Args:
            path: The file to write; replaced if it exists.
            deduplicate: Return the offset of an earlier identical array (same bytes and element type) instead of
                writing it again.

        Raises:
            PackageWriteError: the file cannot be created.
        """
        self.path = path
        self.count = 0
        self._end = HEADER.size
        self._seen: dict[bytes, int] | None = {} if deduplicate else None
        try:
            self._file = path.open("wb")
            self._file.write(bytes(HEADER.size))
        except OSError as error:
            raise _write_error(path, error) from error

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    @property
    def closed(self) -> bool:
        """Whether `close` or `discard` was called."""
        return self._file.closed

    def add(self, array: npt.NDArray[np.generic], element: str | None = None) -> int:
        """Appends an array.

        Args:
            array: Any shape, written in row-major order.
            element: Element type, needed where numpy's dtype does not tell: "uint4" for uint8 arrays of values below
                16, "int4", "bfloat16" for uint16 arrays of its bits, "float8e4m3fn" for uint8 arrays of its bits.

        Returns:
            The offset for `blobFileValue.offset`.

        Raises:
            ConstantError: the dtype has no element type in weight files, or values do not fit.
            PackageWriteError: no space, no permission.
        """
        kind = element_of(array, element)
        flat = np.ascontiguousarray(array, dtype=kind.storage).reshape(-1)
        data = pack_bits(flat, kind.bits) if kind.sub_byte else flat.view(np.uint8)
        return self._append(data, kind, flat.size)

    def add_raw(self, data: npt.NDArray[np.uint8] | bytes, element: str, count: int) -> int:
        """Appends bytes that are packed already.

        Args:
            data: ceil(count * bits / 8) bytes.
            element: Element type.
            count: Elements.

        Returns:
            The offset for `blobFileValue.offset`.

        Raises:
            ConstantError: unknown element type or a wrong number of bytes.
            PackageWriteError: no space, no permission.
        """
        kind = BY_NAME.get(element)
        if kind is None:
            raise ConstantError(f"{element!r} is not a Core ML element type.")
        raw = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else np.ascontiguousarray(data).reshape(-1)
        if raw.dtype != np.uint8 or raw.size != -(-count * kind.bits // 8):
            raise ConstantError(f"{raw.nbytes} bytes are not {count} elements of {element}.")
        return self._append(raw, kind, count)

    def add_pieces(self, pieces: Iterable[npt.NDArray[np.uint8]], element: str, count: int) -> int:
        """Appends bytes that are packed already and come piece by piece; they are never deduplicated.

        Args:
            pieces: Together ceil(count * bits / 8) bytes.
            element: Element type.
            count: Elements.

        Returns:
            The offset for `blobFileValue.offset`.

        Raises:
            ConstantError: unknown element type or a wrong number of bytes; the file is useless then.
            PackageWriteError: no space, no permission.
        """
        kind = BY_NAME.get(element)
        if kind is None:
            raise ConstantError(f"{element!r} is not a Core ML element type.")
        size = -(-count * kind.bits // 8)
        offset = self._begin(kind, size, count)
        written = 0
        for piece in pieces:
            written += piece.nbytes
            try:
                self._file.write(piece.data)
            except OSError as error:
                self.discard()
                raise _write_error(self.path, error) from error
        if written != size:
            self.discard()
            raise ConstantError(f"{written} bytes are not {count} elements of {element}.")
        return offset

    def close(self) -> Path:
        """Writes the header, syncs and closes; the file is whole afterwards.

        Raises:
            PackageWriteError: no space, no permission.
        """
        if not self._file.closed:
            try:
                self._file.seek(0)
                self._file.write(HEADER.pack(self.count, VERSION))
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
            except OSError as error:
                self.discard()
                raise _write_error(self.path, error) from error
        return self.path

    def discard(self) -> None:
        """Closes and removes the file."""
        with contextlib.suppress(OSError):
            self._file.close()
        self.path.unlink(missing_ok=True)

    def _append(self, data: npt.NDArray[np.uint8], element: Element, count: int) -> int:
        key = b""
        if self._seen is not None:
            digest = hashlib.sha256(f"{element.name} {count} ".encode())
            digest.update(data.data)
            key = digest.digest()
            if (known := self._seen.get(key)) is not None:
                return known
        offset = self._begin(element, data.size, count)
        try:
            self._file.write(data.data)
        except OSError as error:
            self.discard()
            raise _write_error(self.path, error) from error
        if self._seen is not None:
            self._seen[key] = offset
        return offset

    def _begin(self, element: Element, size: int, count: int) -> int:
        """Writes the record of `size` bytes of data that follow; returns its offset."""
        if element.blob is None:
            raise ConstantError(
                f"Weight files cannot hold {element.name} elements.", "Store an immediate value instead."
            )
        if self._file.closed:
            raise PackageWriteError(f"{self.path} was closed already.")
        offset = -(-self._end // ALIGNMENT) * ALIGNMENT
        data_offset = offset + RECORD.size
        try:
            self._file.write(bytes(offset - self._end))
            self._file.write(RECORD.pack(SENTINEL, element.blob, size, data_offset, size * 8 - count * element.bits))
        except OSError as error:
            self.discard()
            raise _write_error(self.path, error) from error
        self._end = data_offset + size
        self.count += 1
        return offset


def _write_error(path: Path, error: OSError) -> PackageWriteError:
    return PackageWriteError(
        f"{path} cannot be written: {error.strerror or error}.", "Free some space or choose another place."
    )
