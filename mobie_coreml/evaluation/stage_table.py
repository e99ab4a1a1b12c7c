"""The stage table: what every model of a run reaches and costs, in the manner of the method's published table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mobie_coreml.evaluation.grid import Grid, number
from mobie_coreml.evaluation.perceptual import ClipScores
from mobie_coreml.evaluation.scores import Evaluation
from mobie_coreml.evaluation.summary import (
    ClipSummary,
    Picture,
    beyond_color_db,
    everything,
    mean_known,
    mean_sharpness,
    mean_ssim,
    motion,
    regions,
    unseen,
)

NOT_MEASURED = "not measured"
BASELINES = ("unedited source", "best colour transform", "autoencoder alone")
"""What stands beside the models; their figures come from the first model's pairs."""
_PICTURES: tuple[Picture, ...] = ("unedited", "color", "autoencoder")


def stage_grids(evaluations: Sequence[Evaluation]) -> list[Grid]:
    """Quality, regions of local edits, motion, sharpness and control, cost, and what CLIP and LPIPS say."""
    return [
        _quality(evaluations),
        _local(evaluations),
        _motion(evaluations),
        _sharpness(evaluations),
        _cost(evaluations),
        _perceptual(evaluations),
    ]


def _quality(evaluations: Sequence[Evaluation]) -> Grid:
    rows = []
    for evaluation in evaluations:
        summary, other = everything(evaluation), unseen(evaluation)
        rows.append(
            (
                evaluation.model,
                f"{evaluation.description['steps']} x {evaluation.description['passes']}",
                number(summary.result_db, 2),
                number(mean_ssim(evaluation, "result"), 3),
                number(beyond_color_db(evaluation, "result"), 2),
                number(summary.to_limit_db, 2),
                _percent(summary.over_wrong.rate),
                "-" if other is None else _percent(other.unseen_over_wrong.rate),
            )
        )
    first = evaluations[0]
    means = everything(first)
    decibels = means.source_db, means.color_db, means.autoencoder_db
    for name, picture, db in zip(BASELINES, _PICTURES, decibels, strict=True):
        figures = number(db, 2), number(mean_ssim(first, picture), 3), number(beyond_color_db(first, picture), 2)
        rows.append((name, "-", *figures, "-", "-", "-"))
    return Grid(
        "Stages: quality",
        ("model", "steps x passes", "PSNR dB", "SSIM", "beyond colour", "to limit", "beats wrong", "unseen words"),
        tuple(rows),
    )


def _local(evaluations: Sequence[Evaluation]) -> Grid:
    rows = [(evaluation.model, *_apart(evaluation, "result")) for evaluation in evaluations]
    rows += [(name, *_apart(evaluations[0], of)) for name, of in zip(BASELINES, _PICTURES, strict=True)]
    return Grid(
        "Stages: local edits, region by region",
        ("model", "edited dB", "edited SSIM", "preserved dB", "preserved SSIM"),
        tuple(rows),
    )


def _apart(evaluation: Evaluation, picture: Picture) -> tuple[str, ...]:
    local = regions(evaluation, picture)
    if not local:
        return ("-",) * 4
    one = local[-1]
    edited = number(one.edited_db, 2), number(one.edited_ssim, 3)
    return (*edited, number(one.preserved_db, 2), number(one.preserved_ssim, 3))


def _motion(evaluations: Sequence[Evaluation]) -> Grid:
    rows = [(evaluation.model, *_moving(motion(evaluation))) for evaluation in evaluations]
    first = motion(evaluations[0])
    rows.append((BASELINES[2], *_moving(None if first is None else first.of_autoencoder())))
    return Grid(
        "Stages: motion",
        ("model", "temporal error", "to truth's change", "flicker to source's", "flicker to truth's"),
        tuple(rows),
    )


def _moving(clips: ClipSummary | None) -> tuple[str, ...]:
    if clips is None:
        return ("-",) * 4
    ratios = clips.error_to_truth, clips.flicker_to_source, clips.flicker_to_truth
    return (number(clips.difference_error, 2), *(number(ratio, 2, "x") for ratio in ratios))


def _sharpness(evaluations: Sequence[Evaluation]) -> Grid:
    rows: list[tuple[str, ...]] = []
    for evaluation in evaluations:
        sharp = mean_sharpness(evaluation)
        spearman = {one.scale: one.mean_spearman for one in evaluation.guidance}
        rows.append(
            (
                evaluation.model,
                number(sharp.gradient_error, 2),
                number(sharp.gradient_ratio, 2),
                number(sharp.spectrum_db, 2),
                number(spearman.get("text"), 2),
                number(spearman.get("image"), 2),
            )
        )
    limit = mean_sharpness(evaluations[0])
    own = limit.autoencoder_gradient_error, limit.autoencoder_gradient_ratio, limit.autoencoder_spectrum_db
    rows.append((BASELINES[2], *(number(value, 2) for value in own), "-", "-"))
    return Grid(
        "Stages: sharpness, and control by guidance",
        ("model", "gradient error", "gradient ratio", "spectrum dB", "text Spearman", "image Spearman"),
        tuple(rows),
    )


def _cost(evaluations: Sequence[Evaluation]) -> Grid:
    rows = []
    first = evaluations[0].cost
    for evaluation in evaluations:
        cost = evaluation.cost
        if cost is None or first is None:
            rows.append((evaluation.model, *("-",) * 6))
            continue
        of = cost.operations
        rows.append(
            (
                evaluation.model,
                *(("-", "-") if of is None else (f"{of.denoiser / 1e9:.2f}", f"{of.total / 1e9:.2f}")),
                number(cost.seconds.denoise, 3),
                number(cost.seconds.frame, 3),
                number(first.seconds.denoise / cost.seconds.denoise, 1, "x"),
                number(first.seconds.frame / cost.seconds.frame, 1, "x"),
            )
        )
    return Grid(
        "Stages: cost of a frame, and speed to the first model",
        ("model", "denoiser GFLOP", "frame GFLOP", "denoising s", "frame s", "denoising", "frame"),
        tuple(rows),
    )


def _perceptual(evaluations: Sequence[Evaluation]) -> Grid:
    rows = []
    for evaluation in evaluations:
        scores = [row.perceptual for row in evaluation.pairs if row.perceptual is not None]
        clips = [one.clip for one in scores if one.clip is not None]
        rows.append(
            (
                evaluation.model,
                _measured(mean_known(one.lpips for one in scores)),
                _measured(_mean(clips, lambda one: one.text)),
                _measured(_mean(clips, lambda one: one.direction)),
                _measured(_mean(clips, lambda one: one.image)),
                _measured(mean_known(one.result for one in evaluation.consistency)),
            )
        )
    first = evaluations[0]
    clips = [one.perceptual.clip for one in first.pairs if one.perceptual is not None and one.perceptual.clip]
    rows.append(
        (
            "the truth",
            "-",
            _measured(_mean(clips, lambda one: one.truth_text)),
            _measured(_mean(clips, lambda one: one.truth_direction)),
            _measured(_mean(clips, lambda one: one.truth_image)),
            _measured(mean_known(one.truth for one in first.consistency)),
        )
    )
    return Grid(
        "Stages: LPIPS (lower is better) and CLIP (cosines)",
        ("model", "LPIPS", "text", "direction", "image", "frame consistency"),
        tuple(rows),
    )


def _mean(values: Sequence[ClipScores], of: Callable[[ClipScores], float]) -> float | None:
    return mean_known(of(one) for one in values)


def _measured(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.4f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
