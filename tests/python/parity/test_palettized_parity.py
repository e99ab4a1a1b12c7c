"""Parity of palettized models: the conversion's error and the compression's apart, and the palette that costs most."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from two_levels import two_level_preset

from mobie_coreml.ane.components import COMPONENTS
from mobie_coreml.cli.main import main
from mobie_coreml.convert.model import convert_model
from mobie_coreml.convert.options import ConvertOptions
from mobie_coreml.errors import CheckFailed
from mobie_coreml.manifest import ModelFolder
from mobie_coreml.models.checkpoint import load_checkpoint
from mobie_coreml.models.random_checkpoint import new_checkpoint
from mobie_coreml.parity.uncompressed import uncompressed_weights
from mobie_coreml.runtime.mil.program import MilProgram
from palettization.package import Package, constants_of
from palettization.recipe import Choice, Recipe, recipe_json

QUICK = ["--frames", "1", "--steps", "1", "--cases", "2", "--quiet"]
WEIGHT = "up_blocks_1_resnets_0_conv1_weight"


NARROW = two_level_preset((64, 64))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(model folder, checkpoint) of a narrow nano whose Denoiser has 6-bit palettes, and the others none."""
    folder = tmp_path_factory.mktemp("parity")
    new_checkpoint(folder / "checkpoint", NARROW, seed=5)
    recipe = folder / "denoiser.json"
    recipe.write_text(recipe_json({name: Recipe(Choice(6 if name == "Denoiser" else 16)) for name in COMPONENTS}))
    convert_model(load_checkpoint(folder / "checkpoint"), folder / "model", ConvertOptions(recipe=str(recipe)))
    return folder / "model", folder / "checkpoint"


def changed(model: Path, out: Path, weight: str, parameter: str, change: Any) -> Path:
    """A copy of the model folder with one stored array of its Denoiser changed in the weight file."""
    shutil.copytree(model, out)
    path = out / "Denoiser.mlpackage"
    with Package.open(path) as package:
        operation = next(found.operation for found in package.walk() if found.operation.outputs[0].name == weight)
        value = dict(constants_of(operation))[parameter]
        record, _ = package.record(value, weight)
        array = change(np.array(package.constant(value, weight)))
    with (path / "Data/com.apple.CoreML/weights/weight.bin").open("r+b") as file:
        file.seek(record.data_offset)
        file.write(array.tobytes())
    return out


def test_a_damaged_table_fails_the_palettes_and_is_named(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, checkpoint = made
    junit, markdown = tmp_path / "parity.xml", tmp_path / "summary.md"
    faulty = changed(model, tmp_path / "faulty", WEIGHT, "lut", lambda table: table[::-1])
    files = ["--junit", str(junit), "--markdown", str(markdown)]
    assert main(["parity", str(faulty), str(checkpoint), *QUICK, "--localise", "--json", *files]) == 1
    report = json.loads(capsys.readouterr().out)
    failed = [row for row in report["results"] if not row["passed"] and row["component"] != "edit"]
    assert {row["component"] for row in failed} == {"Denoiser"}
    for row in report["results"]:
        if row["component"] != "Denoiser":
            assert "conversion" not in row
            continue
        assert row["conversion"]["passed"]
        assert row["conversion"]["psnr_db"] > 60
        # Conversion costs next to nothing, so what the package is off by is what its palettes cost.
        assert row["compression"]["psnr_db"] == pytest.approx(row["psnr_db"], abs=0.5)
    costs = report["tensor_costs"]
    assert set(costs) == {"Denoiser"}
    dearest = costs["Denoiser"]["costs"][0]
    assert dearest["tensor"] == "up_blocks.1.resnets.0.conv1.weight"
    assert dearest["restored_db"] > costs["Denoiser"]["palettized_db"] + 3
    assert "up_blocks_1_resnets_0_conv1" in report["localisations"]["Denoiser"]["suspects"][0]["value"]
    texts = [element.text or "" for element in ElementTree.parse(junit).getroot().iter("system-out")]
    assert any("conversion" in text and "compression" in text for text in texts)
    summary = markdown.read_text(encoding="utf-8")
    assert "conversion | palettes" in next(line for line in summary.splitlines() if line.startswith("| component"))
    assert "that of up_blocks.1.resnets.0.conv1.weight costs most" in summary


@pytest.mark.slow
def test_sound_palettes_pass(made: tuple[Path, Path]) -> None:
    model, checkpoint = made
    gate = "Denoiser=20:random weights of few channels"
    assert main(["parity", str(model), str(checkpoint), *QUICK, "--gate", gate]) == 0


@pytest.mark.slow
def test_a_fault_outside_palettes_fails_the_conversion(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, checkpoint = made
    norm = "conv_norm_out_weight"
    faulty = changed(model, tmp_path / "faulty", norm, "val", lambda array: array * array.dtype.type(2))
    assert main(["parity", str(faulty), str(checkpoint), *QUICK, "--localise", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    failed = [row for row in report["results"] if not row["passed"] and row["component"] != "edit"]
    assert {row["component"] for row in failed} == {"Denoiser"}
    assert not any(row["conversion"]["passed"] for row in failed)
    assert report["localisations"]["Denoiser"]["suspects"][0]["module"] == "conv_norm_out"


def test_restored_weights_are_those_of_the_fp16_package(made: tuple[Path, Path], tmp_path: Path) -> None:
    model, checkpoint = made
    opened = load_checkpoint(checkpoint)
    plain = convert_model(opened, tmp_path / "plain", ConvertOptions(("Denoiser",), weight_bits=16))
    folder = ModelFolder.open(model)
    weights = uncompressed_weights(folder, "Denoiser", opened)
    rng = np.random.default_rng(0)
    inputs = {
        tensor.name: rng.normal(size=tensor.shape).astype(np.float16) for tensor in folder.component("Denoiser").inputs
    }
    path = folder.package_path("Denoiser")
    expected = MilProgram.load(plain.folder / "Denoiser.mlpackage").run(inputs)["denoised_latents"]
    restored = MilProgram.load(weights.restore(path)).run(inputs)["denoised_latents"]
    np.testing.assert_array_equal(restored, expected)
    partly = MilProgram.load(weights.restore(path, {WEIGHT})).run(inputs)["denoised_latents"]
    assert not np.array_equal(partly, expected)
    assert not np.array_equal(partly, MilProgram.load(path).run(inputs)["denoised_latents"])


def test_weights_that_the_conversion_does_not_have(made: tuple[Path, Path]) -> None:
    model, checkpoint = made
    folder = ModelFolder.open(model)
    weights = uncompressed_weights(folder, "Encoder", load_checkpoint(checkpoint))
    with pytest.raises(CheckFailed, match=r"has a weight .* that the checkpoint's conversion does not have"):
        weights.restore(folder.package_path("Denoiser"))
