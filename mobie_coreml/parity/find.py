"""Causes of what a parity run found: the operation where agreement is lost, and the palette that costs most."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mobie_coreml.ane.components import COMPONENTS, ComponentName, build_component
from mobie_coreml.manifest import ModelFolder
from mobie_coreml.models.checkpoint import Checkpoint
from mobie_coreml.parity.localise import Inputs, localise_against_module, localise_against_package
from mobie_coreml.parity.options import ParityOptions
from mobie_coreml.parity.record import Record
from mobie_coreml.parity.report import CaseResult, ParityReport
from mobie_coreml.parity.tensor_costs import tensor_costs
from mobie_coreml.parity.uncompressed import UncompressedWeights
from mobie_coreml.runtime.mil.program import MilProgram


def find_causes(
    report: ParityReport,
    folder: ModelFolder,
    checkpoint: Checkpoint,
    records: Mapping[ComponentName, list[Record]],
    weights: Mapping[str, UncompressedWeights],
    options: ParityOptions,
    told: Callable[[str], None],
) -> None:
    """Adds to `report`, on the worst case of each component: for each that failed (each one at all, against another
    model) the operation where agreement is lost, and for each that has palettes the one that costs most.

    Args:
        report: With all results.
        folder: The model.
        checkpoint: It was converted from.
        records: What each component was run on.
        weights: Of the components that have palettes.
        options: Of the run.
        told: Told what is being done.
    """
    other = None if options.against is None else ModelFolder.open(options.against)
    worst_cases = {worst.component: worst for worst in report.worst()}
    for component in COMPONENTS:
        worst = worst_cases[component]
        (inputs,) = {record.case: record.inputs for record in records[component] if record.case == worst.case}.values()
        path = folder.package_path(component)
        if other is not None:
            told(f"{component}: looking for the operation")
            right, tested = (
                MilProgram.load(package, precision=options.program_precision)
                for package in (other.package_path(component), path)
            )
            report.localisations[component] = localise_against_package(right, tested, inputs)
        elif not worst.passed:
            told(f"{component}: looking for the operation")
            _localise(report, folder, checkpoint, worst, inputs, weights.get(component), options)
        if component in weights:
            told(f"{component}: looking for the dearest palette")
            report.tensor_costs[component] = tensor_costs(weights[component], path, inputs, options.program_precision)


def _localise(
    report: ParityReport,
    folder: ModelFolder,
    checkpoint: Checkpoint,
    worst: CaseResult,
    inputs: Inputs,
    weights: UncompressedWeights | None,
    options: ParityOptions,
) -> None:
    """Against PyTorch; where only palettes are to blame, against the package without them."""
    component, precision = worst.component, options.program_precision
    path = folder.package_path(component)
    if weights is not None and worst.apart is not None and worst.apart.passed:
        uncompressed = MilProgram.load(weights.restore(path), precision=precision)
        tested = MilProgram.load(path, precision=precision)
        report.localisations[component] = localise_against_package(uncompressed, tested, inputs)
        return
    info = folder.component(component)
    built = build_component(
        component, checkpoint, size=folder.manifest.frame_size, attention=info.attention or "original"
    )
    tested = MilProgram.load(path if weights is None else weights.restore(path), precision=precision)
    report.localisations[component] = localise_against_module(built, info.deployment_target, tested, inputs)
