"""The last operation of a classifier."""

from __future__ import annotations

import torch

from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.node import Node
from mobie_coreml.runtime.mil.registry import Kernel, operation

Tensor = torch.Tensor


@operation("classify", takes="probabilities", moves=True)
def classify(node: Node) -> Kernel:
    """The number of the most likely class, which the program turns into its label, and all probabilities."""
    classes = node.constant("classes")
    count = 0 if classes is None else len(classes)

    def run(probabilities: Tensor) -> tuple[Tensor, Tensor]:
        if probabilities.numel() != count:
            raise ProgramError(f"it has {count} classes but {probabilities.numel()} probabilities")
        return torch.argmax(probabilities.reshape(-1)), probabilities

    return run
