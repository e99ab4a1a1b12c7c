"""Moves between the channel or batch axis and the spatial axes."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.limits import check_elements
from mobie_coreml.runtime.mil.node import Node
from mobie_coreml.runtime.mil.registry import Kernel, operation

Tensor = torch.Tensor


def _block(node: Node, name: str) -> int:
    block = node.integer(name)
    if block < 1:
        raise ProgramError(f"its {name} {block} must be positive")
    return block


@operation("depth_to_space", moves=True)
def depth_to_space(node: Node) -> Kernel:
    """(N, C, H, W) -> (N, C / b^2, b H, b W); channels are ordered (row in block, column in block, channel)."""
    block = _block(node, "block_size")

    def run(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        blocks = x.reshape(n, block, block, c // block**2, h, w)
        return blocks.permute(0, 3, 4, 1, 5, 2).reshape(n, c // block**2, h * block, w * block)

    return run


@operation("space_to_depth", moves=True)
def space_to_depth(node: Node) -> Kernel:
    """The inverse of depth_to_space."""
    block = _block(node, "block_size")

    def run(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        blocks = x.reshape(n, c, h // block, block, w // block, block)
        return blocks.permute(0, 3, 5, 1, 2, 4).reshape(n, c * block**2, h // block, w // block)

    return run


@operation("pixel_shuffle", moves=True)
def pixel_shuffle(node: Node) -> Kernel:
    """As depth_to_space, with channels ordered (channel, row in block, column in block)."""
    factor = _block(node, "upscale_factor")
    return lambda x: F.pixel_shuffle(x, factor)


@operation("pixel_unshuffle", moves=True)
def pixel_unshuffle(node: Node) -> Kernel:
    factor = _block(node, "downscale_factor")
    return lambda x: F.pixel_unshuffle(x, factor)


def _two_by_two(node: Node, name: str) -> tuple[int, int, int, int]:
    values = node.integer_list(name)
    if len(values) != 4 or any(value < 0 for value in values):
        raise ProgramError(f"its {name} must be a 2 x 2 matrix of numbers from 0 up")
    return (values[0], values[1], values[2], values[3])


@operation("space_to_batch", moves=True)
def space_to_batch(node: Node) -> Kernel:
    """(N, C, H, W), padded, -> (N bh bw, C, H / bh, W / bw); the batch is ordered (row, column, n)."""
    high, wide = node.integer_list("block_shape")
    top, bottom, left, right = _two_by_two(node, "paddings")

    def run(x: Tensor) -> Tensor:
        check_elements((*x.shape[:2], x.shape[2] + top + bottom, x.shape[3] + left + right))
        x = F.pad(x, [left, right, top, bottom])
        n, c, h, w = x.shape
        blocks = x.reshape(n, c, h // high, high, w // wide, wide)
        return blocks.permute(3, 5, 0, 1, 2, 4).reshape(n * high * wide, c, h // high, w // wide)

    return run


@operation("batch_to_space", moves=True)
def batch_to_space(node: Node) -> Kernel:
    """The inverse of space_to_batch, cropped by `crops`."""
    high, wide = node.integer_list("block_shape")
    top, bottom, left, right = _two_by_two(node, "crops")

    def run(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        blocks = x.reshape(high, wide, n // (high * wide), c, h, w)
        full = blocks.permute(2, 3, 4, 0, 5, 1).reshape(n // (high * wide), c, h * high, w * wide)
        return full[:, :, top : h * high - bottom, left : w * wide - right]

    return run
