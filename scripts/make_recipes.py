"""Makes the recipes in palettization/recipes/ anew from the embedded checkpoint.

8bit, 6bit, 4bit: a width for each component, for any checkpoint: the least one from there on at which the component's
predicted PSNR on the embedded checkpoint clears the gate that parity has for that width by a margin (predictions are
for drawings; frames of a clip can be some dB worse). At 6 bits the Conditioner and the Decoder keep 8: full-size ones
with random weights are within a dB of their gates, and both together are a twentieth of such a model. The Encoder keeps
8 at 6 and 4 bits: an autoencoder without a linear path, as TAESD is, would lose 16 dB and more (31.9 dB at 6 bits and
16.6 at 4 for the embedded checkpoint before it had one; the gate of 6 bits is 36).

nano-4bit: 4.0 bits a weight, tensor by tensor, tables included; more for components that would not clear the gate of
6 bits by a margin.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from mobie_coreml.analysis.calibration import Calibration
from mobie_coreml.analysis.recipes import ComponentRecipe, Target, make_recipe
from mobie_coreml.analysis.sensitivity import Sensitivity, SensitivityOptions, take_sensitivity
from mobie_coreml.analysis.sensitivity_file import load_sensitivity, save_sensitivity
from mobie_coreml.convert.model import convert_model
from mobie_coreml.convert.options import ConvertOptions
from mobie_coreml.files import atomic_file
from mobie_coreml.manifest.gates import palettized_gate
from mobie_coreml.models.checkpoint import EMBEDDED, load_checkpoint
from palettization.recipe import DENSE_BITS, Choice, Recipe, recipe_json

FOLDER = Path(__file__).resolve().parent.parent / "palettization" / "recipes"
WIDTHS = (4, 6, 8)
MIXED_BITS, MARGIN_DB = 4.0, 3.0
LEAST = {6: {"Encoder": 8, "Conditioner": 8, "Decoder": 8}, 4: {"Encoder": 8}}


def width(component: str, bits: int, uniform: ComponentRecipe) -> int:
    """The component's width in the recipe of that many bits."""
    least = LEAST.get(bits, {}).get(component, bits)
    enough = (
        one for one in WIDTHS if one >= least and uniform.uniform[one][1] >= palettized_gate(component, one) + MARGIN_DB
    )
    return next(enough, DENSE_BITS)


def mixed(model: Path, sensitivity: Sensitivity, component: str) -> ComponentRecipe:
    """The component's recipe, tensor by tensor."""
    wanted = palettized_gate(component, 6) + MARGIN_DB
    found = make_recipe(model, sensitivity, Target(bits=MIXED_BITS), (component,)).components[component]
    if found.psnr < wanted:
        found = make_recipe(model, sensitivity, Target(psnr=wanted), (component,)).components[component]
    return found


def write(name: str, recipes: dict[str, Recipe]) -> None:
    """One file, whole or not at all."""
    with atomic_file(FOLDER / f"{name}.json") as temporary:
        temporary.write_text(recipe_json(recipes), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", type=Path, help="the embedded checkpoint's model folder; converted anew unless given"
    )
    parser.add_argument("--sensitivity", type=Path, help="read it from this file, or keep it there if there is none")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--probes", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model
        if model is None:
            model = Path(folder) / "model"
            convert_model(load_checkpoint(EMBEDDED), model, ConvertOptions(weight_bits=DENSE_BITS))
        kept = arguments.sensitivity
        if kept is not None and kept.exists():
            sensitivity = load_sensitivity(kept)
        else:
            options = SensitivityOptions(calibration=Calibration(frames=arguments.frames), probes=arguments.probes)
            sensitivity = take_sensitivity(model, EMBEDDED, options, progress=lambda what: print(what, file=sys.stderr))
            if kept is not None:
                save_sensitivity(kept, sensitivity)
        by_component = {name: mixed(model, sensitivity, name) for name in sensitivity.components}
    for bits in WIDTHS:
        widths = {name: width(name, bits, one) for name, one in by_component.items()}
        write(f"{bits}bit", {name: Recipe(Choice(chosen)) for name, chosen in widths.items()})
        print(f"{bits}bit: {', '.join(f'{name} {chosen}' for name, chosen in widths.items())}")
    write(f"{EMBEDDED}-4bit", {name: one.recipe for name, one in by_component.items()})
    for name, one in by_component.items():
        uniform = ", ".join(f"{bits}: {psnr:.1f}" for bits, (_, psnr) in one.uniform.items())
        print(
            f"{EMBEDDED}-4bit, {name}: {one.bits_per_weight:.3f} bits, {one.psnr:.1f} dB predicted; uniform {uniform}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
