"""A weight file that is not on disk: every array is made when it is read."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from palettization.package.blob import ALIGNMENT, HEADER, RECORD, BlobReader, BlobRecord
from palettization.package.elements import BY_NAME
from palettization.package.errors import BlobError

Make = Callable[[], npt.NDArray[np.generic]]

_HELD = 4
"""Arrays kept after they were made: a tensor is clustered in one thread and written in another shortly after."""


class DeferredBlob(BlobReader):
    """What a `BlobReader` would read if `BlobWriter` had written the arrays, in the order in which they are added.

    Stands in for a weight file wherever a package is read, so that a package can be rewritten without having been
    written. May be read by several threads.
    """

    def __init__(self, path: Path) -> None:
        """Starts an empty file.

        Args:
            path: What errors call it; nothing is read or written there.
        """
        self.path = path
        self.size = HEADER.size
        self.count = 0
        self._made: dict[int, tuple[BlobRecord, Make]] = {}
        self._held: OrderedDict[int, npt.NDArray[np.generic]] = OrderedDict()
        self._lock = threading.Lock()

    def defer(self, element: str, count: int, make: Make) -> int:
        """Adds an array.

        Args:
            element: Element type, of whole bytes.
            count: Elements.
            make: Gives the array, in any shape; called whenever it is read, and again if it was read long ago.

        Returns:
            The offset for `blobFileValue.offset`.
        """
        kind = BY_NAME[element]
        offset = -(-self.size // ALIGNMENT) * ALIGNMENT
        record = BlobRecord(offset, kind, offset + RECORD.size, count * kind.bits // 8, count)
        self._made[offset] = record, make
        self.size = record.data_offset + record.size
        self.count += 1
        return offset

    def close(self) -> None:
        """Forgets the arrays that are held."""
        with self._lock:
            self._held.clear()

    def record(self, offset: int, name: str = "") -> BlobRecord:
        """As in `BlobReader`."""
        if offset not in self._made:
            raise BlobError(f"{self.path} has no record at offset {offset} (tensor {name}).")
        return self._made[offset][0]

    def records(self) -> Iterator[BlobRecord]:
        """As in `BlobReader`."""
        return (record for record, _ in self._made.values())

    def raw(self, offset: int, name: str = "", *, copy: bool = False) -> npt.NDArray[np.uint8]:
        """As in `BlobReader`."""
        data: npt.NDArray[Any] = np.ascontiguousarray(self._array(offset, name)).reshape(-1).view(np.uint8)
        return data.copy() if copy else data

    def read(self, offset: int, name: str = "", *, copy: bool = False) -> npt.NDArray[np.generic]:
        """As in `BlobReader`."""
        values = np.ascontiguousarray(self._array(offset, name)).reshape(-1)
        return values.copy() if copy else values

    def pieces(self, offset: int, size: int, name: str = "") -> Iterator[npt.NDArray[np.uint8]]:
        """As in `BlobReader`, but as views of the array."""
        data = self.raw(offset, name)
        return (data[start : start + size] for start in range(0, data.size, size))

    def _array(self, offset: int, name: str) -> npt.NDArray[np.generic]:
        record = self.record(offset, name)
        with self._lock:
            if offset in self._held:
                self._held.move_to_end(offset)
                return self._held[offset]
        array = self._made[offset][1]()
        if array.size != record.count or array.itemsize != record.element.bits // 8:
            raise BlobError(f"Tensor {name} was made with {array.nbytes} bytes instead of {record.size}.")
        with self._lock:
            self._held[offset] = array
            while len(self._held) > _HELD:
                self._held.popitem(last=False)
        return array
