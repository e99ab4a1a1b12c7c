"""Matrix products."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.limits import SURELY_SMALL, check_elements
from mobie_coreml.runtime.mil.node import Node
from mobie_coreml.runtime.mil.registry import Kernel, operation

Tensor = torch.Tensor


@operation("linear", takes="x weight bias?", fresh=True)
def linear(node: Node) -> Kernel:
    """x @ weight.T + bias, weight (D_out, D_in)."""

    def run(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        check_elements((*x.shape[:-1], weight.shape[0]))
        return F.linear(x, weight, bias)

    return run


@operation("matmul", takes="x y", fresh=True)
def matmul(node: Node) -> Kernel:
    """Batched matrix product with broadcasting; a transpose concerns the last two axes."""
    transpose_x, transpose_y = node.flag("transpose_x", False), node.flag("transpose_y", False)

    def run(x: Tensor, y: Tensor) -> Tensor:
        if transpose_x and x.dim() > 1:
            x = x.transpose(-1, -2)
        if transpose_y and y.dim() > 1:
            y = y.transpose(-1, -2)
        if x.dim() > 1 and y.dim() > 1 and x.numel() * y.numel() > SURELY_SMALL:
            # Leading axes broadcast to the larger size; where they don't, torch says so.
            rank = max(x.dim(), y.dim())
            leading = (max(v.shape[axis] if -axis <= v.dim() else 1 for v in (x, y)) for axis in range(-rank, -2))
            check_elements((*leading, x.shape[-2], y.shape[-1]))
        return torch.matmul(x, y)

    return run


def _attention_product(terms: list[str], result: str) -> bool:
    """Whether an equation is nchw,nwhu->nchu in some letters: the one that attention in (B, C, 1, S) layout needs."""
    if len(terms) != 2 or len(terms[0]) != 4 or not terms[1] or len(set(terms[0] + terms[1])) != 5:
        return False
    left, last = terms[0], terms[1][-1]
    return terms[1] == left[0] + left[3] + left[2] + last and result == left[:3] + last


@operation("einsum", takes="values*", fresh=True)
def einsum(node: Node) -> Kernel:
    """Sums products over the labels that the result leaves out."""
    equation = node.text("equation").replace(" ", "")
    terms, arrow, result = equation.partition("->")
    if not arrow:
        raise ProgramError(f"its equation {equation!r} has no '->'")
    labels = terms.split(",")
    product = _attention_product(labels, result)

    def run(*values: Tensor) -> Tensor:
        if len(values) != len(labels):
            raise ProgramError(f"its equation {equation!r} needs {len(labels)} values, not {len(values)}")
        if math.prod(value.numel() for value in values) > SURELY_SMALL:
            _check_einsum(labels, result, values)
        if product:
            return torch.matmul(values[0].transpose(1, 2), values[1].transpose(1, 2)).transpose(1, 2)
        return torch.einsum(equation, *values)

    return run


def _check_einsum(labels: list[str], result: str, values: tuple[Tensor, ...]) -> None:
    sizes = {
        label: size
        for term, value in zip(labels, values, strict=True)
        for label, size in zip(term, value.shape, strict=True)
    }
    check_elements(sizes[label] for label in result)
