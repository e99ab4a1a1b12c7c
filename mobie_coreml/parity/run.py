"""Every component of a converted model alone on real inputs, and the whole edit, against the checkpoint in PyTorch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mobie_coreml.ane.components import COMPONENTS
from mobie_coreml.editing.backend import Array, ComponentBackend
from mobie_coreml.editing.editor import Editor
from mobie_coreml.editing.open_model import open_editor
from mobie_coreml.editing.resample import Pixels
from mobie_coreml.errors import CheckFailed
from mobie_coreml.manifest import Manifest, ModelFolder
from mobie_coreml.models.checkpoint import load_checkpoint
from mobie_coreml.parity.find import find_causes
from mobie_coreml.parity.frames import parity_frames
from mobie_coreml.parity.gates import CONVERSION, EDIT, Gate, apply_overrides
from mobie_coreml.parity.metrics import compare
from mobie_coreml.parity.options import ParityOptions
from mobie_coreml.parity.record import Record, RecordingBackend, evenly
from mobie_coreml.parity.report import Apart, CaseResult, ParityReport
from mobie_coreml.parity.uncompressed import UncompressedWeights, uncompressed_weights
from mobie_coreml.runtime.mil.program import MilProgram
from palettization.package import Package

IMAGES = frozenset({"edited_frame"})
"""Outputs that are frames, so that SSIM means something."""

Progress = Callable[[str], None]
"""Told what is being done, one short phrase each."""

_Result = tuple[CaseResult, Array]
"""A comparison, and the output that was compared."""


def default_gates(manifest: Manifest, options: ParityOptions) -> dict[str, Gate]:
    """By component, and under "edit" for the edited frame: the manifest's gates for the arithmetic that runs.

    Core ML's own arithmetic on a CPU or Neural Engine is at best fp16, so it is held to the fp16 gates. What has
    palettes is held to the gate for palettes, and its conversion, which our own executor runs, to the usual one.
    """
    exact = options.precision == "fp32"
    gates: dict[str, Gate] = {}
    for name, gate in {**manifest.gates.components, EDIT: manifest.gates.edit}.items():
        if gate.palettized is None:
            gates[name] = Gate(gate.fp32 if exact and options.runtime != "coreml" else gate.fp16, gate.reason)
            continue
        gates[name] = Gate(gate.palettized, gate.reason)
        if name != EDIT:
            gates[name + CONVERSION] = Gate(gate.fp32 if exact else gate.fp16)
    return gates


def check_parity(
    model: Path, checkpoint: str, options: ParityOptions | None = None, *, progress: Progress | None = None
) -> ParityReport:
    """Compares a model folder's packages with the checkpoint it was made from.

    The reference edits each frame with PyTorch in fp32; what every component was given and answered on the way is kept.
    Then each package is run alone on those inputs, and at last the packages edit the same frames from end to end. A
    palettized package is run once more with its weights as they were before, which tells the conversion's error from
    the compression's.

    Raises:
        InputError: model, checkpoint or options are wrong, or they do not belong together.
        CheckFailed: a package lacks an output, or has weights that the checkpoint's conversion does not have.
    """
    options = options or ParityOptions()
    told = progress or (lambda _: None)
    started = time.monotonic()
    folder = ModelFolder.open(model)
    gates = apply_overrides(default_gates(folder.manifest, options), options.gates)
    reference = open_editor(str(model), runtime="torch", checkpoint=checkpoint).with_steps(options.steps, None)
    opened = open_editor(str(model), runtime=options.runtime, precision=options.precision)
    tested = opened.with_steps(options.steps, None)
    frames = parity_frames(options.clip, reference.method.frame_size, options.frames)
    report = ParityReport(str(model), checkpoint, options.runtime, options.precision, options.prompts)

    recorder = RecordingBackend(reference.backend)
    expected = _edit_all(reference.on(recorder), frames, options, lambda case: told(f"PyTorch edits {case}"), recorder)
    for component in COMPONENTS:
        reference.backend.release(component)
    opened_checkpoint = load_checkpoint(checkpoint)
    weights: dict[str, UncompressedWeights] = {}
    records = {component: evenly(recorder.records[component], options.cases) for component in COMPONENTS}
    for component in COMPONENTS:
        told(f"{component} alone")
        results = _replay(component, records[component], tested.backend, gates[component])
        tested.backend.release(component)
        if folder.component(component).palettes is not None:
            told(f"{component} without palettes")
            weights[component] = uncompressed_weights(folder, component, opened_checkpoint)
            path, gate = folder.package_path(component), gates[component + CONVERSION]
            results = _apart(results, records[component], weights[component].restore(path), gate, options)
        report.results += [result for result, _ in results]
    edited = _edit_all(tested, frames, options, lambda case: told(f"the packages edit {case}"))
    for case, frame in edited.items():
        planes = [pixels.transpose(2, 0, 1) for pixels in (expected[case], frame)]
        report.results.append(CaseResult(EDIT, case, "edited_frame", compare(*planes, image=True), gates[EDIT]))
    if options.localise:
        find_causes(report, folder, opened_checkpoint, records, weights, options, told)
    report.seconds = time.monotonic() - started
    return report


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


def _replay(component: str, records: list[Record], backend: ComponentBackend, gate: Gate) -> list[_Result]:
    """Runs one package on recorded inputs."""
    results: list[_Result] = []
    for record in records:
        outputs = backend.run(component, record.inputs)
        for name, expected in record.outputs.items():
            if name not in outputs:
                raise CheckFailed(f"{component} has no output {name!r}.", "Convert the checkpoint again.")
            comparison = compare(expected, outputs[name], image=name in IMAGES)
            results.append((CaseResult(component, record.case, name, comparison, gate), outputs[name]))
    return results


def _apart(
    results: list[_Result], records: list[Record], package: Package, gate: Gate, options: ParityOptions
) -> list[_Result]:
    """Results of a palettized package with its error taken apart, by running it without its palettes.

    Args:
        results: Of `_replay` on `records`.
        records: What to run on.
        package: With its weights as they were before.
        gate: Of the conversion.
        options: Say the precision.
    """
    program = MilProgram.load(package, precision=options.program_precision)
    found = {record.case: (record.outputs, program.run(record.inputs)) for record in records}

    def apart(result: CaseResult, output: Array) -> CaseResult:
        expected, uncompressed = (outputs[result.output] for outputs in found[result.case])
        image = result.output in IMAGES
        conversion = compare(expected, uncompressed, image=image)
        return replace(result, apart=Apart(conversion, compare(uncompressed, output, image=image), gate))

    return [(apart(result, output), output) for result, output in results]
