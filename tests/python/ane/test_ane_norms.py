"""Norms equal PyTorch's and stay finite in fp16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mobie_coreml.ane.norms import GroupNorm, LayerNorm

Psnr = Callable[[torch.Tensor, torch.Tensor], float]


def group_norm(groups: int, channels: int, eps: float = 1e-5) -> GroupNorm:
    norm = GroupNorm(groups, channels, eps).requires_grad_(False)
    norm.weight.copy_(torch.randn(channels) * 0.5 + 1)
    norm.bias.copy_(torch.randn(channels))
    return norm


def as_coremltools_lowers_it(x: torch.Tensor, norm: GroupNorm) -> tuple[torch.Tensor, torch.Tensor]:
    """The operations that coremltools 9 emits for aten.group_norm, one for one: the result and the variance."""
    batch, channels, height, width = x.shape
    grouped = x.reshape(batch, norm.groups, channels // norm.groups, height, width)
    deviations = grouped - grouped.mean((2, 3, 4), keepdim=True)
    variance = deviations.square().mean((2, 3, 4), keepdim=True)
    normal = (deviations / (variance + norm.eps).sqrt()).reshape(x.shape)
    result = F.batch_norm(normal, torch.zeros(channels), torch.ones(channels), norm.weight, norm.bias, eps=0.0)
    return result, variance


def reference(x: torch.Tensor, norm: GroupNorm) -> torch.Tensor:
    return F.group_norm(x.double(), norm.groups, norm.weight.double(), norm.bias.double(), norm.eps).float()


@settings(max_examples=25, deadline=None)
@given(
    groups=st.sampled_from([1, 4, 32]),
    each=st.integers(1, 6),
    height=st.integers(1, 12),
    width=st.integers(2, 12),
    scale=st.floats(1e-3, 1e4),
    offset=st.floats(-1e3, 1e3),
    eps=st.sampled_from([1e-5, 1e-6]),
    seed=st.integers(0, 1000),
)
def test_group_norm_equals_pytorch(
    groups: int, each: int, height: int, width: int, scale: float, offset: float, eps: float, seed: int
) -> None:
    torch.manual_seed(seed)
    norm = group_norm(groups, groups * each, eps)
    x = torch.randn(1, groups * each, height, width) * scale + offset
    # fp32 holds deviations from the offset with an error of 1e-7 of the offset.
    allowed = 1e-4 + 2e-6 * abs(offset) / scale
    torch.testing.assert_close(norm(x), reference(x, norm), rtol=allowed, atol=allowed)


def large(seed: int) -> torch.Tensor:
    """(1, 64, 24, 32), every group's mean about 500, values down to -2000 and up to 2000."""
    torch.manual_seed(seed)
    x = (torch.randn(1, 64, 24, 32) * 600 + 500).clamp(-2000, 2000)
    x[:, ::2, 0, 0], x[:, ::2, 0, 1] = 2000, -2000
    return x.half().float()


@pytest.mark.parametrize("seed", range(3))
def test_group_norm_keeps_40_db_in_fp16_where_the_usual_lowering_overflows(
    seed: int, half_precision: Any, psnr: Psnr
) -> None:
    x, norm = large(seed), group_norm(32, 64)
    with half_precision():
        ours, (usual, variance) = norm(x), as_coremltools_lowers_it(x, norm)
    assert psnr(ours, reference(x, norm)) >= 60
    # Every deviation divided by an infinite variance is zero: nothing but the bias is left of the image.
    assert torch.isinf(variance).all()
    assert psnr(usual, reference(x, norm)) < 20


@pytest.mark.parametrize("scale", [1e-2, 1.0, 30.0])
def test_the_simulation_agrees_with_the_usual_lowering_where_that_does_not_overflow(
    scale: float, half_precision: Any, psnr: Psnr
) -> None:
    torch.manual_seed(0)
    x, norm = (torch.randn(1, 64, 24, 32) * scale).half().float(), group_norm(32, 64)
    with half_precision():
        assert psnr(norm(x), reference(x, norm)) >= 60
        assert psnr(as_coremltools_lowers_it(x, norm)[0], reference(x, norm)) >= 40


@pytest.mark.parametrize("ratio", [10, 50, 100])
def test_group_norm_survives_means_far_above_the_deviations(ratio: float, half_precision: Any, psnr: Psnr) -> None:
    """The fp16 mean of 100.3 is off by up to 0.03; what it misses is found again from the deviations."""
    torch.manual_seed(1)
    x = (torch.randn(1, 64, 24, 32) * (100.3 / ratio) + 100.3).half().float()
    norm = group_norm(32, 64)
    with half_precision():
        assert psnr(norm(x), reference(x, norm)) >= 60


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["constant", "spread", "one outlier", "two values"]),
    size=st.floats(0, 30000, width=16),
    groups=st.sampled_from([1, 4]),
)
def test_group_norm_is_finite_in_fp16_for_any_input(kind: str, size: float, groups: int, half_precision: Any) -> None:
    torch.manual_seed(0)
    shape = (1, 8, 16, 16)
    x = {
        "constant": torch.full(shape, size),
        "spread": (torch.rand(shape) * 2 - 1) * size,
        "one outlier": torch.zeros(shape).index_put((torch.tensor(0),) * 4, torch.tensor(size)),
        "two values": torch.where(torch.rand(shape) > 0.5, size, -size),
    }[kind]
    x, norm = x.half().float(), group_norm(groups, 8)
    with half_precision():
        result = norm(x)
    assert torch.isfinite(result).all()
    expected = reference(x, norm)
    assert (result - expected).abs().max() <= 4e-3 * max(1.0, float(expected.abs().max()))


@settings(max_examples=15, deadline=None)
@given(channels=st.integers(2, 70), positions=st.integers(1, 40), offset=st.floats(-50, 50), seed=st.integers(0, 99))
def test_layer_norm_equals_pytorch(channels: int, positions: int, offset: float, seed: int) -> None:
    torch.manual_seed(seed)
    norm = LayerNorm(channels).requires_grad_(False)
    norm.weight.copy_(torch.randn(channels))
    norm.bias.copy_(torch.randn(channels))
    x = torch.randn(1, channels, 1, positions) + offset
    expected = F.layer_norm(x[0, :, 0].T, (channels,), norm.weight, norm.bias, 1e-5).T[None, :, None]
    torch.testing.assert_close(norm(x), expected, rtol=1e-4, atol=1e-4)


def test_layer_norm_is_one_operation_and_safe_in_fp16(half_precision: Any, psnr: Psnr) -> None:
    torch.manual_seed(0)
    norm = LayerNorm(64).requires_grad_(False)
    x = (torch.randn(1, 64, 1, 50) * 2000 + 500).half().float()
    program = torch.export.export(norm, (x,), strict=False)
    calls = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert calls == ["mobie.channel_layer_norm.default"]
    expected = norm(x)
    with half_precision():
        assert psnr(norm(x), expected) >= 60
