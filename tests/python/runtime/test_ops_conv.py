"""Convolutions and pooling against PyTorch over random attributes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from coremltools.converters.mil import Builder
from hypothesis import given, settings
from hypothesis import strategies as st

mb = Builder

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
MEAN = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


@dataclass
class Window:
    """A drawn convolution or pooling."""

    sizes: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pad_type: str
    pad: tuple[int, ...]
    groups: int
    bias: bool

    def padding(self) -> list[int]:
        """F.pad arguments that do what pad_type says (TensorFlow's "SAME" for same and same_lower)."""
        pairs = []
        for axis, size in enumerate(self.sizes):
            length = (self.kernel[axis] - 1) * self.dilations[axis] + 1
            if self.pad_type == "valid":
                pairs.append([0, 0])
            elif self.pad_type == "custom":
                pairs.append(list(self.pad[2 * axis : 2 * axis + 2]))
            else:
                out = -(-size // self.strides[axis])
                total = max(0, (out - 1) * self.strides[axis] + length - size)
                pair = [total // 2, total - total // 2]
                pairs.append(pair if self.pad_type == "same" else pair[::-1])
        return [amount for pair in reversed(pairs) for amount in pair]


@st.composite
def window(draw: st.DrawFn, pooling: bool = False, dilate: bool = True) -> Window:
    rank = draw(st.integers(1, 3))

    def per_axis(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    kernel = per_axis(1, 3)
    dilations = per_axis(1, 2) if dilate and not pooling else (1,) * rank
    pad = tuple(draw(st.integers(0, k - 1 if pooling else 2)) for k in kernel for _ in range(2))
    sizes = tuple((k - 1) * d + 1 + draw(st.integers(0, 4)) for k, d in zip(kernel, dilations, strict=True))
    pad_type = draw(st.sampled_from(["valid", "same", "same_lower", "custom"]))
    return Window(
        sizes, kernel, per_axis(1, 3), dilations, pad_type, pad, draw(st.sampled_from([1, 2, 4])), draw(st.booleans())
    )


def convolution(make_case: Callable[..., object], w: Window) -> object:
    generator = np.random.default_rng(5)
    x = generator.standard_normal((2, 4, *w.sizes)).astype(np.float32)
    weight = generator.standard_normal((8, 4 // w.groups, *w.kernel)).astype(np.float32)
    bias = generator.standard_normal(8).astype(np.float32) if w.bias else None
    options: dict[str, object] = {"pad": w.pad} if w.pad_type == "custom" else {}
    options |= {"bias": bias} if bias is not None else {}
    padded = F.pad(torch.from_numpy(x), w.padding())
    expected = CONV[len(w.sizes)](
        padded,
        torch.from_numpy(weight),
        None if bias is None else torch.from_numpy(bias),
        w.strides,
        0,
        w.dilations,
        w.groups,
    )
    return make_case(
        lambda x: mb.conv(
            x=x,
            weight=weight,
            strides=w.strides,
            dilations=w.dilations,
            pad_type=w.pad_type,
            groups=w.groups,
            **options,
        ),
        [x],
        expected.numpy(),
        label=f"conv {w}",
    )


def transposed(make_case: Callable[..., object], w: Window) -> object:
    """Against the definition: the gradient of a convolution, here through torch with cropping."""
    generator = np.random.default_rng(6)
    x = generator.standard_normal((2, 4, *w.sizes)).astype(np.float32)
    weight = generator.standard_normal((4, 6 // (2 if w.groups > 1 else 1), *w.kernel)).astype(np.float32)
    groups = 2 if w.groups > 1 else 1
    bias = generator.standard_normal(6).astype(np.float32) if w.bias else None
    full = TRANSPOSE[len(w.sizes)](
        torch.from_numpy(x),
        torch.from_numpy(weight),
        None if bias is None else torch.from_numpy(bias),
        stride=w.strides,
        groups=groups,
        dilation=w.dilations,
    ).numpy()
    pad_type = "custom" if w.pad_type == "custom" else "valid"
    pad = [min(amount, 1) for amount in w.pad] if pad_type == "custom" else [0] * len(w.pad)
    index: list[slice] = [slice(None), slice(None)]
    for axis in range(len(w.sizes)):
        if full.shape[2 + axis] - pad[2 * axis] - pad[2 * axis + 1] < 1:
            pad[2 * axis] = pad[2 * axis + 1] = 0
        index.append(slice(pad[2 * axis], full.shape[2 + axis] - pad[2 * axis + 1]))
    options: dict[str, object] = {"pad": pad} if pad_type == "custom" else {}
    options |= {"bias": bias} if bias is not None else {}
    return make_case(
        lambda x: mb.conv_transpose(
            x=x, weight=weight, strides=w.strides, dilations=w.dilations, pad_type=pad_type, groups=groups, **options
        ),
        [x],
        full[tuple(index)],
        label=f"conv_transpose {w}",
    )


@settings(max_examples=2)
@given(windows=st.lists(window(), min_size=12, max_size=12))
def test_convolution(check: Callable[..., None], make_case: Callable[..., object], windows: list[Window]) -> None:
    check([convolution(make_case, w) for w in windows] + [transposed(make_case, w) for w in windows])


@pytest.mark.slow
@settings(max_examples=80)
@given(windows=st.lists(window(), min_size=12, max_size=12))
def test_convolution_many(check: Callable[..., None], make_case: Callable[..., object], windows: list[Window]) -> None:
    check([convolution(make_case, w) for w in windows] + [transposed(make_case, w) for w in windows])


def test_convolution_with_computed_weight(check: Callable[..., None], make_case: Callable[..., object]) -> None:
    generator = np.random.default_rng(7)
    x = generator.standard_normal((1, 3, 6, 5)).astype(np.float32)
    weight = generator.standard_normal((2, 3, 3, 3)).astype(np.float32)
    expected = F.conv2d(torch.from_numpy(x), torch.from_numpy(weight), padding=1).numpy()
    check([make_case(lambda x, w: mb.conv(x=x, weight=w, pad_type="same"), [x, weight], expected, label="dynamic")])


@pytest.mark.parametrize(("output", "stride", "kernel"), [(8, 2, 3), (7, 2, 3), (12, 3, 2), (4, 1, 3)])
def test_transposed_convolution_to_a_size(
    check: Callable[..., None], make_case: Callable[..., object], output: int, stride: int, kernel: int
) -> None:
    """ "same" with an output shape crops the full result evenly, the odd element at the end, or extends it."""
    generator = np.random.default_rng(8)
    x = generator.standard_normal((1, 2, 4)).astype(np.float32)
    weight = generator.standard_normal((2, 3, kernel)).astype(np.float32)
    bias = np.array([1.0, -2.0, 0.5], np.float32)
    full = F.conv_transpose1d(torch.from_numpy(x), torch.from_numpy(weight), stride=stride).numpy()
    total = max(0, full.shape[2] - output)
    expected = np.zeros((1, 3, output), np.float32)
    part = full[:, :, total // 2 : total // 2 + output]
    expected[:, :, : part.shape[2]] = part
    expected += bias[None, :, None]
    case = make_case(
        lambda x: mb.conv_transpose(
            x=x, weight=weight, bias=bias, strides=[stride], pad_type="same", output_shape=[1, 3, output]
        ),
        [x],
        expected,
        label="conv_transpose to a size",
    )
    check([case])


def pooled(make_case: Callable[..., object], w: Window) -> list[object]:
    x = np.random.default_rng(9).standard_normal((2, 3, *w.sizes)).astype(np.float32)
    tensor, rank = torch.from_numpy(x), len(w.sizes)
    padding = w.padding()
    common = {"kernel_sizes": w.kernel, "strides": w.strides, "pad_type": w.pad_type}
    if w.pad_type == "custom":
        common["pad"] = w.pad
    volume = float(np.prod(w.kernel))

    def sums(values: torch.Tensor) -> torch.Tensor:
        return MEAN[rank](F.pad(values, padding), w.kernel, w.strides) * volume

    total, counted = sums(tensor), sums(torch.ones(1, 1, *w.sizes))
    expected = {
        "max_pool": MAX[rank](F.pad(tensor, padding, value=-np.inf), w.kernel, w.strides),
        "avg_pool": total / volume,
    }
    if rank < 3:
        expected["l2_pool"] = torch.sqrt(sums(tensor**2))
    cases = [
        make_case(lambda x, n=name: getattr(mb, n)(x=x, **common), [x], value.numpy(), label=f"{name} {w}")
        for name, value in expected.items()
    ]
    cases.append(
        make_case(
            lambda x: mb.avg_pool(x=x, exclude_padding_from_average=True, **common),
            [x],
            (total / counted).numpy(),
            label=f"avg_pool without padding {w}",
        )
    )
    return cases


@settings(max_examples=2)
@given(windows=st.lists(window(pooling=True), min_size=6, max_size=6))
def test_pooling(check: Callable[..., None], make_case: Callable[..., object], windows: list[Window]) -> None:
    check([case for w in windows for case in pooled(make_case, w)])


@pytest.mark.slow
@settings(max_examples=80)
@given(windows=st.lists(window(pooling=True), min_size=6, max_size=6))
def test_pooling_many(check: Callable[..., None], make_case: Callable[..., object], windows: list[Window]) -> None:
    check([case for w in windows for case in pooled(make_case, w)])


@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize("pad", [0, 1])
def test_pooling_in_ceil_mode(
    check: Callable[..., None], make_case: Callable[..., object], pad: int, exclude: bool
) -> None:
    x = np.random.default_rng(10).standard_normal((1, 2, 6, 8)).astype(np.float32)
    tensor = torch.from_numpy(x)
    common = {"kernel_sizes": [3, 3], "strides": [2, 2], "pad_type": "custom", "pad": [pad] * 4, "ceil_mode": True}
    mean = F.avg_pool2d(tensor, 3, 2, pad, ceil_mode=True, count_include_pad=not exclude).numpy()
    most = F.max_pool2d(tensor, 3, 2, pad, ceil_mode=True).numpy()
    check(
        [
            make_case(
                lambda x: mb.avg_pool(x=x, exclude_padding_from_average=exclude, **common), [x], mean, label="avg"
            ),
            make_case(lambda x: mb.max_pool(x=x, **common), [x], most, label="max"),
        ]
    )
