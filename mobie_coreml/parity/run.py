"""Every component of a converted model alone on real inputs, and the whole edit, against the checkpoint in PyTorch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mobie_coreml.ane.components import COMPONENTS, ComponentName, build_component
from mobie_coreml.editing.backend import ComponentBackend
from mobie_coreml.editing.editor import Editor
from mobie_coreml.editing.open_model import open_editor
from mobie_coreml.editing.resample import Pixels
from mobie_coreml.errors import CheckFailed, InputError
from mobie_coreml.manifest import Manifest, ModelFolder, load_manifest
from mobie_coreml.models.checkpoint import load_checkpoint
from mobie_coreml.parity.frames import parity_frames
from mobie_coreml.parity.gates import EDIT, Gate, apply_overrides
from mobie_coreml.parity.localise import localise_against_module, localise_against_package
from mobie_coreml.parity.metrics import compare
from mobie_coreml.parity.record import Record, RecordingBackend, evenly
from mobie_coreml.parity.report import CaseResult, ParityReport
from mobie_coreml.runtime.mil.program import MilProgram

PROMPTS = ("make it snow", "make it a pencil sketch", "make it night", "make it autumn")

IMAGES = frozenset({"edited_frame"})
"""Outputs that are frames, so that SSIM means something."""

Progress = Callable[[str], None]
"""Told what is being done, one short phrase each."""


@dataclass(frozen=True)
class ParityOptions:
    """What to compare.

    Attributes:
        runtime: What runs the packages: "mil" anywhere, "coreml" on macOS.
        precision: "fp32" or "fp16" arithmetic of the executor.
        clip: Where frames come from; drawings if None.
        frames: Number of frames, each edited by one prompt.
        prompts: Taken in turn.
        steps: Steps of the edit; the model's own schedule if None.
        cases: Runs compared of each component, spread evenly over the reference edits.
        seed: Of the noise.
        gates: Overrides, `NAME=DB:REASON`.
        localise: Find the operation where a component that fails its gate stops agreeing with PyTorch.
        against: With `localise`: compare every component's values with this model folder's packages instead.
    """

    runtime: str = "mil"
    precision: str = "fp32"
    clip: Path | None = None
    frames: int = 2
    prompts: tuple[str, ...] = PROMPTS
    steps: int | None = None
    cases: int = 6
    seed: int = 0
    gates: tuple[str, ...] = ()
    localise: bool = False
    against: Path | None = None

    def __post_init__(self) -> None:
        for name, value in (("frames", self.frames), ("cases", self.cases)):
            if value < 1:
                raise InputError(f"--{name} {value} is out of range.", "Give 1 or more.")
        if self.runtime not in ("mil", "coreml"):
            raise InputError(f"--runtime {self.runtime} is unknown.", "Choose mil (anywhere) or coreml (macOS).")
        if self.precision not in ("fp32", "fp16"):
            raise InputError(f"--precision {self.precision} is unknown.", "Choose fp32 or fp16.")
        if self.against is not None and not self.localise:
            raise InputError("--against is for --localise.", "Pass --localise too.")
        if not self.prompts:
            raise InputError("There is no prompt to compare with.", "Give --prompt, or leave it out.")

    @property
    def program_precision(self) -> Literal["fp32", "fp16"]:
        """Of the executor."""
        return "fp16" if self.precision == "fp16" else "fp32"


def default_gates(manifest: Manifest, options: ParityOptions) -> dict[str, Gate]:
    """By component, and under "edit" for the edited frame: the manifest's gates for the arithmetic that runs.

    Core ML's own arithmetic on a CPU or Neural Engine is at best fp16, so it is held to the fp16 gates.
    """
    exact = options.runtime != "coreml" and options.precision == "fp32"
    listed = {**manifest.gates.components, EDIT: manifest.gates.edit}
    return {name: Gate(gate.fp32 if exact else gate.fp16, gate.reason) for name, gate in listed.items()}


def check_parity(
    model: Path, checkpoint: str, options: ParityOptions | None = None, *, progress: Progress | None = None
) -> ParityReport:
    """Compares a model folder's packages with the checkpoint it was made from.

    The reference edits each frame with PyTorch in fp32; what every component was given and answered on the way is kept.
    Then each package is run alone on those inputs, and at last the packages edit the same frames from end to end.

    Raises:
        InputError: model, checkpoint or options are wrong, or they do not belong together.
    """
    options = options or ParityOptions()
    told = progress or (lambda _: None)
    started = time.monotonic()
    gates = apply_overrides(default_gates(load_manifest(model), options), options.gates)
    reference = open_editor(str(model), runtime="torch", checkpoint=checkpoint).with_steps(options.steps, None)
    opened = open_editor(str(model), runtime=options.runtime, precision=options.precision)
    tested = opened.with_steps(options.steps, None)
    frames = parity_frames(options.clip, reference.method.frame_size, options.frames)
    report = ParityReport(str(model), checkpoint, options.runtime, options.precision, options.prompts)

    recorder = RecordingBackend(reference.backend)
    expected = _edit_all(reference.on(recorder), frames, options, lambda case: told(f"PyTorch edits {case}"), recorder)
    for component in COMPONENTS:
        reference.backend.release(component)
    records = {component: evenly(recorder.records[component], options.cases) for component in COMPONENTS}
    for component in COMPONENTS:
        told(f"{component} alone")
        report.results += _replay(component, records[component], tested.backend, gates[component])
        tested.backend.release(component)
    edited = _edit_all(tested, frames, options, lambda case: told(f"the packages edit {case}"))
    for case, frame in edited.items():
        planes = [pixels.transpose(2, 0, 1) for pixels in (expected[case], frame)]
        report.results.append(CaseResult(EDIT, case, "edited_frame", compare(*planes, image=True), gates[EDIT]))
    if options.localise:
        _localise(report, model, checkpoint, records, options, told)
    report.seconds = time.monotonic() - started
    return report


def _localise(
    report: ParityReport,
    model: Path,
    checkpoint: str,
    records: Mapping[ComponentName, list[Record]],
    options: ParityOptions,
    told: Progress,
) -> None:
    """Finds where each failed component (each one at all, against another model) stops agreeing, on its worst case."""
    folder = ModelFolder.open(model)
    other = None if options.against is None else ModelFolder.open(options.against)
    worst_cases = {worst.component: worst for worst in report.worst()}
    for component in COMPONENTS:
        worst = worst_cases[component]
        if worst.passed and other is None:
            continue
        told(f"{component}: looking for the operation")
        (inputs,) = {record.case: record.inputs for record in records[component] if record.case == worst.case}.values()
        tested = MilProgram.load(folder.package_path(component), precision=options.program_precision)
        if other is not None:
            right = MilProgram.load(other.package_path(component), precision=options.program_precision)
            report.localisations[component] = localise_against_package(right, tested, inputs)
            continue
        info = folder.component(component)
        built = build_component(
            component,
            load_checkpoint(checkpoint),
            size=folder.manifest.frame_size,
            attention=info.attention or "original",
        )
        report.localisations[component] = localise_against_module(built, info.deployment_target, tested, inputs)


def _edit_all(
    editor: Editor,
    frames: list[Pixels],
    options: ParityOptions,
    told: Progress,
    recorder: RecordingBackend | None = None,
) -> dict[str, Pixels]:
    """Every frame edited by its prompt, by case."""
    noise = editor.noise(options.seed)
    edited = {}
    for index, frame in enumerate(frames):
        prompt = options.prompts[index % len(options.prompts)]
        case = f"frame {index}"
        told(f"{case}, {prompt!r}")
        if recorder is not None:
            recorder.case = case
        edited[case] = editor.edit(frame, editor.condition(prompt), noise)
    return edited


def _replay(component: str, records: list[Record], backend: ComponentBackend, gate: Gate) -> list[CaseResult]:
    """Runs one package on recorded inputs."""
    results = []
    for record in records:
        outputs = backend.run(component, record.inputs)
        for name, expected in record.outputs.items():
            if name not in outputs:
                raise CheckFailed(f"{component} has no output {name!r}.", "Convert the checkpoint again.")
            comparison = compare(expected, outputs[name], image=name in IMAGES)
            results.append(CaseResult(component, record.case, name, comparison, gate))
    return results
