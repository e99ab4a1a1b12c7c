"""Vector palettes: exact where they can be, better than numbers where vectors pay, and nearest entries always."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palettization.clustering import palette_of
from palettization.vectors import distinct_vectors, vector_palette


def cost(vectors: np.ndarray, table: np.ndarray, indices: np.ndarray, importance: np.ndarray | None = None) -> float:
    squares = ((vectors.astype(np.float64) - table.astype(np.float64)[indices]) ** 2).sum(axis=1)
    return float(squares @ (np.ones(len(squares)) if importance is None else importance))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 300), st.sampled_from([2, 4]), st.sampled_from([1, 2, 4]), st.integers(0, 1 << 16))
def test_every_vector_has_its_nearest_entry(count: int, width: int, bits: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float16)
    palette = vector_palette(vectors, bits)
    assert palette.table.shape == (1 << bits, width)
    assert palette.used == len(np.unique(palette.table, axis=0))
    distances = ((vectors[:, None].astype(np.float64) - palette.table[None].astype(np.float64)) ** 2).sum(axis=2)
    chosen = distances[np.arange(count), palette.indices]
    assert (chosen <= distances.min(axis=1) * (1 + 1e-4) + 1e-6).all()


def test_few_different_vectors_are_exact() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.standard_normal((13, 4)).astype(np.float16)
    vectors = kinds[rng.integers(0, 13, 5000)]
    palette = vector_palette(vectors, 4)
    assert palette.used == 13
    assert (palette.table[palette.indices] == vectors).all()
    assert distinct_vectors(vectors, 12) is None
    signed = np.array([[0.0, 1.0], [-0.0, 1.0]], np.float16)
    assert len(distinct_vectors(signed, 4)) == 1


@pytest.mark.parametrize(("width", "bits", "numbers"), [(2, 8, 4), (2, 4, 2), (4, 8, 2)])
def test_vectors_cost_less_than_numbers_of_as_many_bits(width: int, bits: int, numbers: int) -> None:
    """Two halves of a vector that go together: what one index can say of both, two indices say twice."""
    rng = np.random.default_rng(1)
    vectors = (rng.standard_normal((12_000, width)) * rng.gamma(1.0, size=(12_000, 1))).astype(np.float16)
    palette = vector_palette(vectors, bits)
    assert cost(vectors, palette.table, palette.indices) < 0.9 * palette_of(vectors, numbers).squared_error


def test_the_same_vectors_give_the_same_table() -> None:
    vectors = np.random.default_rng(2).standard_normal((70_000, 2)).astype(np.float16)
    first, second = vector_palette(vectors, 4), vector_palette(vectors.copy(), 4)
    assert first.table.tobytes() == second.table.tobytes()
    assert (first.indices == second.indices).all()


def test_importance_moves_entries() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((4000, 2)).astype(np.float16)
    importance = np.where(vectors[:, 0] > 0, 50.0, 0.1)
    plain, weighed = vector_palette(vectors, 3), vector_palette(vectors, 3, importance=importance)
    costs = [cost(vectors, palette.table, palette.indices, importance) for palette in (plain, weighed)]
    assert costs[1] < costs[0]


def test_tables_can_be_float32() -> None:
    vectors = np.array([[0, 0], [0.1, 0.1], [5, 5], [5.1, 5.2]] * 3 + [[0, 0]], np.float16)
    palette = vector_palette(vectors, 1, table_dtype=np.float32)
    assert palette.table.dtype == np.float32
    group = vectors[vectors[:, 0] > 1].astype(np.float64)
    np.testing.assert_allclose(palette.table[-1], group.mean(axis=0), rtol=1e-6)
