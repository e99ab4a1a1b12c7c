"""Weights palettized on the way: the bytes that palettizing the fp16 package gives, recipes, what the manifest says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mobie_coreml.ane.components import COMPONENTS, build_component
from mobie_coreml.cli.main import main
from mobie_coreml.convert.component import convert_component
from mobie_coreml.convert.model import Conversion, convert_model
from mobie_coreml.convert.options import ConvertOptions
from mobie_coreml.convert.weights import weight_recipes
from mobie_coreml.errors import InputError
from mobie_coreml.manifest import ModelFolder, verify_model
from mobie_coreml.manifest.gates import COMPONENT_GATE, LOWEST, default_gates, palettized_gate
from mobie_coreml.models.checkpoint import Checkpoint
from palettization.package import Package
from palettization.palettize import palettize
from palettization.recipe import Choice, Recipe, recipe_json
from palettization.rules import RecipeError

WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"
SMALL = ("Decoder",)
RESNET = "mid_block.resnets.0.conv1.weight"


@pytest.mark.parametrize(("name", "target"), [("Denoiser", "iOS17"), ("Conditioner", "iOS18")])
def test_the_bytes_are_those_of_palettizing_the_fp16_package(
    small_checkpoint: Checkpoint, tmp_path: Path, name: str, target: str
) -> None:
    tensors = {RESNET: Choice(8), "conv_out.weight": Choice(16)} if name == "Denoiser" else {}
    recipe = Recipe(Choice(4), tensors)
    component = build_component(name, small_checkpoint, materialise=False)
    made = convert_component(component, tmp_path / "made.mlpackage", target, recipe=recipe)
    convert_component(component, tmp_path / "fp16.mlpackage", target)
    report = palettize(tmp_path / "fp16.mlpackage", tmp_path / "later.mlpackage", recipe)
    assert made.digests[WEIGHTS] == report.digests[WEIGHTS]
    assert made.palettes is not None
    assert made.palettes.tensors == report.tensors
    assert made.palettes.checked == report.checked > 0
    with Package.open(made.path) as one, Package.open(report.path) as two:
        assert one.program == two.program
        assert one.spec.description.input == two.spec.description.input


def test_the_manifest_says_what_became_of_weights(converted: Conversion) -> None:
    for name, info in converted.manifest.components.items():
        assert info.palettes is not None
        assert info.palettes.recipe == "6bit"
        assert info.palettes.tensors > 0
        assert info.palettes.snr_db is not None
        assert 20 < info.palettes.snr_db < 60
        assert 4 < info.weight_bits < 16  # tensors of few values take fewer bits than 6
        with Package.open(ModelFolder.open(converted.folder).package_path(name)) as package:
            assert package.metadata["mobie.recipe_sha256"] == info.palettes.recipe_sha256
            assert float(package.metadata["mobie.weight_bits"]) == pytest.approx(info.weight_bits, abs=1e-4)


def test_sixteen_bits_are_plain(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    plain = convert_model(small_checkpoint, tmp_path / "model", ConvertOptions(SMALL, weight_bits=16))
    info = plain.manifest.components["Decoder"]
    assert info.palettes is None
    assert info.weight_bits == 16
    assert plain.manifest.gates.components["Decoder"] == COMPONENT_GATE
    with Package.open(tmp_path / "model/Decoder.mlpackage") as package:
        assert package.metadata["mobie.weight_bits"] == "16"
        assert not any(located.operation.type.startswith("constexpr_lut") for located in package.walk())


def test_bits_and_recipes_decide_on_reuse(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    model, recipe = tmp_path / "model", tmp_path / "mine.json"

    def convert(**options: Any) -> bool:
        """Whether the Decoder was made anew."""
        return bool(convert_model(small_checkpoint, model, ConvertOptions(SMALL, **options)).converted)

    assert convert()
    assert not convert(weight_bits=6)
    assert convert(weight_bits=4)
    recipe.write_text(recipe_json({"Decoder": Recipe(Choice(4))}))
    assert convert(recipe=str(recipe))  # of another name, which the package says
    assert not convert(recipe=str(recipe))
    recipe.write_text(recipe_json({"Decoder": Recipe(Choice(2))}))
    assert convert(recipe=str(recipe))
    assert verify_model(model).ok
    assert ModelFolder.open(model).component("Decoder").weight_bits < 6


def test_recipes_by_file_and_by_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(recipe_json({"Denoiser": Recipe(Choice(4), {RESNET: Choice(8)})}))
    mine = weight_recipes(ConvertOptions(recipe=str(path)))
    assert mine["Denoiser"] is not None
    assert (mine["Denoiser"].name, mine["Denoiser"].recipe.tensors) == ("mine", {RESNET: Choice(8)})
    assert mine["Decoder"] == weight_recipes(ConvertOptions())["Decoder"]
    assert weight_recipes(ConvertOptions(recipe="4bit")) == weight_recipes(ConvertOptions(weight_bits=4))
    assert set(weight_recipes(ConvertOptions(weight_bits=16)).values()) == {None}
    two = weight_recipes(ConvertOptions(weight_bits=2))["Denoiser"]
    assert two is not None
    assert two.recipe == Recipe(Choice(2))


def written(folder: Path, recipes: dict[str, Recipe]) -> str:
    path = folder / "recipe.json"
    path.write_text(recipe_json(recipes))
    return str(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (lambda _: {"weight_bits": 5}, "--weight-bits 5 is unknown"),
        (lambda _: {"weight_bits": 3}, "--weight-bits 3 is not for --target iOS17"),
        (lambda _: {"weight_bits": 4, "recipe": "6bit"}, "both say how many bits"),
        (lambda _: {"recipe": "no-such-recipe"}, "no-such-recipe is neither a file nor"),
        (lambda folder: {"recipe": written(folder, {"Encoder": Recipe(Choice(4))})}, "has nothing for Decoder"),
        (lambda folder: {"recipe": written(folder, {"UNet": Recipe(Choice(4))})}, "has a recipe for UNet"),
        (lambda folder: {"recipe": written(folder, {"Decoder": Recipe(Choice(3))})}, "3 bits, which iOS17 does not"),
        (
            lambda folder: {"recipe": written(folder, {"Decoder": Recipe(Choice(4), {"conv": Choice(4, 8)})})},
            "groups of 8 channels, which iOS17",
        ),
        (
            lambda folder: {"recipe": written(folder, {"Decoder": Recipe(Choice(4, cluster_dim=2))})},
            "vectors of 2, which iOS17",
        ),
        (
            lambda folder: {"recipe": written(folder, {"Decoder": Recipe(Choice(4, per_channel_scale=True))})},
            "scaled channels, which iOS17",
        ),
        (lambda folder: {"recipe": written(folder, {"Decoder": Recipe(Choice(4), {"no.such": Choice(4)})})}, "no_such"),
        (
            lambda folder: {"recipe": written(folder, {"Decoder": Recipe(Choice(4), architecture="0" * 64)})},
            "for another network",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(
    small_checkpoint: Checkpoint, tmp_path: Path, options: Callable[[Path], dict[str, Any]], message: str
) -> None:
    given = options(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises((InputError, RecipeError), match=message):
        convert_model(small_checkpoint, tmp_path / "model", ConvertOptions(SMALL, **given))
    assert sorted(tmp_path.iterdir()) == before


def test_three_bits_for_ios18(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    options = ConvertOptions(SMALL, target="iOS18", weight_bits=3)
    result = convert_model(small_checkpoint, tmp_path / "model", options)
    assert result.manifest.components["Decoder"].palettes
    assert any("needs iOS 18" in warning for warning in result.warnings)
    assert verify_model(tmp_path / "model").ok


def test_verification_looks_at_the_weights(model: Path) -> None:
    path = model / "mobie.json"
    content = json.loads(path.read_text())
    decoder = content["components"]["Decoder"]
    decoder["weight_bits"] += 0.01
    decoder["palettes"]["tensors"] += 1
    decoder["palettes"]["recipe_sha256"] = "0" * 64
    path.write_text(json.dumps(content))
    fields = [problem.where for problem in verify_model(model).problems]
    wanted = ("weight_bits", "palettes", "palettes.recipe_sha256")
    assert fields == [f"components.Decoder.{field}" for field in wanted]


def test_gates_follow_the_bits(converted: Conversion) -> None:
    gates = default_gates(converted.manifest.components)
    for name in COMPONENTS:
        gate = gates.components[name]
        assert (gate.fp32, gate.fp16) == (COMPONENT_GATE.fp32, COMPONENT_GATE.fp16)
        bits = converted.manifest.components[name].weight_bits
        assert gate.palettized == palettized_gate(name, bits)
        assert f"{bits:.2f} bits" in gate.reason
    assert gates.edit.palettized is not None
    assert [palettized_gate("Denoiser", bits) for bits in (16.0, 6.0, 5.0, 4.0)] == [32.0, 32.0, 26.0, 20.0]
    assert palettized_gate("edit", 1.0) == LOWEST


def test_the_command_takes_bits_and_keeps_quiet(
    small_checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["convert", str(small_checkpoint.path), str(tmp_path / "model"), "--component", "Decoder"]
    assert main([*arguments, "--weight-bits", "4", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert main([*arguments, "--weight-bits", "4"]) == 0
    shown = capsys.readouterr().out
    assert "reused" in shown
    assert max(len(line) for line in shown.splitlines() if str(tmp_path) not in line) <= 80
    assert main([*arguments, "--weight-bits", "4", "--recipe", "4bit"]) == 2
    assert "both say how many bits" in capsys.readouterr().err
