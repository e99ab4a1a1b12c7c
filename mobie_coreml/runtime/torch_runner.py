"""Runs a component's PyTorch module: the reference."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

from mobie_coreml.errors import WorkError
from mobie_coreml.runtime.base import Arrays, TensorInfo
from mobie_coreml.runtime.features import check_inputs

if TYPE_CHECKING:
    from mobie_coreml.ane.components import Component
    from mobie_coreml.ane.tensors import TensorSpec


class TorchRunner:
    """A component in PyTorch, in float32.

    Args:
        component: With its weights; the "original" attention form is the reference.
    """

    def __init__(self, component: Component) -> None:
        self.component = component
        self._inputs = {spec.name: _info(spec) for spec in component.inputs}
        self._outputs = {spec.name: _info(spec) for spec in component.outputs}
        self._lock = threading.Lock()

    @property
    def inputs(self) -> dict[str, TensorInfo]:
        """Inputs by name, in the order of the module's arguments."""
        return self._inputs

    @property
    def outputs(self) -> dict[str, TensorInfo]:
        """Outputs by name, in the order of the module's results."""
        return self._outputs

    def run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Runs the module once.

        Raises:
            InputError: a missing or unknown name, a wrong shape or element type.
            WorkError: the module gives another number of outputs than the component declares.
        """
        arrays = check_inputs(self._inputs, inputs)
        with self._lock, torch.inference_mode():
            results = self.component.module(*(torch.from_numpy(arrays[name]) for name in self._inputs))
        results = results if isinstance(results, tuple | list) else (results,)
        if len(results) != len(self._outputs):
            raise WorkError(f"{self.component.name} gives {len(results)} outputs but declares {len(self._outputs)}.")
        return {name: np.array(value.numpy()) for name, value in zip(self._outputs, results, strict=True)}


def _info(spec: TensorSpec) -> TensorInfo:
    image = spec.dtype == "image"
    return TensorInfo(spec.name, spec.shape, "float32" if image else spec.dtype, image, "RGB" if image else "")
