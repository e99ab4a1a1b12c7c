"""Rate-distortion allocation: against brute force, against uniform bits, and what is refused."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palettization.allocate import Allocation, AllocationError, Option, fewest_bytes, least_error, smallest_error

BITS = (2, 4, 6, 16)


@st.composite
def problems(draw: st.DrawFn) -> dict[str, list[Option]]:
    """Up to 5 tensors; more bits take more bytes, and mostly but not always have less error."""
    problem = {}
    for name in "abcde"[: draw(st.integers(1, 5))]:
        elements, scale = draw(st.integers(1, 40)), draw(st.floats(0.01, 100))
        worse = [draw(st.floats(0.2, 3)) for _ in BITS]
        problem[name] = [
            Option(bits, elements * bits + (1 << min(bits, 6)), scale * factor * 4.0**-bits)
            for bits, factor in zip(BITS, worse, strict=True)
        ]
    return problem


def every(problem: dict[str, list[Option]]) -> list[Allocation]:
    return [Allocation(dict(zip(problem, chosen, strict=True))) for chosen in itertools.product(*problem.values())]


def largest_step(problem: dict[str, list[Option]]) -> float:
    return max(max(one.error for one in given) - min(one.error for one in given) for given in problem.values())


@settings(deadline=None, max_examples=60)
@given(problems(), st.floats(0, 1))
def test_errors_are_near_the_least_possible_and_no_worse_than_uniform(
    problem: dict[str, list[Option]], at: float
) -> None:
    everything = every(problem)
    sizes = [one.bytes for one in everything]
    budget = int(min(sizes) + at * (max(sizes) - min(sizes)))
    found = smallest_error(problem, budget)
    least = min(one.error for one in everything if one.bytes <= budget)
    assert found.bytes <= budget
    assert least <= found.error * (1 + 1e-12)
    assert found.error <= least + largest_step(problem)
    bound = least_error(problem, budget)
    assert bound <= least * (1 + 1e-9)
    assert found.error <= bound + largest_step(problem)
    for bits in BITS:
        same = Allocation({name: next(o for o in given if o.bits == bits) for name, given in problem.items()})
        assert same.bytes > budget or found.error <= same.error


@settings(deadline=None, max_examples=60)
@given(problems(), st.floats(0, 1))
def test_the_fewest_bytes_keep_the_error(problem: dict[str, list[Option]], at: float) -> None:
    everything = every(problem)
    low, high = (bound(one.error for one in everything) for bound in (min, max))
    allowed = low * (1 + 1e-9) + at * (high - low)
    found = fewest_bytes(problem, allowed)
    assert found.error <= allowed
    fewest = min(one.bytes for one in everything if one.error <= allowed)
    assert fewest <= found.bytes
    assert found.bytes <= fewest + max(max(o.bytes for o in given) for given in problem.values())
    # Nothing that one tensor alone could still give up.
    for name, options in problem.items():
        for option in options:
            other = Allocation({**found.choices, name: option})
            assert other.bytes >= found.bytes or other.error > allowed


def test_points_on_the_hull_are_optimal() -> None:
    # Two tensors of equal size, one ten times as sensitive: with bytes for one step it gets the step.
    problem = {
        name: [Option(2, 10, 8.0 * scale), Option(4, 20, 2.0 * scale), Option(6, 30, 0.5 * scale)]
        for name, scale in (("dull", 1.0), ("keen", 10.0))
    }
    chosen = {
        budget: {name: o.bits for name, o in smallest_error(problem, budget).choices.items()} for budget in (20, 30, 40)
    }
    assert chosen == {20: {"dull": 2, "keen": 2}, 30: {"dull": 2, "keen": 4}, 40: {"dull": 2, "keen": 6}}


def test_the_rest_is_spent_on_options_off_the_hull() -> None:
    # From 10 bytes the hull goes straight to 30; with 20 allowed only the option between fits.
    problem = {"w": [Option(2, 10, 10.0), Option(4, 20, 9.0), Option(6, 30, 0.0)]}
    assert smallest_error(problem, 20).choices["w"].bits == 4


def test_equal_problems_have_equal_answers() -> None:
    problem = {name: [Option(2, 10, 4.0), Option(4, 20, 1.0)] for name in "abc"}
    assert [smallest_error(problem, 50).choices[name].bits for name in "abc"] == [4, 4, 2]


@pytest.mark.parametrize("options", [{}, {"a": [Option(4, 8, 0.0)]}])
def test_what_needs_no_choice(options: dict[str, list[Option]]) -> None:
    assert smallest_error(options, 8).error == fewest_bytes(options, 0.0).error == 0.0


def test_targets_out_of_reach_are_refused() -> None:
    problem = {"a": [Option(2, 10, 4.0), Option(4, 20, 1.0)], "b": [Option(2, 5, 1.0)]}
    with pytest.raises(AllocationError, match="takes 15 bytes, more than the 14 allowed"):
        smallest_error(problem, 14)
    with pytest.raises(AllocationError, match=r"an error of 2, more than the 1\.5 allowed"):
        fewest_bytes(problem, 1.5)
    with pytest.raises(AllocationError, match="b has no option"):
        smallest_error({"b": []}, 10)


@pytest.mark.parametrize(
    "wrong", [(0, 1, 1.0), (-4, 1, 1.0), (4, -1, 1.0), (4, 1, -1.0), (4, 1, math.nan), (4, 1, math.inf)]
)
def test_options_that_are_none_are_refused(wrong: tuple[int, int, float]) -> None:
    with pytest.raises(AllocationError, match="no option"):
        Option(*wrong)
