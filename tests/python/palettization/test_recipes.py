"""Recipes: what files may say, how they meet a package, and the rules for what is left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palettization.package import Package
from palettization.palettize import palettize
from palettization.recipe import Choice, Recipe, load_recipe, load_recipes, recipe_json
from palettization.rules import RecipeError, SkipRules
from palettization.stored import architecture_digest, stored_weights

Write = Callable[..., Path]


@pytest.fixture
def source(write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path) -> Path:
    """A package for iOS17 with three convolutions."""
    return write_package(tmp_path / "in.mlpackage", weights)


def bits_of(source: Path, recipe: Recipe) -> list[int]:
    report = palettize(source, source.parent / "out.mlpackage", recipe, force=True)
    return [tensor.bits for tensor in report.tensors]


def test_tensors_are_named_as_in_the_checkpoint_or_the_package(source: Path) -> None:
    recipe = Recipe(Choice(6), {"down.conv.weight": Choice(2), "mid_proj_weight": Choice(16), "out.weight": Choice(4)})
    assert bits_of(source, recipe) == [2, 0, 4]


def test_what_coremltools_appends_to_names_is_left_out(write_package: Write, tmp_path: Path) -> None:
    array = np.random.default_rng(0).standard_normal((64, 64, 1, 1)).astype(np.float16)
    source = write_package(tmp_path / "in.mlpackage", {"conv_weight_to_fp16": array, "other_to_fp16": array + array})
    assert bits_of(source, Recipe(Choice(6), {"conv.weight": Choice(2), "other_to_fp16": Choice(4)})) == [2, 4]


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        (SkipRules(elements=0), [False, False, False]),
        (SkipRules(), [False, False, True]),
        (SkipRules(elements=0, first=True), [True, False, False]),
        (SkipRules(elements=0, last=True), [False, False, True]),
        (SkipRules(elements=0, names=("mid_*", "out_weight")), [False, True, True]),
        (SkipRules(elements=0, operations=("conv",)), [True, True, True]),
        (SkipRules(elements=0, axes=3), [False, True, True]),
    ],
)
def test_rules_say_what_is_left(source: Path, rules: SkipRules, left: list[bool]) -> None:
    assert [bits == 0 for bits in bits_of(source, Recipe(Choice(4), skip=rules))] == left


def test_depthwise_convolutions_are_left(write_package: Write, tmp_path: Path) -> None:
    array = np.random.default_rng(0).standard_normal((512, 1, 3, 3)).astype(np.float16)
    source = write_package(tmp_path / "in.mlpackage", {"w": array})
    assert bits_of(source, Recipe(Choice(4))) == [0]
    assert bits_of(source, Recipe(Choice(4), skip=SkipRules(depthwise=False))) == [4]


def test_files_give_back_what_was_written(tmp_path: Path) -> None:
    recipes = {
        "Denoiser": Recipe(
            Choice(6),
            {"a.weight": Choice(4), "b.weight": Choice(3, 16), "c": Choice(16), "d": Choice(8, 0, 2, True)},
            SkipRules(elements=7, first=True, names=("x*",)),
            "ab12",
        ),
        "Decoder": Recipe(Choice(8)),
    }
    path = tmp_path / "recipe.json"
    path.write_text(recipe_json(recipes))
    assert load_recipes(path) == recipes
    assert load_recipe(path, "Decoder") == recipes["Decoder"]
    with pytest.raises(RecipeError, match="2 components"):
        load_recipe(path)
    with pytest.raises(RecipeError, match="no component 'Encoder'"):
        load_recipe(path, "Encoder")


GOOD: dict[str, Any] = {"version": 1, "components": {"Net": {"default": 6}}}


def with_entry(**entry: Any) -> dict[str, Any]:
    return {"version": 1, "components": {"Net": {"default": 6, **entry}}}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "cannot be read"),
        ([], "version 1"),
        ({**GOOD, "version": 2}, "version 1"),
        ({**GOOD, "more": 1}, "nothing else"),
        ({"version": 1, "components": {}}, "components"),
        ({"version": 1, "components": {"Net": {}}}, "'default'"),
        (with_entry(unknown=1), "'default'"),
        (with_entry(default=5), "5 is no number of bits"),
        (with_entry(default=True), "default is True"),
        (with_entry(tensors=[]), "'tensors' is an object"),
        (with_entry(tensors={"a": "4"}), "a is '4'"),
        (with_entry(tensors={"a": {"bits": 4, "group_size": -1}}), "no group"),
        (with_entry(tensors={"a": {"bits": 4, "cluster_dim": 3}}), "3 weights cannot share an index"),
        (with_entry(tensors={"a": {"bits": 4, "cluster_dim": 4, "group_size": 6}}), "no whole vectors of 4"),
        (with_entry(tensors={"a": {"bits": 4, "per_channel_scale": 1}}), "a is {'bits': 4"),
        (with_entry(tensors={"a": {"bits": 4, "scale": True}}), "a is {'bits': 4"),
        (with_entry(tensors={"a": {"group_size": 4}}), "a is {'group_size': 4"),
        (with_entry(tensors={"a.b": 4, "a_b": 4}), "twice"),
        (with_entry(skip={"size": 1}), "skip rules"),
        (with_entry(skip={"elements": "many"}), "no whole number"),
        (with_entry(skip={"names": [1]}), "no list of names"),
    ],
)
def test_files_that_are_no_recipes_are_refused(tmp_path: Path, content: Any, named: str) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(RecipeError, match=named):
        load_recipes(path)


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        (Recipe(Choice(6), {"conv.nowhere": Choice(4)}), "does not have: conv_nowhere"),
        (Recipe(Choice(6), {f"n{i}": Choice(4) for i in range(9)}), "and 6 more"),
        (Recipe(Choice(6), architecture="00"), "another network"),
        (Recipe(Choice(3)), "no 3-bit palettes"),
        (Recipe(Choice(4, 8)), "one table a tensor"),
    ],
)
def test_recipes_that_do_not_fit_are_refused(source: Path, recipe: Recipe, named: str) -> None:
    with pytest.raises(RecipeError, match=named):
        palettize(source, source.parent / "out.mlpackage", recipe)
    assert [item.name for item in source.parent.iterdir()] == [source.name]


def test_groups_that_do_not_divide_are_refused_where_named(
    write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    source = write_package(tmp_path / "in.mlpackage", weights, opset=8)
    with pytest.raises(RecipeError, match="by 8 channels, but it has 101"):
        palettize(source, tmp_path / "out.mlpackage", Recipe(Choice(4), {"mid_proj_weight": Choice(4, 8)}))


def test_named_tensors_that_cannot_be_compressed_are_refused(source: Path) -> None:
    out = source.parent / "out.mlpackage"
    palettize(source, out, 4)
    with pytest.raises(RecipeError, match="compressed already"):
        palettize(out, source.parent / "two.mlpackage", Recipe(Choice(4), {"mid_proj_weight": Choice(2)}))


def test_the_architecture_digest_is_of_names_and_shapes(
    write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    def digest(path: Path) -> str:
        with Package.open(path) as package:
            return architecture_digest(stored_weights(package))

    source = write_package(tmp_path / "in.mlpackage", weights)
    palettize(source, tmp_path / "out.mlpackage", 4)
    other = write_package(tmp_path / "other.mlpackage", {name: array + array for name, array in weights.items()})
    assert digest(source) == digest(tmp_path / "out.mlpackage") == digest(other)
    renamed = {f"x_{name}": array for name, array in weights.items()}
    assert digest(write_package(tmp_path / "renamed.mlpackage", renamed)) != digest(source)
    assert bits_of(source, Recipe(Choice(4), architecture=digest(source))) == [4, 4, 0]
