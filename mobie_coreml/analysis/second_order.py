"""What each tensor's compression does to its component's output, from few passes: a second-order estimate.

For small changes dW of a tensor the output changes by J dW, and the expected squared error is E ||J dW||^2 over the
cases. With v a random vector of independent +1 and -1 (Hutchinson's probe), g = J^T v is one backward pass, and
(g . dW)^2 has the expectation ||J dW||^2. So one backward pass serves all tensors and all widths of their palettes at
once, and no structure of J is assumed: errors of neighbouring weights may add up or cancel as they do in the network,
which a diagonal estimate, sum of g_i^2 dW_i^2, ignores for the sake of less variance.

A palette's dW depends on a weight's fp16 bit pattern alone, so that g . dW for all widths needs only the sums of g over
the weights of each bit pattern: 65,536 numbers, whatever the tensor's size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch

from mobie_coreml.analysis.calibration import Told
from mobie_coreml.analysis.cases import Cases
from mobie_coreml.analysis.tensors import Palettes, half, sums_by_pattern
from palettization.histogram import bit_patterns


def estimate(cases: Cases, tensors: Sequence[Palettes], probes: int, seed: int, told: Told) -> list[dict[int, float]]:
    """Estimates every tensor's contribution to the output error at every width.

    Costs one forward pass a case and one backward pass a case and probe. Gradients of tensors are used and freed one
    by one as the backward pass reaches them. The relative standard deviation is about sqrt(2 / (cases * probes)).

    Args:
        cases: The component and its inputs.
        tensors: Of the component.
        probes: Random vectors a case.
        seed: Of the probes; the same seed gives the same estimates.
        told: Told about progress.

    Returns:
        By bits, for each tensor, the mean over cases of squared error over squared peak (see `Case`).
    """
    squares: list[dict[int, list[float]]] = [{bits: [] for bits in tensor.by_bits} for tensor in tensors]
    generator = torch.Generator().manual_seed(seed)
    module = cases.component.module
    held = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    with ExitStack() as stack:
        for tensor, found in zip(tensors, squares, strict=True):
            if any(palette.squared_error for palette in tensor.by_bits.values()):
                weight = held[tensor.parameter].requires_grad_(True)
                stack.callback(weight.requires_grad_, False)
                register: Any = weight.register_post_accumulate_grad_hook
                stack.callback(register(_projector(tensor, found)).remove)
        for number, case in enumerate(cases.cases):
            outputs = cases.scaled_outputs(case)
            for probe in range(probes):
                told(f"{cases.component.name}: frame {number + 1} of {len(cases.cases)}, probe {probe + 1} of {probes}")
                signs = [torch.randint(0, 2, output.shape, generator=generator) * 2.0 - 1.0 for output in outputs]
                torch.autograd.backward(outputs, signs, retain_graph=probe + 1 < probes)
                cases.backwards += 1
    passes = len(cases.cases) * probes
    return [{bits: math.fsum(values) / passes for bits, values in found.items()} for found in squares]


def _projector(tensor: Palettes, squares: dict[int, list[float]]) -> Callable[[torch.Tensor], None]:
    """Takes a finished gradient, keeps its squared projections on the changes of all widths, and frees it."""

    def project(weight: torch.Tensor) -> None:
        gradient, weight.grad = weight.grad, None
        assert gradient is not None
        patterns = bit_patterns(half(weight.detach().numpy()))
        sums = sums_by_pattern(patterns, gradient.numpy().reshape(-1))
        for bits, projection in tensor.projections(sums).items():
            squares[bits].append(projection**2)

    return project
