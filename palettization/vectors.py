"""Vector palettes: tables whose entries are short vectors of neighbouring weights, by k-means.

Unlike one-dimensional palettes these have no known fast optimum. Tables grow by splitting: one entry, the mean, becomes
two along the axis of largest variance, and so on, with Lloyd's iterations after each doubling (Linde, Buzo and Gray, An
algorithm for vector quantizer design, 1980). No random numbers are involved: the same weights in the same order give
the same table on the same machine; sums in float32 may differ between processors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

_SAMPLE = 1 << 16
"""Vectors that tables are trained on; larger tensors are only assigned, and their entries moved once."""
_CHUNK = 1 << 12
"""Vectors whose distances to all entries are in memory at a time."""
_GROWING = (1e-3, 8)
_FINAL = (1e-4, 40)
"""Lloyd's iterations end when the error falls by less than this share, or after so many."""


@dataclass(frozen=True)
class VectorPalette:
    """A table of vectors and who maps to which entry.

    Attributes:
        table: (2^bits, V), float16 or float32, in lexicographic order; unused entries repeat the last one.
        used: Entries that differ.
        indices: (N,) uint8, the nearest entry of every vector.
    """

    table: npt.NDArray[np.floating]
    used: int
    indices: npt.NDArray[np.uint8]


def distinct_vectors(vectors: npt.NDArray[np.float16], limit: int) -> npt.NDArray[np.float16] | None:
    """(n, V) the different vectors among (N, V), or None if there are more than `limit`; -0 counts as 0."""
    width = vectors.shape[1] * 2
    found = np.empty(0, np.dtype(f"u{width}"))
    for start in range(0, len(vectors), 1 << 16):
        # Adding zero makes -0 plain.
        part = np.ascontiguousarray(vectors[start : start + (1 << 16)] + np.float16(0))
        found = np.union1d(found, part.view(found.dtype).reshape(-1))
        if found.size > limit:
            return None
    return found.view(np.float16).reshape(-1, vectors.shape[1])


def vector_palette(
    vectors: npt.NDArray[np.float16],
    bits: int,
    *,
    importance: npt.NDArray[np.floating] | None = None,
    table_dtype: npt.DTypeLike = np.float16,
) -> VectorPalette:
    """A good palette of vectors.

    Args:
        vectors: (N, V), finite; V is 2 or 4.
        bits: Of an index, 1 to 8.
        importance: (N,) not negative: entries minimise the sum of importance times squared distance.
        table_dtype: float16 or float32.
    """
    size = 1 << bits
    exact = distinct_vectors(vectors, size)
    entries = exact if exact is not None else _trained(vectors, importance, size)
    table = np.unique(entries.astype(table_dtype) + np.dtype(table_dtype).type(0), axis=0)
    used = len(table)
    table = np.concatenate([table, np.repeat(table[-1:], size - used, axis=0)])
    return VectorPalette(table, used, _nearest(vectors, table.astype(np.float32))[0].astype(np.uint8))


def _trained(
    vectors: npt.NDArray[np.float16], importance: npt.NDArray[np.floating] | None, size: int
) -> npt.NDArray[np.float32]:
    weights = np.ones(len(vectors)) if importance is None or not importance.any() else importance.astype(np.float64)
    sampled = np.arange(len(vectors))
    if len(vectors) > _SAMPLE:
        # Multiples of the golden ratio spread evenly without falling into step with the shape of the tensor.
        sampled = (np.arange(_SAMPLE) * 0.6180339887498949 % 1 * len(vectors)).astype(np.int64)
    sample, weight = vectors[sampled].astype(np.float32), weights[sampled]
    entries = np.average(sample, axis=0, weights=weight if weight.any() else None)[None].astype(np.float32)
    while len(entries) < size:
        entries = _lloyd(sample, weight, _split(sample, weight, entries), *_GROWING)
    entries = _lloyd(sample, weight, entries, *_FINAL)
    if len(vectors) > _SAMPLE:
        nearest, _ = _nearest(vectors, entries)
        total, sums = _moments(vectors, weights, nearest, size)
        entries = np.where(total[:, None] > 0, sums / np.where(total > 0, total, 1)[:, None], entries)
    return entries.astype(np.float32)


def _split(sample: Vectors, weight: npt.NDArray[np.float64], entries: Vectors) -> Vectors:
    """Two entries for each, a standard deviation to either side along the axis in which its vectors vary most."""
    nearest, _ = _nearest(sample, entries)
    total, squares = _moments((sample - entries[nearest]) ** 2, weight, nearest, len(entries))
    deviation = np.sqrt(squares / np.where(total > 0, total, 1)[:, None]).astype(np.float32)
    offset = np.where(np.arange(sample.shape[1]) == deviation.argmax(axis=1)[:, None], deviation, np.float32(0))
    return np.concatenate([entries - offset, entries + offset])


def _lloyd(
    sample: Vectors, weight: npt.NDArray[np.float64], entries: Vectors, tolerance: float, rounds: int
) -> Vectors:
    """Moves entries to the means of the vectors nearest to them, and unused ones to the vectors farthest from any."""
    before = np.inf
    for _ in range(rounds):
        nearest, distances = _nearest(sample, entries)
        costs = weight * distances
        total, sums = _moments(sample, weight, nearest, len(entries))
        kept = total > 0
        entries = entries.copy()
        entries[kept] = sums[kept] / total[kept, None]
        unused = int((~kept).sum())
        entries[~kept] = sample[np.argsort(-costs, kind="stable")[:unused]]
        error = float(costs.sum())
        if before - error <= tolerance * error:
            break
        before = error
    return entries


def _nearest(
    vectors: npt.NDArray[np.floating], entries: Vectors
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """For every vector (N, V) the nearest entry, the first of equally near ones, and the squared distance to it."""
    nearest = np.empty(len(vectors), np.int64)
    distances = np.empty(len(vectors), np.float32)
    halves, transposed = (entries * entries).sum(axis=1) / 2, np.ascontiguousarray(entries.T)
    for start in range(0, len(vectors), _CHUNK):
        part = slice(start, start + _CHUNK)
        given = vectors[part].astype(np.float32)
        nearest[part] = (halves - given @ transposed).argmin(axis=1)
        distances[part] = ((given - entries[nearest[part]]) ** 2).sum(axis=1)
    return nearest, distances


def _moments(
    vectors: npt.NDArray[np.floating], weight: npt.NDArray[np.float64], nearest: npt.NDArray[np.int64], size: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(size,) the weight on every entry and (size, V) the weighted sums of the vectors that map to it."""
    total: npt.NDArray[np.float64] = np.bincount(nearest, weight, size).astype(np.float64)
    sums: npt.NDArray[np.float64] = np.stack(
        [np.bincount(nearest, weight * column, size) for column in vectors.T], axis=1
    )
    return total, sums
