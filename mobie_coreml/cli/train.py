"""`mobie train`: the group of commands, and the autoencoder's."""

from __future__ import annotations

from typing import Annotated

import typer

from mobie_coreml.cli.options import Json, Quiet
from mobie_coreml.cli.train_options import (
    Accumulate,
    Force,
    HeldOut,
    Minutes,
    Out,
    Photos,
    Precision,
    Rate,
    Resume,
    SaveMinutes,
    Seed,
    Start,
    Steps,
    Threads,
    chosen_loop,
    command_line,
)
from mobie_coreml.cli.train_view import TrainingBars, print_result


def register(app: typer.Typer) -> None:
    """Adds this module's commands to `app`."""
    from mobie_coreml.cli import train_stages

    group = typer.Typer(no_args_is_help=True, help="Train the nano model from photographs, and distil any to one step.")
    group.command("autoencoder")(autoencoder)
    train_stages.add_commands(group)
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
    precision: Precision = "auto",
    save_minutes: SaveMinutes = 3.0,
    accumulate: Accumulate = 1,
    start: Start = None,
    resume: Resume = False,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train the tiny autoencoder that turns frames into latents and back."""
    from dataclasses import replace

    from mobie_coreml.training.config import LOOPS, AutoencoderTraining, PhotoConfig
    from mobie_coreml.training.runs import train_autoencoder

    config = replace(AutoencoderTraining(), decoder_only=decoder_only)
    if batch is not None:
        config = replace(config, batch=batch)
    loop = chosen_loop(
        LOOPS["autoencoder"], steps, minutes, learning_rate, seed, threads, precision, save_minutes, accumulate
    )
    with TrainingBars(quiet) as bars:
        result = train_autoencoder(
            photos,
            out,
            loop,
            photo_config=PhotoConfig(held_out_every=held_out_every),
            config=config,
            start=start,
            command=command_line(),
            resume=resume,
            force=force,
            progress=bars.progress,
        )
    print_result(result, json)
