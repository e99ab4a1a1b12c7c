"""`mobie train`: train the nano autoencoder and teacher on a folder of photographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mobie_coreml.cli.options import Json, Quiet

if TYPE_CHECKING:
    from mobie_coreml.training.config import LoopConfig, PhotoConfig
    from mobie_coreml.training.loop import RunResult
    from mobie_coreml.training.runs import Progress

Photos = Annotated[Path, typer.Argument(help="Folder of photographs, searched with its subfolders.")]
Out = Annotated[Path, typer.Argument(help="Run folder to write; the trained weights are in its `result`.")]
Steps = Annotated[int | None, typer.Option("--steps", help="End after this many steps.")]
Minutes = Annotated[float | None, typer.Option("--minutes", help="End after this much time in the loop.")]
Rate = Annotated[float | None, typer.Option("--learning-rate", help="Peak learning rate.")]
Seed = Annotated[int, typer.Option("--seed", help="Seeds weights, crops, edits, noise.", min=0)]
Threads = Annotated[int, typer.Option("--threads", help="CPU threads; 0 leaves it to torch.", min=0)]
Precision = Annotated[str, typer.Option("--precision", help="bf16 (autocast) or no.")]
SaveMinutes = Annotated[float, typer.Option("--save-minutes", help="Save the state this often.", min=0)]
HeldOut = Annotated[
    int, typer.Option("--held-out-every", help="Keep photographs whose number is divisible by this; 0: none.", min=0)
]
Start = Annotated[Path | None, typer.Option("--from", help="Start from these weights, with a fresh optimiser.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in OUT exactly where it was saved.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a run that exists.")]


def register(app: typer.Typer) -> None:
    """Adds this module's commands to `app`."""
    group = typer.Typer(no_args_is_help=True, help="Train the nano model on a folder of photographs.")
    group.command("autoencoder")(autoencoder)
    group.command("teacher")(teacher)
    app.add_typer(group, name="train")


def autoencoder(
    photos: Photos,
    out: Out,
    steps: Steps = None,
    minutes: Minutes = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Crops a step.", min=1)] = None,
    decoder_only: Annotated[
        bool, typer.Option("--decoder-only", help="Leave the encoder (needs --from), so that denoisers stay valid.")
    ] = False,
    learning_rate: Rate = None,
    seed: Seed = 0,
    held_out_every: HeldOut = 20,
    threads: Threads = 0,
    precision: Precision = "bf16",
    save_minutes: SaveMinutes = 3.0,
    start: Start = None,
    resume: Resume = False,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train the tiny autoencoder that turns frames into latents and back."""
    from dataclasses import replace

    from mobie_coreml.training.config import AutoencoderTraining
    from mobie_coreml.training.runs import train_autoencoder

    config = replace(AutoencoderTraining(), decoder_only=decoder_only)
    if batch is not None:
        config = replace(config, batch=batch)
    loop = _loop("autoencoder", steps, minutes, learning_rate, seed, threads, precision, save_minutes)
    with _Bars(quiet) as bars:
        result = train_autoencoder(
            photos,
            out,
            loop,
            photo_config=_photo_config(held_out_every),
            config=config,
            start=start,
            resume=resume,
            force=force,
            progress=bars.progress,
        )
    _print(result, json)


def teacher(
    photos: Photos,
    out: Out,
    autoencoder: Annotated[
        Path, typer.Option("--autoencoder", help="Run of `mobie train autoencoder`, its folder, or a checkpoint.")
    ],
    steps: Steps = None,
    minutes: Minutes = None,
    learning_rate: Rate = None,
    seed: Seed = 0,
    held_out_every: HeldOut = 20,
    threads: Threads = 0,
    precision: Precision = "bf16",
    save_minutes: SaveMinutes = 3.0,
    start: Start = None,
    resume: Resume = False,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train the denoiser and its text encoder on instruction edits computed from the photographs."""
    from mobie_coreml.training.runs import train_teacher

    loop = _loop("teacher", steps, minutes, learning_rate, seed, threads, precision, save_minutes)
    with _Bars(quiet) as bars:
        result = train_teacher(
            photos,
            out,
            autoencoder,
            loop,
            photo_config=_photo_config(held_out_every),
            start=start,
            resume=resume,
            force=force,
            progress=bars.progress,
        )
    _print(result, json)


def _loop(
    stage: str,
    steps: int | None,
    minutes: float | None,
    learning_rate: float | None,
    seed: int,
    threads: int,
    precision: str,
    save_minutes: float,
) -> LoopConfig:
    """The stage's preset with what the command line says instead."""
    from dataclasses import replace

    from mobie_coreml.errors import InputError
    from mobie_coreml.training.config import LOOPS
    from mobie_coreml.training.runs import with_length

    if precision not in ("bf16", "no"):
        raise InputError(f"There is no precision {precision!r}.", "Choose bf16 or no.")
    loop = with_length(LOOPS[stage], steps, minutes)
    if learning_rate is not None:
        loop = replace(loop, learning_rate=learning_rate)
    return replace(
        loop,
        seed=seed,
        threads=threads,
        precision="bf16" if precision == "bf16" else "no",
        save_minutes=save_minutes,
    )


def _photo_config(held_out_every: int) -> PhotoConfig:
    from mobie_coreml.training.config import PhotoConfig

    return PhotoConfig(held_out_every=held_out_every)


def _print(result: RunResult, as_json: bool) -> None:
    """How the run ended, for people or for programs."""
    if as_json:
        import json

        summary: dict[str, Any] = {
            "result": str(result.folder / "result"),
            "steps": result.steps,
            "seconds": round(result.seconds, 1),
            **result.figures,
        }
        typer.echo(json.dumps(summary))
        return
    figures = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in result.figures.items())
    typer.echo(f"Trained {result.steps} steps in {result.seconds / 60:.1f} minutes: {figures or 'nothing held out'}.")
    typer.echo(f"Weights are in {result.folder / 'result'}, the curve in {result.folder / 'curve.png'}.")


class _Bars:
    """Progress on standard error: photographs read, pairs encoded, steps with the smoothed figures."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._console = Console(stderr=True, quiet=quiet)
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._bars = Bars(*columns, TextColumn("{task.fields[figures]}"), console=self._console, disable=quiet)
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> _Bars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @property
    def progress(self) -> Progress:
        """The callbacks that move the bars."""
        from mobie_coreml.training.runs import Progress

        return Progress(
            photos=lambda done, total: self._move("Reading photographs", done / total),
            summary=self._console.print,
            pairs=lambda done, total: self._move("Encoding pairs", done / total),
            step=self._step,
        )

    def _step(self, step: int, fraction: float, figures: dict[str, float]) -> None:
        shown = " ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in figures.items())
        self._move("Training", fraction, f"step {step} {shown}")

    def _move(self, description: str, fraction: float, figures: str = "") -> None:
        if description not in self._tasks:
            self._tasks[description] = self._bars.add_task(description, total=1.0, figures="")
        self._bars.update(self._tasks[description], completed=fraction, figures=figures)
