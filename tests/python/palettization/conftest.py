"""Small packages to palettize, made with our own writer, and coremltools without its messages."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palettization.package import (
    PackageWriter,
    file_value,
    immediate_value,
    proto,
    set_tensor_type,
)


def _constant(block: Any, kind: str, name: str, element: str, shape: tuple[int, ...], **attributes: Any) -> None:
    operation = block.operations.add()
    operation.type = kind
    operation.attributes["name"].CopyFrom(immediate_value(name))
    for parameter, value in attributes.items():
        operation.attributes[parameter].CopyFrom(value)
    output = operation.outputs.add()
    output.name = name
    set_tensor_type(output.type.tensorType, element, shape)


def _convolution(block: Any, source: str, weight: str, output: str, element: str, shape: tuple[int, ...]) -> None:
    operation = block.operations.add()
    operation.type = "conv"
    operation.attributes["name"].CopyFrom(immediate_value(output))
    for parameter, name in (("x", source), ("weight", weight)):
        operation.inputs[parameter].arguments.add().name = name
    for parameter, content in (
        ("strides", np.ones(2, np.int32)),
        ("pad", np.zeros(4, np.int32)),
        ("dilations", np.ones(2, np.int32)),
        ("groups", 1),
        ("pad_type", "same"),
    ):
        operation.inputs[parameter].arguments.add().value.CopyFrom(immediate_value(content))
    named = operation.outputs.add()
    named.name = output
    set_tensor_type(named.type.tensorType, element, shape)


@pytest.fixture(scope="session")
def write_package() -> Callable[..., Path]:
    """Writes a chain of convolutions over (1, C, 8, 8) whose weights are the given arrays, by name.

    Those in `casts` are brought to fp32 by `constexpr_cast`, and the whole chain is fp32 then. `opset` 7 is iOS17.
    """

    def write(
        path: Path,
        weights: Mapping[str, np.ndarray],
        *,
        opset: int = 7,
        casts: tuple[str, ...] = (),
        force: bool = False,
    ) -> Path:
        spec = proto().Model_pb2.Model()
        spec.specificationVersion = opset + 1
        spec.mlProgram.version = 1
        spec.description.metadata.author = "The test"
        spec.description.metadata.userDefined["kept"] = "yes"
        function = spec.mlProgram.functions["main"]
        function.opset = f"CoreML{opset}"
        block = function.block_specializations[function.opset]
        first = next(iter(weights.values()))
        element = "float32" if casts or first.dtype == np.float32 else "float16"
        shape = (1, first.shape[1], 8, 8)
        given = function.inputs.add()
        given.name = "x"
        set_tensor_type(given.type.tensorType, element, shape)
        previous = "x"
        with PackageWriter(path, force=force) as writer:
            places: dict[int, int] = {}
            for name, array in weights.items():
                offset = places.setdefault(id(array), -1)
                if offset < 0:
                    offset = places[id(array)] = writer.blob.add(array)
                value = file_value(array.dtype.name, array.shape, offset)
                if name in casts:
                    _constant(
                        block,
                        "constexpr_cast",
                        name,
                        "float32",
                        array.shape,
                        source_val=value,
                        output_dtype=immediate_value("fp32"),
                    )
                else:
                    _constant(block, "const", name, array.dtype.name, array.shape, val=value)
                _convolution(block, previous, name, f"{name}_out", element, (1, array.shape[0], 8, 8))
                previous = f"{name}_out"
            block.outputs.append(previous)
            code = proto().FeatureTypes_pb2.ArrayFeatureType
            for group, name, size in (
                (spec.description.input, "x", shape),
                (spec.description.output, previous, (1, array.shape[0], 8, 8)),
            ):
                feature = group.add()
                feature.name = name
                feature.type.multiArrayType.shape.extend(size)
                feature.type.multiArrayType.dataType = code.FLOAT32 if element == "float32" else code.FLOAT16
            writer.finish(spec)
        return path

    return write


@pytest.fixture
def weights() -> dict[str, np.ndarray]:
    """Three convolutions: 3x3, 1x1, and one below the skip rules' threshold."""
    rng = np.random.default_rng(5)
    return {
        "down_conv_weight": (rng.standard_normal((24, 16, 3, 3)) * 0.05).astype(np.float16),
        "mid_proj_weight": (rng.laplace(size=(101, 24, 1, 1)) * 0.02).astype(np.float16),
        "out_weight": rng.standard_normal((4, 101, 1, 1)).astype(np.float16),
    }


@pytest.fixture(scope="session")
def ct() -> Any:
    """coremltools, imported without its messages."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        import coremltools
        import coremltools.optimize.coreml

    return coremltools
