"""Reads weight files (blob storage version 2) lazily: a memory map, one record at a time, everything checked.

Layout (coremltools/mlmodel/src/MILBlob/Blob/StorageFormat.hpp), little-endian, every part aligned to 64 bytes:

    header    uint32 count, uint32 version (2), 56 bytes reserved
    record    uint32 sentinel 0xDEADBEEF, uint32 element code, uint64 bytes, uint64 data offset,
              uint64 padding in bits (below 8-bit elements only), 32 bytes reserved
    data      the bytes of the record before it
"""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from palettization.package.bits import unpack_bits
from palettization.package.elements import BY_BLOB, Element, to_values
from palettization.package.errors import BlobError

ALIGNMENT = 64
SENTINEL = 0xDEADBEEF
VERSION = 2
HEADER = struct.Struct("<II56x")
RECORD = struct.Struct("<IIQQQ32x")

_DAMAGED = "The file is damaged or was not copied completely: fetch or convert it again."


@dataclass(frozen=True)
class BlobRecord:
    """Where one array lies in a weight file.

    Attributes:
        offset: Of the record itself; `blobFileValue.offset` in a specification.
        element: Element type.
        data_offset: Of the first byte of data.
        size: Bytes of data.
        count: Elements.
    """

    offset: int
    element: Element
    data_offset: int
    size: int
    count: int


