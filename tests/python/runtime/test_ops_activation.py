"""Activations and reductions against coremltools' value inference or the formula."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from coremltools.converters.mil import Builder
from hypothesis import given, settings
from hypothesis import strategies as st

mb = Builder

X = np.random.default_rng(0).uniform(-4, 4, (2, 3, 4, 5)).astype(np.float32)
T = torch.from_numpy(X)
PER_CHANNEL = np.array([0.2, 0.5, 1.5], np.float32)


def channels(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values).reshape(1, -1, 1, 1)


ACTIVATIONS: list[tuple[str, dict[str, object], torch.Tensor]] = [
    ("relu", {}, F.relu(T)),
    ("relu6", {}, F.relu6(T)),
    ("sigmoid", {}, torch.sigmoid(T)),
    ("silu", {}, F.silu(T)),
    ("softplus", {}, F.softplus(T)),
    ("softsign", {}, F.softsign(T)),
    ("gelu", {}, F.gelu(T)),
    ("gelu", {"mode": "EXACT"}, F.gelu(T)),
    ("gelu", {"mode": "TANH_APPROXIMATION"}, F.gelu(T, approximate="tanh")),
    ("gelu", {"mode": "SIGMOID_APPROXIMATION"}, T * torch.sigmoid(1.702 * T)),
    ("elu", {"alpha": 0.7}, F.elu(T, 0.7)),
    ("leaky_relu", {"alpha": 0.1}, F.leaky_relu(T, 0.1)),
    ("prelu", {"alpha": PER_CHANNEL}, F.prelu(T, torch.from_numpy(PER_CHANNEL))),
    ("linear_activation", {"alpha": 2.0, "beta": -0.5}, 2 * T - 0.5),
    ("clamped_relu", {"alpha": 0.3, "beta": 2.0}, torch.where(T >= 0, T, 0.3 * T).clamp(max=2.0)),
    ("scaled_tanh", {"alpha": 1.5, "beta": 0.4}, 1.5 * torch.tanh(0.4 * T)),
    ("sigmoid_hard", {"alpha": 0.25, "beta": 0.4}, (0.25 * T + 0.4).clamp(0, 1)),
    (
        "softplus_parametric",
        {"alpha": PER_CHANNEL, "beta": 2 * PER_CHANNEL},
        channels(PER_CHANNEL) * F.softplus(channels(2 * PER_CHANNEL) * T),
    ),
    ("thresholded_relu", {"alpha": 0.8}, torch.where(T >= 0.8, T, 0.0)),
    ("softmax", {"axis": 1}, torch.softmax(T, 1)),
    ("softmax", {"axis": -1}, torch.softmax(T, -1)),
]


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
def test_activations(check: Callable[..., None], make_case: Callable[..., object], opset: str) -> None:
    cases = [
        make_case(
            lambda x, n=name, o=options: getattr(mb, n)(x=x, **o), [X], expected.numpy(), label=f"{name} {options}"
        )
        for name, options, expected in ACTIVATIONS
    ]
    check(cases, opset)


def test_softplus_and_gelu_far_from_zero(check: Callable[..., None], make_case: Callable[..., object]) -> None:
    far = np.array([-200.0, -30.0, 30.0, 200.0], np.float32)
    tensor = torch.from_numpy(far)
    check(
        [
            make_case(lambda x: mb.softplus(x=x), [far], F.softplus(tensor).numpy(), label="softplus"),
            make_case(lambda x: mb.gelu(x=x), [far], F.gelu(tensor).numpy(), label="gelu"),
            make_case(lambda x: mb.softmax(x=x), [far], torch.softmax(tensor, 0).numpy(), label="softmax"),
        ]
    )


REDUCTIONS = ["l1_norm", "l2_norm", "log_sum", "log_sum_exp", "max", "mean", "min", "prod", "sum", "sum_square"]


@st.composite
def reduction(draw: st.DrawFn) -> tuple[tuple[int, ...], list[int], bool]:
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=5)))
    axes = draw(st.lists(st.integers(-len(shape), len(shape) - 1), min_size=1, unique_by=lambda a: a % len(shape)))
    return shape, axes, draw(st.booleans())


def check_reductions(
    check: Callable[..., None],
    make_case: Callable[..., object],
    choices: list[tuple[tuple[int, ...], list[int], bool]],
) -> None:
    cases = []
    for shape, axes, keep in choices:
        x = np.random.default_rng(3).uniform(0.5, 2, shape).astype(np.float32)
        for name in REDUCTIONS:
            function = partial(_reduce, name, axes, keep)
            cases.append(make_case(function, [x], label=f"reduce_{name} {shape} {axes} {keep}"))
        cases += [
            make_case(lambda x, a=axes[0], k=keep: mb.reduce_argmax(x=x, axis=a, keep_dims=k), [x], label="argmax"),
            make_case(lambda x, a=axes[0], k=keep: mb.reduce_argmin(x=x, axis=a, keep_dims=k), [x], label="argmin"),
        ]
    check(cases, "iOS17")


def _reduce(name: str, axes: list[int], keep: bool, x: object) -> object:
    return getattr(mb, f"reduce_{name}")(x=x, axes=axes, keep_dims=keep)


@settings(max_examples=2)
@given(choices=st.lists(reduction(), min_size=4, max_size=4))
def test_reductions(
    check: Callable[..., None], make_case: Callable[..., object], choices: list[tuple[tuple[int, ...], list[int], bool]]
) -> None:
    check_reductions(check, make_case, choices)


@pytest.mark.slow
@settings(max_examples=60)
@given(choices=st.lists(reduction(), min_size=4, max_size=4))
def test_reductions_many(
    check: Callable[..., None], make_case: Callable[..., object], choices: list[tuple[tuple[int, ...], list[int], bool]]
) -> None:
    check_reductions(check, make_case, choices)


def test_reductions_of_everything_and_of_integers(check: Callable[..., None], make_case: Callable[..., object]) -> None:
    integers = np.array([[1, -2, 3], [4, 5, -7]], np.int32)
    check(
        [
            make_case(lambda x: mb.reduce_sum(x=x), [X], X.sum(), tolerance=1e-4, label="sum of all"),
            make_case(lambda x: mb.reduce_max(x=x, keep_dims=True), [X], X.max(keepdims=True), label="max of all"),
            make_case(lambda x: mb.reduce_sum(x=x, axes=[1]), [integers], integers.sum(1), label="integers"),
            make_case(lambda x: mb.reduce_prod(x=x, axes=[0]), [integers], integers.prod(0), label="product"),
            make_case(lambda x: mb.reduce_max(x=x, axes=[-1]), [integers], integers.max(-1), label="integer max"),
        ]
    )
