"""A whole evaluation: frames, pairs, every model, and the files that were asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from mobie_coreml.evaluation.adapters import ClipScorer, LpipsScorer
from mobie_coreml.evaluation.controllability import measure_guidance
from mobie_coreml.evaluation.cost import measure_costs
from mobie_coreml.evaluation.evaluate import evaluate_model
from mobie_coreml.evaluation.frames import Pixels
from mobie_coreml.evaluation.inputs import Inputs, load_inputs
from mobie_coreml.evaluation.model_spec import open_models
from mobie_coreml.evaluation.models import EditingModel, Sampling
from mobie_coreml.evaluation.options import EvaluationOptions, Outputs
from mobie_coreml.evaluation.page import html_page
from mobie_coreml.evaluation.page_frames import PageFrames, guided_rows
from mobie_coreml.evaluation.pairs import Pair, draw_pairs
from mobie_coreml.evaluation.perceptual import Perceptual
from mobie_coreml.evaluation.report import as_dict, markdown
from mobie_coreml.evaluation.scores import Evaluation
from mobie_coreml.evaluation.sheet import SheetRows, contact_sheet, png
from mobie_coreml.evaluation.temporal import ClipEdit, choose_clip_edits, measure_clips
from mobie_coreml.files import atomic_file, write_json

Progress = Callable[[str, str, int, int, float], None]
"""Called with (model, what is done, pieces done, pieces in all, pieces a second)."""


def run_evaluation(
    models: Sequence[str],
    options: EvaluationOptions,
    outputs: Outputs,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> tuple[list[Evaluation], dict[str, Any]]:
    """Evaluates every model on the same frames and pairs and writes the outputs.

    Args:
        models: Model folders or checkpoints, see `parse_model`; all must have one frame size.
        options: What is evaluated.
        outputs: Files to write.
        force: Replace outputs that exist.
        progress: Told of progress.

    Returns:
        The evaluations, and the complete report as plain values.

    Raises:
        InputError: wrong use or bad input.
    """
    outputs.check(options.clips, force=force)
    shared = Sampling(options.steps, options.sampler, options.text_guidance, options.image_guidance, seed=options.seed)
    opened = open_models(models, shared, runtime=options.runtime, precision=options.precision)
    perceptual = Perceptual(
        None if options.clip_model is None else ClipScorer(options.clip_model),
        LpipsScorer() if options.lpips else None,
    )
    inputs = load_inputs(options, opened[0].frame_size)
    outputs.check_sources({frame.source for frame in inputs.frames})
    pairs = _pairs(inputs, options)
    outputs.check_pairs({pair.frame.source for pair in pairs})
    clip_edits = [] if "temporal" in options.skip else _clip_edits(inputs, options)
    sheet, page = SheetRows(outputs.sheet_source), SheetRows(outputs.page_source)

    def keep(pair: Pair, truth: Pixels, result: Pixels) -> None:
        for rows in (sheet, page):
            rows.keep(pair, truth, result)

    evaluations = [
        _evaluate(model, inputs, pairs, clip_edits, options, perceptual, _Told(progress, model.label), keep)
        for model in opened
    ]
    if "speed" not in options.skip:
        told = _Told(progress, "all models")
        first = pairs[0]
        costs = measure_costs(
            opened, first.frame.pixels, first.phrase, rounds=options.rounds, advance=told.of("frames timed")
        )
        for evaluation, cost in zip(evaluations, costs, strict=True):
            evaluation.cost = cost
    report = as_dict(evaluations, options.as_dict(), inputs.as_dict())
    labels = [model.label for model in opened]
    frames = None
    if outputs.html:
        told = _Told(progress, opened[-1].label)
        frames = guided_rows(page.rows, labels, opened[-1], batch=options.batch, advance=told.of("page frames edited"))
    _write(outputs, evaluations, report, sheet, frames, labels)
    return evaluations, report


class _Told:
    """Hands on progress of one model, with its rate."""

    def __init__(self, progress: Progress | None, label: str) -> None:
        self._progress, self._label = progress, label

    def advance(self, what: str, done: int, total: int, rate: float) -> None:
        if self._progress is not None:
            self._progress(self._label, what, done, total, rate)

    def of(self, what: str) -> Callable[[int, int], None]:
        """For work that reports pieces alone."""
        started = time.perf_counter()

        def advance(done: int, total: int) -> None:
            self.advance(what, done, total, done / max(time.perf_counter() - started, 1e-9))

        return advance


def _pairs(inputs: Inputs, options: EvaluationOptions) -> list[Pair]:
    in_other_words = 0 if "unseen" in options.skip or options.phrases == "held-out" else options.unseen_pairs
    drawn = draw_pairs(
        inputs.frames,
        options.instructions or None,
        per_instruction=options.pairs_per_instruction,
        phrases=options.phrases,
        unseen=in_other_words,
        seed=options.seed,
    )
    return spread(drawn, options.limit)


def _clip_edits(inputs: Inputs, options: EvaluationOptions) -> list[ClipEdit]:
    return choose_clip_edits(inputs.rows, options.instructions or None, options.edits_per_clip, options.seed)


def _evaluate(
    model: EditingModel,
    inputs: Inputs,
    pairs: Sequence[Pair],
    clip_edits: Sequence[ClipEdit],
    options: EvaluationOptions,
    perceptual: Perceptual,
    told: _Told,
    keep: Callable[[Pair, Pixels, Pixels], None],
) -> Evaluation:
    started = time.perf_counter()
    evaluation = evaluate_model(
        model, inputs.frames, pairs, batch=options.batch, perceptual=perceptual, advance=told.advance, keep=keep
    )

    def judge(clip: ClipEdit, sources: Pixels, truths: Pixels, results: Pixels) -> None:
        found = perceptual.consistency(clip.source, clip.edit.name, sources, truths, results)
        evaluation.consistency.extend([] if found is None else [found])

    evaluation.clips = measure_clips(
        model, clip_edits, batch=options.batch, advance=told.of("clips edited"), keep=judge
    )
    if "guidance" not in options.skip:
        visible = [pair for pair, row in zip(pairs, evaluation.pairs, strict=True) if row.changes_visibly]
        chosen = spread(visible or list(pairs), options.guidance_pairs)
        evaluation.guidance = measure_guidance(
            model, chosen, points=options.guidance_points, batch=options.batch, advance=told.of("guidance tried")
        )
    evaluation.seconds = time.perf_counter() - started
    return evaluation


def spread(pairs: list[Pair], limit: int | None) -> list[Pair]:
    """At most `limit` of the pairs, spread evenly."""
    if limit is None or limit >= len(pairs):
        return pairs
    return [pairs[place * len(pairs) // limit] for place in range(limit)]


def _write(
    outputs: Outputs,
    evaluations: list[Evaluation],
    report: dict[str, Any],
    sheet: SheetRows,
    frames: PageFrames | None,
    labels: list[str],
) -> None:
    texts = []
    if outputs.html and frames is not None:
        texts.append((outputs.html, html_page(evaluations, frames)))
    if outputs.markdown:
        texts.append((outputs.markdown, markdown(evaluations)))
    for path, text in texts:
        with atomic_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    if outputs.sheet:
        picture = png(contact_sheet(sheet.rows, labels, across=2))
        with atomic_file(outputs.sheet) as temporary:
            temporary.write_bytes(picture)
    if outputs.json:
        write_json(outputs.json, report)
