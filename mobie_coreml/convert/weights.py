"""Bits of weights: the recipe that each component gets, and what palettizing made of its weights."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

from mobie_coreml.convert.options import DEFAULT_WEIGHT_BITS, DENSE_WEIGHT_BITS, ConvertOptions
from mobie_coreml.errors import InputError
from mobie_coreml.manifest.content import COMPONENT_NAMES, Palettes
from palettization.palettize import Palettized
from palettization.plan import IOS16_BITS
from palettization.recipe import Choice, Recipe, load_recipes, recipe_json
from palettization.recipes import recipe_path, shipped, shipped_names
from palettization.report import bits_per_weight, snr


@dataclass(frozen=True)
class WeightRecipe:
    """What the weights of one component get, and what it is called."""

    name: str
    recipe: Recipe

    @property
    def digest(self) -> str:
        """SHA-256 of the recipe's JSON, whatever file it came from and whatever that says of other components."""
        return hashlib.sha256(recipe_json({"": self.recipe}).encode()).hexdigest()


def weight_recipes(options: ConvertOptions) -> Mapping[str, WeightRecipe | None]:
    """The recipe of every component that is asked for; None where weights stay fp16.

    `--weight-bits 6` is the shipped recipe "6bit", which gives more to components that cannot stand 6, and so for all
    widths that have such a recipe; for others every weight gets the same. Components that a recipe of the user's leaves
    out get the default.

    Raises:
        InputError: both bits and a recipe were asked for, or what the deployment target does not have.
        RecipeError: the recipe cannot be read.
    """
    if options.weight_bits == DENSE_WEIGHT_BITS:
        return dict.fromkeys(options.components)
    fallback = _uniform(options.weight_bits or DEFAULT_WEIGHT_BITS)
    chosen = fallback if options.recipe is None else _from_file(options)
    wanted = {name: chosen.get(name) or fallback[name] for name in options.components}
    if options.target == "iOS17":
        for name, weights in wanted.items():
            _check_ios17(name, weights)
    return wanted


def palettes_of(weights: WeightRecipe, done: Palettized) -> Palettes | None:
    """What the manifest says of a component's palettes; None where no weight has one."""
    palettized = [tensor for tensor in done.tensors if tensor.palettized]
    if not palettized:
        return None
    ratio = snr(palettized)
    return Palettes(weights.name, weights.digest, len(palettized), round(ratio, 3) if math.isfinite(ratio) else None)


def weight_entries(done: Palettized) -> dict[str, str]:
    """What a package says of its palettes."""
    ratio = snr([tensor for tensor in done.tensors if tensor.palettized])
    return {
        "mobie.weight_bits": f"{bits_per_weight(done.tensors):.4f}",
        "mobie.weight_snr": f"{ratio:.2f} dB" if math.isfinite(ratio) else "exact",
    }


def _uniform(bits: int) -> dict[str, WeightRecipe]:
    name = f"{bits}bit"
    recipes = shipped(name) if name in shipped_names() else {}
    return {one: WeightRecipe(name, recipes.get(one) or Recipe(Choice(bits))) for one in COMPONENT_NAMES}


def _from_file(options: ConvertOptions) -> Mapping[str, WeightRecipe]:
    assert options.recipe is not None
    path = recipe_path(options.recipe)
    recipes = load_recipes(path)
    unknown = sorted(recipes.keys() - set(COMPONENT_NAMES))
    if unknown:
        raise InputError(
            f"{path} has a recipe for {', '.join(unknown)}, which no model has.",
            f"Components are {', '.join(COMPONENT_NAMES)}.",
        )
    if not recipes.keys() & set(options.components):
        raise InputError(
            f"{path} has nothing for {', '.join(options.components)}.", f"It has {', '.join(sorted(recipes))}."
        )
    return {name: WeightRecipe(path.stem, recipe) for name, recipe in recipes.items()}


def _check_ios17(component: str, weights: WeightRecipe) -> None:
    """Refuses before any work what the packages would be refused for one by one."""
    for tensor, choice in {"its default": weights.recipe.default, **weights.recipe.tensors}.items():
        unknown = {
            f"{choice.bits} bits": not choice.dense and choice.bits not in IOS16_BITS,
            f"groups of {choice.group_size} channels": choice.group_size,
            f"vectors of {choice.cluster_dim}": choice.cluster_dim > 1,
            "scaled channels": choice.per_channel_scale,
        }
        what = " and ".join(name for name, wanted in unknown.items() if wanted)
        if not what:
            continue
        raise InputError(
            f"{weights.name} gives {component} ({tensor}) {what}, which iOS17 does not have.",
            f"It has {', '.join(map(str, IOS16_BITS))} bits and one table a tensor. Pass --target iOS18 for more.",
        )
