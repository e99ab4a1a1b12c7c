"""Attention as one operation (iOS 18)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from mobie_coreml.runtime.mil.limits import check_elements
from mobie_coreml.runtime.mil.node import Node
from mobie_coreml.runtime.mil.registry import Kernel, operation

Tensor = torch.Tensor


@operation("scaled_dot_product_attention", takes="query key value attn_mask?")
def scaled_dot_product_attention(node: Node) -> Kernel:
    """softmax(query @ key.T / sqrt(E) + mask) @ value; a boolean mask says what takes part."""

    def run(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        check_elements((*query.shape[:-1], value.shape[-1]))
        return F.scaled_dot_product_attention(query, key, value, mask)

    return run
