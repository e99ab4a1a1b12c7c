"""One component, from its module to its package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import nn

from mobie_coreml.ane.tensors import TensorSpec
from mobie_coreml.convert.features import TARGETS, Metadata, new_spec
from mobie_coreml.convert.graph import DType, Graph, LoadWeight
from mobie_coreml.convert.lower import OPSETS, Port, lower
from mobie_coreml.convert.passes import simplify
from mobie_coreml.convert.program import program_of
from mobie_coreml.convert.trace import Trace, trace
from mobie_coreml.convert.weights import weight_entries
from mobie_coreml.errors import InputError
from palettization.package import WEIGHT_FILE, DeferredBlob, Package, PackageWriter, WrittenPackage
from palettization.palettize import Palettized, palettize_opened
from palettization.recipe import Recipe

Progress = Callable[[int, int], None]
"""Called after every weight with the bytes written so far and in all."""

# Images enter and leave the program as fp32 tensors: that is how Core ML hands pixel buffers over.
_BOUNDARY = {"image": DType.FP32, "float16": DType.FP16, "float32": DType.FP32, "int32": DType.INT32}


class Convertible(Protocol):
    """What the converter needs of a component (mobie_coreml.ane.components.Component is one)."""

    @property
    def name(self) -> str: ...

    @property
    def module(self) -> nn.Module: ...

    @property
    def inputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def compute(self) -> str:
        """Arithmetic of the package: "fp16" or "fp32"."""

    def load_weight(self, name: str) -> npt.NDArray[np.generic]:
        """A parameter or buffer of `module` by its name there."""


def lowered(component: Convertible, target: str) -> tuple[Trace, Graph]:
    """A component as PyTorch calls, and the cleaned-up MIL graph that they become; no weight is read.

    Values of the graph say which call they are the result of (`Value.node`).

    Raises:
        InputError: the target is not known.
        WorkError: the module cannot be traced, or uses operations that cannot be converted.
    """
    if target not in TARGETS:
        raise InputError(f"Target {target!r} is not known.", f"Targets are {', '.join(TARGETS)}.")
    parameter = next(component.module.parameters(), None)
    device = "cpu" if parameter is None else parameter.device
    traced = trace(component.module, [tensor.example(device) for tensor in component.inputs])
    graph = lower(traced, _ports(component.inputs), _ports(component.outputs), DType(component.compute), target)
    simplify(graph)
    return traced, graph


def component_graph(component: Convertible, target: str) -> Graph:
    """The MIL graph of a component, see `lowered`."""
    return lowered(component, target)[1]


@dataclass(frozen=True)
class ComponentPackage(WrittenPackage):
    """A component's package just written.

    Attributes:
        palettes: What became of each weight; None where all stayed as they are.
    """

    palettes: Palettized | None = None


def convert_component(
    component: Convertible,
    out: Path,
    target: str = "iOS17",
    *,
    metadata: Metadata | None = None,
    recipe: Recipe | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> ComponentPackage:
    """Writes the package of one component, whole or not at all; the same component gives the same bytes.

    Memory is that of the graph and of the largest weights: they are read one at a time and go straight to the file.
    With a recipe, a weight is clustered as it comes from the checkpoint: the fp16 package that `palettize` would read
    is never written, and the result is the one that `palettize` would make of it.

    Args:
        component: Its module's parameters may be on the meta device.
        out: The .mlpackage to write.
        target: "iOS17" (specification version 8) or "iOS18" (9).
        metadata: Description, author, licence and so on.
        recipe: Bits of every weight; None for fp16.
        force: Replace a package that exists.
        progress: Told about bytes of weights written; with a recipe about weights clustered and then read back.

    Returns:
        Path and digests of the package, and what became of its weights.

    Raises:
        InputError: the target is not known, or weights do not fit the network or fp16.
        WorkError: the module cannot be converted.
        PackageError: the package exists, or cannot be written; the recipe does not fit.
    """
    with PackageWriter(out, force=force) as writer:
        graph = component_graph(component, target)
        spec = new_spec(component.inputs, component.outputs, metadata or Metadata(), target)
        load: LoadWeight = component.load_weight
        if recipe is None:
            program = program_of(graph, load, writer.blob, opset=OPSETS[target], progress=progress)
            spec.mlProgram.CopyFrom(program)
            written = writer.finish(spec)
            return ComponentPackage(written.path, written.digests)
        with deferred_package(graph, load, spec, target, out) as package:
            done = palettize_opened(package, writer, recipe, progress=_two_stages(progress))
        for key, text in weight_entries(done).items():
            spec.description.metadata.userDefined[key] = text
        written = writer.finish(spec)
        return ComponentPackage(written.path, written.digests, done)


def deferred_package(graph: Graph, load: LoadWeight, spec: Any, target: str, path: Path) -> Package:
    """The fp16 package of a graph without writing it: weights are made when they are read.

    Args:
        graph: As `component_graph` gives it.
        load: Gives parameters.
        spec: A protobuf `Model` that is given the program.
        target: Deployment target.
        path: What errors call the package.
    """
    blob = DeferredBlob(path)
    spec.mlProgram.CopyFrom(program_of(graph, load, blob, opset=OPSETS[target]))
    return Package.in_memory(path, spec, {WEIGHT_FILE: blob})


def _two_stages(progress: Progress | None) -> Callable[[str, int, int], None] | None:
    """Elements clustered and elements read back as one number of bytes of fp16 weights."""
    if progress is None:
        return None
    report = progress

    def told(stage: str, done: int, total: int) -> None:
        report(done + (total if stage == "checking" else 0), 2 * total)

    return told


def _ports(tensors: Sequence[TensorSpec]) -> list[Port]:
    return [Port(tensor.name, _BOUNDARY[tensor.dtype]) for tensor in tensors]
