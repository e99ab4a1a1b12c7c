"""The model card of a run's result, from what its files say: what it is, how it was made, from what, its limits."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open

from mobie_coreml.files import atomic_file, read_json_object
from mobie_coreml.models.checkpoint_files import INFO_FILE
from mobie_coreml.training.lineage import own_entry

CARD = "MODEL_CARD.md"
TRAINING_FILE = "training.json"
"""What an autoencoder's folder says of its training."""

STAGES: Mapping[str, str] = {
    "autoencoder": "a tiny autoencoder: frames to latents and back",
    "teacher": "an instruction editor sampled in several steps, guided in three passes a step",
    "guidance": "an instruction editor sampled in several steps of one pass, both guidance scales being inputs",
    "velocity": "the same editor as before, predicting velocity: what one-step training starts from",
    "one-step": "an instruction editor of one step and one pass a frame, both guidance scales being inputs",
}
"""What each stage's result is."""

LIMITS: Mapping[str, str] = {
    "autoencoder": "What it blurs, no editor on top of it can restore.",
    "teacher": "It knows the kinds of instructions that it was trained on; others may do anything or nothing.",
    "guidance": "Guidance outside of the ranges above was never trained. It inherits what its teacher cannot do.",
    "velocity": "It inherits what its teacher cannot do.",
    "one-step": "Guidance outside of the ranges above was never trained. It inherits what its teacher cannot do, and "
    "adversarial training can add texture that is not in the frame.",
}
NAMES: Mapping[str, str] = {
    "held_out_psnr": "held-out PSNR, dB",
    "training_psnr": "training PSNR, dB",
    "loss": "loss",
}
"""Figures whose names are not words."""


def write_model_card(folder: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Writes `MODEL_CARD.md` into a result's folder.

    Args:
        folder: A checkpoint or an autoencoder's folder, as a stage has written it.
        records: The run's metrics.
    """
    with atomic_file(folder / CARD) as temporary:
        temporary.write_text(model_card(folder, records), encoding="utf-8")


def model_card(folder: Path, records: Sequence[Mapping[str, Any]]) -> str:
    """The card's text; arguments as for `write_model_card`."""
    is_checkpoint = (folder / INFO_FILE).is_file()
    info = read_json_object(folder / (INFO_FILE if is_checkpoint else TRAINING_FILE))
    provenance: Mapping[str, Any] = info["provenance"] if is_checkpoint else info
    stage = str(provenance.get("stage"))
    title = f"{info['preset']}, {stage}" if is_checkpoint else stage
    lines = [f"# {title}", "", f"{STAGES.get(stage, stage).capitalize()}. Written by `mobie train`.", ""]
    lines += ["## What it is", "", *_shape(folder, info if is_checkpoint else {}), ""]
    lines += ["## How it was made", "", *_making(provenance), ""]
    lines += ["## Data", "", *_data(provenance), ""]
    lines += ["## Figures at the end", "", *_figures(records), ""]
    licence = info.get("licence") or "not stated"
    lines += ["## Licence", "", f"Weights: {licence}. What the data allow is for those to say who chose them.", ""]
    lines += ["## Limits", "", *_limits(stage, info if is_checkpoint else {})]
    return "\n".join(lines) + "\n"


def _shape(folder: Path, info: Mapping[str, Any]) -> list[str]:
    rows = [(_part_name(path, folder), _parameters(path)) for path in sorted(folder.rglob("*.safetensors"))]
    lines = ["| network | parameters |", "| --- | --- |", *(f"| {name} | {count:,} |" for name, count in rows)]
    if not info:
        return lines
    width, height = info["frame_size"]
    guidance, sampling = info["guidance"], info["sampling"]
    scales = ", ".join(
        f"{name} {one['minimum']:g} to {one['maximum']:g} (default {one['default']:g})"
        for name, one in (("text", guidance["text"]), ("image", guidance["image"]))
    )
    how = "inputs of the network" if guidance["embedded"] else "by three passes"
    return [
        *lines,
        "",
        f"Frames of {width}x{height}. Guidance, {how}: {scales}. Sampled by {sampling['method']} in "
        f"{sampling['steps']} step{'s' if sampling['steps'] != 1 else ''} unless asked otherwise.",
    ]


def _part_name(path: Path, folder: Path) -> str:
    return "autoencoder" if path.parent in (folder, folder / "vae") else path.parent.name.replace("_", " ")


def _parameters(path: Path) -> int:
    with safe_open(path, framework="pt") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 (no mapping)


def _making(provenance: Mapping[str, Any]) -> list[str]:
    legs = [*provenance.get("lineage", []), own_entry(provenance)]
    lines = [
        "| stage | command | steps | minutes | seed | SHA-256 of the result |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for leg in legs:
        made = leg.get("command") or leg.get("source")
        cells = [leg.get("stage", leg.get("kind", "")), f"`{made}`" if made else ""]
        cells += [leg.get(name, "") for name in ("steps", "minutes", "seed")]
        lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} | {_cell(leg.get('sha256', 'this one'))[:16]} |")
    facts = [
        ("parent", "parent_sha256"),
        ("weights at the start", "started_from"),
        ("autoencoder", "autoencoder_sha256"),
    ]
    told = [f"{name} {provenance[key]}" for name, key in facts if provenance.get(key)]
    tool = [str(provenance["tool"])] if provenance.get("tool") else []
    return [*lines, "", "; ".join([*tool, *told]) + "."] if tool or told else lines


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _data(provenance: Mapping[str, Any]) -> list[str]:
    said = str(provenance.get("data") or "Not stated")
    digest = provenance.get("data_sha256")
    return [f"{said}." + (f" SHA-256 {digest}." if digest else "")]


def _figures(records: Sequence[Mapping[str, Any]]) -> list[str]:
    last: dict[str, tuple[int, float]] = {}
    for record in records:
        last |= {name: (record["step"], value) for name, value in record.items() if name not in ("step", "seconds")}
    if not last:
        return ["None were logged."]
    rows = [
        f"| {NAMES.get(name, name.replace('_', ' '))} | {value:.4g} | {step} |" for name, (step, value) in last.items()
    ]
    return [
        "| figure | value | step |",
        "| --- | --- | --- |",
        *rows,
        "",
        "Those of training are smoothed; what is held out was never trained on. Curves are in the run's folder.",
    ]


def _limits(stage: str, info: Mapping[str, Any]) -> list[str]:
    lines = [f"- {LIMITS[stage]}"] if stage in LIMITS else []
    if info:
        width, height = info["frame_size"]
        lines.append(f"- Made for frames of {width}x{height}.")
        lines.append("- No temporal model: each frame is edited by itself.")
    lines.append(
        "- Only what stands above was measured. `mobie evaluate` measures more on photographs and clips of your own."
    )
    return lines


def read_training(folder: Path) -> list[dict[str, Any]]:
    """What an autoencoder's folder says of its training, as the one entry of a lineage; none where it says nothing."""
    try:
        said = json.loads((folder / TRAINING_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [own_entry(said)] if isinstance(said, dict) and said else []
