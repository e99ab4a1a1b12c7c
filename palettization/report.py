"""What palettizing did, tensor by tensor, and the model of what it takes on disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from palettization.package.blob import ALIGNMENT, HEADER, RECORD

MANIFEST_BYTES = 617
"""Of a Manifest.json with a model and a weight file."""


@dataclass(frozen=True)
class TensorReport:
    """One weight tensor.

    Attributes:
        name: Of its operation.
        shape: Of the dense weight.
        elements: Of the dense weight.
        bits: Of an index; 0 if it was left as it was.
        tables: Number of tables.
        cluster_dim: Weights that an index stands for.
        scaled: Whether every output channel has a factor of its own.
        entries: Entries in use, summed over tables.
        reason: Why it was left; "" if it was palettized.
        bytes_before: Stored in the input.
        bytes_after: Stored in the output, tables included.
        squared_error: Sum of squared differences between palettized and given weights.
        energy: Sum of squared given weights.
    """

    name: str
    shape: tuple[int, ...]
    elements: int
    bits: int
    tables: int
    cluster_dim: int
    scaled: bool
    entries: int
    reason: str
    bytes_before: int
    bytes_after: int
    squared_error: float
    energy: float

    @property
    def palettized(self) -> bool:
        """Whether it has a palette now."""
        return self.bits > 0

    @property
    def snr(self) -> float:
        """Energy over squared error in dB; infinite without error."""
        return snr([self])


@dataclass(frozen=True)
class PaletteReport:
    """A package palettized.

    Attributes:
        source: The package read.
        path: The package written.
        tensors: In program order.
        bytes_before: Of all files of the input.
        bytes_after: Of all files of the output.
        modelled_bytes: What the size model says of the output.
        checked: Tensors whose written form was read back and compared.
        digests: SHA-256 of the files written.
        warnings: What the user should know.
    """

    source: str
    path: str
    tensors: tuple[TensorReport, ...]
    bytes_before: int
    bytes_after: int
    modelled_bytes: int
    checked: int
    digests: dict[str, str]
    warnings: tuple[str, ...]

    @property
    def palettized(self) -> tuple[TensorReport, ...]:
        """The tensors that have a palette now."""
        return tuple(tensor for tensor in self.tensors if tensor.palettized)

    @property
    def elements(self) -> int:
        """Of all weights."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        """Stored bits a weight, tables and weights left as they were included."""
        return bits_per_weight(self.tensors)

    @property
    def squared_error(self) -> float:
        """Summed over all tensors."""
        return math.fsum(tensor.squared_error for tensor in self.tensors)

    def to_json(self) -> dict[str, Any]:
        """For `--json` and reports: plain values, SNR as null where there is no error."""
        tensors = [
            {**vars(tensor), "shape": list(tensor.shape), "snr": tensor.snr if math.isfinite(tensor.snr) else None}
            for tensor in self.tensors
        ]
        totals = {
            "elements": self.elements,
            "bits_per_weight": self.bits_per_weight,
            "squared_error": self.squared_error,
        }
        return {**vars(self), **totals, "tensors": tensors, "warnings": list(self.warnings)}


def bits_per_weight(tensors: Sequence[TensorReport]) -> float:
    """Stored bits a weight over all tensors, tables and weights left as they were included; 0 without tensors."""
    elements = sum(tensor.elements for tensor in tensors)
    return 8 * sum(tensor.bytes_after for tensor in tensors) / elements if elements else 0.0


def snr(tensors: Sequence[TensorReport]) -> float:
    """Energy over squared error in dB, infinite without error: of each tensor, on average over all their weights.

    So a tensor of huge values, such as a mask, counts by its size and does not hide the errors of others.
    """
    if any(tensor.squared_error > 0 == tensor.energy for tensor in tensors):
        return -math.inf
    lost = math.fsum(
        tensor.elements * tensor.squared_error / tensor.energy for tensor in tensors if tensor.squared_error
    )
    return -10 * math.log10(lost / sum(tensor.elements for tensor in tensors)) if lost else math.inf


def palette_bytes(elements: int, bits: int, tables: int, table_itemsize: int = 2, cluster_dim: int = 1) -> int:
    """Bytes of a palettized tensor's indices and tables."""
    indices = -(-(elements // cluster_dim) * bits // 8)
    return indices + tables * (1 << bits) * cluster_dim * table_itemsize


def file_bytes(records: list[int]) -> int:
    """Bytes of a weight file with records of so many bytes: everything starts at a multiple of 64."""
    end = HEADER.size
    for size in records:
        end = -(-end // ALIGNMENT) * ALIGNMENT + RECORD.size + size
    return end
