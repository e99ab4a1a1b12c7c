"""What a parity run found, and its forms: JSON, JUnit XML, Markdown, and a table for the terminal."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mobie_coreml.parity.gates import Gate
from mobie_coreml.parity.localise import Localisation
from mobie_coreml.parity.metrics import Comparison

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class CaseResult:
    """One output of one component on one input, against its gate."""

    component: str
    case: str
    output: str
    comparison: Comparison
    gate: Gate

    @property
    def passed(self) -> bool:
        """The figures reach the gate and nothing else is wrong."""
        return not self.comparison.problem and self.comparison.psnr_db >= self.gate.psnr_db

    @property
    def verdict(self) -> str:
        """One line: what was found against what was asked."""
        if self.comparison.problem:
            return self.comparison.problem
        relation = ">=" if self.passed else "<"
        return f"{decibels(self.comparison.psnr_db)} dB {relation} {self.gate.psnr_db:g} dB"


@dataclass
class ParityReport:
    """Every comparison of a run, with what was compared."""

    model: str
    reference: str
    runtime: str
    precision: str
    prompts: tuple[str, ...] = ()
    seconds: float = 0.0
    results: list[CaseResult] = field(default_factory=list)
    localisations: dict[str, Localisation] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """At least one comparison was made and every one reached its gate."""
        return bool(self.results) and all(result.passed for result in self.results)

    def worst(self) -> Iterator[CaseResult]:
        """The worst case of each component, in the order of the run: failures first, then the lowest PSNR."""
        components = dict.fromkeys(result.component for result in self.results)
        for component in components:
            cases = [result for result in self.results if result.component == component]
            yield min(cases, key=lambda result: (result.passed, result.comparison.psnr_db))

    def as_dict(self) -> dict[str, Any]:
        """The whole report as plain values for JSON."""
        return {
            "passed": self.passed,
            "model": self.model,
            "reference": self.reference,
            "runtime": self.runtime,
            "precision": self.precision,
            "prompts": list(self.prompts),
            "seconds": round(self.seconds, 3),
            "results": [
                {
                    "component": result.component,
                    "case": result.case,
                    "output": result.output,
                    "passed": result.passed,
                    "gate_db": result.gate.psnr_db,
                    "gate_reason": result.gate.reason,
                    "equal": result.comparison.psnr_db == math.inf,
                    **result.comparison.as_dict(),
                }
                for result in self.results
            ],
            "localisations": {
                component: {
                    "compared": found.compared,
                    "suspects": [suspect.as_dict() for suspect in found.suspects],
                }
                for component, found in self.localisations.items()
            },
        }


def decibels(value: float) -> str:
    """A PSNR for people: one decimal, `equal` for identical arrays."""
    if value == math.inf:
        return "equal"
    return "none" if value == -math.inf else f"{value:.1f}"


_COLUMNS = ("component", "worst case", "PSNR dB", "gate", "max err", "SSIM", "result")


def _cells(result: CaseResult) -> tuple[str, ...]:
    comparison = result.comparison
    return (
        result.component,
        result.case,
        decibels(comparison.psnr_db),
        f"{result.gate.psnr_db:g}",
        "" if comparison.problem else f"{comparison.max_error:.2g}",
        "" if comparison.ssim is None else f"{comparison.ssim:.4f}",
        "passed" if result.passed else comparison.problem or "FAILED",
    )


def _gate_reasons(report: ParityReport) -> list[str]:
    reasons = {(r.component, r.gate) for r in report.results if r.gate.reason}
    return [
        f"{component}: gate {gate.psnr_db:g} dB because {gate.reason}" for component, gate in sorted(reasons, key=str)
    ]


def _localisation_lines(report: ParityReport) -> list[str]:
    lines = []
    for component, found in report.localisations.items():
        culprit = found.culprit
        where = culprit.sentence() if culprit else f"all {found.compared} values are equal"
        lines.append(f"{component}: agreement is lost at {where}" if culprit else f"{component}: {where}")
    return lines


def summary(report: ParityReport) -> str:
    """One sentence: passed or failed, how many comparisons, against what."""
    failed = sum(not result.passed for result in report.results)
    count = len(report.results)
    outcome = "Parity holds" if report.passed else f"Parity FAILED in {failed} of {count} comparisons"
    detail = f"{count} comparisons, runtime {report.runtime}, {report.precision}, {report.seconds:.1f} s"
    return f"{outcome}: {report.model} against {report.reference} ({detail})."


def to_table(report: ParityReport) -> Table:
    """The worst case of each component as a rich table."""
    from rich.table import Table

    table = Table(title="Parity, worst case of each component", title_justify="left")
    for index, column in enumerate(_COLUMNS):
        table.add_column(column, justify="right" if 2 <= index <= 5 else "left", no_wrap=index < 6)
    for result in report.worst():
        table.add_row(*_cells(result), style=None if result.passed else "bold red")
    return table


def to_markdown(report: ParityReport) -> str:
    """A section for a job summary."""
    lines = [f"### {'✅' if report.passed else '❌'} {summary(report)}", ""]
    lines += ["| " + " | ".join(_COLUMNS) + " |", "| --- " * len(_COLUMNS) + "|"]
    lines += [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in _cells(result)) + " |" for result in report.worst()
    ]
    notes = [*_localisation_lines(report), *_gate_reasons(report)]
    if notes:
        lines += ["", *[f"- {note}" for note in notes]]
    return "\n".join(lines) + "\n"


def to_junit(report: ParityReport) -> bytes:
    """JUnit XML: a test suite a component, a test case a comparison."""
    failures = sum(not result.passed for result in report.results)
    root = ElementTree.Element(
        "testsuites",
        name="mobie parity",
        tests=str(len(report.results)),
        failures=str(failures),
        time=f"{report.seconds:.3f}",
    )
    for component in dict.fromkeys(result.component for result in report.results):
        cases = [result for result in report.results if result.component == component]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=component,
            tests=str(len(cases)),
            failures=str(sum(not case.passed for case in cases)),
        )
        for case in cases:
            element = ElementTree.SubElement(suite, "testcase", classname=component, name=f"{case.case}: {case.output}")
            if not case.passed:
                ElementTree.SubElement(element, "failure", message=case.verdict)
            output = ElementTree.SubElement(element, "system-out")
            reason = f" (gate: {case.gate.reason})" if case.gate.reason else ""
            output.text = case.verdict + reason
    ElementTree.indent(root)
    body: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return body + b"\n"


def to_lines(report: ParityReport) -> list[str]:
    """What follows the table on a terminal: where agreement is lost, the reasons of changed gates, the summary."""
    return [*_localisation_lines(report), *_gate_reasons(report), summary(report)]
