"""A tensor in its palettized form, before it is written."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from palettization.clustering import Palette


@dataclass(frozen=True)
class Coded:
    """A tensor's tables, and what it takes to write its indices.

    Attributes:
        tables: (G, 2^bits, V): G groups of channels, entries of V neighbouring weights; float16 or float32.
        entries: Entries that differ, summed over tables.
        squared_error: Sum of squared differences between decoded and given weights.
        energy: Sum of squares of the given weights.
        scale: One factor a channel, broadcastable to the weight, of the dtype of `tables`; or None.
        palette: Of a tensor that is read piece by piece, else None.
        indices: Of a tensor that was held whole, in the weight's shape with V times fewer along the channels.
        digest: Of the decoded weights of such a tensor.
    """

    tables: npt.NDArray[np.floating]
    entries: int
    squared_error: float
    energy: float
    scale: npt.NDArray[np.floating] | None = None
    palette: Palette | None = None
    indices: npt.NDArray[np.uint8] | None = None
    digest: bytes = b""

    @property
    def bits(self) -> int:
        """Of an index."""
        return int(self.tables.shape[1]).bit_length() - 1

    @property
    def vector(self) -> int:
        """Weights that an index stands for."""
        return int(self.tables.shape[2])

    @property
    def table_bytes(self) -> int:
        """Of tables and scales."""
        return self.tables.nbytes + (self.scale.nbytes if self.scale is not None else 0)

    def without_indices(self) -> Coded:
        """What is worth keeping once the indices are written."""
        return replace(self, palette=None, indices=None)
