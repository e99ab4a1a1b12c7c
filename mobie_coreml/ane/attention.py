"""Attention on (B, C, 1, S): projections are 1x1 convolutions, heads are slices of the channel axis.

Three forms give the same numbers:

- `original`: all heads at once as a batched matrix product, softmax on the last axis. Suits GPU and CPU.
- `split-einsum`: head by head on (B, C / heads, 1, S), softmax on the channel axis. Suits the Neural Engine. Heads are
  sliced on the channel axis and keys transposed afterwards, so that no slice of the last axis has an offset.
- `split-einsum-v2`: as that, and queries in chunks of 512 (the last one takes what remains), so that the scores of one
  chunk stay small enough for the engine's own memory. Chunks are slices of the last axis, which the form cannot avoid.

The two split forms follow the layout of Apple's ml-stable-diffusion and of "Deploying Transformers on the Apple Neural
Engine" (2022), written anew.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

AttentionForm = Literal["original", "split-einsum", "split-einsum-v2"]
ATTENTION_FORMS: tuple[AttentionForm, ...] = get_args(AttentionForm)

QUERY_CHUNK = 512
"""Queries in one chunk of `split-einsum-v2`."""

MASKED = -4e4
"""Added to the scores of keys that a query must not see: far below any score and still finite in fp16."""

# The equation that a package's `einsum` has, for rank 4: the last axis of the first tensor meets axis 1 of the second.
_CONTRACT = "nchw,nwhu->nchu"


def causal_mask(form: AttentionForm, positions: int) -> npt.NDArray[np.float32]:
    """0 where the key is at or before the query and `MASKED` elsewhere, in the layout of the form's scores.

    Returns:
        (1, 1, queries, keys) for `original`, (1, keys, 1, queries) for the split forms.
    """
    future = np.triu(np.full((positions, positions), MASKED, np.float32), 1)
    return future[None, None] if form == "original" else np.ascontiguousarray(future.T)[None, :, None, :]


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    heads: int,
    form: AttentionForm,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """softmax(q k / sqrt(C / heads) + mask) v for every head (Vaswani et al. 2017, arXiv 1706.03762, section 3.2).

    Args:
        query: (B, C, 1, S).
        key: (B, C, 1, T).
        value: (B, C, 1, T).
        heads: Number of heads; divides C.
        form: How it is computed.
        mask: As `causal_mask` makes it for the form; not with query chunks.

    Returns:
        (B, C, 1, S).
    """
    # Scaling the queries touches C x S values, scaling the scores heads x S x T of them, and unscaled scores are the
    # first to leave fp16's range.
    query = query * (1.0 / math.sqrt(query.shape[1] // heads))
    if form == "original":
        return _batched(query, key, value, heads, mask)
    positions = query.shape[3]
    if form == "split-einsum" or positions <= QUERY_CHUNK:
        return _per_head(query, key, value, heads, mask)
    whole, rest = divmod(positions, QUERY_CHUNK)
    sizes = [QUERY_CHUNK] * whole + [rest] * (rest > 0)
    return torch.cat([_per_head(chunk, key, value, heads, mask) for chunk in torch.split(query, sizes, dim=3)], dim=3)


def _batched(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, mask: torch.Tensor | None
) -> torch.Tensor:
    batch, channels, _, positions = query.shape
    width = channels // heads
    query, key, value = (each.reshape(batch, heads, width, -1) for each in (query, key, value))
    scores = torch.matmul(query.transpose(2, 3), key)
    if mask is not None:
        scores = scores + mask
    weights = scores.softmax(dim=3)
    return torch.matmul(value, weights.transpose(2, 3)).reshape(batch, channels, 1, positions)


def _per_head(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, mask: torch.Tensor | None
) -> torch.Tensor:
    width = query.shape[1] // heads
    attended = []
    for q, k, v in zip(*(torch.split(each, width, dim=1) for each in (query, key, value)), strict=True):
        scores = torch.einsum(_CONTRACT, k.transpose(1, 3), q)
        if mask is not None:
            scores = scores + mask
        attended.append(torch.einsum(_CONTRACT, v, scores.softmax(dim=1)))
    return torch.cat(attended, dim=1)


class SelfAttention(nn.Module):
    """Multi-head attention of positions to each other; parameter names are diffusers'."""

    def __init__(self, width: int, heads: int, form: AttentionForm) -> None:
        super().__init__()
        self.heads = heads
        self.form = form
        self.to_q = nn.Conv2d(width, width, 1, bias=False)
        self.to_k = nn.Conv2d(width, width, 1, bias=False)
        self.to_v = nn.Conv2d(width, width, 1, bias=False)
        self.to_out = nn.ModuleList([nn.Conv2d(width, width, 1)])

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(B, C, 1, S) -> same."""
        attended = attend(self.to_q(hidden), self.to_k(hidden), self.to_v(hidden), self.heads, self.form)
        result: torch.Tensor = self.to_out[0](attended)
        return result


class CrossAttention(nn.Module):
    """Multi-head attention to keys and values that were projected before the frame arrived."""

    def __init__(self, width: int, heads: int, form: AttentionForm) -> None:
        super().__init__()
        self.heads = heads
        self.form = form
        self.to_q = nn.Conv2d(width, width, 1, bias=False)
        self.to_out = nn.ModuleList([nn.Conv2d(width, width, 1)])

    def forward(self, hidden: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """(B, C, 1, S), key and value (B, C, 1, 77) -> (B, C, 1, S)."""
        result: torch.Tensor = self.to_out[0](attend(self.to_q(hidden), key, value, self.heads, self.form))
        return result
