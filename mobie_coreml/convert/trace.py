"""A PyTorch module as a list of ATen calls, traced without weights: parameters may be on the meta device."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.export.graph_signature import InputKind

from mobie_coreml.errors import WorkError


@dataclass(frozen=True)
class Trace:
    """An exported module.

    Attributes:
        nodes: The calls, in order; each node's `meta["val"]` is a tensor (or several) without data.
        inputs: Nodes that stand for the arguments of `forward`, in order.
        parameters: The node of each parameter and its name.
        buffers: The node of each buffer and its name.
        constants: The node and tensor of each constant that `forward` holds itself.
        outputs: Nodes that `forward` returns, in order.
    """

    nodes: tuple[fx.Node, ...]
    inputs: tuple[fx.Node, ...]
    parameters: dict[fx.Node, str]
    buffers: dict[fx.Node, str]
    constants: dict[fx.Node, torch.Tensor]
    outputs: tuple[fx.Node, ...]


def trace(module: nn.Module, example_inputs: Sequence[torch.Tensor]) -> Trace:
    """Exports `module` for inputs of exactly these shapes and dtypes.

    Args:
        module: In eval mode. Its parameters may be meta tensors; they are never read.
        example_inputs: Arguments of `forward`, on the device of the parameters; their data is never read.

    Raises:
        WorkError: torch.export cannot trace it.
    """
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.export.export(module, tuple(example_inputs), strict=False)
    except Exception as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WorkError(
            f"{type(module).__name__} cannot be traced: {first_line}",
            "The forward method must not depend on the values of tensors.",
        ) from error
    placeholders = {node.name: node for node in exported.graph.nodes if node.op == "placeholder"}
    inputs: list[fx.Node] = []
    parameters: dict[fx.Node, str] = {}
    buffers: dict[fx.Node, str] = {}
    constants: dict[fx.Node, torch.Tensor] = {}
    for spec in exported.graph_signature.input_specs:
        node = placeholders[spec.arg.name]
        if spec.kind is InputKind.USER_INPUT:
            inputs.append(node)
        elif spec.kind is InputKind.PARAMETER:
            parameters[node] = str(spec.target)
        elif spec.kind is InputKind.BUFFER:
            buffers[node] = str(spec.target)
        elif spec.kind is InputKind.CONSTANT_TENSOR:
            constants[node] = exported.constants[str(spec.target)]
        else:
            raise WorkError(f"{type(module).__name__} has an input that cannot be converted: {spec.kind.name} {node}.")
    nodes = tuple(node for node in exported.graph.nodes if node.op == "call_function")
    (output,) = (node for node in exported.graph.nodes if node.op == "output")
    returned: list[Any] = list(output.args[0])
    return Trace(nodes, tuple(inputs), parameters, buffers, constants, tuple(returned))


def module_path(node: fx.Node) -> str:
    """Dotted path of the module whose forward made this call; "" for the outermost module."""
    stack = node.meta.get("nn_module_stack")
    if not stack:
        return ""
    path = str(list(stack.values())[-1][0])
    # A module called several times is "path@1" the second time; `_export_root` is how some versions call the outermost.
    return path.split("@")[0].removeprefix("_export_root").lstrip(".")
