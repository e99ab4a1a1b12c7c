"""Mixed-bit recipes of one component at one size: ours against uniform bits and against the greedy method.

Greedy is the method of ml-stable-diffusion's mixed-bit pre-analysis: every tensor at every width is compressed alone
and the component's PSNR against its uncompressed output is measured; each tensor then takes its lowest width that keeps
a PSNR threshold (or stays as it is), with the threshold as high as the size allows. Its code is ours. Ours takes one
sensitivity (a forward pass a frame, a few backward passes a frame) and allocates bits by it. All three use the same
frames, prompts and optimal tables, in PyTorch, in the checkpoint's precision.

Greedy and ours keep the number of stored bits a weight asked for, tables and uncompressed tensors counted. Uniform is
given the same width everywhere and takes what that takes, which is more. PSNR is that of the component's output over
the frames that methods saw, and over frames, noise and prompts that none of them saw. Passes are in forward passes, a
backward pass counted as two.

The last line is how much better than greedy's any choice of bits can be at that size, if errors of tensors add up: by
the errors that greedy measured one by one, the optimum with the last step taken in part against greedy's choice.

Exit code 1 if ours is less than 3 dB above either, or takes more than a tenth of greedy's passes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from mobie_coreml.analysis.calibration import Calibration, record_inputs
from mobie_coreml.analysis.cases import Cases, psnr_db
from mobie_coreml.analysis.recipes import ComponentOptions, component_options
from mobie_coreml.analysis.second_order import estimate
from mobie_coreml.analysis.sensitivity import ComponentSensitivity, TensorSensitivity
from mobie_coreml.analysis.tensors import Palettes, palettes_of, read_layout
from mobie_coreml.ane.components import COMPONENTS, build_component
from mobie_coreml.models.checkpoint import load_checkpoint
from palettization.allocate import Option, least_error, smallest_error
from palettization.recipe import DENSE_BITS

GAIN_DB, PASSES = 3.0, 0.1

Bits = dict[str, int]


def quiet(_: str) -> None:
    """No progress."""


def note(text: str) -> None:
    """Progress on standard error."""
    print(text, file=sys.stderr, flush=True)


def converted(checkpoint: str, component: str, folder: Path) -> Path:
    """A model folder with the component in fp16."""
    from mobie_coreml.convert.model import convert_model
    from mobie_coreml.convert.options import ConvertOptions

    options = ConvertOptions(components=(component,), weight_bits=DENSE_BITS)
    return convert_model(load_checkpoint(checkpoint), folder / "model", options).folder


def uniform(options: ComponentOptions, bits: int) -> Bits:
    """One width for all."""
    return dict.fromkeys(options.options, bits)


def greedy(cases: Cases, tensors: list[Palettes], options: ComponentOptions, budget: int) -> tuple[Bits, float]:
    """Each tensor's lowest width above a threshold of PSNR measured alone; and how much better a choice can be, dB."""
    measured: dict[str, list[tuple[Option, float]]] = {}
    for number, (name, given) in enumerate(options.options.items()):
        note(f"greedy: tensor {number + 1} of {len(options.options)}")
        palettes = [option for option in given if option.bits != DENSE_BITS]
        alone = [(option, psnr_db(cases.error(tensors, {name: option.bits}))) for option in palettes]
        measured[name] = [*alone, (given[-1], float("inf"))]

    def above(threshold: float) -> dict[str, Option]:
        return {name: next(one for one, psnr in pairs if psnr >= threshold) for name, pairs in measured.items()}

    def size(threshold: float) -> int:
        return sum(option.bytes for option in above(threshold).values())

    thresholds = sorted({psnr for pairs in measured.values() for _, psnr in pairs})
    best = max(threshold for threshold in thresholds if size(threshold) <= budget)
    single = {
        name: [replace(option, error=10 ** (-psnr / 10)) for option, psnr in pairs] for name, pairs in measured.items()
    }
    chosen = {name: option.bits for name, option in above(best).items()}
    error = sum(one.error for name, given in single.items() for one in given if one.bits == chosen[name])
    return chosen, psnr_db(least_error(single, budget)) - psnr_db(error)


