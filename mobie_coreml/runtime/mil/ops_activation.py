"""Activations."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from mobie_coreml.runtime.mil.node import Node
from mobie_coreml.runtime.mil.registry import Kernel, operation

Tensor = torch.Tensor


@operation("relu")
def relu(node: Node) -> Kernel:
    return F.relu


@operation("relu6")
def relu6(node: Node) -> Kernel:
    return F.relu6


@operation("sigmoid")
def sigmoid(node: Node) -> Kernel:
    return torch.sigmoid


@operation("silu")
def silu(node: Node) -> Kernel:
    return F.silu


@operation("softplus")
def softplus(node: Node) -> Kernel:
    return lambda x: torch.logaddexp(x, torch.zeros((), dtype=x.dtype))


@operation("softsign")
def softsign(node: Node) -> Kernel:
    return F.softsign


@operation("gelu")
def gelu(node: Node) -> Kernel:
    """x * Phi(x) exactly, by its tanh approximation, or x * sigmoid(1.702 x)."""
    mode = node.text("mode", "EXACT", ("EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"))
    if mode == "SIGMOID_APPROXIMATION":
        return lambda x: x * torch.sigmoid(1.702 * x)
    approximate = "none" if mode == "EXACT" else "tanh"
    return lambda x: F.gelu(x, approximate=approximate)


@operation("softmax")
def softmax(node: Node) -> Kernel:
    axis = node.axis(default=-1)
    return lambda x: torch.softmax(x, axis)


@operation("elu")
def elu(node: Node) -> Kernel:
    alpha = node.number("alpha", 1.0)
    return lambda x: torch.where(x > 0, x, alpha * torch.expm1(x))


@operation("leaky_relu")
def leaky_relu(node: Node) -> Kernel:
    alpha = node.number("alpha", 0.01)
    return lambda x: F.leaky_relu(x, alpha)


@operation("prelu", takes="x alpha")
def prelu(node: Node) -> Kernel:
    """One slope a channel (axis 1)."""
    return lambda x, alpha: torch.where(x > 0, x, x * _per_channel(alpha, x))


@operation("linear_activation")
def linear_activation(node: Node) -> Kernel:
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 0.0)
    return lambda x: alpha * x + beta


@operation("clamped_relu")
def clamped_relu(node: Node) -> Kernel:
    """min(beta, x) for x >= 0, min(beta, alpha * x) below."""
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    return lambda x: torch.where(x >= 0, x, alpha * x).clamp(max=beta)


@operation("scaled_tanh")
def scaled_tanh(node: Node) -> Kernel:
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    return lambda x: alpha * torch.tanh(beta * x)


@operation("sigmoid_hard")
def sigmoid_hard(node: Node) -> Kernel:
    alpha, beta = node.number("alpha", 0.2), node.number("beta", 0.5)
    return lambda x: (alpha * x + beta).clamp(0.0, 1.0)


@operation("softplus_parametric", takes="x alpha beta")
def softplus_parametric(node: Node) -> Kernel:
    """alpha * log(1 + exp(beta * x)), one alpha and beta a channel (axis 1)."""

    def run(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        scaled = _per_channel(beta, x) * x
        return _per_channel(alpha, x) * torch.logaddexp(scaled, torch.zeros((), dtype=x.dtype))

    return run


@operation("thresholded_relu")
def thresholded_relu(node: Node) -> Kernel:
    alpha = node.number("alpha", 1.0)
    return lambda x: torch.where(x >= alpha, x, torch.zeros((), dtype=x.dtype))


def _per_channel(parameter: Tensor, x: Tensor) -> Tensor:
    return parameter.reshape(1, -1, *([1] * (x.dim() - 2)))
