"""A palettized package with its weights as they were before: the same program, so that errors can be told apart.

What that package is off by against PyTorch is the conversion's doing; what the palettized one is off by against it is
the compression's.
"""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Any

from mobie_coreml.ane.components import Component, build_component
from mobie_coreml.convert.component import component_graph, deferred_package
from mobie_coreml.convert.features import Metadata, new_spec
from mobie_coreml.convert.graph import Weight
from mobie_coreml.errors import CheckFailed
from mobie_coreml.manifest import ModelFolder
from mobie_coreml.manifest.weights import palettized_weights
from mobie_coreml.models.checkpoint import Checkpoint
from palettization.package import WEIGHT_FILE, Package, constants_of

_ORIGINALS = "@model_path/weights/originals.bin"
"""Where the program is told that weights lie; no such file exists, they are made from the checkpoint when read."""


class UncompressedWeights:
    """The weights that a component's conversion would store in fp16, by their names in its package.

    Nothing is converted or held: the module is traced without weights, and each weight is made when a program reads it.
    """

    def __init__(self, component: Component, target: str) -> None:
        """Traces the component.

        Args:
            component: In the attention form and frame size of the package; its module may be on the meta device.
            target: The package's deployment target.
        """
        graph = component_graph(component, target)
        self.parameters = {
            operand.name.replace(".", "_"): operand.name
            for operation in graph.operations
            for operand in operation.operands()
            if isinstance(operand, Weight)
        }
        spec = new_spec(component.inputs, component.outputs, Metadata(), target)
        package = deferred_package(graph, component.load_weight, spec, target, Path(component.name))
        self._blob = package.blob_file(WEIGHT_FILE)
        self._operations: dict[str, Any] = {}
        for located in package.walk():
            for _, value in constants_of(located.operation):
                if value.WhichOneof("value") == "blobFileValue":
                    value.blobFileValue.fileName = _ORIGINALS
                    self._operations[located.operation.outputs[0].name] = located.operation

    def restore(self, path: Path, only: Container[str] | None = None) -> Package:
        """The package at `path` with weights put in place of their palettes; what is on disk stays as it is.

        Args:
            path: The palettized package.
            only: Names of the weights to restore; all by default.

        Raises:
            CheckFailed: a weight of the package is none of the component's, or has another shape.
        """
        opened = Package.open(path)
        package = Package(opened.layout, opened.path, opened.spec, {_ORIGINALS: self._blob})
        palettized = frozenset(palettized_weights(package))
        for located in package.walk():
            operation = located.operation
            name = operation.outputs[0].name if operation.outputs else ""
            if name not in palettized or (only is not None and name not in only):
                continue
            original = self._operations.get(name)
            if original is None or original.outputs[0].type != operation.outputs[0].type:
                raise CheckFailed(
                    f"{path} has a weight {name} that the checkpoint's conversion does not have, or not in that shape.",
                    "It was made by another version, or is damaged: convert the checkpoint again.",
                )
            operation.CopyFrom(original)
        return package


def uncompressed_weights(folder: ModelFolder, component: str, checkpoint: Checkpoint) -> UncompressedWeights:
    """Those of a model folder's component.

    Args:
        folder: Converted from `checkpoint`.
        component: Its name.
        checkpoint: Where weights come from.
    """
    info = folder.component(component)
    built = build_component(
        component,
        checkpoint,
        size=folder.manifest.frame_size,
        attention=info.attention or "original",
        materialise=False,
    )
    return UncompressedWeights(built, info.deployment_target)
