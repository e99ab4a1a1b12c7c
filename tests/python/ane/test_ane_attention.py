"""Attention forms equal PyTorch's attention, and their graphs keep the Neural Engine's rules."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mobie_coreml.ane.attention import ATTENTION_FORMS, MASKED, QUERY_CHUNK, AttentionForm, attend, causal_mask


def reference(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, *, causal: bool = False
) -> torch.Tensor:
    """The same attention on (B, heads, S, C / heads), back on (B, C, 1, S)."""
    q, k, v = (each[:, :, 0].unflatten(1, (heads, -1)).transpose(2, 3) for each in (query, key, value))
    attended = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return attended.transpose(2, 3).flatten(1, 2).unsqueeze(2)


def drawn(channels: int, queries: int, keys: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(queries)
    return (
        torch.randn(1, channels, 1, queries) * 2,
        torch.randn(1, channels, 1, keys) * 2,
        torch.randn(1, channels, 1, keys),
    )


@pytest.mark.parametrize("form", ATTENTION_FORMS)
@pytest.mark.parametrize("queries", [1, 77, 511, 512, 513, 768, 900, 1024, 1300])
@pytest.mark.parametrize("keys", [77, 900])
def test_forms_equal_pytorch_with_and_without_a_remainder(form: AttentionForm, queries: int, keys: int) -> None:
    query, key, value = drawn(24, queries, keys)
    result = attend(query, key, value, 3, form)
    torch.testing.assert_close(result, reference(query, key, value, 3), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", ATTENTION_FORMS)
@pytest.mark.parametrize("heads", [1, 2, 8])
def test_causal_mask(form: AttentionForm, heads: int) -> None:
    query, key, value = drawn(16, 77, 77)
    result = attend(query, key, value, heads, form, torch.from_numpy(causal_mask(form, 77)))
    torch.testing.assert_close(result, reference(query, key, value, heads, causal=True), rtol=1e-4, atol=1e-5)


def test_masked_scores_stay_finite_in_fp16() -> None:
    assert torch.isfinite(torch.tensor(MASKED).half() + torch.tensor(-20000.0).half())
    assert torch.exp(torch.tensor(MASKED + 1000)) == 0


class Attend(nn.Module):
    def __init__(self, form: AttentionForm) -> None:
        super().__init__()
        self.form = form

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return attend(query, key, value, 2, self.form)


def calls(form: AttentionForm, queries: int) -> list[tuple[str, torch.fx.Node]]:
    program = torch.export.export(Attend(form), drawn(16, queries, 900), strict=False)
    return [(str(node.target), node) for node in program.graph.nodes if node.op == "call_function"]


def softmax_shapes(form: AttentionForm, queries: int) -> list[tuple[int, ...]]:
    return [tuple(node.meta["val"].shape) for name, node in calls(form, queries) if "softmax" in name]


def test_split_einsum_has_one_softmax_a_head_on_the_channel_axis() -> None:
    softmaxes = [node for name, node in calls("split-einsum", 900) if "softmax" in name]
    assert [node.args[1] for node in softmaxes] == [1, 1]
    assert softmax_shapes("split-einsum", 900) == [(1, 900, 1, 900)] * 2


def test_split_einsum_slices_the_channel_axis_alone() -> None:
    splits = [node for name, node in calls("split-einsum", 900) if "split" in name]
    assert len(splits) == 3
    assert all(node.args[2] == 1 for node in splits)
    assert not any("slice" in name for name, _ in calls("split-einsum", 900))


def test_split_einsum_v2_bounds_the_scores_and_keeps_the_remainder() -> None:
    shapes = softmax_shapes("split-einsum-v2", 1300)
    assert shapes == [(1, 900, 1, width) for width in (QUERY_CHUNK, QUERY_CHUNK, 1300 - 2 * QUERY_CHUNK) for _ in "ab"]
    assert softmax_shapes("split-einsum-v2", QUERY_CHUNK) == softmax_shapes("split-einsum", QUERY_CHUNK)


def test_original_multiplies_all_heads_at_once() -> None:
    names = [name for name, _ in calls("original", 900)]
    assert names.count("aten.matmul.default") == 2
    assert softmax_shapes("original", 900) == [(1, 2, 900, 900)]
