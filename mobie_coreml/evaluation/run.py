"""A whole evaluation: frames, pairs, every model, and the files that were asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mobie_coreml.diffusion.samplers import SamplerMethod
from mobie_coreml.edits import find_edit
from mobie_coreml.errors import InputError
from mobie_coreml.evaluation.evaluate import Evaluation, evaluate_model
from mobie_coreml.evaluation.frames import PHOTOS, EvaluationFrame, clip_frames, held_out_photos
from mobie_coreml.evaluation.models import EditingModel, Sampling, open_model
from mobie_coreml.evaluation.pairs import Pair, Phrases, draw_pairs
from mobie_coreml.evaluation.report import as_dict, html_page, markdown
from mobie_coreml.evaluation.sheet import SheetRows, contact_sheet, png
from mobie_coreml.files import atomic_file, check_output, write_json

Progress = Callable[[str, str, int, int, float], None]
"""Called with (model, what is done, pieces done, pieces in all, pieces a second)."""


@dataclass(frozen=True)
class EvaluationOptions:
    """What is evaluated and how.

    Args:
        clips: Clips; `frames` frames of each, spread evenly.
        photos: Folder of photographs, of which those with a number divisible by `held_out_every` are used.
        held_out_every: See there.
        frames: Frames a clip.
        instructions: Names of edits, empty for all.
        pairs_per_instruction: Pairs of one instruction and one source: this bounds the work.
        limit: At most this many pairs in all, spread evenly over those drawn.
        phrases: Wording: canonical, training or held-out.
        seed: Of the choice of pairs and of the noise.
        batch: Edits a forward.
        runtime, precision, steps, sampler, text_guidance, image_guidance: How models are run, None for their defaults.

    Raises:
        InputError: a number is out of range, or there is neither clip nor photograph.
    """

    clips: tuple[Path, ...] = ()
    photos: Path | None = None
    held_out_every: int = 20
    frames: int = 50
    instructions: tuple[str, ...] = ()
    pairs_per_instruction: int = 4
    limit: int | None = None
    phrases: Phrases = "canonical"
    seed: int = 0
    batch: int = 8
    runtime: str | None = None
    precision: str = "fp32"
    steps: int | None = None
    sampler: SamplerMethod | None = None
    text_guidance: float | None = None
    image_guidance: float | None = None

    def __post_init__(self) -> None:
        if not self.clips and self.photos is None:
            raise InputError("There is nothing to evaluate on.", "Give --clips, --photos, or both.")
        for name in self.instructions:
            find_edit(name)
        sources = [clip.stem for clip in self.clips] + ([PHOTOS] if self.photos is not None else [])
        if len(set(sources)) != len(sources):
            raise InputError("Two sources have the same name.", "Rename a clip: reports tell sources apart by name.")
        for option, value, least in (
            ("--held-out-every", self.held_out_every, 1),
            ("--frames", self.frames, 1),
            ("--pairs-per-instruction", self.pairs_per_instruction, 1),
            ("--limit", self.limit, 1),
            ("--seed", self.seed, 0),
            ("--batch", self.batch, 2),
            ("--steps", self.steps, 1),
        ):
            if value is not None and value < least:
                raise InputError(f"{option} {value} is out of range.", f"Give a whole number of at least {least}.")


@dataclass(frozen=True)
class Outputs:
    """Files to write beside the JSON that the caller gets; `sheet_source` names the clip (or "photos") they show."""

    html: Path | None = None
    markdown: Path | None = None
    json: Path | None = None
    sheet: Path | None = None
    sheet_source: str | None = None

    def check(self, inputs: Sequence[Path], *, force: bool) -> None:
        """Refuses outputs that exist, before any work.

        Args:
            inputs: Files that no output may replace.
            force: Outputs that exist may be replaced.

        Raises:
            InputError: one exists and `force` is false, cannot be written, is an input, or is named twice.
        """
        taken = {path.resolve() for path in inputs}
        for path in (self.html, self.markdown, self.json, self.sheet):
            if path is not None:
                if path.resolve() in taken:
                    raise InputError(f"{path} is an input or named twice.", "Choose another output.")
                taken.add(path.resolve())
                check_output(path, force=force, is_file=True)


def run_evaluation(
    models: Sequence[str],
    options: EvaluationOptions,
    outputs: Outputs,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> tuple[list[Evaluation], dict[str, Any]]:
    """Evaluates every model on the same pairs and writes the outputs.

    Args:
        models: Model folders or checkpoints; all must have one frame size.
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
    opened = [_open(name, options) for name in models]
    labels = [model.label for model in opened]
    if len(set(labels)) != len(labels):
        raise InputError("Two models have the same name.", "Rename one: reports tell models apart by their names.")
    sizes = {model.frame_size for model in opened}
    if len(sizes) != 1:
        raise InputError("The models have different frame sizes.", "Evaluate models of one size together.")
    frames = load_frames(options, sizes.pop())
    sources = {frame.source for frame in frames}
    if outputs.sheet_source is not None and outputs.sheet_source not in sources:
        raise InputError(
            f"There is no source {outputs.sheet_source!r}.", f"Choose one of {', '.join(sorted(sources))}."
        )
    pairs = limit_pairs(
        draw_pairs(
            frames,
            options.instructions or None,
            per_instruction=options.pairs_per_instruction,
            phrases=options.phrases,
            seed=options.seed,
        ),
        options.limit,
    )
    if outputs.sheet_source is not None and all(pair.frame.source != outputs.sheet_source for pair in pairs):
        raise InputError(f"No pair is drawn from {outputs.sheet_source}.", "Choose another --sheet-source.")
    rows = SheetRows(outputs.sheet_source)
    evaluations = []
    for model in opened:

        def advance(what: str, done: int, total: int, rate: float, label: str = model.label) -> None:
            if progress is not None:
                progress(label, what, done, total, rate)

        keep = rows.keep if outputs.sheet or outputs.html else None
        evaluations.append(evaluate_model(model, frames, pairs, batch=options.batch, advance=advance, keep=keep))
    report = as_dict(evaluations, _settings(options))
    _write(outputs, evaluations, report, rows, labels)
    return evaluations, report


