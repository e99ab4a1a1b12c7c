"""The forms of an evaluation: JSON, Markdown, and tables for the terminal. All show the same figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from mobie_coreml.evaluation.goals import goals, reference_of
from mobie_coreml.evaluation.grid import Grid, markdown_table, number
from mobie_coreml.evaluation.scores import Evaluation, rounded
from mobie_coreml.evaluation.stage_table import stage_grids
from mobie_coreml.evaluation.summary import (
    RegionSummary,
    Summary,
    by_group,
    by_instruction,
    by_source,
    mean_clips,
    mean_sharpness,
    motion,
    regions,
    unseen,
)
from mobie_coreml.evaluation.temporal import ClipScores

EXPLANATION = (
    "Decibels are PSNR to the known truth (peak 1), means over the pairs. Limit: the truth through encoder and decoder "
    "alone. Colour: the best affine RGB transform of the source, fitted to the truth. Edit made: the projection of the "
    "change on the wanted change. Contests with the source count pairs where the edit changes more than the "
    "autoencoder's own error; those with the colour transform, pairs where the edit is none by more than that error. "
    "Temporal error: mean difference of the changes from frame to frame, levels of 255, and its share of the truth's "
    "own change. Flicker: what changes along the source's optical flow, over the source's and the truth's own. "
    "Spectrum: mean distance of radially averaged power spectra. Every definition is in docs/evaluation.md."
)


def as_dict(evaluations: Sequence[Evaluation], settings: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    """Everything, a row for every pair included, as plain values for JSON.

    Args:
        evaluations: One a model.
        settings: How the pairs were chosen.
        inputs: Digests of what was evaluated on.
    """
    return {
        "settings": settings,
        "inputs": inputs,
        "stages": [asdict(grid) for grid in stage_grids(evaluations)],
        "models": [_model(evaluations, place) for place in range(len(evaluations))],
    }


def _model(evaluations: Sequence[Evaluation], place: int) -> dict[str, Any]:
    evaluation = evaluations[place]
    in_other_words, clips = unseen(evaluation), motion(evaluation)
    summaries: dict[str, Any] = rounded(
        {
            "regions": [asdict(summary) for summary in regions(evaluation)],
            "autoencoder_regions": [asdict(summary) for summary in regions(evaluation, "autoencoder")],
            "sharpness": asdict(mean_sharpness(evaluation)),
            "unseen": None if in_other_words is None else asdict(in_other_words),
            "motion": None if clips is None else asdict(clips),
        }
    )
    return {
        **evaluation.as_dict(),
        "groups": [summary.as_dict() for summary in by_group(evaluation)],
        "instructions": [summary.as_dict() for summary in by_instruction(evaluation)],
        "sources": [summary.as_dict() for summary in by_source(evaluation)],
        **summaries,
        "goals": [asdict(goal) for goal in goals(evaluation, reference_of(evaluations, place))],
    }


def grids(evaluation: Evaluation, reference: Evaluation | None = None) -> list[Grid]:
    """The tables of one model; with goals beside a slower one, if it is given."""
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
    tables += _regions(evaluation) + _unseen(evaluation) + _clips(evaluation) + _guidance(evaluation)
    found = goals(evaluation, reference)
    tables.append(
        Grid(
            "Goals",
            ("goal", "wanted", "found", "met"),
            tuple((one.name, one.wanted, one.found, "yes" if one.met else "no") for one in found),
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


def markdown(evaluations: Sequence[Evaluation]) -> str:
    """All tables as Markdown, the stage table first."""
    lines = ["# Evaluation", "", EXPLANATION, "", "## Stages", ""]
    for grid in stage_grids(evaluations):
        lines += markdown_table(grid)
    for place, evaluation in enumerate(evaluations):
        lines += [f"## {headline(evaluation)}", ""]
        for grid in grids(evaluation, reference_of(evaluations, place)):
            lines += markdown_table(grid)
    return "\n".join(lines)


def _regions(evaluation: Evaluation) -> list[Grid]:
    def row(name: str, one: RegionSummary) -> tuple[str, ...]:
        return (
            name.replace("_", " "),
            str(one.pairs),
            f"{100 * one.share:.0f} %",
            number(one.edited_db, 1),
            number(one.edited_ssim, 3),
            number(one.preserved_db, 1),
            number(one.preserved_ssim, 3),
        )

    local = regions(evaluation)
    if not local:
        return []
    rows = [row(one.name, one) for one in local]
    rows.append(row("autoencoder alone", regions(evaluation, "autoencoder")[-1]))
    columns = ("instruction", "pairs", "region", "edited dB", "edited SSIM", "preserved dB", "preserved SSIM")
    return [Grid("Local edits, region by region", columns, tuple(rows))]


def _unseen(evaluation: Evaluation) -> list[Grid]:
    one = unseen(evaluation)
    if one is None:
        return []
    rows = (
        (
            "canonical",
            str(one.pairs),
            number(one.usual_db, 2),
            str(one.usual_over_wrong),
            _share(one.usual_edit_fraction),
        ),
        (
            "unseen",
            str(one.pairs),
            number(one.unseen_db, 2),
            str(one.unseen_over_wrong),
            _share(one.unseen_edit_fraction),
        ),
    )
    return [Grid("Wordings that training never saw", ("wording", "pairs", "PSNR", "beats wrong", "edit made"), rows)]


def _clips(evaluation: Evaluation) -> list[Grid]:
    def row(name: str, own: Sequence[ClipScores]) -> tuple[str, ...]:
        one = mean_clips(own)
        figures = (
            one.difference_error, one.autoencoder_difference_error, one.truth_difference,
            one.warp_error, one.truth_warp_error, one.source_warp_error, one.gradient_ratio,
        )  # fmt: skip
        return (name.replace("_", " "), *(number(figure, 2) for figure in figures))

    if not evaluation.clips:
        return []
    rows = [row(f"{one.source}: {one.instruction}", [one]) for one in evaluation.clips]
    columns = ("clip", "error", "limit", "change", "warp", "truth", "source", "ratio")
    title = "Motion: temporal error, autoencoder's, truth's change; warp error, truth's, source's; gradient ratio"
    return [Grid(title, columns, (*rows, row("all", evaluation.clips)))]


def _guidance(evaluation: Evaluation) -> list[Grid]:
    rows = []
    for one in evaluation.guidance:
        what, digits = ("share of the edit", 2) if one.scale == "text" else ("PSNR to the source", 1)
        curve = one.median_curve
        rows.append(
            (
                f"{one.scale}: {what}",
                str(len(one.curves)),
                f"{number(curve[0], digits)} at {one.grid[0]:g}",
                f"{number(curve[-1], digits)} at {one.grid[-1]:g}",
                number(one.mean_spearman, 2),
                number(one.median_spearman, 2),
                "yes" if one.median_rises else "no",
            )
        )
    columns = (
        "scale",
        "pairs",
        "lowest median",
        "highest median",
        "Spearman",
        "median Spearman",
        "median pair rises",
    )
    return [Grid("Control by guidance", columns, tuple(rows))] if rows else []


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
            _share(one.edit_fraction),
            *(str(wins) if wins.contests else "-" for wins in (one.over_wrong, one.over_source, one.over_color)),
        )
        for one in summaries
    )


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"
