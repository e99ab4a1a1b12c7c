"""The forms of an evaluation: JSON, Markdown, HTML, and tables for the terminal. All show the same figures."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mobie_coreml.evaluation.evaluate import Evaluation
from mobie_coreml.evaluation.summary import Summary, by_group, by_instruction, by_source, regions, targets

if TYPE_CHECKING:
    from rich.table import Table

_EXPLANATION = (
    "Decibels are PSNR to the known truth (peak 1), means over the pairs. Limit: the truth through encoder and decoder "
    "alone. Colour: the best affine RGB transform of the source, fitted to the truth. Edit made: the projection of the "
    "change on the wanted change. Contests with the source count pairs where the edit changes more than the "
    "autoencoder's own error; those with the colour transform, pairs where the edit is none by more than that error."
)


@dataclass(frozen=True)
class Grid:
    """A titled table of text; the first column is a name, the others figures."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def as_dict(evaluations: Sequence[Evaluation], settings: dict[str, Any]) -> dict[str, Any]:
    """Everything, a row for every pair included, as plain values for JSON.

    Args:
        evaluations: One a model.
        settings: How the pairs were chosen.
    """
    return {
        "settings": settings,
        "models": [
            {
                **evaluation.as_dict(),
                "groups": [summary.as_dict() for summary in by_group(evaluation)],
                "instructions": [summary.as_dict() for summary in by_instruction(evaluation)],
                "sources": [summary.as_dict() for summary in by_source(evaluation)],
                "regions": [summary.as_dict() for summary in regions(evaluation)],
                "targets": [asdict(target) for target in targets(evaluation)],
            }
            for evaluation in evaluations
        ],
    }


def grids(evaluation: Evaluation) -> list[Grid]:
    """The tables of one model."""
    scores = ("pairs", "right", "wrong", "source", "colour", "limit", "SSIM")
    contests = ("edit made", "beats wrong", "beats source", "beats colour")
    tables = [
        Grid(
            "Autoencoder, PSNR in dB",
            ("frames of", "frames", "mean", "lowest"),
            tuple(
                (name, str(len(values)), f"{np.mean(values):.2f}", f"{np.min(values):.2f}")
                for name, values in evaluation.reconstruction.items()
            ),
        ),
    ]
    for what, summaries in (
        ("group", by_group(evaluation)),
        ("source", by_source(evaluation)),
        ("instruction", by_instruction(evaluation)),
    ):
        tables.append(Grid(f"Edits by {what}, PSNR in dB", (what, *scores), _scores(summaries)))
        tables.append(Grid(f"Contests by {what}", (what, *contests), _contests(summaries)))
    local = regions(evaluation)
    if local:
        tables.append(
            Grid(
                "Local edits, region by region",
                ("instruction", "pairs", "region", "edited dB", "edited SSIM", "preserved dB", "preserved SSIM"),
                tuple(
                    (
                        one.name.replace("_", " "),
                        str(one.pairs),
                        f"{100 * one.share:.0f} %",
                        _number(one.edited_db, 1),
                        _number(one.edited_ssim, 3),
                        _number(one.preserved_db, 1),
                        _number(one.preserved_ssim, 3),
                    )
                    for one in local
                ),
            )
        )
    tables.append(
        Grid(
            "Targets",
            ("target", "wanted", "found", "met"),
            tuple((one.name, one.wanted, one.found, "yes" if one.met else "no") for one in targets(evaluation)),
        )
    )
    return tables


def headline(evaluation: Evaluation) -> str:
    """One line: the model and how it was run."""
    how = evaluation.description
    size = "x".join(str(side) for side in evaluation.frame_size)
    return (
        f"{evaluation.model}: {size}, {how['runtime']} {how['precision']}, {how['steps']} {how['sampler']} steps x "
        f"{how['passes']} passes, text guidance {how['text_guidance']:g}, image guidance {how['image_guidance']:g}; "
        f"{len(evaluation.pairs)} pairs in {evaluation.seconds:.0f} s"
    )


def rich_table(grid: Grid) -> Table:
    """The table for a terminal."""
    from rich import box
    from rich.table import Table

    table = Table(title=grid.title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1))
    for place, column in enumerate(grid.columns):
        table.add_column(column, justify="left" if place == 0 else "right", no_wrap=place == 0)
    for row in grid.rows:
        table.add_row(*row)
    return table


def markdown(evaluations: Sequence[Evaluation]) -> str:
    """All tables as Markdown."""
    lines = ["# Evaluation", "", _EXPLANATION, ""]
    for evaluation in evaluations:
        lines += [f"## {headline(evaluation)}", ""]
        for grid in grids(evaluation):
            lines += [f"### {grid.title}", "", "| " + " | ".join(grid.columns) + " |"]
            lines.append("| --- |" + " ---: |" * (len(grid.columns) - 1))
            lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in grid.rows]
            lines.append("")
    return "\n".join(lines)


_STYLE = (
    "body{font:14px/1.4 system-ui,sans-serif;margin:2em auto;max-width:76em;padding:0 1em;color:#222;background:#fff}"
    "table{border-collapse:collapse;margin:.5em 0 1.5em}th,td{padding:.25em .7em;border-bottom:1px solid #ddd;"
    "text-align:right}th:first-child,td:first-child{text-align:left}img{max-width:100%}"
)


def html_page(evaluations: Sequence[Evaluation], sheet: bytes | None = None) -> str:
    """One page without outside references.

    Args:
        evaluations: One a model.
        sheet: A contact sheet as PNG, put at the end.
    """
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Evaluation</title>',
        f"<style>{_STYLE}</style></head><body><h1>Evaluation</h1><p>{html.escape(_EXPLANATION)}</p>",
    ]
    for evaluation in evaluations:
        parts.append(f"<h2>{html.escape(headline(evaluation))}</h2>")
        for grid in grids(evaluation):
            head = "".join(f"<th>{html.escape(column)}</th>" for column in grid.columns)
            body = "".join(
                "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in grid.rows
            )
            parts.append(f"<h3>{html.escape(grid.title)}</h3><table><tr>{head}</tr>{body}</table>")
    if sheet is not None:
        data = base64.b64encode(sheet).decode("ascii")
        parts.append(f'<h2>Frames</h2><img alt="source, truth, result" src="data:image/png;base64,{data}">')
    return "".join([*parts, "</body></html>\n"])


def _scores(summaries: Sequence[Summary]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            one.name.replace("_", " "),
            str(one.pairs),
            *(f"{v:.1f}" for v in (one.result_db, one.wrong_db, one.source_db, one.color_db, one.autoencoder_db)),
            f"{one.result_ssim:.3f}",
        )
        for one in summaries
    )


def _contests(summaries: Sequence[Summary]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            one.name.replace("_", " "),
            f"{100 * one.edit_fraction:.0f} %",
            *(str(wins) if wins.contests else "-" for wins in (one.over_wrong, one.over_source, one.over_color)),
        )
        for one in summaries
    )


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
