"""Pooling."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F

from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.limits import check_elements
from mobie_coreml.runtime.mil.node import Node
from mobie_coreml.runtime.mil.ops_conv import PAD_TYPES, custom_padding, spatial_padding, window
from mobie_coreml.runtime.mil.registry import Kernel, operation

Tensor = torch.Tensor

_MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_MEAN = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}

# Takes x padded explicitly, the kernel, the strides and a mask of what counts; gives the pooled value.
Pool = Callable[[Tensor, list[int], list[int], list[int]], Tensor]


class _Windows:
    """Where a pooling's windows lie: padding per axis and the extension that ceil mode adds behind it."""

    def __init__(self, node: Node) -> None:
        self.kernel = node.integer_list("kernel_sizes")
        rank = len(self.kernel)
        if rank not in _MAX or any(size < 1 for size in self.kernel):
            raise ProgramError(f"its kernel {list(self.kernel)} must be one to three positive sizes")
        self.rank = rank
        self.strides = window(node, "strides", rank)
        self.pad_type = node.text("pad_type", "valid", PAD_TYPES)
        self.pad = custom_padding(node, self.pad_type, rank)
        self.ceil = node.flag("ceil_mode", False)

    def padding(self, x: Tensor) -> tuple[list[int], list[int]]:
        """F.pad arguments: the declared padding, and what ceil mode adds after it (negative where a rest is cut)."""
        if x.dim() != self.rank + 2:
            raise ProgramError(f"its kernel has {self.rank} sizes but x has rank {x.dim()}")
        around = spatial_padding(self.pad_type, self.pad, x.shape[2:], self.kernel, self.strides)
        declared: list[int] = []
        extra: list[int] = []
        for axis in reversed(range(self.rank)):
            before, after = around[axis]
            length, kernel, stride = x.shape[2 + axis] + before + after, self.kernel[axis], self.strides[axis]
            if self.ceil:
                count = math.ceil((length - kernel) / stride) + 1
                if (count - 1) * stride >= x.shape[2 + axis] + before and before + after > 0:
                    count -= 1
            else:
                count = (length - kernel) // stride + 1
            if count < 1:
                raise ProgramError(f"its kernel {list(self.kernel)} is larger than x of shape {list(x.shape)}")
            declared += [before, after]
            extra += [0, max(0, (count - 1) * stride + kernel - length)]
        check_elements((*x.shape[:2], *(x.shape[2 + i] + sum(around[i]) for i in range(self.rank))))
        return declared, extra


@operation("max_pool", moves=True)
def max_pool(node: Node) -> Kernel:
    windows = _Windows(node)
    function = _MAX[windows.rank]

    def run(x: Tensor) -> Tensor:
        declared, extra = windows.padding(x)
        padding = [a + b for a, b in zip(declared, extra, strict=True)]
        if any(padding):
            x = F.pad(x, padding, value=-math.inf)
        result: Tensor = function(x, windows.kernel, windows.strides)
        return result

    return run


@operation("avg_pool")
def avg_pool(node: Node) -> Kernel:
    """Mean over each window; padding counts as zeros, or not at all with `exclude_padding_from_average`."""
    windows = _Windows(node)
    function = _MEAN[windows.rank]
    exclude = node.flag("exclude_padding_from_average", False)

    def run(x: Tensor) -> Tensor:
        declared, extra = windows.padding(x)
        if not any(declared) and not any(extra):
            plain: Tensor = function(x, windows.kernel, windows.strides)
            return plain
        counted = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype)
        counted = F.pad(F.pad(counted, declared, value=0.0 if exclude else 1.0), extra)
        total = F.pad(F.pad(x, declared), extra)
        mean: Tensor = function(total, windows.kernel, windows.strides)
        share: Tensor = function(counted, windows.kernel, windows.strides)
        return mean / share

    return run


@operation("l2_pool")
def l2_pool(node: Node) -> Kernel:
    """Square root of the sum of squares over each window."""
    windows = _Windows(node)
    function = _MEAN[windows.rank]
    volume = math.prod(windows.kernel)

    def run(x: Tensor) -> Tensor:
        declared, extra = windows.padding(x)
        squares = F.pad(F.pad(x.square(), declared), extra)
        mean: Tensor = function(squares, windows.kernel, windows.strides)
        return torch.sqrt(mean * volume)

    return run
