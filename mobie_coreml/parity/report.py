"""What a parity run found, and its forms: JSON, JUnit XML, Markdown, and a table for the terminal."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mobie_coreml.parity.gates import Gate
from mobie_coreml.parity.localise import Localisation
from mobie_coreml.parity.metrics import Comparison, decibels
from mobie_coreml.parity.tensor_costs import TensorCosts

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Apart:
    """The error of a palettized package, taken apart.

    Attributes:
        conversion: The package with its weights as they were before palettes, against PyTorch.
        compression: The package as it is, against that.
        gate: Of the conversion.
    """

    conversion: Comparison
    compression: Comparison
    gate: Gate

    @property
    def passed(self) -> bool:
        """Whether the conversion reaches its gate."""
        return _reaches(self.conversion, self.gate)


@dataclass(frozen=True)
class CaseResult:
    """One output of one component on one input, against its gate; `apart` where the component has palettes."""

    component: str
    case: str
    output: str
    comparison: Comparison
    gate: Gate
    apart: Apart | None = None

    @property
    def passed(self) -> bool:
        """The figures reach their gates and nothing else is wrong."""
        return _reaches(self.comparison, self.gate) and (self.apart is None or self.apart.passed)

    @property
    def verdict(self) -> str:
        """One line: what was found against what was asked."""
        found = _relation(self.comparison, self.gate)
        if self.apart is None:
            return found
        conversion = _relation(self.apart.conversion, self.apart.gate)
        return f"{found}; conversion {conversion}; compression {_shown(self.apart.compression)}"


def _reaches(comparison: Comparison, gate: Gate) -> bool:
    return not comparison.problem and comparison.psnr_db >= gate.psnr_db


def _shown(comparison: Comparison) -> str:
    return comparison.problem or f"{decibels(comparison.psnr_db)} dB"


def _relation(comparison: Comparison, gate: Gate) -> str:
    relation = ">=" if _reaches(comparison, gate) else "<"
    return comparison.problem or f"{decibels(comparison.psnr_db)} dB {relation} {gate.psnr_db:g} dB"


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
    tensor_costs: dict[str, TensorCosts] = field(default_factory=dict)

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
                    **_apart_dict(result.apart),
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
            "tensor_costs": {component: found.as_dict() for component, found in self.tensor_costs.items()},
        }


def _apart_dict(apart: Apart | None) -> dict[str, Any]:
    if apart is None:
        return {}
    conversion = {"passed": apart.passed, "gate_db": apart.gate.psnr_db, "gate_reason": apart.gate.reason}
    return {
        "conversion": {**conversion, "equal": apart.conversion.psnr_db == math.inf, **apart.conversion.as_dict()},
        "compression": {"equal": apart.compression.psnr_db == math.inf, **apart.compression.as_dict()},
    }


def _rows(report: ParityReport) -> list[dict[str, str]]:
    """Cells by heading, a row for the worst case of each component; what no component has is left out."""
    rows = [_cells(result) for result in report.worst()]
    return [{key: row[key] for key in row if any(other[key] for other in rows)} for row in rows]


def _cells(result: CaseResult) -> dict[str, str]:
    comparison, apart = result.comparison, result.apart
    problem = comparison.problem or (apart.conversion.problem if apart else "")
    return {
        "component": result.component,
        "worst case": result.case,
        "PSNR dB": decibels(comparison.psnr_db),
        "gate": f"{result.gate.psnr_db:g}",
        "conversion": f"{decibels(apart.conversion.psnr_db)} ({apart.gate.psnr_db:g})" if apart else "",
        "palettes": decibels(apart.compression.psnr_db) if apart else "",
        "max err": "" if comparison.problem else f"{comparison.max_error:.2g}",
        "SSIM": "" if comparison.ssim is None else f"{comparison.ssim:.3f}",
        "result": "passed" if result.passed else problem or "FAILED",
    }


def _gate_reasons(report: ParityReport) -> list[str]:
    reasons = {(r.component, r.gate) for r in report.results if r.gate.reason}
    reasons |= {
        (f"{r.component} (conversion)", r.apart.gate) for r in report.results if r.apart and r.apart.gate.reason
    }
    lines = [f"{component}: gate {gate.psnr_db:g} dB ({gate.reason})" for component, gate in sorted(reasons, key=str)]
    if any(result.apart for result in report.results):
        lines.append(
            "conversion: the package with its weights before palettes against PyTorch, and its gate; palettes: the "
            "package as it is against that"
        )
    return lines


def _localisation_lines(report: ParityReport) -> list[str]:
    lines = []
    for component, found in report.localisations.items():
        culprit = found.culprit
        where = culprit.sentence() if culprit else f"all {found.compared} values are equal"
        lines.append(f"{component}: agreement is lost at {where}" if culprit else f"{component}: {where}")
    return lines + [f"{component}: {found.sentence()}" for component, found in report.tensor_costs.items()]


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

    title = "Parity, worst case of each component, PSNR in dB"
    # Narrow enough for 80 columns, so that no result is cut off.
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    rows = _rows(report)
    for column in rows[0] if rows else ():
        text = column in ("component", "worst case", "result")
        table.add_column(column.removesuffix(" dB"), justify="left" if text else "right", no_wrap=column != "result")
    for result, row in zip(report.worst(), rows, strict=True):
        table.add_row(*row.values(), style=None if result.passed else "bold red")
    return table


def to_markdown(report: ParityReport) -> str:
    """A section for a job summary."""
    lines = [f"### {'✅' if report.passed else '❌'} {summary(report)}", ""]
    rows = _rows(report)
    columns = tuple(rows[0]) if rows else ()
    lines += ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row.values()) + " |" for row in rows]
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
            gates = (case.gate, *([case.apart.gate] if case.apart else []))
            reason = "".join(f" (gate: {gate.reason})" for gate in gates if gate.reason)
            output.text = case.verdict + reason
    ElementTree.indent(root)
    body: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return body + b"\n"


def to_lines(report: ParityReport) -> list[str]:
    """What follows the table on a terminal: where agreement is lost, the reasons of changed gates, the summary."""
    return [*_localisation_lines(report), *_gate_reasons(report), summary(report)]
