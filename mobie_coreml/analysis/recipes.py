"""Recipes from sensitivities: bits a tensor for a size or a quality, under the deployment target's rules."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mobie_coreml.analysis.cases import psnr_db
from mobie_coreml.analysis.sensitivity import ComponentSensitivity, Sensitivity
from mobie_coreml.errors import InputError
from mobie_coreml.files import atomic_file
from mobie_coreml.manifest import COMPONENT_NAMES, ModelFolder
from palettization.allocate import Allocation, AllocationError, Option, fewest_bytes, smallest_error
from palettization.clustering import narrowest_bits
from palettization.package import Package, summarise
from palettization.plan import Decision
from palettization.recipe import DENSE_BITS, Choice, Recipe, package_name, recipe_json
from palettization.report import MANIFEST_BYTES, palette_bytes
from palettization.stored import CAST, StoredWeight, architecture_digest, stored_weights

_STEPS = 25
"""Halvings of the interval in which a common PSNR is looked for."""
_MOST_DB = 400.0
_RECORD_BYTES = 128
"""Most that a record of a weight file takes beside its data: a header of 64 bytes and alignment to 64."""
_OPERATION_BYTES = 256
"""What a palette's operation takes in a specification beyond a plain constant's; a generous round number."""


@dataclass(frozen=True)
class Target:
    """What a recipe must meet; one of the three.

    Attributes:
        bits: Stored bits a weight of each component, tables and tensors left as they are included.
        bytes: Of the packages of all components together.
        psnr: In dB, predicted, of each component's output.
    """

    bits: float | None = None
    bytes: int | None = None
    psnr: float | None = None

    def __post_init__(self) -> None:
        given = {"--target-bits": self.bits, "--target-size": self.bytes, "--min-psnr": self.psnr}
        named = {name: value for name, value in given.items() if value is not None}
        if len(named) != 1:
            raise InputError("A recipe has one target.", f"Pass one of {', '.join(given)}.")
        ((name, value),) = named.items()
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} {value:g} is no target.", "Give a positive number.")


@dataclass(frozen=True)
class ComponentRecipe:
    """One component's part of a recipe.

    Attributes:
        recipe: For the palettizer.
        elements: Weights of the component.
        bytes: Of all of them as stored.
        psnr: Predicted, of its output, in dB.
        uniform: By bits, what the same width for all palettizable tensors would give: stored bits a weight and PSNR.
    """

    recipe: Recipe
    elements: int
    bytes: int
    psnr: float
    uniform: Mapping[int, tuple[float, float]]

    @property
    def bits_per_weight(self) -> float:
        """Stored bits a weight."""
        return 8 * self.bytes / self.elements

    @property
    def tensors_by_bits(self) -> dict[int, int]:
        """How many tensors have each width."""
        return dict(sorted(Counter(choice.bits for choice in self.recipe.tensors.values()).items()))


@dataclass(frozen=True)
class ModelRecipe:
    """A recipe for some components of a model.

    Attributes:
        components: By name.
        same_weights: Whether the sensitivity was taken on the very weights of the model.
        rough: Whether it rests on few passes, so that predictions are too good.
    """

    components: Mapping[str, ComponentRecipe]
    same_weights: bool
    rough: bool


@dataclass(frozen=True)
class ComponentOptions:
    """What a component's tensors can choose from, and what none of their choices changes.

    Attributes:
        options: Of every palettizable tensor.
        elements: Of all weights.
        left: Bytes of the weights that are left as they are.
        overhead: At most, of what else its package holds.
        architecture: Digest of its tensors.
    """

    options: dict[str, list[Option]]
    elements: int
    left: int
    overhead: int
    architecture: str

    def budget(self, bits: float) -> int:
        """Bytes that stored `bits` a weight allow the palettizable tensors."""
        return int(bits * self.elements / 8) - self.left

    def recipe(self, allocation: Allocation) -> ComponentRecipe:
        """The recipe of an allocation of these options."""
        choices = {name: Choice(option.bits) for name, option in allocation.choices.items()}
        uniform = {}
        for bits in sorted({option.bits for options in self.options.values() for option in options} - {DENSE_BITS}):
            same = [next(one for one in options if one.bits == bits) for options in self.options.values()]
            stored = 8 * (self.left + sum(one.bytes for one in same)) / self.elements
            uniform[bits] = (stored, psnr_db(math.fsum(one.error for one in same)))
        return ComponentRecipe(
            recipe=Recipe(Choice(DENSE_BITS), choices, architecture=self.architecture),
            elements=self.elements,
            bytes=self.left + allocation.bytes,
            psnr=psnr_db(allocation.error),
            uniform=uniform,
        )


def make_recipe(model: Path, sensitivity: Sensitivity, target: Target, components: Sequence[str] = ()) -> ModelRecipe:
    """Chooses the bits of every tensor.

    With a number of bits or a PSNR each component is on its own. With a size, it is shared so that the lowest predicted
    PSNR of any component is as high as can be.

    Args:
        model: Model folder: sizes, and the widths that its deployment target knows.
        sensitivity: Of a model of the same architecture.
        target: What to meet.
        components: Those of the sensitivity unless given.

    Raises:
        InputError: the sensitivity is of another model or lacks a component, or no choice of bits meets the target.
        PackageError: a package cannot be read.
    """
    folder = ModelFolder.open(model)
    names = [name for name in COMPONENT_NAMES if name in (components or sensitivity.components)]
    unknown = sorted(set(components) - set(sensitivity.components))
    if unknown or not names:
        held = ", ".join(sensitivity.components) or "none"
        raise InputError(f"The sensitivity has no {unknown[0] if unknown else 'component'}.", f"It has {held}.")
    sized = {name: component_options(name, folder.package_path(name), sensitivity.components[name]) for name in names}
    same_weights = folder.manifest.provenance.checkpoint_sha256 == sensitivity.checkpoint
    try:
        allocations = _allocate(sized, target)
    except AllocationError as error:
        raise InputError(f"The target cannot be met: {error.message}", _HINTS[_kind(target)]) from error
    rough = any(sensitivity.components[name].rough for name in names)
    return ModelRecipe({name: sized[name].recipe(found) for name, found in allocations.items()}, same_weights, rough)


def component_options(name: str, package: Path, sensitivity: ComponentSensitivity) -> ComponentOptions:
    """Sizes and errors of all options of a component's tensors.

    Args:
        name: Of the component.
        package: Its package, palettized or not.
        sensitivity: Of a component of the same architecture.

    Raises:
        InputError: the sensitivity is of another network.
        PackageError: the package cannot be read.
    """
    with Package.open(package) as opened:
        weights = stored_weights(opened)
        summary = summarise(opened)
    stored = {weight.name: weight.bytes for weight in summary.weights}
    digest = architecture_digest(weights)
    by_name = {known: weight for weight in weights for known in weight.names}
    named = {parameter: by_name.get(package_name(parameter)) for parameter in sensitivity.tensors}
    if digest != sensitivity.architecture or None in named.values():
        raise InputError(
            f"The sensitivity of {name} is of another network than {package}.",
            "Take it anew: `mobie sensitivity MODEL CHECKPOINT OUT`.",
        )
    options = {
        parameter: _options(
            weight, sensitivity.tensors[parameter].distinct, sensitivity.tensors[parameter].output_error
        )
        for parameter, weight in named.items()
        if weight is not None
    }
    chosen = {weight.name for weight in named.values() if weight is not None}
    return ComponentOptions(
        options=options,
        elements=sum(weight.elements for weight in weights),
        left=sum(stored[weight.name] for weight in weights if weight.name not in chosen),
        overhead=summary.specification_bytes
        + MANIFEST_BYTES
        + _RECORD_BYTES * (len(weights) + len(options))
        + _OPERATION_BYTES * len(options),
        architecture=digest,
    )


_HINTS = {
    "bits": "Ask for more bits a weight.",
    "bytes": "Ask for a larger size, or for fewer components.",
    "psnr": "Ask for a lower PSNR.",
}


def _kind(target: Target) -> str:
    return next(name for name in _HINTS if getattr(target, name) is not None)


def _allocate(sized: Mapping[str, ComponentOptions], target: Target) -> dict[str, Allocation]:
    if target.bits is not None:
        return {name: smallest_error(one.options, one.budget(target.bits)) for name, one in sized.items()}
    if target.psnr is not None:
        return _at_psnr(sized, target.psnr)
    assert target.bytes is not None
    budget = target.bytes - sum(one.left + one.overhead for one in sized.values())
    if len(sized) == 1:
        return {name: smallest_error(one.options, budget) for name, one in sized.items()}
    smallest = {name: _smallest(one) for name, one in sized.items()}
    best, low, high = smallest, min(psnr_db(one.error) for one in smallest.values()), _MOST_DB
    if _bytes(smallest) > budget:
        raise AllocationError(f"the smallest choice of bits exceeds it by {_bytes(smallest) - budget:,} bytes.")
    for _ in range(_STEPS):
        middle = (low + high) / 2
        found = _at_psnr(sized, middle)
        if _bytes(found) <= budget:
            best, low = found, middle
        else:
            high = middle
    return best


def _at_psnr(sized: Mapping[str, ComponentOptions], psnr: float) -> dict[str, Allocation]:
    return {name: fewest_bytes(one.options, 10 ** (-psnr / 10)) for name, one in sized.items()}


def _smallest(one: ComponentOptions) -> Allocation:
    return Allocation({name: min(given, key=lambda option: option.bytes) for name, given in one.options.items()})


def _bytes(found: Mapping[str, Allocation]) -> int:
    return sum(one.bytes for one in found.values())


def _options(weight: StoredWeight, distinct: int, errors: Mapping[int, float]) -> list[Option]:
    """All widths that the package's operation set has, and the tensor as it is."""
    allowed = Decision(weight, None).widths
    itemsize = 4 if weight.form == CAST or weight.element == "float32" else 2
    options = []
    for bits in allowed:
        width = narrowest_bits(distinct, bits, allowed)
        options.append(Option(bits, palette_bytes(weight.elements, width, 1, itemsize), errors[bits]))
    return [*options, Option(DENSE_BITS, 2 * weight.elements, 0.0)]


def save_recipe(path: Path, found: ModelRecipe) -> None:
    """Writes the recipe's JSON file, whole or not at all; `palettization.recipe.load_recipes` reads it."""
    with atomic_file(path) as temporary:
        recipes = {name: one.recipe for name, one in found.components.items()}
        temporary.write_text(recipe_json(recipes), encoding="utf-8")
