"""One tensor's way into its palettized form: coded, then written piece by piece, then read back and compared.

Tensors with one table of numbers are never in memory as a whole; see whole.py for the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from palettization.clustering import lookup_of, narrowest_bits, palette_of_histogram
from palettization.coded import Coded
from palettization.histogram import Histogram, PatternCounter, histogram_of
from palettization.package import BlobReader, Constants, Package, PackageWriteError, constants_of, decode_constexpr
from palettization.package.bits import pack_bits, unpack_bits
from palettization.package.values import immediate_array
from palettization.plan import Decision
from palettization.stored import CAST
from palettization.whole import Importance, code_whole, digest_of, whole_pieces

_PIECE = 1 << 18
"""Elements in memory at a time; a multiple of 8, so that indices of any width end on a whole byte."""


def code(package: Package, decision: Decision, importance: Importance | None = None) -> Coded:
    """Finds a tensor's tables.

    Args:
        package: That holds it.
        decision: With a choice.
        importance: As in `histogram_of`.

    Raises:
        NonFiniteWeightError: NaN or infinity in the tensor.
        BlobError, ConstantError: it cannot be read.
    """
    assert decision.choice is not None
    if not decision.streamed:
        return code_whole(package, decision, importance)
    histogram = _histogram(package, decision, importance)
    bits = narrowest_bits(histogram.distinct, decision.choice.bits, decision.widths)
    dtype = np.float32 if decision.weight.form == CAST else np.float16
    palette = palette_of_histogram(histogram, bits, table_dtype=dtype)
    return Coded(
        tables=palette.table[None, :, None],
        entries=palette.used,
        squared_error=palette.squared_error,
        energy=float(np.cumsum(histogram.counts * histogram.values**2)[-1]),
        palette=palette,
    )


def packed_pieces(package: Package, decision: Decision, coded: Coded) -> Iterator[npt.NDArray[np.uint8]]:
    """The packed indices of a tensor in row-major order, piece by piece.

    Raises:
        BlobError, ConstantError: it cannot be read.
    """
    if coded.palette is None:
        yield from whole_pieces(coded)
        return
    for patterns in _patterns(package, decision):
        yield pack_bits(coded.palette.indices(patterns.view(np.float16)), coded.bits)


def check_written(
    operation: Any, written: Constants, blob: BlobReader, package: Package, decision: Decision, coded: Coded
) -> None:
    """Decodes a palette as it lies in the written file and compares every bit with what was intended.

    That is, for every element of a tensor with one table of numbers, the entry nearest to the given weight: the error
    of the tensor then is the one that was computed from the histogram and the same table. Other tensors were decoded
    when they were coded, and their error is that of the decoded weights.

    Args:
        operation: The operation as it stands in the written specification.
        written: The constants of its function as written.
        blob: The written weight file.
        package: The package given.
        decision: About the weight.
        coded: What was meant.

    Raises:
        PackageWriteError: a difference.
    """
    name = str(operation.outputs[0].name)
    if decision.streamed:
        same = _streamed_agrees(operation, blob, package, decision, coded.tables.reshape(-1))
    else:
        same = digest_of(written.value(name)) == coded.digest
    if not same:
        raise PackageWriteError(
            f"{blob.path}: {name} reads back as something else than was written.",
            "The disk or its memory may be damaged: try again, elsewhere.",
        )


def _streamed_agrees(
    operation: Any, blob: BlobReader, package: Package, decision: Decision, table: npt.NDArray[np.floating]
) -> bool:
    """Whether the table and every piece of indices decode to the entries nearest to the given weights."""
    values = dict(constants_of(operation))
    name = decision.weight.name
    lut = blob.read(values["lut"].blobFileValue.offset, name, copy=True)
    if not np.array_equal(_bits(lut), _bits(table)):
        return False
    if "shape" in values and tuple(immediate_array(values["shape"], name)) != decision.weight.shape:
        return False
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


def _histogram(package: Package, decision: Decision, importance: Importance | None) -> Histogram:
    name = decision.weight.name
    if importance is not None:
        return histogram_of(package.constant(decision.weight.value, name, copy=True), importance, name=name)
    counter = PatternCounter()
    for patterns in _patterns(package, decision):
        counter.add(patterns)
    return counter.histogram(name)


def _patterns(package: Package, decision: Decision) -> Iterator[npt.NDArray[np.uint16]]:
    """The bits of a tensor piece by piece, all in one buffer."""
    value, name = decision.weight.value, decision.weight.name
    record, _ = package.record(value, name)
    blob = package.blob_file(value.blobFileValue.fileName)
    for piece in blob.pieces(record.offset, 2 * _PIECE, name):
        yield piece.view(np.uint16)
