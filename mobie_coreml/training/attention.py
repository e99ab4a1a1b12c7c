"""Which attention kernel trains fastest."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def fast_attention(device: torch.device) -> AbstractContextManager[None]:
    """Plain matrix products for attention on a CPU: on so few positions the fused kernel's backward pass is slower."""
    if device.type != "cpu":
        return nullcontext()
    kernel: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH)
    return kernel
