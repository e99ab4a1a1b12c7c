"""The forms of a parity report say the same."""

import io
import json
import math
import xml.etree.ElementTree as ElementTree

import numpy as np
from rich.console import Console

from mobie_coreml.parity.gates import Gate
from mobie_coreml.parity.metrics import compare
from mobie_coreml.parity.report import Apart, CaseResult, ParityReport, to_junit, to_lines, to_markdown, to_table


def make_report(*, broken: bool) -> ParityReport:
    """Two components, three comparisons; the second Denoiser case is off where `broken`."""
    values = np.linspace(-1, 1, 64)
    off = values + 0.1 if broken else values + 1e-5
    results = [
        CaseResult("Encoder", "frame 0", "image_latents", compare(values, values), Gate(50)),
        CaseResult("Denoiser", "frame 0", "denoised_latents", compare(values, values + 1e-5), Gate(45, "a | reason")),
        CaseResult("Denoiser", "frame 1", "denoised_latents", compare(values, off), Gate(45, "a | reason")),
    ]
    return ParityReport("model", "checkpoint", "mil", "fp32", ("make it snow",), 1.0, results)


def palettized(conversion_db: float) -> CaseResult:
    """A Denoiser whose palettes are 40 dB off and whose conversion is `conversion_db` off."""
    values = np.linspace(-1, 1, 64)
    off = values + 10 ** (-conversion_db / 20)
    apart = Apart(compare(values, off), compare(off, values + 0.01), Gate(50))
    return CaseResult(
        "Denoiser", "frame 0", "denoised_latents", compare(values, values + 0.01), Gate(34, "6 bits"), apart
    )


def test_both_gates_of_a_palettized_component_must_be_reached() -> None:
    assert palettized(60).passed
    failed = palettized(45)
    assert not failed.passed
    assert "40.0 dB >= 34 dB; conversion 45.0 dB < 50 dB; compression" in failed.verdict


def test_columns_of_what_is_palettized_fit_a_terminal() -> None:
    report = make_report(broken=False)
    assert "conversion" not in to_markdown(report)
    report.results = [palettized(60)]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(to_table(report))
    shown = console.export_text()
    assert "60.0 (50)" in shown
    assert "…" not in shown
    assert any("6 bits" in line for line in to_lines(report))


def test_passed_and_failed() -> None:
    assert make_report(broken=False).passed
    assert not make_report(broken=True).passed
    assert not ParityReport("model", "checkpoint", "mil", "fp32").passed, "no comparison is no pass"


def test_nan_fails_whatever_the_gate() -> None:
    result = CaseResult("Encoder", "frame 0", "x", compare(np.ones(3), np.full(3, np.nan)), Gate(-math.inf))
    assert not result.passed


def test_json_is_plain_and_complete() -> None:
    report = json.loads(json.dumps(make_report(broken=True).as_dict(), allow_nan=False))
    assert [row["passed"] for row in report["results"]] == [True, True, False]
    assert report["results"][0]["equal"] is True
    assert report["results"][1]["gate_reason"] == "a | reason"


def test_junit_counts_failures() -> None:
    root = ElementTree.fromstring(to_junit(make_report(broken=True)))
    assert (root.get("tests"), root.get("failures")) == ("3", "1")
    failures = root.findall(".//failure")
    assert len(failures) == 1
    assert "dB < 45 dB" in str(failures[0].get("message"))


def test_markdown_and_table_show_the_worst_case() -> None:
    report = make_report(broken=True)
    markdown = to_markdown(report)
    assert "❌" in markdown
    assert "frame 1" in markdown
    assert "a | reason" in markdown.splitlines()[-1]
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(to_table(report))
    assert "FAILED" in console.export_text()
    assert any("a | reason" in line for line in to_lines(report))
