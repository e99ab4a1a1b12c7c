"""Decides what happens to each weight of a package before any data is read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from palettization.clustering import BITS
from palettization.package import SpecError
from palettization.recipe import Choice, Recipe
from palettization.rules import RecipeError
from palettization.stored import CAST, COMPRESSED, StoredWeight, architecture_digest

COMPRESSED_ALREADY = "compressed already"
"""Why a tensor is left that has a compressed form."""
_CONVERT_AGAIN = "Convert the model again with minimum_deployment_target=iOS18, or choose other bits."
IOS16_BITS = tuple(bits for bits in BITS if bits != 3)
"""Widths of iOS16 and iOS17."""
_TO_FP16 = "_to_fp16"
_TABLE_SHARE = 1 / 16
"""Vectors are a default only where their tables add no more than this to their indices: else they lose to numbers."""


@dataclass(frozen=True)
class Decision:
    """What happens to one weight.

    Attributes:
        weight: The weight.
        choice: Its bits and groups, or None if it is left as it is.
        reason: Why it is left.
        group_axis: Axis of the output channels.
    """

    weight: StoredWeight
    choice: Choice | None
    reason: str = ""
    group_axis: int = 0

    @property
    def groups(self) -> int:
        """Number of tables."""
        if self.choice is None or not self.choice.group_size:
            return 1
        return self.weight.shape[self.group_axis] // self.choice.group_size

    @property
    def vector(self) -> int:
        """Weights that an index stands for."""
        return self.choice.cluster_dim if self.choice else 1

    @property
    def streamed(self) -> bool:
        """Whether its weights need not be in memory at once: it has one table of numbers."""
        return self.groups == 1 and self.vector == 1 and not (self.choice and self.choice.per_channel_scale)

    @property
    def ios18(self) -> bool:
        """Whether it takes iOS18's form: operation sets from CoreML8 on have no other."""
        return self.weight.opsets[-1] >= 8

    @property
    def widths(self) -> tuple[int, ...]:
        """Bits that its form has."""
        return BITS if self.ios18 else IOS16_BITS


def decide(weights: list[StoredWeight], recipe: Recipe, source: str) -> list[Decision]:
    """Applies a recipe to the weights of a package.

    Args:
        weights: As `stored_weights` gives them.
        recipe: What is wanted.
        source: Of the package, for error messages.

    Raises:
        RecipeError: the recipe is for another network, names a tensor that is not there or cannot be compressed, or
            wants what the package's deployment target does not know.
        SpecError: the package's operation sets have no common form of palettes.
    """
    named = recipe.named()
    known = {name for weight in weights for name in _names(weight)}
    missing = [name for name in named if name not in known]
    if missing:
        listed = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise RecipeError(
            f"The recipe names tensors that {source} does not have: {listed}.",
            f"Is it for another model? `mobie inspect {source} --all` lists the package's tensors.",
        )
    if recipe.architecture and recipe.architecture != architecture_digest(weights):
        raise RecipeError(
            f"The recipe is for another network than {source}: names or shapes of tensors differ.",
            "Make a recipe for this model.",
        )
    consumers = sorted({use.order for weight in weights for use in weight.uses})
    first_of = [min((use.order for use in weight.uses), default=-1) for weight in weights]
    positions = {order: position for position, order in enumerate(consumers)}
    decisions = []
    for weight, order in zip(weights, first_of, strict=True):
        wanted = next((named[name] for name in _names(weight) if name in named), None)
        position = positions.get(order, -1)
        reason = "" if wanted else recipe.skip.reason(weight, position, len(consumers))
        decisions.append(_decide(weight, wanted, recipe.default, reason, source))
    return decisions


def _decide(weight: StoredWeight, wanted: Choice | None, default: Choice, reason: str, source: str) -> Decision:
    choice = wanted or default
    if choice.dense:
        return Decision(weight, None, "16 bits asked for")
    unfit = ""
    if weight.form == COMPRESSED:
        unfit = COMPRESSED_ALREADY
    elif weight.form != CAST and weight.element != "float16":
        unfit = f"stored as {weight.element}"
    if unfit and wanted:
        raise RecipeError(
            f"The recipe gives {weight.name} {choice.bits} bits, but {source} holds it {unfit}.",
            "Decompress the package first, or convert the model to fp16.",
        )
    if unfit or reason:
        return Decision(weight, None, unfit or reason)
    opsets = weight.opsets
    if opsets[0] < 6 or (opsets[0] < 8 <= opsets[-1]):
        raise SpecError(
            f"{source} uses {weight.name} in operation sets CoreML{opsets[0]} to CoreML{opsets[-1]}, which have no "
            "form of palettes in common.",
            "Convert the model again with minimum_deployment_target=iOS16 or later.",
        )
    decision = Decision(weight, choice, group_axis=_channel_axis(weight))
    if choice.bits not in decision.widths:
        raise RecipeError(f"{source} is for iOS17 or earlier, which has no {choice.bits}-bit palettes.", _CONVERT_AGAIN)
    if choice.needs_ios18 and not decision.ios18:
        raise RecipeError(
            f"{source} is for iOS17 or earlier, which has one table a tensor, without vectors and scales.",
            _CONVERT_AGAIN,
        )
    return Decision(weight, _fitting(choice, decision, bool(wanted)), group_axis=decision.group_axis)


def _fitting(choice: Choice, decision: Decision, wanted: bool) -> Choice:
    """The choice without groups and vectors that the tensor's channels do not divide into.

    Raises:
        RecipeError: the recipe names the tensor, so that it wants just these.
    """
    weight, channels = decision.weight, decision.weight.shape[decision.group_axis]
    if wanted and choice.group_size and channels % choice.group_size:
        raise RecipeError(
            f"The recipe groups {weight.name} by {choice.group_size} channels, but it has {channels}.",
            "Choose a divisor, or 0 for one table.",
        )
    if wanted and channels % choice.cluster_dim:
        raise RecipeError(
            f"The recipe gives {weight.name} vectors of {choice.cluster_dim} channels, but it has {channels}.",
            "Choose a divisor, or 1 for no vectors.",
        )
    if choice.group_size and (channels % choice.group_size or channels == choice.group_size):
        choice = replace(choice, group_size=0)
    if choice.cluster_dim > 1 and not wanted:
        groups = channels // choice.group_size if choice.group_size else 1
        tables = groups * (1 << choice.bits) * choice.cluster_dim * 16
        if channels % choice.cluster_dim or tables > _TABLE_SHARE * weight.elements * choice.bits / choice.cluster_dim:
            # Numbers instead, of as many bits a weight or a few more.
            bits = next(width for width in decision.widths if width * choice.cluster_dim >= choice.bits)
            choice = replace(choice, bits=bits, cluster_dim=1)
    return choice


def _names(weight: StoredWeight) -> tuple[str, ...]:
    """What a recipe may call a weight: coremltools appends to the names of those that it brings to fp16."""
    return tuple(dict.fromkeys(stem for name in weight.names for stem in (name, name.removesuffix(_TO_FP16))))


def _channel_axis(weight: StoredWeight) -> int:
    """The axis of output channels: 1 for transposed convolutions and the second factor of matmul, else 0."""
    for use in weight.uses:
        if use.operation == "conv_transpose" and len(weight.shape) > 1:
            return 1
        if use.operation == "matmul" and use.parameter == "y":
            return len(weight.shape) - 1
    return 0
