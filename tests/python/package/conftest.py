"""Small packages built with our own writer, and the same through coremltools for the tests that compare the two."""

from __future__ import annotations

import contextlib
import io
import resource
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palettization.package import (
    WEIGHT_FILE,
    PackageWriter,
    file_value,
    immediate_value,
    proto,
    set_tensor_type,
)


def add_const(block: Any, name: str, value: Any) -> None:
    """Appends a `const` operation."""
    operation = block.operations.add()
    operation.type = "const"
    operation.attributes["name"].CopyFrom(immediate_value(name))
    operation.attributes["val"].CopyFrom(value)
    output = operation.outputs.add()
    output.name = name
    output.type.CopyFrom(value.type)


def add_operation(
    block: Any, kind: str, output: str, element: str, shape: tuple[int, ...], inputs: dict[str, Any]
) -> Any:
    """Appends an operation; inputs are names or `Value` messages."""
    operation = block.operations.add()
    operation.type = kind
    operation.attributes["name"].CopyFrom(immediate_value(output))
    for parameter, source in inputs.items():
        binding = operation.inputs[parameter].arguments.add()
        if isinstance(source, str):
            binding.name = source
        else:
            binding.value.CopyFrom(source)
    named = operation.outputs.add()
    named.name = output
    set_tensor_type(named.type.tensorType, element, shape)
    return operation


def add_function(program: Any, name: str, blob: Any, *, opset: str = "CoreML8") -> Any:
    """Appends a function: y = conv(x, w) with w (4, 3, 3, 3) in the weight file, then y * palette-decoded scale."""
    function = program.functions[name]
    function.opset = opset
    value = function.inputs.add()
    value.name = "x"
    set_tensor_type(value.type.tensorType, "float16", (1, 3, 8, 8))
    block = function.block_specializations[opset]
    rng = np.random.default_rng(7)
    weight = rng.standard_normal((4, 3, 3, 3)).astype(np.float16)
    add_const(block, "w", file_value("float16", weight.shape, blob.add(weight)))
    add_const(block, "b", immediate_value(np.arange(4, dtype=np.float16)))
    for parameter, content in (
        ("strides", np.ones(2, np.int32)),
        ("pad", np.ones(4, np.int32)),
        ("dilations", np.ones(2, np.int32)),
        ("groups", 1),
        ("pad_type", "custom"),
    ):
        add_const(block, parameter, immediate_value(content))
    inputs = {"x": "x", "weight": "w", "bias": "b"} | {
        name: name for name in ("strides", "pad", "dilations", "groups", "pad_type")
    }
    add_operation(block, "conv", "c", "float16", (1, 4, 8, 8), inputs)
    indices = rng.integers(0, 16, (4, 8, 8), dtype=np.uint8)
    table = rng.standard_normal((1, 1, 1, 16, 1)).astype(np.float16)
    add_operation(
        block,
        "constexpr_lut_to_dense",
        "s",
        "float16",
        (4, 8, 8),
        {
            "indices": file_value("uint4", indices.shape, blob.add(indices, "uint4")),
            "lut": file_value("float16", table.shape, blob.add(table)),
        },
    )
    add_operation(block, "mul", "y", "float16", (1, 4, 8, 8), {"x": "c", "y": "s"})
    block.outputs.append("y")
    return function


def describe(description: Any) -> None:
    """Declares x and y as arrays."""
    for group, name, shape in ((description.input, "x", (1, 3, 8, 8)), (description.output, "y", (1, 4, 8, 8))):
        feature = group.add()
        feature.name = name
        feature.shortDescription = f"the {name}"
        feature.type.multiArrayType.shape.extend(shape)
        feature.type.multiArrayType.dataType = proto().FeatureTypes_pb2.ArrayFeatureType.FLOAT16


def new_spec() -> Any:
    """An empty ML Program for iOS 18."""
    spec = proto().Model_pb2.Model()
    spec.specificationVersion = 9
    spec.mlProgram.version = 1
    return spec


@pytest.fixture
def build() -> Callable[..., Path]:
    """Writes the small package; `functions` makes it multifunction."""

    def make(path: Path, functions: tuple[str, ...] = ()) -> Path:
        spec = new_spec()
        with PackageWriter(path, deduplicate=True) as writer:
            for name in functions or ("main",):
                add_function(spec.mlProgram, name, writer.blob)
            if functions:
                spec.description.defaultFunctionName = functions[0]
                for name in functions:
                    described = spec.description.functions.add()
                    described.name = name
                    describe(described)
            else:
                describe(spec.description)
            spec.description.metadata.author = "The test"
            spec.description.metadata.userDefined["preset"] = "tiny"
            writer.finish(spec)
        return path

    return make


@pytest.fixture
def tiny(build: Callable[..., Path], tmp_path: Path) -> Path:
    """The small package in the test's folder."""
    return build(tmp_path / "tiny.mlpackage")


@pytest.fixture
def program_tools() -> Any:
    """The builders above, for tests that make their own programs."""

    class Tools:
        const = staticmethod(add_const)
        operation = staticmethod(add_operation)
        function = staticmethod(add_function)
        describe = staticmethod(describe)
        spec = staticmethod(new_spec)
        weight_file = WEIGHT_FILE

    return Tools


@pytest.fixture(scope="session")
def ct() -> Any:
    """coremltools, imported without its messages."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        import coremltools
        import coremltools.optimize.coreml

    return coremltools


@pytest.fixture
def peak_megabytes() -> Callable[[], float]:
    """Reads the process's highest resident size so far, in MiB (Linux counts KiB, macOS bytes)."""
    unit = 1 << (20 if sys.platform == "darwin" else 10)
    return lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
