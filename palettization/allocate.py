"""Which tensor gets how many bits: rate-distortion allocation.

Every tensor has a few options, each with its bytes and the error that it causes; errors of different tensors add up.
Minimising error + lambda * bytes leaves each tensor to itself, and sweeping lambda walks along the lower convex hulls
of all tensors at once, steepest descent of error per byte first (Shoham and Gersho, Efficient bit allocation for an
arbitrary set of quantizers, 1988). Points on that walk are optimal for the bytes they take. Between two of them lies
one step of one tensor; a greedy fill with what still fits, options off the hulls included, uses up that rest.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from palettization.errors import PackageError


class AllocationError(PackageError):
    """A target that no choice of bits reaches, or options that are none."""


@dataclass(frozen=True)
class Option:
    """One way to store a tensor.

    Attributes:
        bits: Of an index; 16 leaves the tensor as it is.
        bytes: Stored, tables included.
        error: What it adds to the error of the whole, in any unit.
    """

    bits: int
    bytes: int
    error: float

    def __post_init__(self) -> None:
        if self.bits <= 0 or self.bytes < 0 or not (math.isfinite(self.error) and self.error >= 0):
            raise AllocationError(
                f"{self.bits} bits with {self.bytes} bytes and an error of {self.error} are no option.",
                "Bits are positive; bytes and errors are finite and not negative.",
            )


Options = Mapping[str, Sequence[Option]]
"""By tensor."""


@dataclass(frozen=True)
class Allocation:
    """An option for every tensor."""

    choices: dict[str, Option]

    @property
    def bytes(self) -> int:
        """Of all tensors."""
        return sum(option.bytes for option in self.choices.values())

    @property
    def error(self) -> float:
        """Of all tensors."""
        return math.fsum(option.error for option in self.choices.values())


def smallest_error(options: Options, budget: int) -> Allocation:
    """The least error found within a number of bytes: never more than with the same bits for all tensors.

    It exceeds the least possible by less than one step of one tensor on its hull.

    Args:
        options: At least one a tensor.
        budget: Bytes of all tensors together.

    Raises:
        AllocationError: a tensor has no option, or even the smallest ones exceed the budget.
    """
    chosen, spare, _ = _walked({name: _hull(name, given) for name, given in options.items()}, budget)
    found = [Allocation(_filled(options, chosen, spare)), *_uniform(options)]
    return min((one for one in found if one.bytes <= budget), key=lambda one: (one.error, one.bytes))


def least_error(options: Options, budget: int) -> float:
    """What no allocation within a number of bytes is below: the error on the hulls with the last step taken in part.

    Args, Raises:
        As `smallest_error`.
    """
    chosen, spare, beyond = _walked({name: _hull(name, given) for name, given in options.items()}, budget)
    error = Allocation(chosen).error
    if beyond is None:
        return error
    name, option = beyond
    return error - spare * _gain(chosen[name], option)


def fewest_bytes(options: Options, error: float) -> Allocation:
    """The fewest bytes found that keep the error: never more than with the same bits for all tensors.

    Args:
        options: At least one a tensor.
        error: Of all tensors together, not to be exceeded.

    Raises:
        AllocationError: a tensor has no option, or even the best ones exceed the error.
    """
    hulls = {name: _hull(name, given) for name, given in options.items()}
    chosen = {name: hull[0] for name, hull in hulls.items()}
    steps = list(_walk(hulls))

    def after(count: int) -> dict[str, Option]:
        return {**chosen, **dict(steps[:count])}

    count = bisect_left(range(len(steps)), True, key=lambda taken: Allocation(after(taken)).error <= error)
    chosen = after(count)
    if Allocation(chosen).error > error:
        raise AllocationError(
            f"Even the widest choice of bits has an error of {Allocation(chosen).error:.6g}, "
            f"more than the {error:.6g} allowed.",
            "Allow a larger error, or more bits.",
        )
    found = [Allocation(_trimmed(options, chosen, error)), *_uniform(options)]
    return min((one for one in found if one.error <= error), key=lambda one: (one.bytes, one.error))


def _hull(name: str, given: Sequence[Option]) -> list[Option]:
    """The options on the lower convex hull of error over bytes, smallest first: each next one is worth less a byte."""
    if not given:
        raise AllocationError(f"{name} has no option.", "Give at least one, for example its size as it is.")
    hull: list[Option] = []
    for option in sorted(given, key=lambda one: (one.bytes, one.error, one.bits)):
        if hull and option.error >= hull[-1].error:
            continue
        while len(hull) > 1 and _gain(hull[-2], hull[-1]) <= _gain(hull[-2], option):
            hull.pop()
        hull.append(option)
    return hull


def _gain(smaller: Option, larger: Option) -> float:
    """Error saved per byte added."""
    added = larger.bytes - smaller.bytes
    return (smaller.error - larger.error) / added if added else math.inf


def _walk(hulls: Mapping[str, Sequence[Option]]) -> Iterable[tuple[str, Option]]:
    """All steps along all hulls, the most error saved per byte first; steps of one tensor stay in order."""
    steps = [
        (-_gain(before, after), name, index, after)
        for name, hull in hulls.items()
        for index, (before, after) in enumerate(itertools.pairwise(hull))
    ]
    return ((name, option) for _, name, _, option in sorted(steps, key=lambda step: step[:3]))


def _walked(
    hulls: Mapping[str, Sequence[Option]], budget: int
) -> tuple[dict[str, Option], int, tuple[str, Option] | None]:
    """What is chosen on the hulls within a budget, the bytes left, and the first step that they do not suffice for."""
    chosen = {name: hull[0] for name, hull in hulls.items()}
    spare = budget - sum(option.bytes for option in chosen.values())
    if spare < 0:
        raise AllocationError(
            f"The smallest choice of bits takes {budget - spare:,} bytes, more than the {budget:,} allowed.",
            "Allow more bytes.",
        )
    for name, option in _walk(hulls):
        step = option.bytes - chosen[name].bytes
        if step > spare:
            return chosen, spare, (name, option)
        chosen[name] = option
        spare -= step
    return chosen, spare, None


def _filled(options: Options, chosen: Mapping[str, Option], spare: int) -> dict[str, Option]:
    """Spends what is left on the steps that save most error, as long as any fits."""

    def fits(before: Option, after: Option) -> bool:
        return after.error < before.error and after.bytes - before.bytes <= filled.spare

    filled = _Rest(dict(chosen), spare)
    while step := _best(options, filled.chosen, fits, lambda before, after: before.error - after.error):
        name, option = step
        filled.spare -= option.bytes - filled.chosen[name].bytes
        filled.chosen[name] = option
    return filled.chosen


def _trimmed(options: Options, chosen: Mapping[str, Option], error: float) -> dict[str, Option]:
    """Takes back the steps that save most bytes, as long as the error allows any."""
    trimmed = _Rest(dict(chosen), 0)

    def fits(before: Option, after: Option) -> bool:
        return after.bytes < before.bytes and after.error - before.error <= room

    while True:
        room = error - Allocation(trimmed.chosen).error
        step = _best(options, trimmed.chosen, fits, lambda before, after: before.bytes - after.bytes)
        if step is None or Allocation({**trimmed.chosen, step[0]: step[1]}).error > error:
            return trimmed.chosen
        trimmed.chosen[step[0]] = step[1]


@dataclass
class _Rest:
    """An allocation in the making and the bytes left."""

    chosen: dict[str, Option]
    spare: int


def _best(
    options: Options,
    chosen: Mapping[str, Option],
    fits: Callable[[Option, Option], bool],
    value: Callable[[Option, Option], float],
) -> tuple[str, Option] | None:
    """The change of one tensor that fits and is worth most; the first of equal ones."""
    found = (
        (value(chosen[name], option), name, option)
        for name, given in options.items()
        for option in given
        if fits(chosen[name], option)
    )
    best = max(found, key=lambda one: one[0], default=None)
    return best and best[1:]


def _uniform(options: Options) -> Iterable[Allocation]:
    """The allocations with one number of bits for all tensors, where all have it."""
    common = set.intersection(*({option.bits for option in given} for given in options.values())) if options else set()
    for bits in sorted(common):
        yield Allocation({name: next(one for one in given if one.bits == bits) for name, given in options.items()})
