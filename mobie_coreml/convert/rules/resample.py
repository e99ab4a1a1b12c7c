"""Changes of resolution: nearest-neighbour upsampling, pixel shuffles, pooling, padding."""

from __future__ import annotations

import numpy as np

from mobie_coreml.convert.builder import Builder, Call, Result, rule
from mobie_coreml.convert.graph import DType, Literal, Tensor, Unsupported
from mobie_coreml.convert.rules.layout import slice_axis


@rule("aten.upsample_nearest2d.vec", "aten.upsample_nearest2d.default")
def _upsample_nearest(b: Builder, call: Call) -> Result:
    """Whole factors, and sizes a few rows short of one (odd skip connections): the surplus is cut off.

    PyTorch reads row floor(i * in / out); upsampling by the whole factor reads row floor(i / factor). Where those agree
    for every output row, upsampling and cutting is the same.
    """
    x: Tensor = b.cast(call.get("input", call.get("self")), b.floats)
    factors: list[int] = []
    for size, wanted in zip(x.shape[-2:], call.shape[-2:], strict=True):
        factor = -(-wanted // size)
        rows = np.arange(wanted)
        if not np.array_equal(rows * size // wanted, rows // factor):
            raise Unsupported(f"nearest-neighbour upsampling from {size} to {wanted}")
        factors.append(factor)
    shape = (*x.shape[:-2], x.shape[-2] * factors[0], x.shape[-1] * factors[1])
    result: Tensor = b.add(
        "upsample_nearest_neighbor",
        shape,
        x=x,
        scale_factor_height=Literal(DType.FP32, float(factors[0])),
        scale_factor_width=Literal(DType.FP32, float(factors[1])),
    )
    for axis in (-2, -1):
        result = slice_axis(b, result, axis % len(shape), 0, call.shape[axis])
    return result


@rule("aten.pixel_shuffle.default")
def _pixel_shuffle(b: Builder, call: Call) -> Result:
    return b.add("pixel_shuffle", call.shape, x=call["self"], upscale_factor=int(call["upscale_factor"]))


@rule("aten.avg_pool2d.default")
def _avg_pool(b: Builder, call: Call) -> Result:
    if call["divisor_override"] is not None or call["ceil_mode"] or any(call["padding"]):
        raise Unsupported("average pooling with padding, ceil mode or an own divisor")
    kernel = list(call["kernel_size"])
    return b.add(
        "avg_pool",
        call.shape,
        x=call["self"],
        kernel_sizes=kernel,
        strides=list(call["stride"]) or kernel,
        pad_type="valid",
        pad=[0] * (2 * len(kernel)),
        exclude_padding_from_average=False,
        ceil_mode=False,
    )


@rule("aten.constant_pad_nd.default", "aten.pad.default")
def _pad(b: Builder, call: Call) -> Result:
    if call.get("mode", "constant") != "constant":
        raise Unsupported(f"padding by {call['mode']!r}")
    x: Tensor = b.cast(call["self"], b.floats)
    amounts = list(call["pad"])
    # PyTorch lists (before, after) from the last axis on; MIL from the first.
    sides = [0] * (2 * len(x.shape) - len(amounts))
    for axis in range(len(amounts) // 2 - 1, -1, -1):
        sides += amounts[2 * axis : 2 * axis + 2]
    value = b.number(call.get("value") or 0.0, b.floats)
    return b.add("pad", call.shape, x=x, pad=sides, mode="constant", constant_val=value)
