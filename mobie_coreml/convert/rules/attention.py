"""Matrix products and attention."""

from __future__ import annotations

import math

import numpy as np

from mobie_coreml.convert.builder import Builder, Call, Result, rule
from mobie_coreml.convert.graph import DType, Literal, Tensor, Unsupported, Value, Weight
from mobie_coreml.convert.rules.layers import linear_bias

MASKED = -4e4
"""What is added to masked scores: large enough to vanish in a softmax, small enough for fp16."""


def matmul(
    b: Builder, x: Tensor, y: Tensor, shape: tuple[int, ...], *, transpose_x: bool = False, transpose_y: bool = False
) -> Tensor:
    """A batched matrix product of `shape`."""
    return b.add("matmul", shape, x=x, y=y, transpose_x=transpose_x, transpose_y=transpose_y)


@rule("aten.matmul.default", "aten.bmm.default", "aten.mm.default")
def _matmul(b: Builder, call: Call) -> Result:
    x = b.cast(call["self"], b.floats)
    y = b.cast(call.get("other", call.get("mat2")), b.floats)
    if min(len(x.shape), len(y.shape)) < 2:
        raise Unsupported("a product with a vector")
    if isinstance(y, Weight) and len(y.shape) == 2:
        weight = b.transpose(y, (1, 0))
        return b.add("linear", call.shape, x=x, weight=weight, bias=linear_bias(b, None, call.shape[-1]))
    return matmul(b, x, y, call.shape)


@rule("aten.addmm.default")
def _addmm(b: Builder, call: Call) -> Result:
    weight, bias = call["mat2"], call["self"]
    if call["beta"] != 1 or call["alpha"] != 1 or not isinstance(weight, Weight) or len(bias.shape) != 1:
        raise Unsupported("addmm that is not a linear layer")
    x = b.cast(call["mat1"], b.floats)
    weight = b.transpose(weight.cast(b.floats), (1, 0))
    return b.add("linear", call.shape, x=x, weight=weight, bias=linear_bias(b, bias, call.shape[-1]))


@rule("aten.einsum.default")
def _einsum(b: Builder, call: Call) -> Result:
    """Products over one shared axis of two rank-4 tensors, in the one form that MIL's einsum has.

    MIL's form is nchw,nwhu->nchu: n and h are batch axes, w is summed. Either operand may be its first.
    """
    equation = call["equation"].replace(" ", "")
    operands = [b.cast(tensor, b.floats) for tensor in call["tensors"]]
    left, _, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) == 2 and all(len(term) == 4 for term in (*terms, right)):
        for first, second in ((0, 1), (1, 0)):
            n, c, h, w = terms[first]
            if terms[second][:3] == n + w + h and right == n + c + h + terms[second][3] and len({n, c, h, w}) == 4:
                values = [operands[first], operands[second]]
                return b.add("einsum", call.shape, values=values, equation="nchw,nwhu->nchu")
    raise Unsupported(f"einsum {call['equation']!r}")


@rule("aten.scaled_dot_product_attention.default")
def _attention(b: Builder, call: Call) -> Result:
    """MIL's fused operation where the target has it, otherwise two products around a softmax."""
    if call["dropout_p"] != 0 or call.get("enable_gqa", False):
        raise Unsupported("attention with dropout or grouped queries")
    query, key, value = (b.cast(call[name], b.floats) for name in ("query", "key", "value"))
    width = query.shape[-1]
    scale = 1 / math.sqrt(width) if call["scale"] is None else float(call["scale"])
    mask = _mask(b, call, query.shape[-2], key.shape[-2])
    if b.opset >= 8:
        if not math.isclose(scale, 1 / math.sqrt(width)):
            query = b.add("mul", query.shape, x=query, y=b.number(scale * math.sqrt(width), b.floats))
        return b.add("scaled_dot_product_attention", call.shape, query=query, key=key, value=value, attn_mask=mask)
    query = b.add("mul", query.shape, x=query, y=b.number(scale, b.floats))
    score_shape = (*call.shape[:-1], key.shape[-2])
    scores = matmul(b, query, key, score_shape, transpose_y=True)
    if mask is not None:
        scores = b.add("add", score_shape, x=scores, y=mask)
    weights = b.add("softmax", score_shape, x=scores, axis=-1)
    return matmul(b, weights, value, call.shape)


def _mask(b: Builder, call: Call, queries: int, keys: int) -> Tensor | None:
    """The additive mask (queries, keys) or broadcastable to it, or None."""
    if call["is_causal"]:
        return Weight(
            ("causal mask", queries, keys),
            f"causal_mask_{queries}_{keys}",
            (queries, keys),
            b.floats,
            lambda _: np.triu(np.full((queries, keys), MASKED, np.float32), 1),
        )
    mask = call["attn_mask"]
    if mask is None:
        return None
    if not isinstance(mask, Value) and mask.dtype is DType.BOOL:
        if isinstance(mask, Weight):
            return Weight(
                ("additive mask", mask.key),
                mask.name,
                mask.shape,
                b.floats,
                lambda load: np.where(mask.make(load), np.float32(0), np.float32(MASKED)),
            )
        return Literal.from_array(np.where(mask.array(), 0.0, MASKED), b.floats)
    if mask.dtype is DType.BOOL:
        raise Unsupported("attention with a Boolean mask that is computed at run time")
    return b.cast(mask, b.floats)
