"""Random values, from torch's generator: the same seed gives the same values here, but not those of a device.

Every run draws the same values. A negative seed stands for the operation's place in the program.
"""

from __future__ import annotations

import torch

from mobie_coreml.runtime.mil.limits import check_elements
from mobie_coreml.runtime.mil.node import Node
from mobie_coreml.runtime.mil.registry import Kernel, operation

Tensor = torch.Tensor


def _generator(node: Node) -> torch.Generator:
    seed = node.integer("seed", -1)
    return torch.Generator().manual_seed(seed if seed >= 0 else node.index)


@operation("random_normal", "random_uniform", "random_bernoulli", takes="shape")
def random_shape(node: Node) -> Kernel:
    read = node.integer_reader("shape")
    if node.type == "random_normal":
        scale, shift = node.number("stddev", 1.0), node.number("mean", 0.0)
    elif node.type == "random_uniform":
        shift = node.number("low", 0.0)
        scale = node.number("high", 1.0) - shift
    else:
        scale, shift = node.number("prob", 0.5), 0.0

    def run(shape: Tensor) -> Tensor:
        sizes = read(shape)
        check_elements(sizes)
        generator = _generator(node)
        if node.type == "random_normal":
            return torch.randn(sizes, generator=generator) * scale + shift
        values = torch.rand(sizes, generator=generator)
        return (values < scale).float() if node.type == "random_bernoulli" else values * scale + shift

    return run


@operation("random_categorical")
def random_categorical(node: Node) -> Kernel:
    """`size` draws with replacement from the distributions along the last axis."""
    mode = node.text("mode", "logits", ("logits", "probs"))
    size = node.integer("size", 1)

    def run(x: Tensor) -> Tensor:
        check_elements((*x.shape[:-1], size))
        weights = torch.softmax(x, -1) if mode == "logits" else x
        drawn = torch.multinomial(weights.reshape(-1, x.shape[-1]), size, True, generator=_generator(node))
        return drawn.reshape(*x.shape[:-1], size).float()

    return run
