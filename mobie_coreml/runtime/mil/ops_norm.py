"""Normalisation."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.node import Node
from mobie_coreml.runtime.mil.registry import Kernel, operation

Tensor = torch.Tensor


@operation("batch_norm", takes="x mean variance gamma? beta?")
def batch_norm(node: Node) -> Kernel:
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta, per channel (axis 1)."""
    epsilon = node.number("epsilon", 1e-5)

    def run(x: Tensor, mean: Tensor, variance: Tensor, gamma: Tensor | None, beta: Tensor | None) -> Tensor:
        return F.batch_norm(x, mean, variance, gamma, beta, False, 0.0, epsilon)

    return run


@operation("layer_norm", takes="x gamma? beta?")
def layer_norm(node: Node) -> Kernel:
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta over `axes`; gamma and beta have the shape of those axes."""
    epsilon = node.number("epsilon", 1e-5)
    axes = node.integer_list("axes") if node.has("axes") else None

    def run(x: Tensor, gamma: Tensor | None, beta: Tensor | None) -> Tensor:
        rank = x.dim()
        chosen = range(rank) if axes is None else sorted({_axis(axis, rank) for axis in axes})
        shape = [x.shape[axis] for axis in chosen]
        if list(chosen) == list(range(rank - len(shape), rank)):
            return F.layer_norm(x, shape, gamma, beta, epsilon)
        # torch.var_mean is many times slower than this over axes that aren't the last.
        result = x - x.mean(list(chosen), keepdim=True)
        variance = result.square().mean(list(chosen), keepdim=True)
        result = result.mul_(torch.rsqrt(variance.add_(epsilon)))
        broadcast = [x.shape[axis] if axis in chosen else 1 for axis in range(rank)]
        if gamma is not None:
            result = result.mul_(gamma.reshape(broadcast))
        if beta is not None:
            result = result.add_(beta.reshape(broadcast))
        return result

    return run


@operation("instance_norm", takes="x gamma? beta?")
def instance_norm(node: Node) -> Kernel:
    """Normalises every channel of every sample over its spatial axes."""
    epsilon = node.number("epsilon", 1e-5)

    def run(x: Tensor, gamma: Tensor | None, beta: Tensor | None) -> Tensor:
        return F.group_norm(x, x.shape[1], gamma, beta, epsilon)

    return run


@operation("l2_norm")
def l2_norm(node: Node) -> Kernel:
    """x / sqrt(sum of squares over the last three axes + epsilon)."""
    epsilon = node.number("epsilon", 1e-6)

    def run(x: Tensor) -> Tensor:
        if x.dim() < 3:
            raise ProgramError(f"x must have rank 3 at least, not {x.dim()}")
        return x / torch.sqrt(x.square().sum((-3, -2, -1), keepdim=True) + epsilon)

    return run


@operation("local_response_norm")
def local_response_norm(node: Node) -> Kernel:
    """x / (k + alpha / size * sum of squares over `size` neighbouring channels) ** beta."""
    size = node.integer("size")
    alpha, beta, k = node.number("alpha", 1e-4), node.number("beta", 0.75), node.number("k", 1.0)
    if size < 1:
        raise ProgramError(f"its size {size} must be positive")
    return lambda x: F.local_response_norm(x, size, alpha, beta, k)


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ProgramError(f"its axis {axis} is outside a value of rank {rank}")
    return axis % rank
