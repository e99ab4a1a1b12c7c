"""Attention as it is computed while training on a CPU."""

import pytest
import torch
import torch.nn.functional as F

from mobie_coreml.training.attention import fast_attention, plain_attention


@pytest.mark.parametrize(("queries", "keys", "causal"), [(9, 13, False), (7, 7, True)])
def test_values_and_gradients_are_those_of_torch(queries: int, keys: int, causal: bool) -> None:
    tensors = [torch.randn(2, 4, count, 8, requires_grad=True) for count in (queries, keys, keys)]
    expected = F.scaled_dot_product_attention(*tensors, is_causal=causal)
    with fast_attention(torch.device("cpu")):
        ours = F.scaled_dot_product_attention(*tensors, is_causal=causal)
    torch.testing.assert_close(ours, expected)
    assert not torch.equal(ours, expected)
    gradients = [torch.autograd.grad(output.square().sum(), tensors) for output in (ours, expected)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_weights_are_summed_in_fp32() -> None:
    query, key = torch.zeros(1, 1, 1, 4, dtype=torch.bfloat16), torch.zeros(1, 1, 300, 4, dtype=torch.bfloat16)
    value = torch.ones(1, 1, 300, 1, dtype=torch.bfloat16)
    answer = plain_attention(query, key, value.expand(-1, -1, -1, 4))
    assert answer.dtype == torch.bfloat16
    assert float(answer[0, 0, 0, 0]) == pytest.approx(1.0, abs=2 / 256)
