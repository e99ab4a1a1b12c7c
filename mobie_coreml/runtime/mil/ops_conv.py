"""Convolution and its transpose in one, two and three dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.limits import check_elements
from mobie_coreml.runtime.mil.node import Node
from mobie_coreml.runtime.mil.registry import Kernel, operation

Tensor = torch.Tensor

# Up to so many output positions a product with the unfolded input beats the library's convolution, which first copies
# the whole weight into its own layout: measured on weights of 1280 x 1280 x 3 x 3, 0.6x the time at 48 positions, 0.9x
# at 192, 1.3x at 768.
_PRODUCT_POSITIONS = 256
_PRODUCT_WEIGHTS = 1 << 20

PAD_TYPES = ("valid", "same", "same_lower", "custom")
_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def spatial_padding(
    pad_type: str,
    custom: Sequence[int],
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
) -> list[tuple[int, int]]:
    """(before, after) per spatial axis; `kernel` is the dilated kernel.

    "same" makes the output ceil(size / stride) long and puts an odd element after ("same_lower": before) the values.
    """
    if pad_type == "valid":
        return [(0, 0)] * len(sizes)
    if pad_type == "custom":
        return [(custom[2 * axis], custom[2 * axis + 1]) for axis in range(len(sizes))]
    padding = []
    for size, length, stride in zip(sizes, kernel, strides, strict=True):
        total = max(0, stride * math.ceil(size / stride) - size + length - stride)
        small, large = total // 2, total - total // 2
        padding.append((small, large) if pad_type == "same" else (large, small))
    return padding


def _positive(node: Node, name: str, values: tuple[int, ...], count: int) -> tuple[int, ...]:
    if len(values) != count or any(value < 1 for value in values):
        raise ProgramError(f"its input {name!r} must be {count} positive integers, not {list(values)}")
    return values


def window(node: Node, name: str, count: int) -> tuple[int, ...]:
    """Strides or dilations: `count` positive integers, 1 by default."""
    return _positive(node, name, node.integer_list(name, [1] * count), count)


def custom_padding(node: Node, pad_type: str, count: int) -> tuple[int, ...]:
    """The `pad` input of "custom" padding: 2 * `count` numbers that aren't negative."""
    if pad_type != "custom":
        return ()
    pad = node.integer_list("pad")
    if len(pad) != 2 * count or any(size < 0 for size in pad):
        raise ProgramError(f"its input 'pad' must be {2 * count} numbers from 0 up, not {list(pad)}")
    return pad


def _spatial_rank(node: Node) -> int:
    shape = node.input_type("weight").shape
    if shape is None or len(shape) - 2 not in _CONV:
        raise ProgramError("its weight must have rank 3, 4 or 5")
    return len(shape) - 2


@operation("conv", takes="x weight bias?", fresh=True)
def conv(node: Node) -> Kernel:
    """Cross-correlation of x (N, C, *D) with weight (C_out, C / groups, *K)."""
    rank = _spatial_rank(node)
    function = _CONV[rank]
    strides, dilations = window(node, "strides", rank), window(node, "dilations", rank)
    groups = node.integer("groups", 1)
    pad_type = node.text("pad_type", "valid", PAD_TYPES)
    pad = custom_padding(node, pad_type, rank)

    def run(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        kernel = [(size - 1) * step + 1 for size, step in zip(weight.shape[2:], dilations, strict=True)]
        padding = spatial_padding(pad_type, pad, x.shape[2:], kernel, strides)
        sizes = [
            (size + sum(around) - length) // stride + 1
            for size, around, length, stride in zip(x.shape[2:], padding, kernel, strides, strict=True)
        ]
        check_elements((x.shape[0], weight.shape[0], *sizes))
        if all(before == after for before, after in padding):
            symmetric = [before for before, _ in padding]
        else:
            x = F.pad(x, [size for around in reversed(padding) for size in around])
            symmetric = [0] * rank
        if (
            rank == 2
            and groups == 1
            and x.shape[0] == 1
            and sizes[0] * sizes[1] <= _PRODUCT_POSITIONS
            and weight.numel() >= _PRODUCT_WEIGHTS
        ):
            return _as_product(x, weight, bias, strides, symmetric, dilations, sizes)
        result: Tensor = function(x, weight, bias, strides, symmetric, dilations, groups)
        return result

    return run


def _as_product(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    strides: Sequence[int],
    padding: Sequence[int],
    dilations: Sequence[int],
    sizes: Sequence[int],
) -> Tensor:
    """A convolution of one image as one matrix product: weight (C_out, C_in K) times columns (C_in K, positions)."""
    if tuple(weight.shape[2:]) == tuple(strides) == (1, 1) and not any(padding):
        columns = x.reshape(weight.shape[1], -1)
    else:
        columns = F.unfold(x, tuple(weight.shape[2:]), tuple(dilations), tuple(padding), tuple(strides))[0]
    rows = weight.reshape(weight.shape[0], -1)
    product = torch.mm(rows, columns) if bias is None else torch.addmm(bias.unsqueeze(1), rows, columns)
    return product.reshape(1, weight.shape[0], *sizes)


@operation("conv_transpose", takes="x weight bias?", fresh=True)
def conv_transpose(node: Node) -> Kernel:
    """The transpose of `conv`; weight is (C_in, C_out / groups, *K).

    The full result, (D - 1) * stride + dilated kernel long, is cropped by the padding, or extended with the bias where
    the asked-for output is longer.
    """
    rank = _spatial_rank(node)
    function = _CONV_TRANSPOSE[rank]
    strides, dilations = window(node, "strides", rank), window(node, "dilations", rank)
    groups = node.integer("groups", 1)
    pad_type = node.text("pad_type", "valid", PAD_TYPES)
    pad = custom_padding(node, pad_type, rank)
    wanted = node.integer_list("output_shape")[2:] if node.has("output_shape") else None

    def crop(sizes: Sequence[int], full: Sequence[int]) -> list[tuple[int, int]]:
        """(first, length) of the result per axis."""
        windows = []
        for axis, (size, length) in enumerate(zip(sizes, full, strict=True)):
            if pad_type in ("same", "same_lower"):
                target = wanted[axis] if wanted is not None else size * strides[axis]
                total = max(0, length - target)
                before = total // 2 if pad_type == "same" else total - total // 2
            else:
                before, after = (pad[2 * axis], pad[2 * axis + 1]) if pad else (0, 0)
                target = wanted[axis] if wanted is not None else length - before - after
            windows.append((before, target))
        return windows

    def run(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        full = [
            (size - 1) * stride + (length - 1) * step + 1
            for size, stride, length, step in zip(x.shape[2:], strides, weight.shape[2:], dilations, strict=True)
        ]
        channels = weight.shape[1] * groups
        windows = crop(x.shape[2:], full)
        check_elements((x.shape[0], channels, *full))
        check_elements((x.shape[0], channels, *(length for _, length in windows)))
        result: Tensor = function(x, weight, None, strides, 0, 0, groups, dilations)
        padding: list[int] = []
        for (first, length), size in zip(reversed(windows), reversed(full), strict=True):
            padding += [-first, first + length - size]
        if any(padding):
            result = F.pad(result, padding)
        if bias is not None:
            result = result + bias.reshape(-1, *([1] * rank))
        return result.contiguous()

    return run
