"""From a traced module to MIL operations, by the table of rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import fx

import mobie_coreml.convert.rules  # noqa: F401  (importing it fills the table)
from mobie_coreml.convert.builder import RULES, Builder, Call, Result
from mobie_coreml.convert.constants import Constant, fold, held, is_constant, parameter
from mobie_coreml.convert.graph import DType, Graph, Names, Tensor, Unsupported, Value
from mobie_coreml.convert.trace import Trace, module_path
from mobie_coreml.errors import WorkError

_IGNORED = {
    "aten._assert_tensor_metadata.default",
    "aten._assert_async.msg",
    "aten.sym_constrain_range_for_size.default",
}
_GETITEM = "<built-in function getitem>"
OPSETS = {"iOS17": 7, "iOS18": 8}


@dataclass(frozen=True)
class Port:
    """Type of one input or output of a package at its boundary."""

    name: str
    dtype: DType


def lower(trace: Trace, inputs: Sequence[Port], outputs: Sequence[Port], floats: DType, target: str) -> Graph:
    """Expresses a traced module in MIL.

    Args:
        trace: The module.
        inputs: Name and boundary type of each argument of `forward`, in order.
        outputs: Name and boundary type of each result, in order.
        floats: Type of the arithmetic, fp16 or fp32; inputs and outputs of another type are cast.
        target: "iOS17" or "iOS18".

    Returns:
        The graph as it stands in PyTorch, before any clean-up.

    Raises:
        WorkError: some calls cannot be expressed; the error lists all of them with the modules that make them.
    """
    graph, names = Graph([], [], []), Names()
    builder = Builder(graph, names, floats, OPSETS[target])
    for port in (*inputs, *outputs):
        names.unique(port.name)
    known = _constants(trace, floats)
    for port, node in zip(inputs, trace.inputs, strict=True):
        known[node] = _input(builder, node, port)
    problems: Counter[str] = Counter()
    places: dict[str, str] = {}
    for node in trace.nodes:
        target_name = str(node.target)
        if target_name in _IGNORED:
            continue
        builder.path = module_path(node)
        try:
            result = known[node] = _lower_node(node, target_name, builder, known)
            if isinstance(result, Value) and not result.node:
                result.node = node.name
        except Unsupported as reason:
            what = f"{target_name}: {reason}"
            problems[what] += 1
            places.setdefault(what, builder.path or "the outermost module")
            known[node] = _stand_in(node, builder)
    if problems:
        lines = [f"{what} ({count}x, first in {places[what]})" for what, count in sorted(problems.items())]
        raise WorkError(
            "These operations cannot be converted:\n  " + "\n  ".join(lines),
            "Express them with supported operations in the module, or add a rule in mobie_coreml/convert/rules.",
        )
    builder.path = ""
    for port, node in zip(outputs, trace.outputs, strict=True):
        graph.outputs.append(_output(builder, known[node], port))
    return graph


def _constants(trace: Trace, floats: DType) -> dict[fx.Node, Result]:
    known: dict[fx.Node, Result] = {}
    for node, name in trace.parameters.items():
        known[node] = parameter(name, node.meta["val"], floats)
    for node, name in trace.buffers.items():
        known[node] = parameter(name, node.meta["val"], floats, exact=True)
    for node, tensor in trace.constants.items():
        known[node] = held(node.name, tensor, floats)
    return known


def _input(builder: Builder, node: fx.Node, port: Port) -> Tensor:
    """The package's input, cast to the type of the arithmetic where its own is another floating-point type."""
    value = Value(port.name, tuple(node.meta["val"].shape), port.dtype)
    builder.graph.inputs.append(value)
    builder.path = port.name
    return builder.cast(value, builder.floats) if port.dtype.is_float else value


def _lower_node(node: fx.Node, target: str, builder: Builder, known: dict[fx.Node, Result]) -> Result:
    if all(is_constant(known[argument]) for argument in node.all_input_nodes) and target != _GETITEM:
        return _as_result(fold(node, known, builder.floats))
    if target not in RULES:
        raise Unsupported("no rule")
    return RULES[target](builder, Call(node, known))


def _as_result(constant: Constant | list[Constant]) -> Result:
    return [*constant] if isinstance(constant, list) else constant


def _stand_in(node: fx.Node, builder: Builder) -> Result:
    """Values for a call that could not be lowered, so that one run finds everything that cannot."""
    value = node.meta["val"]
    results = [value] if isinstance(value, torch.Tensor) else list(value)
    names = [builder.names.unique("unsupported") for _ in results]
    # Its type does not matter (and MIL may not have it): nothing is written after an error.
    values: list[Tensor] = [
        Value(name, tuple(item.shape), builder.floats) for name, item in zip(names, results, strict=True)
    ]
    return values[0] if isinstance(value, torch.Tensor) else values


def _output(builder: Builder, result: Result, port: Port) -> Value:
    """The package's output `port`: the value that is returned, cast to the port's type and called by its name."""
    if not isinstance(result, Value):
        raise WorkError(f"Output {port.name} is a constant.", "A package's outputs must depend on its inputs.")
    builder.path = port.name
    value = builder.cast(result, port.dtype)
    graph = builder.graph
    assert isinstance(value, Value)
    if value in graph.inputs or value in graph.outputs:
        value = builder.add("identity", value.shape, value.dtype, x=value)
    value.name = port.name
    return value
