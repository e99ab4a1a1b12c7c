"""Rewrites: each does what it says, keeps names and outputs, and changes no number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mobie_coreml.convert.component import component_graph, convert_component
from mobie_coreml.convert.graph import DType, Graph, Literal, Names, Operation, Value, Weight
from mobie_coreml.convert.passes import PASSES, simplify
from mobie_coreml.convert.passes.cleanup import drop_dead, merge_casts, merge_equal
from mobie_coreml.convert.passes.layout import merge_reshapes, merge_transposes
from mobie_coreml.convert.passes.scalars import merge_scalars
from mobie_coreml.runtime.base import open_runner

SHAPE = (2, 3, 4)


def value(name: str, shape: tuple[int, ...] = SHAPE, dtype: DType = DType.FP16) -> Value:
    return Value(name, shape, dtype)


def operation(kind: str, output: Value, **inputs: Any) -> Operation:
    return Operation(kind, inputs, (output,))


def kinds(graph: Graph) -> Counter[str]:
    return Counter(item.type for item in graph.operations)


def test_dead_operations_go_and_live_ones_stay() -> None:
    x, used, dead = value("x"), value("used"), value("dead")
    graph = Graph([x], [operation("relu", used, x=x), operation("abs", dead, x=used)], [used])
    assert drop_dead(graph)
    assert [item.type for item in graph.operations] == ["relu"]
    assert not drop_dead(graph)


def test_equal_operations_are_computed_once() -> None:
    x, a, b, c = value("x"), value("a"), value("b"), value("c")
    steps = [operation("relu", a, x=x), operation("relu", b, x=x), operation("add", c, x=a, y=b)]
    graph = Graph([x], steps, [c])
    assert merge_equal(graph)
    assert kinds(graph) == {"relu": 1, "add": 1}
    assert list(graph.operations[-1].values()) == [a, a]


def test_operations_that_differ_in_a_literal_are_not_equal() -> None:
    x, a, b, c = value("x"), value("a"), value("b"), value("c")
    steps = [
        operation("softmax", a, x=x, axis=Literal.of(1)),
        operation("softmax", b, x=x, axis=Literal.of(2)),
        operation("add", c, x=a, y=b),
    ]
    graph = Graph([x], steps, [c])
    assert not merge_equal(graph)


def test_two_outputs_stay_two_values() -> None:
    x, a, b = value("x"), value("a"), value("b")
    graph = Graph([x], [operation("relu", a, x=x), operation("relu", b, x=x)], [a, b])
    merge_equal(graph)
    assert [output.name for output in graph.outputs] == ["a", "b"]
    assert len(graph.operations) == 2


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (DType.FP32, DType.FP16, []),  # fp16 -> fp32 -> fp16 loses nothing
        (DType.INT32, DType.FP16, ["cast", "cast"]),  # truncates
    ],
)
def test_casts_merge_only_where_nothing_is_lost(first: DType, second: DType, expected: list[str]) -> None:
    x, a, b, out = value("x"), value("a", dtype=first), value("b", dtype=second), value("out")
    steps = [operation("cast", a, x=x), operation("cast", b, x=a), operation("relu", out, x=b)]
    graph = Graph([x], steps, [out])
    merge_casts(graph)
    drop_dead(graph)
    assert [item.type for item in graph.operations] == [*expected, "relu"]


def test_narrowing_and_widening_again_is_kept() -> None:
    x, a, b = value("x", dtype=DType.FP32), value("a"), value("b", dtype=DType.FP32)
    graph = Graph([x], [operation("cast", a, x=x), operation("cast", b, x=a)], [b])
    assert not merge_casts(graph)


@given(st.permutations(range(4)), st.permutations(range(4)))
@settings(max_examples=25, deadline=None)
def test_transposes_merge_into_what_they_do_together(first: list[int], second: list[int]) -> None:
    array = np.arange(120).reshape(2, 3, 4, 5)
    moved = array.transpose(first)
    twice = moved.transpose(second)
    x, a, b = value("x", array.shape), value("a", moved.shape), value("b", twice.shape)
    end = value("end", twice.shape)
    steps = [
        operation("transpose", a, x=x, perm=Literal.of(first)),
        operation("transpose", b, x=a, perm=Literal.of(second)),
        operation("relu", end, x=b),
    ]
    graph = Graph([x], steps, [end])
    merge_transposes(graph)
    drop_dead(graph)
    result = array
    for item in graph.operations[:-1]:
        perm = item.inputs["perm"]
        assert isinstance(perm, Literal)
        result = result.transpose([int(axis) for axis in perm.array()])
    assert np.array_equal(result, twice)
    assert len(graph.operations) <= 2


def test_reshapes_merge_and_vanish() -> None:
    x, a, b, end = value("x"), value("a", (6, 4)), value("b", SHAPE), value("end")
    steps = [
        operation("reshape", a, x=x, shape=Literal.of([6, 4])),
        operation("reshape", b, x=a, shape=Literal.of(list(SHAPE))),
        operation("relu", end, x=b),
    ]
    graph = Graph([x], steps, [end])
    merge_reshapes(graph)
    drop_dead(graph)
    assert [item.type for item in graph.operations] == ["relu"]
    assert list(graph.operations[0].values()) == [x]


def test_products_with_numbers_merge_unless_the_product_leaves_the_type() -> None:
    def chain(first: float, second: float) -> Graph:
        x, a, b = value("x"), value("a"), value("b")
        steps = [
            operation("mul", a, x=x, y=Literal.of(first, DType.FP16)),
            operation("mul", b, x=a, y=Literal.of(second, DType.FP16)),
        ]
        return Graph([x], steps, [b])

    graph = chain(2.0, 3.0)
    assert merge_scalars(graph)
    assert graph.operations[-1].inputs["y"] == Literal.of(6.0, DType.FP16)
    assert not merge_scalars(chain(6e4, 6e4))  # infinite in fp16
    assert not merge_scalars(chain(1e-6, 1e-6))  # zero in fp16


class Scaled(nn.Module):
    """A layer whose result the outermost module scales and shifts, as a Decoder does."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.layer(x) * 0.5 + 0.25) / 0.125 - 1.0


