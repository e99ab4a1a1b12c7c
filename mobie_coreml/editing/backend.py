"""Where components run: packages through a runtime, or a checkpoint through PyTorch, behind one small interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class ComponentBackend(Protocol):
    """Runs the five components by name with arrays by name.

    Images are (1, 3, H, W) floats from 0 to 255; a backend casts arrays to the types that its components take.
    """

    def inputs(self, component: str) -> tuple[str, ...]:
        """Names of the component's inputs."""

    def run(self, component: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The component's outputs."""

    def release(self, component: str) -> None:
        """Frees the component's weights; it is loaded again if it runs again."""


class RunnerBackend:
    """Components as runners of `mobie_coreml.runtime`, each opened when it is first needed.

    Args:
        open_component: Opens the runner of a component.
    """

    def __init__(self, open_component: Callable[[str], Any]) -> None:
        self._open = open_component
        self._runners: dict[str, Any] = {}

    def inputs(self, component: str) -> tuple[str, ...]:
        """Names of the component's inputs."""
        return tuple(self._runner(component).inputs)

    def run(self, component: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The component's outputs; inputs are cast to the component's types."""
        runner = self._runner(component)
        cast = {
            name: np.ascontiguousarray(value, np.float32 if runner.inputs[name].is_image else runner.inputs[name].dtype)
            for name, value in inputs.items()
        }
        outputs: dict[str, Array] = runner.run(cast)
        return outputs

    def release(self, component: str) -> None:
        """Drops the component's runner."""
        self._runners.pop(component, None)

    def _runner(self, component: str) -> Any:
        if component not in self._runners:
            self._runners[component] = self._open(component)
        return self._runners[component]
