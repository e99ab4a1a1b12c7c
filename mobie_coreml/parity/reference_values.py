"""What PyTorch computes at every place of a component, under the names that the values have in its package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import fx

from mobie_coreml.ane.components import Component
from mobie_coreml.convert.component import lowered
from mobie_coreml.convert.trace import Trace


@dataclass(frozen=True)
class Reference:
    """Values by their names in the package, and for every value of the package the module that it comes from."""

    values: dict[str, torch.Tensor]
    modules: dict[str, str]


def reference_values(component: Component, target: str, inputs: Mapping[str, npt.NDArray[Any]]) -> Reference:
    """Runs a component in PyTorch, fp32, call by call, and keeps what the package has a name for.

    Values that the conversion made of several calls, or that it added, have no counterpart and are absent; every value
    has its module.

    Args:
        component: Materialised, in the attention form that was converted.
        target: Deployment target that was converted for.
        inputs: Arrays by input name, as for the package.
    """
    traced, graph = lowered(component, target)
    names: dict[str, list[str]] = {}
    modules: dict[str, str] = {}
    for operation in graph.operations:
        for value in operation.outputs:
            modules[value.name] = operation.path
            if value.node:
                names.setdefault(value.node, []).append(value.name)
    shapes = {value.name: value.shape for operation in graph.operations for value in operation.outputs}
    values: dict[str, torch.Tensor] = {}
    for node, result in _run(traced, component, inputs):
        for name in names.get(node.name, ()):
            if isinstance(result, torch.Tensor) and tuple(result.shape) == shapes[name]:
                values[name] = result
    return Reference(values, modules)


def _run(traced: Trace, component: Component, inputs: Mapping[str, npt.NDArray[Any]]) -> Any:
    """Yields (node, result) for every call of the trace."""
    known: dict[fx.Node, Any] = dict(traced.constants)
    for spec, node in zip(component.inputs, traced.inputs, strict=True):
        dtype = np.int32 if spec.dtype == "int32" else np.float32
        # What a package takes in fp16 arrives rounded.
        array = np.asarray(inputs[spec.name], np.float16 if spec.dtype == "float16" else dtype)
        known[node] = torch.from_numpy(np.ascontiguousarray(array, dtype))
    for node, name in (*traced.parameters.items(), *traced.buffers.items()):
        owner, _, attribute = name.rpartition(".")
        known[node] = getattr(component.module.get_submodule(owner), attribute).detach()
    uses = {node: len(node.users) for node in traced.nodes}
    with torch.inference_mode():
        for node in traced.nodes:
            arguments = fx.map_arg(node.args, lambda argument: known[argument])
            keywords = fx.map_arg(node.kwargs, lambda argument: known[argument])
            known[node] = node.target(*arguments, **keywords)  # type: ignore[operator]
            yield node, known[node]
            for argument in node.all_input_nodes:
                if argument in uses:
                    uses[argument] -= 1
                    if not uses[argument]:
                        known[argument] = None
