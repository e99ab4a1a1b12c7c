"""Every lowering rule: valid MIL, and the numbers that PyTorch gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mobie_coreml.convert.rules  # noqa: F401  (fills the table)
from mobie_coreml.ane.operators import channel_layer_norm
from mobie_coreml.convert.builder import RULES
from mobie_coreml.convert.component import convert_component
from mobie_coreml.runtime.base import open_runner


class Function(nn.Module):
    """A function as a module, with parameters w0, w1, ... that it gets as further arguments, exact in fp16."""

    def __init__(self, function: Callable[..., Any], shapes: tuple[tuple[int, ...], ...] = ()) -> None:
        super().__init__()
        self.function = function
        generator = torch.Generator().manual_seed(7)
        for index, shape in enumerate(shapes):
            self.register_parameter(
                f"w{index}", nn.Parameter(torch.randn(shape, generator=generator).mul(64).round().div(64))
            )

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(*inputs, *self.parameters())


X = (2, 4, 6, 10)
ATEN = torch.ops.aten
S, T, V = (1, 2, 5, 8), (1, 2, 7, 8), (1, 2, 7, 8)
Case = tuple[str, Callable[..., Any], tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]
# Name, function of inputs and parameters, shapes of inputs, shapes of parameters.
CASES: list[Case] = [
    ("abs ceil floor round", lambda x: x.abs().ceil() + x.floor() + (3 * x).round(), (X,), ()),
    ("cos sin exp erf", lambda x: x.cos() * x.sin() + (x * 0.2).exp() + x.erf(), (X,), ()),
    ("relu sigmoid silu tanh", lambda x: x.relu() + x.sigmoid() * F.silu(x) - x.tanh(), (X,), ()),
    ("gelu", lambda x: F.gelu(x) + F.gelu(x, approximate="tanh"), (X,), ()),
    ("square sqrt pow", lambda x: x.square().sqrt() + x.pow(2) + (x.abs() + 1) ** 0.5 + (x.abs() + 1) ** 1.5, (X,), ()),
    ("rsqrt log", lambda x: (x.abs() + 0.5).rsqrt() + (x.abs() + 1).log() + (x.abs() + 1) ** -0.5, (X,), ()),
    ("pow of tensors", lambda x, y: (x.abs() + 0.5).pow(y), (X, X), ()),
    ("arithmetic", lambda x, y: x + 2 * y - x * y / (y.abs() + 1), (X, (4, 1, 10)), ()),
    ("alpha", lambda x, y: torch.add(x, y, alpha=3) - torch.sub(x, 1.5, alpha=2), (X, X), ()),
    ("reversed", lambda x: 1 - (-x) + (x.abs() + 1).reciprocal() + 2 / (x.abs() + 1), (X,), ()),
    ("maximum minimum", lambda x, y: torch.maximum(x, y) * torch.minimum(x, y * 0.5), (X, X), ()),
    ("clamp", lambda x: x.clamp(-0.5, 0.5) + x.clamp(min=0.1) + x.clamp(max=0.2) + F.hardtanh(x), (X,), ()),
    ("mean sum", lambda x: x.mean((2, 3), keepdim=True) + x.sum(1, keepdim=True) + x.mean(), (X,), ()),
    (
        "amax amin",
        lambda x: x.amax((1, 2), keepdim=True) - x.amin(3, keepdim=True) + x.amax(dim=-1)[..., None],
        (X,),
        (),
    ),
    ("softmax", lambda x: x.softmax(1) + x.softmax(-1), (X,), ()),
    ("where", lambda x: torch.where(x > 0.1, x, 0.5 * x) + torch.where(x.le(0), 1.0, 2.0), (X,), ()),
    ("masked fill", lambda x: x.masked_fill(x < 0, 3.0) + x.masked_fill(~(x >= 0.5), 1.0), (X,), ()),
    ("equal", lambda x: x.masked_fill(x.round() == 0, 2.0).masked_fill(x.round() != 1, 4.0), (X,), ()),
    ("reshape", lambda x: x.reshape(2, 2, 2, 60).flatten(1, 2).unflatten(1, (2, 2)).view(8, 60), (X,), ()),
    ("squeeze", lambda x: (x.mean(1, keepdim=True).squeeze(1).unsqueeze(-1) + 1).squeeze(), (X,), ()),
    ("transpose", lambda x: x.permute(0, 2, 3, 1).transpose(1, 2).movedim(1, -1).swapaxes(0, 1) * 2, (X,), ()),
    ("matrix transpose", lambda x: x.mT.contiguous() + x[0, 0].t().clone(), (X,), ()),
    ("cat stack", lambda x, y: torch.stack([torch.cat([x, y], 1), torch.cat([y, x], 1)], 2), (X, X), ()),
    ("split chunk", lambda x: x.split([1, 3], 1)[1].chunk(2, 3)[0] + x.split(2, 1)[0][:, :1, :, :5], (X,), ()),
    ("tensor split", lambda x: x.tensor_split(3, 3)[2] + x.tensor_split([3, 7], 3)[0], (X,), ()),
    ("unbind select", lambda x: x.unbind(1)[2] + x.select(1, -1) + x[:, 0], (X,), ()),
    ("slice", lambda x: x[:, 1:3, -4:, ::3] + x.narrow(1, 2, 2)[:, :, :4, 1:5], (X,), ()),
    ("expand repeat", lambda x: x[:, :1].expand(2, 3, 6, 10) + x[:1, :1].repeat(2, 3, 1, 1), (X,), ()),
    ("expand rank", lambda x: x[0, 0].expand(2, 4, 6, 10) + x.to(torch.float32), (X,), ()),
    ("conv2d", lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1), (X,), ((8, 4, 3, 3), (8,))),
    ("conv2d grouped", lambda x, w: F.conv2d(x, w, None, padding=(2, 0), dilation=2, groups=2), (X,), ((8, 2, 3, 3),)),
    ("conv1d", lambda x, w, b: F.conv1d(x, w, b, padding=1), ((1, 4, 12),), ((6, 4, 3), (6,))),
    ("linear", lambda x, w, b, v: F.linear(F.linear(x, w, b), v), (X,), ((12, 10), (12,), (14, 12))),
    ("matmul weight", lambda x, w: x @ w, (X,), ((10, 12),)),
    ("addmm", lambda x, w, b: torch.addmm(b, x, w), ((3, 10),), ((10, 12), (12,))),
    ("matmul", lambda x, y: x @ y.transpose(2, 3) + torch.bmm(x[0], y[0].mT), (X, X), ()),
    ("einsum", lambda k, q: torch.einsum("nchw,nwhu->nchu", k, q), ((1, 5, 1, 8), (1, 8, 1, 7)), ()),
    ("einsum swapped", lambda q, k: torch.einsum("bchq,bkhc->bkhq", q, k), ((1, 8, 1, 7), (1, 5, 1, 8)), ()),
    ("layer norm", lambda x, w, b: F.layer_norm(x, (10,), w, b, 1e-5), (X,), ((10,), (10,))),
    ("layer norm of two axes", lambda x, w, b: F.layer_norm(x, (6, 10), w, b), (X,), ((6, 10), (6, 10))),
    ("layer norm moved", lambda x, w, b: F.layer_norm(x.movedim(1, -1), (4,), w, b).movedim(-1, 1), (X,), ((4,), (4,))),
    ("channel layer norm", lambda x, w, b: channel_layer_norm(x, w, b, 1e-5), ((1, 16, 1, 9),), ((16,), (16,))),
    ("group norm", lambda x, w, b: F.group_norm(x, 2, w, b), (X,), ((4,), (4,))),
    ("batch norm", lambda x, m, v, w, b: F.batch_norm(x, m, v.abs() + 0.1, w, b), (X,), ((4,),) * 4),
    ("attention", lambda q, k, v: F.scaled_dot_product_attention(q, k, v), (S, T, V), ()),
    ("attention scale", lambda q, k, v: F.scaled_dot_product_attention(q, k, v, scale=0.5), (S, T, V), ()),
    ("attention causal", lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True), (S,), ()),
    (
        "attention masked",
        lambda q: F.scaled_dot_product_attention(q, q, q, attn_mask=torch.ones(5, 5).tril().bool()),
        (S,),
        (),
    ),
    ("attention biased", lambda q, w: F.scaled_dot_product_attention(q, q, q, attn_mask=w), (S,), ((5, 5),)),
    ("upsample", lambda x: F.interpolate(x, scale_factor=2.0, mode="nearest"), (X,), ()),
    ("upsample odd", lambda x: F.interpolate(x, size=(11, 30), mode="nearest"), (X,), ()),
    ("pixel shuffle", lambda x: F.pixel_shuffle(x, 2), (X,), ()),
    ("average pooling", lambda x: F.avg_pool2d(x, 2) + F.avg_pool2d(x, (2, 2), (2, 2)), (X,), ()),
    ("padding", lambda x: F.pad(x, (1, 2, 3, 0), value=0.5), (X,), ()),
    ("folded weights", lambda x, w: x * (w * 2 + 1).reshape(1, 4, 1, 1).expand(1, 4, 1, 10), (X,), ((4,),)),
    ("tables", lambda x: x * torch.exp(torch.arange(10, device=x.device) * -0.3) + torch.full((1,), 2.0), (X,), ()),
    ("select rows", lambda x: x.index_select(3, torch.tensor([1, 5])), (X,), ()),
    (
        "shapes of others",
        lambda x, y: x.view_as(y) + x.reshape_as(y) + x[:1, :1].expand_as(x).broadcast_to(X),
        (X, X),
        (),
    ),
    ("swapped axes", lambda x: ATEN.alias(x.swapdims(1, 2)), (X,), ()),
    ("not", lambda x: x.masked_fill(torch.logical_not(x > 0), 1.0) + x.masked_fill(~(x > 1), 0.0), (X,), ()),
    (
        "core convolution",
        lambda x, w: ATEN.convolution(x, w, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1),
        (X,),
        ((8, 4, 1, 1),),
    ),
    ("core clamps", lambda x: ATEN.clamp_max(ATEN.clamp_min(x, -0.5), 0.5), (X,), ()),
    ("core padding", lambda x: ATEN.constant_pad_nd(x, [1, 2, 3, 0], 0.5), (X,), ()),
    ("dropout detach", lambda x: F.dropout(x.detach().type_as(x), training=False) + 1, (X,), ()),
]


@pytest.mark.parametrize(("name", "function", "shapes", "parameters"), CASES, ids=[case[0] for case in CASES])
def test_rule(
    toy: Callable[..., Any],
    strict_check: Callable[[Path], Any],
    tmp_path: Path,
    name: str,
    function: Callable[..., Any],
    shapes: tuple[tuple[int, ...], ...],
    parameters: tuple[tuple[int, ...], ...],
) -> None:
    generator = torch.Generator().manual_seed(len(name))
    # Values with few bits, so that rounding steps and comparisons are the same in every precision.
    examples = [torch.randn(shape, generator=generator).mul(16).round().div(16) for shape in shapes]
    component = toy(Function(function, parameters), *examples, compute="fp32")
    inputs = {spec.name: tensor.numpy() for spec, tensor in zip(component.inputs, examples, strict=True)}
    expected = component.module(*examples).numpy()
    for target in ("iOS17", "iOS18") if "attention" in name else ("iOS17",):
        path = tmp_path / f"{target}.mlpackage"
        convert_component(component, path, target)
        strict_check(path)
        result = open_runner(path, "mil", "fp32").run(inputs)["out_0"]
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=2e-5)


def test_embedding_of_integers(toy: Callable[..., Any], strict_check: Callable[[Path], Any], tmp_path: Path) -> None:
    ids = torch.tensor([[3, 0, 11, 5]], dtype=torch.int32)
    component = toy(Function(lambda ids, w: F.embedding(ids, w) * 2, ((12, 6),)), ids)
    convert_component(component, tmp_path / "a.mlpackage")
    strict_check(tmp_path / "a.mlpackage")
    result = open_runner(tmp_path / "a.mlpackage").run({"in_0": ids.numpy()})["out_0"]
    np.testing.assert_allclose(result, component.module(ids).numpy(), rtol=1e-3, atol=1e-3)


def test_every_rule_is_exercised(toy: Callable[..., Any]) -> None:
    """Rules that no case above reaches are named here with the reason, so that none is forgotten."""
    elsewhere = {
        "aten.embedding.default",  # test_embedding_of_integers
        "<built-in function getitem>",  # with every split
    }
    # Overloads that older PyTorch versions, run_decompositions or other spellings give for calls tested above.
    spellings = {"aten._softmax.default", "aten._to_copy.default", "aten._unsafe_view.default", "aten.mm.default"}
    seen: set[str] = set()
    from mobie_coreml.convert.trace import trace

    for name, function, shapes, parameters in CASES:
        examples = [torch.ones(shape) for shape in shapes]
        module = Function(function, parameters).eval()
        seen |= {str(node.target) for node in trace(module, examples).nodes}
        assert name
    families = {target.rsplit(".", 1)[0] for target in seen | elsewhere | spellings}
    missing = {target for target in RULES if target.rsplit(".", 1)[0] not in families}
    assert not missing, f"no case for {sorted(missing)}"
