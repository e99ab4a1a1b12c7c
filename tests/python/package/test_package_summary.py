"""`summarise` and `mobie inspect`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobie_coreml.cli.main import main
from palettization.package import Package, PackageWriter, file_value, immediate_value, read_interface, summarise


def test_the_summary_counts_what_is_stored(tiny: Path) -> None:
    summary = summarise(Package.open(tiny))
    assert summary.specification_version == 9
    assert summary.metadata == {"author": "The test", "preset": "tiny"}
    (function,) = summary.functions
    assert function.operations == {"constexpr_lut_to_dense": 1, "conv": 1, "mul": 1}
    assert function.constants == 7
    weights = {weight.name: weight for weight in summary.weights}
    assert set(weights) == {"w", "b", "s"}
    kernel, bias, scale = weights["w"], weights["b"], weights["s"]
    assert (kernel.form, kernel.element, kernel.bits, kernel.bytes) == ("dense", "float16", 16, 216)
    assert (bias.immediate, bias.bytes) == (True, 8)
    assert (scale.form, scale.bits, scale.shape, scale.bytes) == ("palettized", 4, (4, 8, 8), 128 + 32)
    assert summary.elements == 108 + 4 + 256
    assert summary.weight_bytes == 216 + 8 + 160
    assert summary.bits_per_weight == pytest.approx(8 * 384 / 368)
    assert summary.file_bytes == (tiny / "Data/com.apple.CoreML/weights/weight.bin").stat().st_size


def test_weights_that_functions_share_count_once(build: Callable[..., Path], tmp_path: Path, tiny: Path) -> None:
    shared = summarise(Package.open(build(tmp_path / "two.mlpackage", ("one", "two"))))
    single = summarise(Package.open(tiny))
    weights = {weight.name: weight for weight in shared.weights if not weight.immediate}
    assert all(weight.functions == ("one", "two") for weight in weights.values())
    assert shared.weight_bytes == single.weight_bytes + 8, "only the immediate bias is there twice"
    assert [function.name for function in shared.functions] == ["one", "two"]


def test_joint_forms_are_one_weight(tmp_path: Path, program_tools: Any) -> None:
    spec = program_tools.spec()
    function = spec.mlProgram.functions["main"]
    function.opset = "CoreML8"
    block = function.block_specializations["CoreML8"]
    with PackageWriter(tmp_path / "joint.mlpackage") as writer:
        mask = np.array([[1, 0, 1, 1]] * 4, np.uint8)
        nonzero = np.zeros(12, np.uint8)
        lut = np.zeros((1, 1, 8, 1), np.int8)
        sparse = program_tools.operation(
            block,
            "constexpr_lut_to_sparse",
            "mask_out",
            "uint1",
            (4, 4),
            {
                "indices_mask": file_value("uint1", mask.shape, writer.blob.add(mask, "uint1")),
                "indices_nonzero_data": file_value("uint3", nonzero.shape, writer.blob.add(nonzero, "uint3")),
                "lut": immediate_value(lut),
            },
        )
        data = sparse.outputs.add()
        data.name = "data_out"
        data.type.CopyFrom(file_value("int8", (12,), 0).type)
        program_tools.operation(
            block,
            "constexpr_sparse_to_dense",
            "dense",
            "int8",
            (4, 4),
            {"mask": "mask_out", "nonzero_data": "data_out"},
        )
        scale = immediate_value(np.ones((4, 1), np.float16))
        inputs = {"data": "dense", "scale": scale}
        program_tools.operation(block, "constexpr_blockwise_shift_scale", "weight", "float16", (4, 4), inputs)
        writer.finish(spec)
    (weight,) = summarise(Package.open(tmp_path / "joint.mlpackage")).weights
    assert weight.name == "weight"
    assert weight.form == "quantized+sparse+palettized"
    assert weight.bits == 3
    assert weight.bytes == 2 + 5 + 8 + 8
    assert weight.elements == 16


def test_interfaces_of_every_kind(tiny: Path) -> None:
    package = Package.open(tiny)
    description = package.spec.description
    image = description.input.add()
    image.name = "frame"
    image.type.isOptional = True
    image.type.imageType.width, image.type.imageType.height = 512, 384
    image.type.imageType.colorSpace = 20
    for size in ((256, 192), (512, 384)):
        allowed = image.type.imageType.enumeratedSizes.sizes.add()
        allowed.width, allowed.height = size
    state = description.state.add()
    state.name = "cache"
    state.type.stateType.arrayType.shape.extend((1, 2))
    state.type.stateType.arrayType.dataType = 65552
    limits = description.output[0].type.multiArrayType.shapeRange.sizeRanges.add()
    limits.lowerBound, limits.upperBound = 1, -1
    text = description.output.add()
    text.name = "label"
    text.type.stringType.SetInParent()
    interface = read_interface(package)
    frame = interface.inputs[1]
    assert (frame.kind, frame.shape, frame.element, frame.optional) == ("image", (384, 512), "RGB", True)
    assert frame.flexible == ((192, 256), (384, 512))
    assert interface.states[0].element == "float16"
    assert interface.outputs[0].flexible == ((1, -1),)
    assert interface.outputs[1].kind == "string"


def test_the_command_prints_tables(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tiny)]) == 0
    out = capsys.readouterr().out
    for expected in ("The test", "CoreML8", "float16 (1, 3, 8, 8)", "the x", "palettized float16", "bits per weight"):
        assert expected in out
    assert "constexpr_lut_to_dense" in out


def test_the_command_prints_json_alone(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tiny), "--json"]) == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert captured.err == ""
    assert [weight["name"] for weight in report["weights"]] == ["w", "s", "b"]
    assert report["functions"][0]["interface"]["inputs"][0]["shape"] == [1, 3, 8, 8]


def test_the_command_refuses_other_things(tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny: Path) -> None:
    (tmp_path / "mobie.json").write_text("{}")
    assert main(["inspect", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "is a model folder" in error
    assert "tiny.mlpackage" in error
    assert main(["inspect", str(tmp_path / "none.mlpackage")]) == 2
    assert "does not exist" in capsys.readouterr().err
