"""Recipes that ship with the library: found by name, readable, and usable for any package or bound to one."""

from __future__ import annotations

from pathlib import Path

import pytest

from palettization.recipe import load_recipes
from palettization.recipes import recipe_path, shipped, shipped_names
from palettization.rules import RecipeError

COMPONENTS = {"TextEncoder", "Conditioner", "Encoder", "Denoiser", "Decoder"}


@pytest.mark.parametrize("bits", [4, 6, 8])
def test_widths_for_any_checkpoint(bits: int) -> None:
    recipes = shipped(f"{bits}bit")
    assert recipes.keys() == COMPONENTS
    for recipe in recipes.values():
        assert recipe.default.bits >= bits
        assert not recipe.tensors
        assert not recipe.architecture
    assert recipes["Denoiser"].default.bits == recipes["TextEncoder"].default.bits == bits


def test_recipes_by_tensor_are_bound_to_an_architecture_and_fit_ios17() -> None:
    by_tensor = [name for name in shipped_names() if name.startswith("nano-")]
    assert "nano-4bit" in by_tensor
    for name in by_tensor:
        for recipe in shipped(name).values():
            assert len(recipe.architecture) == 64
            assert recipe.tensors
            assert {choice.bits for choice in recipe.tensors.values()} <= {1, 2, 4, 6, 8, 16}
            assert not any(choice.group_size for choice in recipe.tensors.values())


def test_names_that_are_not_shipped_are_refused() -> None:
    with pytest.raises(RecipeError, match="No recipe 'best' is shipped") as error:
        shipped("best")
    assert "6bit" in error.value.hint


def test_a_file_of_the_same_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_recipes(recipe_path("6bit")) == shipped("6bit")
    Path("6bit").write_text("{}")
    assert recipe_path("6bit") == Path("6bit")


def test_what_is_neither_file_nor_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "4bit").mkdir()
    assert load_recipes(recipe_path("4bit")) == shipped("4bit")
    for given, named in (("5bit", "5bit is neither a file nor"), (tmp_path, "is a folder")):
        with pytest.raises(RecipeError, match=named) as error:
            recipe_path(given)
        assert "nano-4bit" in error.value.hint
