"""What a user asks of a conversion, checked before any work."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mobie_coreml.errors import InputError
from mobie_coreml.manifest.content import COMPONENT_NAMES, COMPUTE_UNITS

ATTENTION_FORMS = ("original", "split-einsum", "split-einsum-v2")
TARGETS = ("iOS17", "iOS18")
DENSE_WEIGHT_BITS = 16
DEFAULT_WEIGHT_BITS = 6
WEIGHT_BITS = (DENSE_WEIGHT_BITS, 8, 6, 4, 3, 2, 1)


@dataclass(frozen=True)
class ConvertOptions:
    """Options of `convert_model`.

    Args:
        components: Those to convert; all by default.
        size: Frame (width, height) in pixels; the checkpoint's own by default.
        attention: One of ATTENTION_FORMS.
        target: Oldest system that the packages load on, one of TARGETS.
        compute_units: Recommended for all components but the Conditioner, which is CPU work; by default the Neural
            Engine for the split attention forms and the GPU for "original".
        weight_bits: One of WEIGHT_BITS: 16 leaves weights fp16, fewer give them palettes; 3 needs iOS18. None is
            DEFAULT_WEIGHT_BITS. Components that lose too much keep more (palettization/recipes).
        recipe: A recipe file, or the name of one that ships with mobie, instead of `weight_bits`.
        force: Convert every component again, even where nothing changed.

    Raises:
        InputError: a value is not one of those listed.
    """

    components: tuple[str, ...] = COMPONENT_NAMES
    size: tuple[int, int] | None = None
    attention: str = "split-einsum"
    target: str = "iOS17"
    compute_units: str | None = None
    weight_bits: int | None = None
    recipe: str | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if not self.components:
            raise InputError("No component was asked for.", f"Components are {', '.join(COMPONENT_NAMES)}.")
        for name in self.components:
            _one_of("--component", name, COMPONENT_NAMES)
        _one_of("--attention", self.attention, ATTENTION_FORMS)
        _one_of("--target", self.target, TARGETS)
        if self.compute_units is not None:
            _one_of("--compute-units", self.compute_units, COMPUTE_UNITS)
        if self.weight_bits is not None:
            _one_of("--weight-bits", str(self.weight_bits), [str(bits) for bits in WEIGHT_BITS])
            if self.recipe is not None:
                raise InputError(
                    "--weight-bits and --recipe both say how many bits weights get.", "Pass one of the two."
                )
            if self.weight_bits == 3 and self.target == "iOS17":
                raise InputError("--weight-bits 3 is not for --target iOS17.", "Choose 2 or 4, or --target iOS18.")

    def units_of(self, component: str) -> str:
        """Recommended compute units of a component."""
        if component == "Conditioner":
            return "cpuOnly"
        return self.compute_units or ("cpuAndGPU" if self.attention == "original" else "cpuAndNeuralEngine")


def _one_of(option: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise InputError(f"{option} {value} is unknown.", f"Choose one of {', '.join(choices)}.")


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) of "512x384".

    Raises:
        InputError: it is not written so.
    """
    found = re.fullmatch(r"([0-9]{1,5})[xX]([0-9]{1,5})", text.strip())
    if found is None:
        raise InputError(f"--size {text} is not a size.", "Write width x height in pixels, for example 512x384.")
    return int(found[1]), int(found[2])
