"""Recipes: how many bits each tensor of a package gets, and the JSON files that hold them.

    {
      "version": 1,
      "components": {
        "Denoiser": {
          "architecture": "<SHA-256 of names and shapes, see architecture_digest>",
          "default": 6,
          "skip": {"elements": 2049, "names": ["conv_in_*"]},
          "tensors": {
            "mid_block.resnets.0.conv1.weight": 4,
            "conv_out.weight": 16,
            "up_blocks.0.resnets.0.conv1.weight": {"bits": 3, "group_size": 16},
            "up_blocks.0.resnets.0.conv2.weight": {"bits": 8, "cluster_dim": 2, "per_channel_scale": true}
          }
        }
      }
    }

Tensors are named as in the checkpoint or as in the package, where dots are underscores. 16 bits leave a tensor as it
is. `cluster_dim` neighbouring weights share an index, so that 8 bits with 2 of them are 4 bits a weight. Groups,
vectors and scales need iOS18.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from palettization.clustering import BITS
from palettization.rules import RecipeError, SkipRules

VERSION = 1
DENSE_BITS = 16
CLUSTER_DIMS = (1, 2, 4)
_LIMIT = 16 << 20
_KEYS = {"architecture", "default", "skip", "tensors"}


@dataclass(frozen=True)
class Choice:
    """What a tensor gets.

    Attributes:
        bits: Of an index, or 16 to leave the tensor as it is.
        group_size: Output channels that share a table; 0 is one table for the whole tensor. Needs iOS18.
        cluster_dim: Weights of neighbouring output channels that share an index: 1, 2 or 4. More than 1 needs iOS18.
        per_channel_scale: Whether every output channel has a factor of its own. Needs iOS18.
    """

    bits: int
    group_size: int = 0
    cluster_dim: int = 1
    per_channel_scale: bool = False

    def __post_init__(self) -> None:
        if self.bits not in (*BITS, DENSE_BITS):
            raise RecipeError(
                f"{self.bits} is no number of bits that Core ML has palettes for.",
                f"Choose {', '.join(map(str, BITS))}, or {DENSE_BITS} to leave a tensor as it is.",
            )
        if self.group_size < 0:
            raise RecipeError(f"A group of {self.group_size} channels is no group.", "Choose 1 or more, 0 for none.")
        if self.cluster_dim not in CLUSTER_DIMS:
            raise RecipeError(
                f"{self.cluster_dim} weights cannot share an index.", f"Choose {', '.join(map(str, CLUSTER_DIMS))}."
            )
        if self.group_size % self.cluster_dim:
            raise RecipeError(
                f"Groups of {self.group_size} channels hold no whole vectors of {self.cluster_dim}.",
                "Choose a multiple.",
            )

    @property
    def needs_ios18(self) -> bool:
        """Whether it asks for more than one table of numbers a tensor."""
        return bool(self.group_size) or self.cluster_dim > 1 or self.per_channel_scale

    @property
    def dense(self) -> bool:
        """Whether the tensor is left as it is."""
        return self.bits == DENSE_BITS


@dataclass(frozen=True)
class Recipe:
    """What each tensor of one package gets.

    Attributes:
        default: For tensors that `tensors` does not name and `skip` does not leave out.
        tensors: By name; these are compressed even if `skip` would leave them.
        skip: What is left as it is.
        architecture: Digest that the package must have, or "".
    """

    default: Choice
    tensors: dict[str, Choice] = field(default_factory=dict)
    skip: SkipRules = field(default_factory=SkipRules)
    architecture: str = ""

    def named(self) -> dict[str, Choice]:
        """`tensors` by their names in packages."""
        return {package_name(name): choice for name, choice in self.tensors.items()}


def package_name(name: str) -> str:
    """A checkpoint parameter's name as it stands in packages."""
    return name.replace(".", "_")


def load_recipe(path: Path, component: str | None = None) -> Recipe:
    """Reads one component's recipe.

    Args:
        path: The JSON file.
        component: Its name in the file; may be None where the file has one only.

    Raises:
        RecipeError: not a readable recipe, or it has no such component.
    """
    components = load_recipes(path)
    if component is None and len(components) == 1:
        return next(iter(components.values()))
    if component not in components:
        asked = f"no component {component!r}" if component else f"{len(components)} components"
        raise RecipeError(f"{path} has {asked}.", f"It has: {', '.join(sorted(components))}.")
    return components[component]


def load_recipes(path: Path) -> dict[str, Recipe]:
    """Reads all components of a recipe file, by name.

    Raises:
        RecipeError: not a readable recipe.
    """
    try:
        if path.stat().st_size > _LIMIT:
            raise RecipeError(f"{path} is larger than a recipe can sensibly be.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RecipeError(f"{path} cannot be read: {error}.", "Pass a recipe's JSON file.") from error
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise RecipeError(f"{path} is no recipe of version {VERSION}.", "Make one for this version of the program.")
    components = content.get("components")
    if set(content) != {"version", "components"} or not isinstance(components, dict) or not components:
        raise RecipeError(f"{path} needs 'version' and 'components' and nothing else.")
    return {str(name): _recipe(entry, f"{path}, {name}") for name, entry in components.items()}


def recipe_json(components: dict[str, Recipe]) -> str:
    """The text of a recipe file; `load_recipes` gives back the same recipes."""
    standard = SkipRules()
    entries: dict[str, Any] = {}
    for name, recipe in components.items():
        skip = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in vars(recipe.skip).items()
            if value != getattr(standard, key)
        }
        tensors = {tensor: _choice_json(choice) for tensor, choice in recipe.tensors.items()}
        entries[name] = {
            **({"architecture": recipe.architecture} if recipe.architecture else {}),
            "default": _choice_json(recipe.default),
            **({"skip": skip} if skip else {}),
            "tensors": tensors,
        }
    return json.dumps({"version": VERSION, "components": entries}, indent=2) + "\n"


def _choice_json(choice: Choice) -> Any:
    return (
        {key: value for key, value in vars(choice).items() if value or key == "bits"}
        if choice.needs_ios18
        else choice.bits
    )


def _recipe(entry: Any, where: str) -> Recipe:
    if not isinstance(entry, dict) or "default" not in entry or not set(entry) <= _KEYS:
        raise RecipeError(f"{where} needs 'default' and may have {', '.join(sorted(_KEYS - {'default'}))}.")
    tensors, architecture = entry.get("tensors", {}), entry.get("architecture", "")
    if not isinstance(tensors, dict) or not isinstance(architecture, str):
        raise RecipeError(f"{where}: 'tensors' is an object and 'architecture' a string.")
    choices = {str(name): _choice(value, f"{where}, {name}") for name, value in tensors.items()}
    if len({package_name(name) for name in choices}) < len(choices):
        raise RecipeError(f"{where} names a tensor twice, with dots and with underscores.")
    return Recipe(
        default=_choice(entry["default"], f"{where}, default"),
        tensors=choices,
        skip=SkipRules.from_json(entry.get("skip", {}), f"{where}, skip"),
        architecture=architecture,
    )


def _choice(value: Any, where: str) -> Choice:
    content = value if isinstance(value, dict) else {"bits": value}
    kinds = {field.name: type(field.default) for field in fields(Choice)} | {"bits": int}
    if "bits" not in content or any(type(item) is not kinds.get(key) for key, item in content.items()):
        raise RecipeError(
            f"{where} is {value!r}.", f'Write bits, or {{"bits": 4, "group_size": 16}}. Known: {", ".join(kinds)}.'
        )
    try:
        return Choice(**content)
    except RecipeError as error:
        raise RecipeError(f"{where}: {error.message}", error.hint) from error
