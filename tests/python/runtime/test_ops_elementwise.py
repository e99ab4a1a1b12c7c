"""Elementwise operations against coremltools' own value inference and numpy's formulas."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from coremltools.converters.mil import Builder
from hypothesis import given, settings
from hypothesis import strategies as st

mb = Builder

SHAPES = [(), (1,), (3,), (2, 3), (1, 3, 2), (2, 1, 3, 2), (1, 2, 1, 3, 2)]
# Functions that are defined between -1 and 1, everywhere, or above 0.
UNIT = ["acos", "asin", "atanh"]
ANYWHERE = [
    "abs",
    "atan",
    "ceil",
    "cos",
    "cosh",
    "erf",
    "exp",
    "exp2",
    "floor",
    "round",
    "sign",
    "sin",
    "sinh",
    "square",
]
ANYWHERE += ["tan", "tanh"]
POSITIVE = ["sqrt", "log", "rsqrt", "inverse"]
INTEGER = ["abs", "sign", "square"]
BINARY = ["add", "sub", "mul", "real_div", "floor_div", "mod", "maximum", "minimum", "pow"]
COMPARISONS = ["equal", "greater", "greater_equal", "less", "less_equal", "not_equal"]


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
def test_unary(check: Callable[..., None], make_case: Callable[..., object], opset: str) -> None:
    generator = np.random.default_rng(0)
    cases = []
    for shape in SHAPES[2:]:
        unit = generator.uniform(-0.95, 0.95, shape).astype(np.float32)
        cases += [make_case(partial(_call, name), [unit], label=name) for name in UNIT]
        cases += [make_case(partial(_call, name), [unit * 3], label=name) for name in ANYWHERE]
        cases += [make_case(partial(_call, name), [unit + 1.5], label=name) for name in POSITIVE]
        cases.append(make_case(lambda x: mb.clip(x=x, alpha=-0.3, beta=0.4), [unit], label="clip"))
        cases.append(make_case(lambda x: mb.threshold(x=x, alpha=0.2), [unit], label="threshold"))
        integers = generator.integers(-4, 5, shape).astype(np.int32)
        cases += [make_case(partial(_call, name), [integers], label=f"{name} of integers") for name in INTEGER]
        cases.append(make_case(lambda x: mb.logical_not(x=x), [integers > 0], label="logical_not"))
    check(cases, opset)


def _call(name: str, x: object, y: object = None) -> object:
    return getattr(mb, name)(x=x) if y is None else getattr(mb, name)(x=x, y=y)


@st.composite
def broadcast_pair(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    full = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    shapes = [tuple(1 if draw(st.booleans()) else size for size in full) for _ in range(2)]
    cut = draw(st.integers(0, len(full) - 1))
    return (shapes[0], shapes[1][cut:]) if draw(st.booleans()) else (shapes[0][cut:], shapes[1])


def check_binary(check: Callable[..., None], make_case: Callable[..., object], shapes: list[tuple[int, ...]]) -> None:
    generator = np.random.default_rng(1)
    cases = []
    for left, right in shapes:
        x = generator.uniform(-3, 3, left).astype(np.float32)
        y = generator.uniform(0.3, 2, right).astype(np.float32) * generator.choice([-1, 1], right).astype(np.float32)
        for name in BINARY:
            pair = [np.abs(x), y] if name == "pow" else [x, y]
            cases.append(make_case(partial(_call, name), pair, label=f"{name} {left} {right}"))
        integers = [generator.integers(-9, 9, left).astype(np.int32), generator.integers(1, 5, right).astype(np.int32)]
        cases += [make_case(partial(_call, name), integers, label=f"{name} of integers") for name in COMPARISONS]
        for name in ("add", "sub", "mul", "maximum", "minimum", "floor_div", "mod"):
            cases.append(make_case(partial(_call, name), integers, label=f"{name} of integers {left} {right}"))
        truths = [integers[0] > 0, integers[1] > 2]
        cases += [
            make_case(partial(_call, name), truths, label=name) for name in ("logical_and", "logical_or", "logical_xor")
        ]
        chosen = np.where(truths[0], x, 2 * x)
        cases.append(
            make_case(lambda c, a, b: mb.select(cond=c, a=a, b=b), [truths[0], x, 2 * x], chosen, label="select")
        )
    check(cases, "iOS17")


@settings(max_examples=2, deadline=None)
@given(shapes=st.lists(broadcast_pair(), min_size=3, max_size=3))
def test_binary(
    check: Callable[..., None], make_case: Callable[..., object], shapes: list[tuple[tuple[int, ...], tuple[int, ...]]]
) -> None:
    check_binary(check, make_case, shapes)  # type: ignore[arg-type]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(shapes=st.lists(broadcast_pair(), min_size=3, max_size=3))
def test_binary_many(
    check: Callable[..., None], make_case: Callable[..., object], shapes: list[tuple[tuple[int, ...], tuple[int, ...]]]
) -> None:
    check_binary(check, make_case, shapes)  # type: ignore[arg-type]


def test_cast_truncates_and_keeps_truth(check: Callable[..., None], make_case: Callable[..., object]) -> None:
    x = np.array([[-2.7, -0.4, 0.0, 0.6, 3.9]], np.float32)
    cases = [
        make_case(lambda x: mb.cast(x=x, dtype="int32"), [x], x.astype(np.int32), label="to int32"),
        make_case(lambda x: mb.cast(x=x, dtype="bool"), [x], x != 0, label="to bool"),
        make_case(lambda x: mb.cast(x=x, dtype="fp32"), [x != 0], (x != 0).astype(np.float32), label="bool to fp32"),
        make_case(lambda x: mb.cast(x=x, dtype="fp16"), [x], x, label="to fp16 in fp32 mode"),
        make_case(lambda x: mb.cast(x=x, dtype="int8"), [x], x.astype(np.int8), label="to int8"),
        make_case(lambda x: mb.cast(x=x, dtype="uint16"), [np.abs(x)], np.abs(x).astype(np.uint16), label="to uint16"),
    ]
    check(cases, "iOS17")


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_quantize_and_dequantize(
    check: Callable[..., None], make_case: Callable[..., object], axis: int | None
) -> None:
    x = np.random.default_rng(2).uniform(-4, 4, (3, 4)).astype(np.float32)
    count = 1 if axis is None else x.shape[axis]
    scale = np.linspace(0.02, 0.05, count).astype(np.float32)
    zero = np.arange(count).astype(np.int8) - 1
    view = [1, 1]
    view[axis or 0] = -1
    steps = np.clip(np.round(x / scale.reshape(view)) + zero.reshape(view), -128, 127)
    if axis is None:
        scale, zero = scale[0], zero[0]

    def both(x: object) -> tuple[object, object]:
        bits = mb.quantize(input=x, scale=scale, zero_point=zero, axis=axis, output_dtype="int8")
        return mb.cast(x=bits, dtype="int32"), mb.dequantize(input=bits, scale=scale, zero_point=zero, axis=axis)

    back = (steps - np.reshape(zero, view if axis is not None else ())) * np.reshape(
        scale, view if axis is not None else ()
    )
    check([make_case(both, [x], [steps.astype(np.int32), back.astype(np.float32)], label=f"axis {axis}")], "iOS17")