def load_frames(options: EvaluationOptions, size: tuple[int, int]) -> list[EvaluationFrame]:
    """All frames of the clips and photographs of `options`, at (width, height) `size`."""
    frames: list[EvaluationFrame] = []
    if options.photos is not None:
        frames += held_out_photos(options.photos, options.held_out_every, size)
    for clip in options.clips:
        frames += clip_frames(clip, options.frames, size)
    return frames


def limit_pairs(pairs: list[Pair], limit: int | None) -> list[Pair]:
    """At most `limit` of the pairs, spread evenly."""
    if limit is None or limit >= len(pairs):
        return pairs
    return [pairs[place * len(pairs) // limit] for place in range(limit)]


def _open(name: str, options: EvaluationOptions) -> EditingModel:
    sampling = Sampling(
        options.steps, options.sampler, options.text_guidance, options.image_guidance, seed=options.seed
    )
    return open_model(name, sampling, runtime=options.runtime, precision=options.precision)


def _settings(options: EvaluationOptions) -> dict[str, Any]:
    values = asdict(options)
    values["clips"] = [clip.name for clip in options.clips]
    values["photos"] = options.photos.name if options.photos else None
    return values


def _write(
    outputs: Outputs, evaluations: list[Evaluation], report: dict[str, Any], rows: SheetRows, labels: list[str]
) -> None:
    sheet = png(contact_sheet(rows.rows, labels, across=2)) if outputs.sheet or outputs.html else None
    texts = []
    if outputs.html:
        texts.append((outputs.html, html_page(evaluations, sheet)))
    if outputs.markdown:
        texts.append((outputs.markdown, markdown(evaluations)))
    for path, text in texts:
        with atomic_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    if outputs.sheet and sheet is not None:
        with atomic_file(outputs.sheet) as temporary:
            temporary.write_bytes(sheet)
    if outputs.json:
        write_json(outputs.json, report)
