"""`mobie evaluate`: how close edits are to their known truth."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from mobie_coreml.cli.options import Force, ImageGuidance, Json, Runtime, SamplerOption, Steps, TextGuidance


class _Phrases(enum.StrEnum):
    CANONICAL = "canonical"
    TRAINING = "training"
    HELD_OUT = "held-out"


class _Precision(enum.StrEnum):
    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Model folders or checkpoints of one size. MODEL@steps=10,text=3,image=1.5 runs one in another way "
            "(steps, sampler, text, image; name= for its name in reports). The first is what others are compared with.",
            metavar="MODEL...",
        ),
    ],
    clips: Annotated[list[Path] | None, typer.Option(help="A clip; repeat it for several.")] = None,
    photos: Annotated[Path | None, typer.Option(help="A folder of photographs.")] = None,
    held_out_every: Annotated[int, typer.Option(help="Photographs whose number is divisible by this.")] = 20,
    frames: Annotated[int, typer.Option(help="Frames a clip, spread evenly.")] = 50,
    instructions: Annotated[str, typer.Option(help="Names of edits, separated by commas; all without.")] = "",
    pairs_per_instruction: Annotated[int, typer.Option(help="Pairs of one instruction and one source.")] = 4,
    limit: Annotated[int | None, typer.Option(help="At most this many pairs in all.")] = None,
    phrases: Annotated[_Phrases, typer.Option(help="Wording of the instructions.")] = _Phrases.CANONICAL,
    unseen_pairs: Annotated[int, typer.Option(help="Of those, pairs tried in words that training never saw.")] = 2,
    frames_in_row: Annotated[int, typer.Option(help="Consecutive frames a clip, for measures over time.")] = 12,
    edits_per_clip: Annotated[int, typer.Option(help="Instructions tried on those.")] = 4,
    guidance_pairs: Annotated[int, typer.Option(help="Pairs over which guidance scales are tried.")] = 16,
    guidance_points: Annotated[int, typer.Option(help="Values of each scale.")] = 5,
    rounds: Annotated[int, typer.Option(help="Timed frames a model.")] = 5,
    skip: Annotated[str, typer.Option(help="Leave out unseen, temporal, guidance or speed; by commas.")] = "",
    clip_model: Annotated[
        str | None, typer.Option(help="A CLIP model, folder or hub id, to score with.", metavar="PATH_OR_ID")
    ] = None,
    lpips: Annotated[bool, typer.Option("--lpips", help="Measure LPIPS; needs its weights.")] = False,
    seed: Annotated[int, typer.Option(help="Of the choice of pairs and of the noise.")] = 0,
    text_guidance: TextGuidance = None,
    image_guidance: ImageGuidance = None,
    steps: Steps = None,
    sampler: SamplerOption = None,
    runtime: Annotated[Runtime | None, typer.Option(help="Of model folders.")] = None,
    precision: Annotated[_Precision, typer.Option(help="fp16 for model folders, bf16 for checkpoints.")] = (
        _Precision.FP32
    ),
    batch: Annotated[int, typer.Option(help="Edits a forward of a checkpoint.")] = 8,
    html: Annotated[Path | None, typer.Option(help="Write a page with all tables, frames and sliders.")] = None,
    page_source: Annotated[str | None, typer.Option(help="The clip it shows, by its name without suffix.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write all tables as Markdown.")] = None,
    json_file: Annotated[Path | None, typer.Option(help="Write the JSON report to a file.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet (PNG).")] = None,
    sheet_source: Annotated[str | None, typer.Option(help="The clip it shows, by its name without suffix.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 if a goal is not met.")] = False,
    force: Force = False,
    json_output: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but results and errors.")] = False,
) -> None:
    """Measures edits against their known truth on held-out photographs and clips, stage by stage.

    Every instruction is a function of the picture, so the right result is known. Beside the models stand a wrong
    instruction, the unedited source, the best colour transform of it, and the autoencoder alone.
    """
    import json

    from rich.console import Console

    from mobie_coreml.errors import CheckFailed
    from mobie_coreml.evaluation.goals import goals, reference_of
    from mobie_coreml.evaluation.grid import rich_table
    from mobie_coreml.evaluation.options import EvaluationOptions, Outputs
    from mobie_coreml.evaluation.report import grids, headline
    from mobie_coreml.evaluation.run import run_evaluation
    from mobie_coreml.evaluation.stage_table import stage_grids

    options = EvaluationOptions(
        clips=tuple(clips or ()),
        photos=photos,
        held_out_every=held_out_every,
        frames=frames,
        instructions=_names(instructions),
        pairs_per_instruction=pairs_per_instruction,
        limit=limit,
        phrases=phrases.value,
        unseen_pairs=unseen_pairs,
        frames_in_row=frames_in_row,
        edits_per_clip=edits_per_clip,
        guidance_pairs=guidance_pairs,
        guidance_points=guidance_points,
        rounds=rounds,
        skip=_names(skip),
        clip_model=clip_model,
        lpips=lpips,
        seed=seed,
        batch=batch,
        runtime=None if runtime is None else runtime.value,
        precision=precision.value,
        steps=steps,
        sampler=None if sampler is None else sampler.value,
        text_guidance=text_guidance,
        image_guidance=image_guidance,
    )
    outputs = Outputs(html, markdown, json_file, sheet, sheet_source, page_source)
    with _Bar(quiet=quiet) as bar:
        evaluations, report = run_evaluation(models, options, outputs, force=force, progress=bar.advance)
    if json_output:
        typer.echo(json.dumps(report, ensure_ascii=False))
    else:
        console = Console()
        left_out = report["inputs"]["photos_left_out"]
        if left_out:
            reasons = ", ".join(sorted(set(left_out.values())))
            console.print(f"{len(left_out)} photographs were left out: {reasons}.", highlight=False, markup=False)
        for grid in stage_grids(evaluations):
            console.print(rich_table(grid))
        for place, evaluation in enumerate(evaluations):
            console.print(headline(evaluation), highlight=False, markup=False)
            for grid in grids(evaluation, reference_of(evaluations, place)):
                console.print(rich_table(grid))
    missed = [
        f"{evaluation.model}: {goal.name}: {goal.found}, wanted {goal.wanted}"
        for place, evaluation in enumerate(evaluations)
        for goal in goals(evaluation, reference_of(evaluations, place))
        if not goal.met
    ]
    if check and missed:
        raise CheckFailed(f"{len(missed)} goals are not met: {'; '.join(missed)}.")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


class _Bar:
    """Progress on standard error: what is done, how many a second, time left."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=quiet,
        )
        self._tasks: dict[tuple[str, str], int] = {}

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, model: str, what: str, done: int, total: int, rate: float) -> None:
        """Shows one step."""
        from rich.progress import TaskID

        key = (model, what)
        if key not in self._tasks:
            self._tasks[key] = int(self._progress.add_task(f"{model}: {what}", total=total, rate=""))
        self._progress.update(TaskID(self._tasks[key]), completed=done, rate=f"{rate:.2f}/s")


def register(app: typer.Typer) -> None:
    """Adds this module's command to `app`."""
    app.command("evaluate")(evaluate)
