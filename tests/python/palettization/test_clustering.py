"""Palettes are optimal: against brute force in exact arithmetic, against a textbook dynamic programme, and against
coremltools' kmeans1d; and they depend on the histogram alone."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from palettization.clustering import lookup_of, narrowest_bits, palette_of
from palettization.cuts import first_cuts, resample
from palettization.histogram import Histogram, NonFiniteWeightError, histogram_of
from palettization.optimal import _row_minima, beside, optimal_cuts
from palettization.segments import Segments

FINITE = st.integers(0, 0xFFFF).filter(lambda bits: bits & 0x7C00 != 0x7C00)


def squared_error(array: np.ndarray, table: np.ndarray, indices: np.ndarray, importance: Any = 1.0) -> float:
    return float((importance * (array.astype(np.float64).reshape(-1) - table.astype(np.float64)[indices]) ** 2).sum())


def least_error(values: np.ndarray, counts: np.ndarray, entries: int) -> Fraction:
    """The least sum of squares of any fp16 table, in exact arithmetic over all cuts."""
    exact = [Fraction(float(value)) for value in values]

    def run(i: int, j: int) -> Fraction:
        weight = sum(counts[i:j])
        mean = np.float16(float(sum(c * v for c, v in zip(counts[i:j], exact[i:j], strict=True)) / weight))
        with np.errstate(over="ignore"):
            around = [mean, np.nextafter(mean, np.float16(np.inf)), np.nextafter(mean, np.float16(-np.inf))]
        return min(
            sum((c * (v - Fraction(float(e))) ** 2 for c, v in zip(counts[i:j], exact[i:j], strict=True)), Fraction())
            for e in around
            if np.isfinite(e)
        )

    size = len(exact)
    costs = {(i, j): run(i, j) for i in range(size) for j in range(i + 1, size + 1)}
    infinite = Fraction(10) ** 40
    best = [Fraction(0)] + [infinite] * size
    for _ in range(entries):
        best = [infinite] + [min(best[i] + costs[i, j] for i in range(j)) for j in range(1, size + 1)]
    return best[size]


def check_against_brute_force(array: np.ndarray, bits: int) -> None:
    values, counts = np.unique(array.astype(np.float64), return_counts=True)
    palette = palette_of(array, bits)
    achieved = sum(
        (Fraction(float(value)) - Fraction(float(palette.table[index]))) ** 2
        for value, index in zip(array, palette.indices(array), strict=True)
    )
    least = least_error(values, [Fraction(int(count)) for count in counts], min(1 << bits, len(values)))
    assert achieved <= least * (1 + Fraction(1, 10**9))


@settings(max_examples=40, deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=12), st.sampled_from([1, 2, 3]))
def test_no_table_is_better_on_any_bit_patterns(patterns: list[int], bits: int) -> None:
    check_against_brute_force(np.array(patterns, np.uint16).view(np.float16), bits)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=4, max_size=14), st.sampled_from([1, 2]))
def test_no_table_is_better_where_costs_tie(numbers: list[int], bits: int) -> None:
    """Evenly spaced values: many cuts cost the same, and the optimal cost is linear in stretches of k."""
    check_against_brute_force(np.array(numbers, np.float16), bits)


def textbook(segments: Segments, k: int) -> tuple[float, np.ndarray]:
    """The optimal cost and cuts by the quadratic dynamic programme, one layer a run."""
    count = segments.count
    i, j = np.arange(count), np.arange(1, count + 1)
    costs = segments.masked_cost(i[:, None], j[None, :])
    best = costs[0]
    choices = []
    for _ in range(k - 1):
        reached = np.concatenate([[np.inf], best[:-1]])[:, None] + costs
        choices.append(reached.argmin(axis=0))
        best = reached.min(axis=0)
    path = [count]
    for choice in choices[::-1]:
        path.append(int(choice[path[-1] - 1]))
    return float(best[-1]), np.array([*path, 0][::-1])


@pytest.mark.parametrize("k", [2, 3, 7, 16, 64, 255])
@pytest.mark.parametrize("kind", ["normal", "heavy tails", "spikes", "even"])
def test_cuts_cost_what_the_textbook_programme_finds(kind: str, k: int) -> None:
    rng = np.random.default_rng(k)
    array = {
        "normal": rng.standard_normal(500),
        "heavy tails": rng.standard_t(1.5, 400),
        "spikes": np.concatenate([rng.standard_normal(300), np.repeat(rng.standard_normal(8), 500)]),
        "even": np.arange(320) / 16,
    }[kind].astype(np.float16)
    histogram = histogram_of(array)
    segments = Segments(histogram)
    cuts = optimal_cuts(histogram, segments, k)
    assert cuts[0] == 0
    assert cuts[-1] == histogram.distinct
    assert (np.diff(cuts) > 0).all()
    assert cuts.size == k + 1
    assert segments.total(cuts) == pytest.approx(textbook(segments, k)[0], rel=1e-9, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 16), st.integers(5, 60), st.sampled_from(["normal", "tails", "even"]), st.data())
def test_a_cut_follows_from_the_one_beside_it(seed: int, size: int, kind: str, data: Any) -> None:
    rng = np.random.default_rng(seed)
    drawn = {"normal": rng.standard_normal, "tails": lambda n: rng.standard_t(1.5, n), "even": np.arange}[kind](size)
    segments = Segments(histogram_of(drawn.astype(np.float16)))
    k = data.draw(st.integers(2, segments.count - 1))
    for neighbour in (k - 1, k + 1):
        cuts = beside(segments, k, textbook(segments, neighbour)[1])
        assert cuts.size == k + 1
        assert (np.diff(cuts) > 0).all()
        assert segments.total(cuts) == pytest.approx(textbook(segments, k)[0], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("kind", "bits"),
    [("normal", 1), ("normal", 2), ("laplace", 3), ("normal", 4), ("laplace", 4), ("student", 6), ("normal", 8)],
)
def test_squares_never_exceed_those_of_coremltools(ct: Any, kind: str, bits: int) -> None:
    from coremltools.models.neural_network.quantization_utils import _get_kmeans_lookup_table_and_weight

    rng = np.random.default_rng(bits)
    drawn = {"normal": rng.standard_normal, "laplace": lambda n: rng.laplace(size=n)}.get(kind)
    array = ((drawn(12_000) if drawn else rng.standard_t(3, 12_000)) * 0.03).astype(np.float16)
    table, indices = _get_kmeans_lookup_table_and_weight(bits, array)
    palette = palette_of(array, bits)
    ours = squared_error(array, palette.table, palette.indices(array))
    assert ours <= squared_error(array, table.astype(np.float16), indices) * (1 + 1e-12)
    assert palette.squared_error == pytest.approx(ours, rel=1e-9)


def test_importance_weighs_errors() -> None:
    rng = np.random.default_rng(0)
    array = rng.standard_normal((8, 40)).astype(np.float16)
    importance = rng.uniform(0.1, 5, (8, 1))
    spread = np.broadcast_to(importance, array.shape)
    weighed, plain = palette_of(array, 3, importance=importance), palette_of(array, 3)
    flat = spread.reshape(-1)
    ours = squared_error(array, weighed.table, weighed.indices(array), flat)
    assert ours < squared_error(array, plain.table, plain.indices(array), flat)
    assert weighed.weighted_error == pytest.approx(ours, rel=1e-9)
    assert (palette_of(array, 3, importance=spread).table == weighed.table).all()
    # Whole importances are repetitions.
    times = rng.integers(1, 4, array.size)
    repeated = palette_of(np.repeat(array.reshape(-1), times), 3)
    assert (palette_of(array, 3, importance=times.reshape(array.shape)).table == repeated.table).all()


def test_weights_without_importance_do_not_move_entries() -> None:
    array = np.array([0, 1, 2, 3, 100], np.float16)
    palette = palette_of(array, 1, importance=np.array([1.0, 1.0, 1.0, 1.0, 0.0]))
    assert palette.table.tolist() == [0.5, 2.5]
    assert palette.indices(array).tolist() == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 29])
def test_minima_are_right_where_rounding_breaks_their_order(seed: int) -> None:
    # Costs vanish beside such f, so that the best source of a row may lie before that of the row above it.
    ones, sources, count = np.ones(400), 200, 400
    segments = Segments(Histogram(np.arange(count) / 64, ones, ones))
    f = np.full(sources, 2.0 ** [50, 54, 58, 60, 54][seed % 5])
    step = np.spacing(f[0])
    f += np.random.default_rng(seed).integers(0, 3, sources) * step
    found, chosen = _row_minima(segments, f, 0, sources, count + 1)
    targets = np.arange(sources, count + 1)
    costs = segments.cost(np.arange(sources)[None, :], targets[:, None]) + f
    assert (found == costs[np.arange(targets.size), chosen]).all()
    assert (found - costs.min(axis=1)).max() <= 2 * step


@pytest.mark.parametrize(
    ("spread", "bits", "dtype"), [(12.0, 2, np.float16), (12.0, 3, np.float32), (8.0, 4, np.float16)]
)
def test_importances_of_very_different_sizes_give_the_optimum(spread: float, bits: int, dtype: Any) -> None:
    rng = np.random.default_rng(bits)
    array = np.unique(rng.standard_normal(500).astype(np.float16))
    importance = np.exp(rng.standard_normal(array.size) * spread)
    heard = importance > importance.sum() * 2.0**-40
    assert not heard.all() or spread < 12
    palette = palette_of(array, bits, importance=importance, table_dtype=dtype)
    best, _ = textbook(Segments(histogram_of(array[heard], importance[heard]), dtype), 1 << bits)
    left = float((importance * np.square(array.astype(np.float64)))[~heard].sum())
    assert palette.weighted_error <= best * (1 + 1e-6) + 4 * left + 1e-12 * float(importance.sum())


@pytest.mark.parametrize("power", [-140, -80, 0, 120])
def test_the_scale_of_importances_does_not_matter(power: int) -> None:
    rng = np.random.default_rng(3)
    array = (rng.standard_normal(3000) * 1e-4).astype(np.float16)
    importance = rng.uniform(0.5, 2, array.size)
    palette = palette_of(array, 4, importance=importance)
    scaled = palette_of(array, 4, importance=importance * 2.0**power)
    assert scaled.table.tobytes() == palette.table.tobytes()


@pytest.mark.parametrize("least", [0.0, 1e-45, 1e-30, 1e-17])
def test_values_that_hardly_matter_at_the_ends_change_nothing(least: float) -> None:
    middle = np.linspace(-1, 1, 300).astype(np.float16)
    array = np.concatenate([np.linspace(-9, -2, 400), middle, np.linspace(2, 9, 400)]).astype(np.float16)
    importance = np.where(np.abs(array) <= 1, 1.0, least)
    palette = palette_of(array, 4, importance=importance)
    assert (palette.table == palette_of(middle, 4).table).all()


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(np.uint16, st.integers(1, 60), elements=FINITE), st.sampled_from([1, 2, 4]), st.randoms())
def test_order_does_not_matter(patterns: np.ndarray, bits: int, random: Any) -> None:
    array = patterns.view(np.float16)
    order = list(range(array.size))
    random.shuffle(order)
    palette, shuffled = palette_of(array, bits), palette_of(array[order], bits)
    assert palette.table.tobytes() == shuffled.table.tobytes()
    assert (palette.indices(array)[order] == shuffled.indices(array[order])).all()


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(np.uint16, st.integers(1, 90), elements=FINITE), st.sampled_from([1, 2, 3, 4, 6]))
def test_palettizing_twice_changes_nothing(patterns: np.ndarray, bits: int) -> None:
    array = patterns.view(np.float16)
    first = palette_of(array, bits)
    once = first.table[first.indices(array)]
    again = palette_of(once, bits)
    assert again.squared_error == 0
    assert (again.table[again.indices(once)] == once).all()


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8])
def test_few_distinct_values_are_exact(bits: int) -> None:
    values = np.linspace(-1, 1, 1 << bits).astype(np.float16)
    array = np.tile(values, 5)
    palette = palette_of(array, bits)
    assert palette.used == 1 << bits
    assert (palette.table[palette.indices(array)] == array).all()
    assert palette.squared_error == 0
    assert narrowest_bits(1 << bits, 8) == bits
    assert narrowest_bits((1 << bits) + 1, bits) == bits


def test_a_constant_tensor_takes_one_bit_and_is_exact() -> None:
    array = np.full((7, 3), -0.3, np.float16)
    palette = palette_of(array, 1)
    assert palette.used == 1
    assert palette.table.tolist() == [array[0, 0]] * 2
    assert narrowest_bits(1, 6, (2, 4, 6)) == 2


def test_negative_zero_is_zero() -> None:
    palette = palette_of(np.array([-0.0, 0.0, 1.0], np.float16), 1)
    assert palette.table.tobytes() == np.array([0, 1], np.float16).tobytes()


@pytest.mark.parametrize(("value", "named"), [(np.nan, "1 NaN and 0 infinite"), (-np.inf, "0 NaN and 1 infinite")])
def test_weights_that_are_not_finite_are_named(value: float, named: str) -> None:
    with pytest.raises(NonFiniteWeightError, match=f"mid.conv holds {named}"):
        palette_of(np.array([0, 1, value], np.float16), 2, name="mid.conv")


def test_float32_tables_hold_exact_means() -> None:
    array = np.array([1, 1.0009765625, 1.0009765625, 5, 5], np.float16)
    palette = palette_of(array, 1, table_dtype=np.float32)
    assert palette.table.dtype == np.float32
    assert palette.table[0] == np.float32((1 + 2 * 1.0009765625) / 3)


def test_of_two_equally_near_entries_the_lower_is_taken() -> None:
    lookup = lookup_of(np.array([0, 2, 4, 4], np.float16))
    values = np.array([1, 3, 2.9, 70, -5], np.float16)
    assert lookup[values.view(np.uint16)].tolist() == [0, 1, 1, 2, 0]


@pytest.mark.parametrize("bits", [0, 5, 7, 9])
def test_other_widths_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match=f"not {bits}"):
        palette_of(np.zeros(3, np.float16), bits)


def test_importances_that_make_no_sense_are_refused() -> None:
    array = np.zeros((2, 2), np.float16)
    for importance in (np.array([[-1.0]]), np.array([[np.nan]]), np.array([[1e39]]), np.ones(3)):
        with pytest.raises(ValueError):  # noqa: PT011
            palette_of(array, 1, importance=importance)


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.uint16, st.integers(2, 60), elements=FINITE), st.data())
def test_first_cuts_are_cuts(patterns: np.ndarray, data: Any) -> None:
    histogram = histogram_of(patterns.view(np.float16))
    k = data.draw(st.integers(1, histogram.distinct))
    for cuts in (
        first_cuts(histogram, k),
        resample(first_cuts(histogram, k), data.draw(st.integers(1, histogram.distinct))),
    ):
        assert cuts[0] == 0
        assert cuts[-1] == histogram.distinct
        assert (np.diff(cuts) > 0).all()
