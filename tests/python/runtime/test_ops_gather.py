"""Gathering, scattering, sorting and made-up values against coremltools' value inference and numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from coremltools.converters.mil import Builder
from hypothesis import given, settings
from hypothesis import strategies as st

from palettization.errors import PackageError

mb = Builder

Check = Callable[..., None]
MakeCase = Callable[..., object]
COMBINE = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
}


@st.composite
def gathered(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], int, int]:
    """Shape of x, shape of the indices, axis, batch_dims."""
    # Core ML knows no value of more than five axes.
    batch = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    x = batch + tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4 - len(batch))))
    indices = batch + tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=2)))
    return x, indices, draw(st.integers(len(batch), len(x) - 1)), len(batch)


def check_gather(
    check: Check, make_case: MakeCase, choices: list[tuple[tuple[int, ...], tuple[int, ...], int, int]]
) -> None:
    generator = np.random.default_rng(11)
    cases = []
    for shape, index_shape, axis, batch in choices:
        x = generator.standard_normal(shape).astype(np.float32)
        indices = generator.integers(0, shape[axis], index_shape).astype(np.int32)
        expected = np.empty((*shape[:axis], *index_shape[batch:], *shape[axis + 1 :]), np.float32)
        for place in np.ndindex(*shape[:batch]):
            expected[place] = np.take(x[place], indices[place], axis - batch)
        cases.append(
            make_case(
                lambda x, i, a=axis, b=batch: mb.gather(x=x, indices=i, axis=a, batch_dims=b),
                [x, indices],
                expected,
                label=f"gather {shape} {index_shape} {axis} {batch}",
            )
        )
        along = generator.integers(0, shape[axis], shape).astype(np.int32)
        cases.append(
            make_case(
                lambda x, i, a=axis: mb.gather_along_axis(x=x, indices=i, axis=a),
                [x, along],
                np.take_along_axis(x, along, axis),
                label=f"gather_along_axis {shape} {axis}",
            )
        )
    check(cases, "iOS17")


@settings(max_examples=2)
@given(choices=st.lists(gathered(), min_size=10, max_size=10))
def test_gather(
    check: Check, make_case: MakeCase, choices: list[tuple[tuple[int, ...], tuple[int, ...], int, int]]
) -> None:
    check_gather(check, make_case, choices)


@pytest.mark.slow
@settings(max_examples=60)
@given(choices=st.lists(gathered(), min_size=10, max_size=10))
def test_gather_many(
    check: Check, make_case: MakeCase, choices: list[tuple[tuple[int, ...], tuple[int, ...], int, int]]
) -> None:
    check_gather(check, make_case, choices)


def test_gather_nd(check: Check, make_case: MakeCase) -> None:
    generator = np.random.default_rng(12)
    x = generator.standard_normal((2, 3, 4, 5)).astype(np.float32)
    whole = np.array([[[0, 2], [1, 0]], [[1, 1], [0, 1]]], np.int32)
    batched = np.array([[[0], [2]], [[1], [1]]], np.int32)
    check(
        [
            make_case(
                lambda x, i: mb.gather_nd(x=x, indices=i), [x, whole], x[whole[..., 0], whole[..., 1]], label="plain"
            ),
            make_case(
                lambda x, i: mb.gather_nd(x=x, indices=i, batch_dims=1),
                [x, batched],
                np.stack([x[n][batched[n, :, 0]] for n in range(2)]),
                label="batched",
            ),
        ],
        "iOS16",
    )


def test_negative_indices_count_from_the_end(check: Check, make_case: MakeCase) -> None:
    x, indices = np.arange(5, dtype=np.float32), np.array([-1, 0, -5], np.int32)
    check(
        [make_case(lambda x, i: mb.gather(x=x, indices=i, axis=0), [x, indices], x[indices], label="gather")], "iOS15"
    )


def test_indices_outside_raise_where_validation_is_asked_for(execute: Callable[..., list[np.ndarray]]) -> None:
    inputs = {"x": np.arange(5, dtype=np.float32), "i": np.array([1, 7], np.int32)}
    with pytest.raises(PackageError, match="outside an axis of size 5"):
        execute(lambda x, i: mb.gather(x=x, indices=i, axis=0, validate_indices=True), inputs, "iOS17")
    with pytest.raises(PackageError, match="outside an axis of size 5"):
        execute(lambda x, i: mb.gather(x=x, indices=i, axis=0), inputs, "iOS15")
    (lenient,) = execute(lambda x, i: mb.gather(x=x, indices=i, axis=0, validate_indices=False), inputs, "iOS17")
    assert lenient.shape == (2,)
    assert lenient[0] == 1


@pytest.mark.parametrize("mode", [*COMBINE, "update"])
def test_scatter(check: Check, make_case: MakeCase, mode: str) -> None:
    generator = np.random.default_rng(13)
    data = generator.uniform(1, 2, (4, 3, 5)).astype(np.float32)
    indices = np.array([2, 0], np.int32)
    slices = generator.uniform(1, 2, (4, 2, 5)).astype(np.float32)
    along = generator.permuted(np.broadcast_to(np.arange(4).reshape(4, 1, 1), data.shape), axis=0)[:2].astype(np.int32)
    rows = generator.uniform(1, 2, along.shape).astype(np.float32)
    places = np.array([[0, 1], [3, 2]], np.int32)
    updates = generator.uniform(1, 2, (2, 5)).astype(np.float32)

    def combine(old: np.ndarray, new: np.ndarray) -> np.ndarray:
        return new if mode == "update" else COMBINE[mode](old, new)

    scattered, spread, addressed = data.copy(), data.copy(), data.copy()
    scattered[:, indices] = combine(data[:, indices], slices)
    before = np.take_along_axis(data, along, 0)
    np.put_along_axis(spread, along, combine(before, rows), 0)
    addressed[places[:, 0], places[:, 1]] = combine(data[places[:, 0], places[:, 1]], updates)
    check(
        [
            make_case(
                lambda d, i, u: mb.scatter(data=d, indices=i, updates=u, axis=1, mode=mode),
                [data, indices, slices],
                scattered,
                label="scatter",
            ),
            make_case(
                lambda d, i, u: mb.scatter_along_axis(data=d, indices=i, updates=u, axis=0, mode=mode),
                [data, along, rows],
                spread,
                label="scatter_along_axis",
            ),
            make_case(
                lambda d, i, u: mb.scatter_nd(data=d, indices=i, updates=u, mode=mode),
                [data, places, updates],
                addressed,
                label="scatter_nd",
            ),
        ]
    )


def test_scatter_adds_up_what_meets(check: Check, make_case: MakeCase) -> None:
    data, indices = np.zeros(3, np.float32), np.array([1, 1, 2], np.int32)
    updates = np.array([1, 2, 4], np.float32)
    case = make_case(
        lambda d, i, u: mb.scatter(data=d, indices=i, updates=u, axis=0, mode="add"),
        [data, indices, updates],
        np.array([0, 3, 4], np.float32),
        label="add",
    )
    check([case])


@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("axis", [0, -1])
def test_sorting(check: Check, make_case: MakeCase, axis: int, ascending: bool) -> None:
    x = np.random.default_rng(14).permutation(24).reshape(4, 6).astype(np.float32)
    order = np.argsort(x if ascending else -x, axis)
    first = np.take(order, range(3), axis)
    check(
        [
            make_case(
                lambda x: mb.topk(x=x, k=3, axis=axis, ascending=ascending),
                [x],
                [np.take_along_axis(x, first, axis), first.astype(np.int32)],
                label="topk",
            ),
            make_case(
                lambda x: mb.argsort(x=x, axis=axis, ascending=ascending), [x], order.astype(np.int32), label="argsort"
            ),
        ]
    )


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_cumsum(check: Check, make_case: MakeCase, exclusive: bool, reverse: bool) -> None:
    x = np.random.default_rng(15).standard_normal((3, 5)).astype(np.float32)
    turned = x[:, ::-1] if reverse else x
    sums = np.cumsum(turned, 1) - (turned if exclusive else 0)
    expected = sums[:, ::-1] if reverse else sums
    check(
        [
            make_case(
                lambda x: mb.cumsum(x=x, axis=1, exclusive=exclusive, reverse=reverse), [x], expected, label="cumsum"
            )
        ]
    )


def test_made_up_values(check: Check, make_case: MakeCase) -> None:
    labels, x = np.array([[0, 2], [1, 1]], np.int32), np.array([[0, 3, 0], [1, 0, 2]], np.float32)
    end = np.array([7.0], np.float32)
    hot = np.eye(3, dtype=np.float32)[labels]
    check(
        [
            make_case(
                lambda i: mb.one_hot(indices=i, one_hot_vector_size=3, axis=-1, on_value=2.0, off_value=0.5),
                [labels],
                hot * 1.5 + 0.5,
                label="one_hot",
            ),
            make_case(
                lambda i: mb.one_hot(indices=i, one_hot_vector_size=3, axis=1, on_value=1.0, off_value=0.0),
                [labels],
                np.moveaxis(hot, -1, 1),
                label="one_hot in the middle",
            ),
            make_case(lambda x: mb.fill_like(ref_tensor=x, value=3.5), [x], np.full((2, 3), 3.5, np.float32)),
            make_case(
                lambda e: mb.range_1d(end=mb.squeeze(x=e), start=1.0, step=2.0),
                [end],
                np.arange(1, 7, 2, dtype=np.float32),
                label="range",
            ),
            make_case(lambda x: mb.non_zero(x=x), [x], np.argwhere(x).astype(np.int32), label="non_zero"),
        ],
        "iOS17",
    )


def test_fill_to_a_computed_shape(check: Check, make_case: MakeCase) -> None:
    shape = np.array([2, 3], np.int32)
    check([make_case(lambda s: mb.fill(shape=s, value=1.5), [shape], np.full((2, 3), 1.5, np.float32), label="fill")])


def test_random_values_follow_their_seed(execute: Callable[..., list[np.ndarray]]) -> None:
    x = {"x": np.full((1, 4), -np.inf, np.float32)}
    x["x"][0, 2] = 0.0

    def draw(x: object) -> tuple[object, ...]:
        return (
            mb.random_normal(shape=[2000], mean=1.0, stddev=2.0, seed=3),
            mb.random_uniform(shape=[2000], low=-1.0, high=3.0, seed=3),
            mb.random_bernoulli(shape=[2000], prob=0.25, seed=3),
            mb.random_categorical(x=x, mode="logits", size=5, seed=3),
            mb.random_normal(shape=[2000], mean=1.0, stddev=2.0, seed=4),
        )

    first, second = execute(draw, x), execute(draw, x)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    normal, uniform, bernoulli, categorical, another = first
    assert abs(normal.mean() - 1) < 0.2
    assert abs(normal.std() - 2) < 0.2
    assert uniform.min() >= -1
    assert uniform.max() < 3
    assert abs(uniform.mean() - 1) < 0.1
    assert set(np.unique(bernoulli)) == {0.0, 1.0}
    assert abs(bernoulli.mean() - 0.25) < 0.05
    assert (categorical == 2).all()
    assert not np.array_equal(normal, another)
