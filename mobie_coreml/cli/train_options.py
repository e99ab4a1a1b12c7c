"""Options that all trainings have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mobie_coreml.training.config import LoopConfig

Photos = Annotated[Path, typer.Argument(help="Folder of photographs, searched with its subfolders.")]
Out = Annotated[Path, typer.Argument(help="Run folder to write; the trained weights are in its `result`.")]
Steps = Annotated[int | None, typer.Option("--steps", help="End after this many steps.")]
Minutes = Annotated[float | None, typer.Option("--minutes", help="End after this much time in the loop.")]
Rate = Annotated[float | None, typer.Option("--learning-rate", help="Peak learning rate.")]
Seed = Annotated[int, typer.Option("--seed", help="Seeds weights, crops, edits, noise.", min=0)]
Threads = Annotated[int, typer.Option("--threads", help="CPU threads; 0 leaves it to torch.", min=0)]
Precision = Annotated[
    str, typer.Option("--precision", help="bf16 (autocast), no, or auto: bf16 where the machine computes in it.")
]
SaveMinutes = Annotated[float, typer.Option("--save-minutes", help="Save the state this often.", min=0)]
HeldOut = Annotated[
    int, typer.Option("--held-out-every", help="Keep photographs whose number is divisible by this; 0: none.", min=0)
]
Start = Annotated[Path | None, typer.Option("--from", help="Start from these weights, with a fresh optimiser.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in OUT exactly where it was saved.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a run that exists.")]
Accumulate = Annotated[int, typer.Option("--accumulate", help="Batches a step.", min=1)]


def chosen_loop(
    usual: LoopConfig,
    steps: int | None,
    minutes: float | None,
    learning_rate: float | None,
    seed: int,
    threads: int,
    precision: str,
    save_minutes: float,
    accumulate: int,
) -> LoopConfig:
    """A stage's usual loop with what the command line says instead."""
    from dataclasses import replace

    from mobie_coreml.errors import InputError
    from mobie_coreml.training.processes import usual_precision
    from mobie_coreml.training.runs import with_length

    if precision not in ("auto", "bf16", "no"):
        raise InputError(f"There is no precision {precision!r}.", "Choose auto, bf16 or no.")
    if precision == "auto":
        precision = usual_precision()
    loop = with_length(usual, steps, minutes)
    if learning_rate is not None:
        loop = replace(loop, learning_rate=learning_rate)
    return replace(
        loop,
        seed=seed,
        threads=threads,
        precision="bf16" if precision == "bf16" else "no",
        save_minutes=save_minutes,
        accumulate=accumulate,
    )


def command_line() -> str:
    """What was typed, with paths shortened to their last part: a checkpoint says nothing about the machine."""
    import shlex
    import sys

    words = [Path(word).name if "/" in word and not word.startswith("hub:") else word for word in sys.argv[1:]]
    return shlex.join(["mobie", *words])