class BlobReader:
    """A weight file, memory-mapped. Reading one array touches the pages of that array alone.

    Arrays come back flat: shapes live in the specification. Use as a context manager or call `close`; arrays handed
    out stay valid after that.
    """

    def __init__(self, path: Path) -> None:
        """Opens and checks the header.

        Raises:
            BlobError: not a readable weight file of this version.
        """
        self.path = path
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise BlobError(f"{path} cannot be read: {error.strerror or error}.", _DAMAGED) from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise BlobError(f"{path} is not a regular file.", _DAMAGED)
            self._file = os.fdopen(descriptor, "rb", buffering=0)
        except BaseException:
            os.close(descriptor)
            raise
        try:
            self.size = status.st_size
            if self.size < HEADER.size:
                raise BlobError(f"{path} has {self.size} bytes, too few for a weight file.", _DAMAGED)
            # A private mapping: arrays are handed out read-only, and torch may still borrow their memory.
            self._map = mmap.mmap(descriptor, self.size, access=mmap.ACCESS_COPY)
            self.count, version = HEADER.unpack_from(self._map)
            if version != VERSION:
                raise BlobError(
                    f"{path} is a weight file of version {version}; only version {VERSION} is known.", _DAMAGED
                )
        except OSError as error:
            self._file.close()
            raise BlobError(f"{path} cannot be mapped: {error.strerror or error}.") from error
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> BlobReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; the mapping goes when the last array handed out goes."""
        self._file.close()
        with contextlib.suppress(BufferError):
            self._map.close()

    def record(self, offset: int, name: str = "") -> BlobRecord:
        """The record at `offset`, checked against the file.

        Args:
            offset: As in `blobFileValue.offset`.
            name: Of the tensor, for error messages.

        Raises:
            BlobError: outside the file, not a record, an unknown element type, or data outside the file.
        """
        where = f"{self.path}: the record at offset {offset}" + (f" (tensor {name})" if name else "")
        self._check_size(where)
        if offset < HEADER.size or offset % ALIGNMENT or offset + RECORD.size > self.size:
            raise BlobError(f"{where} is not inside the file of {self.size} bytes or not aligned.", _DAMAGED)
        sentinel, code, size, data_offset, padding = RECORD.unpack_from(self._map, offset)
        if sentinel != SENTINEL:
            raise BlobError(f"{where} does not start with the sentinel 0x{SENTINEL:X}.", _DAMAGED)
        element = BY_BLOB.get(code)
        if element is None:
            raise BlobError(f"{where} has the unknown element type {code}.", _DAMAGED)
        if data_offset % ALIGNMENT or data_offset < HEADER.size or data_offset + size > self.size:
            raise BlobError(
                f"{where} has {size} bytes of data at {data_offset}, outside the file of {self.size} bytes.", _DAMAGED
            )
        if data_offset < offset + RECORD.size and data_offset + size > offset:
            raise BlobError(f"{where} overlaps its own data at {data_offset}.", _DAMAGED)
        # Files from before sub-byte types leave the padding field unset, so it means nothing for whole bytes.
        total_bits = size * 8 - (padding if element.sub_byte else 0)
        if (element.sub_byte and padding >= 8) or total_bits < 0 or total_bits % element.bits:
            raise BlobError(
                f"{where} has {size} bytes and {padding} bits of padding, no whole number of {element.name} elements.",
                _DAMAGED,
            )
        return BlobRecord(offset, element, data_offset, size, total_bits // element.bits)

    def records(self) -> Iterator[BlobRecord]:
        """All records in file order, found by walking the file as the header's count says.

        Raises:
            BlobError: as `record`.
        """
        offset = HEADER.size
        for _ in range(self.count):
            record = self.record(offset)
            yield record
            end = max(record.offset + RECORD.size, record.data_offset + record.size)
            offset = -(-end // ALIGNMENT) * ALIGNMENT

    def raw(self, offset: int, name: str = "", *, copy: bool = False) -> npt.NDArray[np.uint8]:
        """(bytes,) the stored bytes of the record at `offset`: a read-only view of the map, or a copy as in `read`.

        Raises:
            BlobError: as `record`, or the file shrank while reading.
        """
        record = self.record(offset, name)
        if copy:
            return self._copy(record, name)
        view = np.frombuffer(self._map, np.uint8, record.size, record.data_offset)
        view.flags.writeable = False
        return view

    def read(self, offset: int, name: str = "", *, copy: bool = False) -> npt.NDArray[np.generic]:
        """(count,) the values of the record at `offset`, typed by the record.

        float16, float32 and whole-byte integers are read-only views of the map (nothing is read before it is used);
        sub-byte integers are unpacked into uint8 or int8, bfloat16 and 8-bit floats become float32.

        Args:
            offset: As in `blobFileValue.offset`.
            name: Of the tensor, for error messages.
            copy: Read into fresh memory instead of mapping: writable, not counted as resident file pages, and safe
                even if another process truncates the file meanwhile (a mapped page that is gone kills the process).

        Raises:
            BlobError: as `record`, or the file shrank while reading.
        """
        record = self.record(offset, name)
        element = record.element
        stored = (
            self._copy(record, name) if copy else np.frombuffer(self._map, np.uint8, record.size, record.data_offset)
        )
        if element.sub_byte:
            return unpack_bits(stored, element.bits, record.count, signed=element.signed)
        values = to_values(stored.view(element.storage), element)
        if not copy:
            values.flags.writeable = False
        return values

    def pieces(self, offset: int, size: int, name: str = "") -> Iterator[npt.NDArray[np.uint8]]:
        """The stored bytes of the record at `offset` piece by piece, all in one buffer: use each before the next.

        Args:
            offset: As in `blobFileValue.offset`.
            size: Of a piece in bytes; the last one may be smaller.
            name: Of the tensor, for error messages.

        Raises:
            BlobError: as `record`, or the file shrank while reading.
        """
        record = self.record(offset, name)
        buffer = np.empty(min(size, record.size), np.uint8)
        for start in range(0, record.size, size):
            piece = buffer[: min(size, record.size - start)]
            self._read(record.data_offset + start, piece, name or str(offset))
            yield piece

    def _copy(self, record: BlobRecord, name: str) -> npt.NDArray[np.uint8]:
        target = np.empty(record.size, np.uint8)
        self._read(record.data_offset, target, name or str(record.offset))
        return target

    def _read(self, start: int, target: npt.NDArray[np.uint8], name: str) -> None:
        view = target.data
        done = 0
        while done < target.size:
            read = os.preadv(self._file.fileno(), [view[done : done + (1 << 30)]], start + done)
            if read == 0:
                raise BlobError(f"{self.path} ended while reading tensor {name}.", _DAMAGED)
            done += read

    def _check_size(self, where: str) -> None:
        """A file that shrank since it was mapped must not be touched: its missing pages raise SIGBUS."""
        if not self._file.closed and os.fstat(self._file.fileno()).st_size < self.size:
            raise BlobError(f"{where} cannot be read: the file was truncated while open.", _DAMAGED)
