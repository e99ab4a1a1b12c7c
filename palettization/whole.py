"""Tensors that are coded with all their weights in memory: with tables for groups of channels, vectors or scales."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from palettization.clustering import BITS, narrowest_bits, palette_of_histogram
from palettization.coded import Coded
from palettization.forms import lut_shape
from palettization.histogram import histogram_of
from palettization.package import Package, decode_constexpr
from palettization.package.bits import pack_bits
from palettization.plan import Decision
from palettization.stored import CAST
from palettization.vectors import distinct_vectors, vector_palette

Importance = npt.NDArray[np.floating]
_PIECE = 1 << 18
"""Indices packed at a time, and about as many weights converted; a multiple of 8."""


def code_whole(package: Package, decision: Decision, importance: Importance | None = None) -> Coded:
    """Finds a tensor's tables, scales and indices.

    With scales, weights are divided by the largest magnitude of their output channel, and tables minimise the error of
    the products: weighted k-means with the squares of the scales. Tensors that a table holds exactly get no scales.

    Args:
        package: That holds it.
        decision: With a choice.
        importance: As in `histogram_of`. Of a vector it is the mean over its weights.

    Raises:
        NonFiniteWeightError: NaN or infinity in the tensor.
        BlobError, ConstantError: it cannot be read.
    """
    choice, axis, vector = decision.choice, decision.group_axis, decision.vector
    assert choice is not None
    array = package.constant(decision.weight.value, decision.weight.name, copy=True)
    histogram = histogram_of(array, name=decision.weight.name)
    dtype = np.dtype(np.float32 if decision.weight.form == CAST else np.float16)
    scale, given = None, array
    if choice.per_channel_scale and histogram.distinct > 1 << choice.bits:
        scale = _scales(array, axis)
        given = _divided(array, scale, axis)
        squares = scale.astype(np.float64) ** 2
        importance = squares if importance is None else squares * np.asarray(importance)
    parts = np.split(given, decision.groups, axis=axis)
    weights: list[Importance | None] = [None] * len(parts)
    if importance is not None:
        weights = list(np.split(np.broadcast_to(importance, array.shape), decision.groups, axis=axis))
    index_shape = list(array.shape)
    index_shape[axis] //= vector
    indices = np.empty(index_shape, np.uint8)
    places = np.split(indices, decision.groups, axis=axis)
    if vector > 1:
        tables, used = _vector_tables(parts, weights, places, decision, dtype)
    else:
        tables, used = _scalar_tables(parts, weights, places, decision, dtype)
    scale = scale.astype(dtype) if scale is not None else None
    decoded = _decoded(indices, tables, axis, scale)
    return Coded(
        tables=tables,
        entries=used,
        squared_error=_squared_error(decoded, array),
        energy=float(np.cumsum(histogram.counts * histogram.values**2)[-1]),
        scale=scale,
        indices=indices,
        digest=digest_of(decoded),
    )


def whole_pieces(coded: Coded) -> Iterator[npt.NDArray[np.uint8]]:
    """The packed indices in row-major order, piece by piece."""
    assert coded.indices is not None
    flat = coded.indices.reshape(-1)
    for start in range(0, flat.size, _PIECE):
        yield pack_bits(flat[start : start + _PIECE], coded.bits)


def digest_of(decoded: npt.NDArray[np.floating]) -> bytes:
    """Of the bits of decoded weights."""
    return hashlib.blake2b(np.ascontiguousarray(decoded).reshape(-1).view(np.uint8).data, digest_size=16).digest()


def _scalar_tables(
    parts: list[npt.NDArray[np.float16]],
    weights: list[Importance | None],
    places: list[npt.NDArray[np.uint8]],
    decision: Decision,
    dtype: np.dtype[Any],
) -> tuple[npt.NDArray[np.floating], int]:
    """(G, 2^bits, 1) tables and the number of their entries; indices go to `places`."""
    assert decision.choice is not None
    name = decision.weight.name
    histograms = [histogram_of(part, weight, name=name) for part, weight in zip(parts, weights, strict=True)]
    distinct = max(histogram.distinct for histogram in histograms)
    bits = narrowest_bits(distinct, decision.choice.bits, decision.widths)
    palettes = [palette_of_histogram(histogram, bits, table_dtype=dtype) for histogram in histograms]
    for place, part, palette in zip(places, parts, palettes, strict=True):
        place[...] = palette.indices(np.ascontiguousarray(part)).reshape(part.shape)
    return np.stack([palette.table for palette in palettes])[..., None], sum(palette.used for palette in palettes)


def _vector_tables(
    parts: list[npt.NDArray[np.float16]],
    weights: list[Importance | None],
    places: list[npt.NDArray[np.uint8]],
    decision: Decision,
    dtype: np.dtype[Any],
) -> tuple[npt.NDArray[np.floating], int]:
    """(G, 2^bits, V) tables and the number of their entries; indices go to `places`."""
    assert decision.choice is not None
    axis, vector = decision.group_axis, decision.vector
    vectors = [_vectors(part, axis, vector) for part in parts]
    bits = decision.choice.bits
    counts = [distinct_vectors(found, 1 << bits) for found in vectors]
    if all(found is not None for found in counts):
        bits = narrowest_bits(max(len(found) for found in counts if found is not None), bits, BITS)
    palettes = [
        vector_palette(
            found,
            bits,
            importance=None if weight is None else _vectors(weight, axis, vector).mean(axis=1, dtype=np.float64),
            table_dtype=dtype,
        )
        for found, weight in zip(vectors, weights, strict=True)
    ]
    for place, palette in zip(places, palettes, strict=True):
        place[...] = palette.indices.reshape(place.shape)
    return np.stack([palette.table for palette in palettes]), sum(palette.used for palette in palettes)


def _vectors(array: npt.NDArray[Any], axis: int, vector: int) -> npt.NDArray[Any]:
    """(N, V) of neighbours along `axis`, in the order of the indices that stand for them."""
    shape = array.shape
    cut = array.reshape(*shape[:axis], shape[axis] // vector, vector, *shape[axis + 1 :])
    return np.moveaxis(cut, axis + 1, -1).reshape(-1, vector)


def _scales(array: npt.NDArray[np.float16], axis: int) -> npt.NDArray[np.float16]:
    """The largest magnitude of every channel with all axes kept; 1 for channels of zeros."""
    others = tuple(other for other in range(array.ndim) if other != axis)
    largest = np.maximum(array.max(axis=others, keepdims=True), -array.min(axis=others, keepdims=True))
    scales: npt.NDArray[np.float16] = np.where(largest > 0, largest, np.float16(1)).astype(np.float16)
    return scales


def _divided(array: npt.NDArray[np.float16], scale: npt.NDArray[np.float16], axis: int) -> npt.NDArray[np.float16]:
    """`array` / `scale`, rounded to fp16 once; a few channels at a time in float32."""
    result = np.empty_like(array)
    channels = array.shape[axis]
    step = max(1, _PIECE * channels // array.size)
    for start in range(0, channels, step):
        part = (slice(None),) * axis + (slice(start, start + step),)
        result[part] = np.divide(array[part], scale[part], dtype=np.float32)
    return result


def _decoded(
    indices: npt.NDArray[np.uint8],
    tables: npt.NDArray[np.floating],
    axis: int,
    scale: npt.NDArray[np.floating] | None,
) -> npt.NDArray[np.floating]:
    """What Core ML makes of it."""
    operands: dict[str, npt.NDArray[Any]] = {
        "indices": indices,
        "lut": tables.reshape(lut_shape(tables, indices.ndim, axis)),
    }
    if tables.shape[2] > 1:
        operands["vector_axis"] = np.array(axis, np.int32)
    dense = decode_constexpr("constexpr_lut_to_dense", operands)
    if scale is None:
        return dense
    return decode_constexpr("constexpr_blockwise_shift_scale", {"data": dense, "scale": scale})


def _squared_error(decoded: npt.NDArray[np.floating], array: npt.NDArray[np.float16]) -> float:
    total = 0.0
    one, two = decoded.reshape(-1), array.reshape(-1)
    for start in range(0, one.size, _PIECE):
        part = slice(start, start + _PIECE)
        difference = one[part].astype(np.float64) - two[part]
        total += float(difference @ difference)
    return total
