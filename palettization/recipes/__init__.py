"""Recipes that ship with the library, as data: `8bit.json`, `6bit.json` and `4bit.json` fit any checkpoint (bits per
component), `nano-4bit.json` and its like are made from one checkpoint's sensitivity (bits per tensor).
"""

from __future__ import annotations

from pathlib import Path

from palettization.recipe import Recipe, load_recipes
from palettization.rules import RecipeError

_FOLDER = Path(__file__).parent


def shipped_names() -> tuple[str, ...]:
    """Names of all shipped recipes, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


def shipped(name: str) -> dict[str, Recipe]:
    """The recipes of all components, by component, under a shipped name such as "6bit" or "nano-4bit".

    Raises:
        RecipeError: there is no such name.
    """
    if name not in shipped_names():
        raise RecipeError(f"No recipe {name!r} is shipped.", f"Shipped are {', '.join(shipped_names())}.")
    return load_recipes(_FOLDER / f"{name}.json")


def recipe_path(given: Path | str) -> Path:
    """The file that a user means who names a recipe: a file that exists, or a shipped recipe's name.

    Raises:
        RecipeError: it is neither.
    """
    path = Path(given)
    if path.is_file():
        return path
    if str(given) in shipped_names():
        return _FOLDER / f"{given}.json"
    what = "is a folder" if path.is_dir() else "is neither a file nor a shipped recipe's name"
    raise RecipeError(f"{path} {what}.", f"Pass a recipe's JSON file, or one of {', '.join(shipped_names())}.")