@pytest.mark.parametrize("layer", [nn.Conv2d(4, 6, 3), nn.Conv2d(4, 6, 1, bias=False), nn.Linear(8, 6)])
def test_numbers_go_into_weights(toy: Callable[..., Any], tmp_path: Path, layer: nn.Module) -> None:
    x = torch.randn(1, 4, 8, 8)
    component = toy(Scaled(layer), x, compute="fp32")
    graph = component_graph(component, "iOS17")
    assert len(graph.operations) == 1
    assert graph.operations[0].output.name == "out_0"
    convert_component(component, tmp_path / "a.mlpackage")
    result = open_runner(tmp_path / "a.mlpackage").run({"in_0": x.numpy()})["out_0"]
    np.testing.assert_allclose(result, component.module(x).detach().numpy(), rtol=3e-3, atol=6e-3)


def test_scales_inside_the_network_stay_operations(toy: Callable[..., Any]) -> None:
    """So that every layer's own result can be compared with PyTorch's."""
    graph = component_graph(toy(nn.Sequential(Scaled(nn.Conv2d(4, 6, 3))), torch.randn(1, 4, 8, 8)), "iOS17")
    assert "_0_layer__conv" in {value.name for item in graph.operations for value in item.outputs}


class Moved(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2).relu()


def test_a_norm_over_a_moved_axis_stays_in_place(toy: Callable[..., Any]) -> None:
    graph = component_graph(toy(Moved(), torch.randn(1, 4, 1, 8)), "iOS17")
    assert kinds(graph) == {"layer_norm": 1, "relu": 1}
    assert graph.operations[0].inputs["axes"] == Literal.of([1])


class Attention(nn.Module):
    def forward(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        return (q @ k.transpose(-1, -2)).softmax(-1) @ k


def test_matmul_takes_the_transpose(toy: Callable[..., Any]) -> None:
    graph = component_graph(toy(Attention(), torch.randn(1, 2, 5, 8), torch.randn(1, 2, 7, 8)), "iOS17")
    assert kinds(graph) == {"matmul": 2, "softmax": 1}
    assert graph.operations[0].inputs["transpose_y"] == Literal.of(True)


def test_passes_come_to_an_end_on_every_component(small_checkpoint: Any) -> None:
    from mobie_coreml.ane.components import COMPONENTS, build_component

    for name in COMPONENTS:
        component = build_component(name, small_checkpoint, attention="original", materialise=False)
        graph = component_graph(component, "iOS17")
        before = [(item.type, item.outputs) for item in graph.operations]
        assert not any(rewrite(graph) for rewrite in PASSES), name
        simplify(graph)
        assert [(item.type, item.outputs) for item in graph.operations] == before
        made = set(graph.inputs)
        for item in graph.operations:
            assert set(item.values()) <= made, f"{item.output.name} is used before it is made"
            made.update(item.outputs)
        names = [output.name for item in graph.operations for output in item.outputs]
        assert len(set(names)) == len(names)


def test_names_are_identifiers_and_unique() -> None:
    names = Names()
    assert names.value("down_blocks.0.conv1", "conv") == "down_blocks_0_conv1__conv"
    assert names.value("down_blocks.0.conv1", "conv") == "down_blocks_0_conv1__conv_1"
    assert names.unique("down_blocks_0_conv1__conv_1") == "down_blocks_0_conv1__conv_1_1"
    assert names.value("", "add") == "main__add"
    assert names.unique("0 strange-name") == "_0_strange_name"


def test_weights_are_equal_by_what_they_hold() -> None:
    one = Weight(("parameter", "a"), "a", (2,), DType.FP16, lambda load: load("a"))
    same = Weight(("parameter", "a"), "called otherwise", (2,), DType.FP16, lambda load: load("a"))
    assert one == same
    assert one != one.cast(DType.FP32)
    assert one.map("twice", lambda array: array + array) != one
