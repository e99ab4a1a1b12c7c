"""One tensor's way into its palettized form: clustered, then written piece by piece, then read back and compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from palettization.clustering import Palette, lookup_of, narrowest_bits, palette_of_histogram
from palettization.histogram import Histogram, PatternCounter, bit_patterns, histogram_of
from palettization.package import (
    BlobReader,
    Package,
    PackageWriteError,
    constants_of,
    decode_constexpr,
    immediate_array,
)
from palettization.package.bits import pack_bits, unpack_bits
from palettization.plan import Decision
from palettization.stored import CAST

_PIECE = 1 << 18
"""Elements in memory at a time; a multiple of 8, so that indices of any width end on a whole byte."""
Importance = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Clustered:
    """A tensor's palettes.

    Attributes:
        palettes: One a group.
        energy: Sum of squares of all elements.
    """

    palettes: tuple[Palette, ...]
    energy: float

    @property
    def bits(self) -> int:
        """Of an index."""
        return self.palettes[0].bits

    @property
    def tables(self) -> npt.NDArray[np.floating]:
        """(G, 2^bits)"""
        return np.stack([palette.table for palette in self.palettes])


def cluster(package: Package, decision: Decision, importance: Importance | None = None) -> Clustered:
    """Finds a tensor's palettes.

    Args:
        package: That holds it.
        decision: With a choice.
        importance: As in `histogram_of`.

    Raises:
        NonFiniteWeightError: NaN or infinity in the tensor.
        BlobError, ConstantError: it cannot be read.
    """
    assert decision.choice is not None
    histograms = _histograms(package, decision, importance)
    distinct = max(histogram.distinct for histogram in histograms)
    bits = narrowest_bits(distinct, decision.choice.bits, decision.widths)
    dtype = np.float32 if decision.weight.form == CAST else np.float16
    return Clustered(
        tuple(palette_of_histogram(histogram, bits, table_dtype=dtype) for histogram in histograms),
        sum(float(np.cumsum(held.counts * held.values**2)[-1]) for held in histograms),
    )


def packed_pieces(package: Package, decision: Decision, clustered: Clustered) -> Iterator[npt.NDArray[np.uint8]]:
    """The packed indices of a tensor in row-major order, piece by piece.

    Raises:
        BlobError, ConstantError: it cannot be read.
    """
    if len(clustered.palettes) == 1:
        for patterns in _patterns(package, decision):
            yield pack_bits(clustered.palettes[0].indices(patterns.view(np.float16)), clustered.bits)
        return
    array = _whole(package, decision)
    indices = np.empty(array.shape, np.uint8)
    groups = zip(_split(indices, decision), _split(array, decision), clustered.palettes, strict=True)
    for target, part, palette in groups:
        target[...] = palette.indices(np.ascontiguousarray(part)).reshape(part.shape)
    yield pack_bits(indices, clustered.bits)


def check_written(
    operation: Any, blob: BlobReader, package: Package, decision: Decision, tables: npt.NDArray[np.floating]
) -> None:
    """Decodes a palette as it lies in the written file and compares every bit with what was intended.

    That is, for every element of the given weight, the nearest entry of its table. The error of the tensor then is the
    one that was computed from the histogram and the same table.

    Args:
        operation: The operation as it stands in the written specification.
        blob: The written weight file.
        package: The package given.
        decision: About the weight.
        tables: (G, 2^bits) the tables meant.

    Raises:
        PackageWriteError: a difference.
    """
    values = dict(constants_of(operation))
    name = str(operation.outputs[0].name)
    lut = blob.read(values["lut"].blobFileValue.offset, name, copy=True)
    same = np.array_equal(_bits(lut), _bits(tables.reshape(-1)))
    if "shape" in values:
        same = same and tuple(immediate_array(values["shape"], name)) == decision.weight.shape
    if same and len(tables) == 1:
        same = _pieces_agree(values, blob, package, decision, tables[0])
    elif same:
        indices = blob.read(values["indices"].blobFileValue.offset, name, copy=True).reshape(decision.weight.shape)
        sizes = [size.constant.size for size in values["lut"].type.tensorType.dimensions]
        decoded = decode_constexpr(operation, {"indices": indices, "lut": lut.reshape(sizes)})
        groups = zip(_split(_whole(package, decision), decision), _split(decoded, decision), tables, strict=True)
        same = all(
            np.array_equal(_intended(table)[bit_patterns(np.ascontiguousarray(given))], _bits(found).reshape(-1))
            for given, found, table in groups
        )
    if not same:
        raise PackageWriteError(
            f"{blob.path}: {name} reads back as something else than was written.",
            "The disk or its memory may be damaged: try again, elsewhere.",
        )


def _pieces_agree(
    values: dict[str, Any],
    blob: BlobReader,
    package: Package,
    decision: Decision,
    table: npt.NDArray[np.floating],
) -> bool:
    """Whether every piece of indices decodes to the entries nearest to the given weights."""
    bits = int(table.size).bit_length() - 1
    intended = _intended(table)
    stored = blob.pieces(values["indices"].blobFileValue.offset, _PIECE // 8 * bits, decision.weight.name)
    for patterns, packed in zip(_patterns(package, decision), stored, strict=True):
        count = patterns.size
        operands: dict[str, npt.NDArray[Any]] = {"indices": packed, "lut": table, "shape": np.array([count], np.uint32)}
        if "shape" not in values:
            operands = {"indices": unpack_bits(packed, bits, count), "lut": table.reshape(1, -1, 1)}
        decoded = decode_constexpr("constexpr_lut_to_dense", operands)
        if not np.array_equal(intended.take(patterns, mode="clip"), _bits(decoded)):
            return False
    return True


def _intended(table: npt.NDArray[np.floating]) -> npt.NDArray[np.unsignedinteger]:
    """(65536,) the bits of the entry nearest to every fp16 bit pattern."""
    nearest: npt.NDArray[np.unsignedinteger] = _bits(table)[lookup_of(table)]
    return nearest


def _bits(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(array).view(f"u{array.itemsize}")


def _histograms(package: Package, decision: Decision, importance: Importance | None) -> list[Histogram]:
    name = decision.weight.name
    if decision.groups == 1 and importance is None:
        counter = PatternCounter()
        for patterns in _patterns(package, decision):
            counter.add(patterns)
        return [counter.histogram(name)]
    array = _whole(package, decision)
    weights: list[Importance | None] = [None] * decision.groups
    if importance is not None:
        weights = list(_split(np.broadcast_to(importance, array.shape), decision))
    parts = _split(array, decision)
    return [histogram_of(part, weight, name=name) for part, weight in zip(parts, weights, strict=True)]


def _patterns(package: Package, decision: Decision) -> Iterator[npt.NDArray[np.uint16]]:
    """The bits of a tensor piece by piece, all in one buffer."""
    value, name = decision.weight.value, decision.weight.name
    record, _ = package.record(value, name)
    blob = package.blob_file(value.blobFileValue.fileName)
    for piece in blob.pieces(record.offset, 2 * _PIECE, name):
        yield piece.view(np.uint16)


def _whole(package: Package, decision: Decision) -> npt.NDArray[np.float16]:
    return package.constant(decision.weight.value, decision.weight.name, copy=True)


def _split(array: npt.NDArray[Any], decision: Decision) -> list[npt.NDArray[Any]]:
    """The groups of channels, as views."""
    return np.split(array, decision.groups, axis=decision.group_axis)
