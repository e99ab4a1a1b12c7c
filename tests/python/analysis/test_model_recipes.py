"""Recipes from a sensitivity: targets met in palettized packages, rules of deployment targets, what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
from narrow_model import Narrow, narrow_preset

from mobie_coreml.analysis.recipes import ModelRecipe, Target, component_options, make_recipe, save_recipe
from mobie_coreml.analysis.sensitivity_file import save_sensitivity
from mobie_coreml.ane.components import build_component
from mobie_coreml.cli.main import main
from mobie_coreml.cli.recipe import parse_bytes
from mobie_coreml.convert.component import convert_component
from mobie_coreml.errors import InputError
from mobie_coreml.models.checkpoint import load_checkpoint, new_checkpoint
from palettization.clustering import BITS
from palettization.palettize import palettize
from palettization.recipe import DENSE_BITS, load_recipes
from palettization.rules import RecipeError

IOS17_BITS = {1, 2, 4, 6, 8, DENSE_BITS}


def palettized(narrow: Narrow, found: ModelRecipe, folder: Path) -> dict[str, float]:
    """Stored bits a weight of each component, as the palettizer reports them; packages go into `folder`."""
    save_recipe(folder / "recipe.json", found)
    recipes = load_recipes(folder / "recipe.json")
    return {
        name: palettize(narrow.model / f"{name}.mlpackage", folder / f"{name}.mlpackage", recipe).bits_per_weight
        for name, recipe in recipes.items()
    }


def test_sizes_are_those_of_the_palettized_packages(narrow: Narrow, tmp_path: Path) -> None:
    found = make_recipe(narrow.model, narrow.sensitivity, Target(bits=5.0))
    stored = palettized(narrow, found, tmp_path)
    assert stored == pytest.approx({name: one.bits_per_weight for name, one in found.components.items()})
    for bits in stored.values():
        assert 4.8 < bits <= 5.0


def test_recipes_beat_uniform_bits_at_their_size(narrow: Narrow) -> None:
    for name in narrow.sensitivity.components:
        (one,) = make_recipe(narrow.model, narrow.sensitivity, Target(bits=5.0), (name,)).components.values()
        for bits, (stored, psnr) in one.uniform.items():
            at_size = make_recipe(narrow.model, narrow.sensitivity, Target(bits=stored * (1 + 1e-9)), (name,))
            (same_size,) = at_size.components.values()
            assert same_size.bits_per_weight <= stored * (1 + 1e-9)
            assert same_size.psnr >= psnr, (name, bits)


def test_widths_are_those_of_the_deployment_target(narrow: Narrow, tmp_path: Path) -> None:
    found = make_recipe(narrow.model, narrow.sensitivity, Target(bits=4.0))
    used = {choice.bits for one in found.components.values() for choice in one.recipe.tensors.values()}
    assert used <= IOS17_BITS
    component = build_component("TextEncoder", load_checkpoint(narrow.checkpoint), materialise=False)
    convert_component(component, tmp_path / "new.mlpackage", "iOS18")
    one = narrow.sensitivity.components["TextEncoder"]
    offered = component_options("TextEncoder", tmp_path / "new.mlpackage", one).options
    assert all({option.bits for option in given} == {*BITS, DENSE_BITS} for given in offered.values())


def test_a_psnr_is_kept_with_as_few_bytes(narrow: Narrow) -> None:
    low, high = (make_recipe(narrow.model, narrow.sensitivity, Target(psnr=psnr)) for psnr in (30.0, 45.0))
    for name, one in low.components.items():
        assert one.psnr >= 30
        assert high.components[name].psnr >= 45
        assert one.bytes < high.components[name].bytes


def test_a_size_is_that_of_all_packages(narrow: Narrow, tmp_path: Path) -> None:
    names = list(narrow.sensitivity.components)
    fp16 = sum(
        file.stat().st_size
        for name in names
        for file in (narrow.model / f"{name}.mlpackage").rglob("*")
        if file.is_file()
    )
    size = 6 * fp16 // 10
    found = make_recipe(narrow.model, narrow.sensitivity, Target(bytes=size))
    palettized(narrow, found, tmp_path)
    packages = [tmp_path / f"{name}.mlpackage" for name in found.components]
    taken = sum(file.stat().st_size for package in packages for file in package.rglob("*") if file.is_file())
    assert 0.9 * size < taken <= size
    worst = min(one.psnr for one in found.components.values())
    for name, one in found.components.items():
        # No component is worse off than it must be: with a little more PSNR for all it would not fit.
        better = make_recipe(narrow.model, narrow.sensitivity, Target(psnr=worst + 3), (name,)).components[name]
        assert one.bytes <= better.bytes


def test_one_component_gets_the_whole_size(narrow: Narrow) -> None:
    found = make_recipe(narrow.model, narrow.sensitivity, Target(bytes=10_000_000), ("Denoiser",))
    assert found.components["Denoiser"].psnr == math.inf


def test_palettized_models_do_as_well(narrow: Narrow, tmp_path: Path) -> None:
    whole = component_options(
        "Denoiser", narrow.model / "Denoiser.mlpackage", narrow.sensitivity.components["Denoiser"]
    )
    palettize(narrow.model / "Denoiser.mlpackage", tmp_path / "c.mlpackage", 6)
    again = component_options("Denoiser", tmp_path / "c.mlpackage", narrow.sensitivity.components["Denoiser"])
    assert dataclasses.replace(again, overhead=whole.overhead) == whole


@pytest.mark.parametrize(
    ("target", "named"),
    [
        (Target(bits=0.5), "cannot be met"),
        (Target(bytes=100), "cannot be met"),
    ],
)
def test_targets_out_of_reach_are_refused(narrow: Narrow, target: Target, named: str) -> None:
    with pytest.raises(InputError, match=named):
        make_recipe(narrow.model, narrow.sensitivity, target)


@pytest.mark.parametrize(
    "values",
    [{}, {"bits": 4.0, "psnr": 30.0}, {"bits": 0.0}, {"bits": -4.0}, {"bytes": 0}, {"psnr": -1.0}, {"psnr": math.nan}],
)
def test_targets_that_are_none_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"one target|no target"):
        Target(**values)  # type: ignore[arg-type]


def test_other_networks_are_refused(narrow: Narrow, tmp_path: Path) -> None:
    wide = dataclasses.replace(narrow_preset(), frame_size=(64, 64))
    text = dataclasses.replace(wide.text_encoder, num_hidden_layers=3)
    new_checkpoint(tmp_path / "checkpoint", dataclasses.replace(wide, text_encoder=text), seed=1)
    component = build_component("TextEncoder", load_checkpoint(tmp_path / "checkpoint"), materialise=False)
    convert_component(component, tmp_path / "other.mlpackage")
    one = narrow.sensitivity.components["TextEncoder"]
    with pytest.raises(InputError, match="another network"):
        component_options("TextEncoder", tmp_path / "other.mlpackage", one)
    found = make_recipe(narrow.model, narrow.sensitivity, Target(bits=4.0), ("TextEncoder",))
    with pytest.raises(RecipeError, match=r"does not have|another network"):
        palettize(tmp_path / "other.mlpackage", tmp_path / "out.mlpackage", found.components["TextEncoder"].recipe)


def test_components_that_the_sensitivity_lacks_are_refused(narrow: Narrow) -> None:
    with pytest.raises(InputError, match="has no Decoder"):
        make_recipe(narrow.model, narrow.sensitivity, Target(bits=4.0), ("Decoder",))


def test_other_weights_are_told(narrow: Narrow) -> None:
    assert make_recipe(narrow.model, narrow.sensitivity, Target(bits=4.0)).same_weights
    other = dataclasses.replace(narrow.sensitivity, checkpoint="00")
    assert not make_recipe(narrow.model, other, Target(bits=4.0)).same_weights


def test_few_passes_are_told(narrow: Narrow) -> None:
    assert not make_recipe(narrow.model, narrow.sensitivity, Target(bits=4.0)).rough
    few = {name: dataclasses.replace(one, backwards=15) for name, one in narrow.sensitivity.components.items()}
    sensitivity = dataclasses.replace(narrow.sensitivity, components=few)
    assert make_recipe(narrow.model, sensitivity, Target(bits=4.0)).rough


@pytest.mark.parametrize(
    ("text", "expected"),
    [("320MB", 320_000_000), ("1.5 GiB", 3 << 29), ("4096", 4096), ("12kb", 12_000), ("7 B", 7), ("2K", 2000)],
)
def test_sizes_in_words(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "MB", "-3MB", "3 TB", "1e3", "3 M B"])
def test_words_that_are_no_size(text: str) -> None:
    with pytest.raises(InputError, match="no size"):
        parse_bytes(text)


def test_on_the_command_line(narrow: Narrow, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, recipe = tmp_path / "s.json", tmp_path / "r.json"
    asked = ["--component", "TextEncoder", "--frames", "2", "--probes", "1", "--check", "4", "--quiet"]
    assert main(["sensitivity", str(narrow.model), narrow.checkpoint, str(out), *asked]) == 0
    shown = capsys.readouterr().out
    assert "TextEncoder" in shown
    assert "2 + 2" in shown
    assert main(["sensitivity", str(narrow.model), narrow.checkpoint, str(out), *asked]) == 2
    assert "--force" in capsys.readouterr().err
    assert "Fewer than 16 backward passes" in " ".join(shown.split())
    head = next(line for line in shown.splitlines() if line.startswith("component"))
    assert head.split() == ["component", "tensors", *map(str, BITS), "passes", "rank"]
    assert main(["recipe", str(narrow.model), str(out), str(out), "--target-bits", "4", "--force"]) == 2
    assert "would overwrite the sensitivity" in capsys.readouterr().err
    assert main(["recipe", str(narrow.model), str(out), str(recipe), "--target-bits", "4", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["rough"]
    assert figures["components"]["TextEncoder"]["bits_per_weight"] <= 4
    package, target = narrow.model / "TextEncoder.mlpackage", tmp_path / "out.mlpackage"
    assert main(["palettize", str(package), str(target), "--recipe", str(recipe), "--quiet"]) == 0
    assert main(["recipe", str(narrow.model), str(out), str(tmp_path / "no.json"), "--target-bits", "0.1"]) == 2
    assert main(["recipe", str(narrow.model), str(tmp_path / "none.json"), str(recipe), "--force"]) == 2
    assert not (tmp_path / "no.json").exists()


def test_unreadable_files_are_named(narrow: Narrow, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.json"
    path.write_bytes(b"\xff\xfe{")
    assert main(["recipe", str(narrow.model), str(path), str(tmp_path / "r.json"), "--min-psnr", "30"]) == 2
    assert str(path) in capsys.readouterr().err
    path.write_text("[" * 100_000)
    assert main(["recipe", str(narrow.model), str(path), str(tmp_path / "r.json"), "--min-psnr", "30"]) == 2
    assert main(["recipe", str(narrow.model), str(tmp_path), str(tmp_path / "r.json"), "--min-psnr", "30"]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    save_sensitivity(path, narrow.sensitivity)
    assert main(["recipe", str(tmp_path), str(path), str(tmp_path / "r.json"), "--min-psnr", "30"]) == 2
