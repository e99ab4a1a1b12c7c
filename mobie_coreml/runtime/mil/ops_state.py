"""States (iOS 18): tensors that a runner keeps between runs."""

from __future__ import annotations

import torch

from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.node import Node
from mobie_coreml.runtime.mil.registry import Kernel, operation

Tensor = torch.Tensor


@operation("read_state", takes="input", moves=True, fresh=True)
def read_state(node: Node) -> Kernel:
    return lambda state: state.clone()


@operation("write_state", "coreml_update_state", takes="input data")
def write_state(node: Node) -> Kernel:
    """Replaces the state's content; `coreml_update_state` also gives the new content."""
    gives = len(node.outputs) > 0

    def run(state: Tensor, data: Tensor) -> Tensor | tuple[()]:
        if state.shape != data.shape:
            raise ProgramError(f"it writes shape {list(data.shape)} into a state of shape {list(state.shape)}")
        state.copy_(data)
        return data if gives else ()

    return run