def compare(arguments: argparse.Namespace, model: Path) -> dict[str, Any]:
    """All figures."""
    checkpoint, name = load_checkpoint(arguments.checkpoint), arguments.component
    frames = arguments.frames + arguments.held_out
    calibration = Calibration(frames=frames, clip=arguments.clip, seed=arguments.seed)
    records = record_inputs(model, arguments.checkpoint, (name,), calibration, quiet)[name]
    component = build_component(name, checkpoint, attention="original")
    package = model / f"{name}.mlpackage"
    layout = read_layout(package, component)
    tensors = palettes_of(component, layout, quiet)
    seen, unseen = records[: arguments.frames], records[arguments.frames :]

    started, ours = time.process_time(), Cases(component, seen)
    errors = estimate(ours, tensors, arguments.probes, arguments.seed, note)
    sensitivity = ComponentSensitivity(
        layout.architecture,
        ours.forwards,
        ours.backwards,
        {
            tensor.parameter: TensorSensitivity(tensor.shape, tensor.distinct, {}, found)
            for tensor, found in zip(tensors, errors, strict=True)
        },
    )
    options = component_options(name, package, sensitivity)
    budget = options.budget(arguments.bits)
    chosen = {key: option.bits for key, option in smallest_error(options.options, budget).choices.items()}
    seconds = {"ours": time.process_time() - started}

    started, theirs = time.process_time(), Cases(component, seen)
    by_greedy, headroom = greedy(theirs, tensors, options, budget)
    seconds["greedy"] = time.process_time() - started

    passes = {"uniform": 0, "greedy": theirs.forwards, "ours": ours.forwards + 2 * ours.backwards}
    choices = {"uniform": uniform(options, arguments.uniform_bits), "greedy": by_greedy, "ours": chosen}
    again, others = Cases(component, seen), Cases(component, unseen)
    methods = {}
    for method, bits in choices.items():
        size = sum(next(one for one in options.options[key] if one.bits == bits[key]).bytes for key in bits)
        methods[method] = {
            "bits_per_weight": 8 * (options.left + size) / options.elements,
            "psnr_db": psnr_db(again.error(tensors, bits)),
            "held_out_psnr_db": psnr_db(others.error(tensors, bits)),
            "passes": passes[method],
            "cpu_s": seconds.get(method, 0.0),
            "tensors_by_bits": dict(sorted(Counter(bits.values()).items())),
        }
    return {
        "component": name,
        "checkpoint": checkpoint.digest,
        "tensors": len(tensors),
        "frames": len(seen),
        "held_out_frames": len(unseen),
        "methods": methods,
        "headroom_db": headroom,
        "passes_ratio": passes["ours"] / passes["greedy"],
    }


def render(figures: dict[str, Any]) -> None:
    """A table for people."""
    print(
        f"{figures['component']}, {figures['tensors']} tensors, {figures['frames']} frames, "
        f"{figures['held_out_frames']} held out"
    )
    print(f"{'':9}{'bits a weight':>14}{'PSNR dB':>9}{'held out':>10}{'passes':>8}{'CPU s':>8}  tensors x bits")
    for name, one in figures["methods"].items():
        widths = ", ".join(f"{count} x {bits}" for bits, count in one["tensors_by_bits"].items())
        print(
            f"{name:9}{one['bits_per_weight']:14.3f}{one['psnr_db']:9.1f}{one['held_out_psnr_db']:10.1f}"
            f"{one['passes']:8}{one['cpu_s']:8.1f}  {widths}"
        )
    print(f"passes, ours over greedy's: {figures['passes_ratio']:.3f}")
    print(f"any choice of bits is at most {figures['headroom_db']:.1f} dB above greedy's, if errors add up")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="nano")
    parser.add_argument("--model", type=Path, help="its model folder; converted anew unless given")
    parser.add_argument("--component", default="Denoiser", choices=COMPONENTS)
    parser.add_argument("--bits", type=float, default=4.0, help="stored bits a weight")
    parser.add_argument("--uniform-bits", type=int, default=4, choices=(1, 2, 4, 6, 8))
    parser.add_argument("--clip", type=Path, help="frames of a clip instead of drawings")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--held-out", type=int, default=4)
    parser.add_argument("--probes", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or converted(arguments.checkpoint, arguments.component, Path(folder))
        figures = compare(arguments, model)
    if arguments.json:
        print(json.dumps(figures, indent=2))
    else:
        render(figures)
    ours = figures["methods"]["ours"]["psnr_db"]
    others = max(figures["methods"][name]["psnr_db"] for name in ("uniform", "greedy"))
    return 0 if ours >= others + GAIN_DB and figures["passes_ratio"] <= PASSES else 1


if __name__ == "__main__":
    sys.exit(main())
