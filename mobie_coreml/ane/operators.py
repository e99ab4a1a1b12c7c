"""The one operation of these networks that PyTorch's operator set cannot name: a layer norm over the channel axis.

`torch.nn.functional.layer_norm` normalises trailing axes only, while the packages' `layer_norm` takes any axes. As an
operator of its own it stays one node in an exported program and becomes one `layer_norm` with axes [1] in a package.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F


@torch.library.custom_op(
    "mobie::channel_layer_norm", mutates_args=(), schema="(Tensor x, Tensor weight, Tensor bias, float eps) -> Tensor"
)
def channel_layer_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> torch.Tensor:
    """Normalises (B, C, 1, S) over C with the biased variance, then scales and shifts.

    y = (x - mean) / sqrt(variance + eps) * weight + bias (Ba et al. 2016, arXiv 1607.06450).

    Args:
        x: (B, C, 1, S).
        weight: (C,).
        bias: (C,).
        eps: Added to the variance.

    Returns:
        (B, C, 1, S).
    """
    last = x.movedim(1, -1)
    return F.layer_norm(last, weight.shape, weight, bias, eps).movedim(-1, 1).contiguous()


@channel_layer_norm.register_fake
def _(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> torch.Tensor:
    return torch.empty_like(x)


def _keep_inputs(ctx: Any, inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor, float], output: Any) -> None:
    x, weight, bias, ctx.eps = inputs
    ctx.save_for_backward(x, weight, bias)


def _gradients(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    """Gradients by PyTorch's own layer norm, run again on the channels as last axis."""
    with torch.enable_grad():
        x, weight, bias = (
            tensor.detach().requires_grad_(needed)
            for tensor, needed in zip(ctx.saved_tensors, ctx.needs_input_grad[:3], strict=True)
        )
        y = F.layer_norm(x.movedim(1, -1), weight.shape, weight, bias, ctx.eps).movedim(-1, 1)
        wanted = [tensor for tensor in (x, weight, bias) if tensor.requires_grad]
        found = iter(torch.autograd.grad(y, wanted, upstream))
    return *(next(found) if tensor.requires_grad else None for tensor in (x, weight, bias)), None


channel_layer_norm.register_autograd(_gradients, setup_context=_keep_inputs)
