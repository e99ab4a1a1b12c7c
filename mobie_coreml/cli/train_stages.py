"""`mobie train teacher`, `guidance`, `velocity` and `one-step`: the stages of denoisers."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mobie_coreml.cli.options import Json, Quiet
from mobie_coreml.cli.train_options import (
    Accumulate,
    Force,
    HeldOut,
    Minutes,
    Out,
    Precision,
    Rate,
    Resume,
    SaveMinutes,
    Seed,
    Steps,
    Threads,
    chosen_loop,
    command_line,
)

if TYPE_CHECKING:
    from mobie_coreml.training.config import LoopConfig

COMMANDS = {
    "teacher": (
        "Stages 1 and 2: a teacher from nothing (nano), or from another one, such as mobile from an imported base."
    ),
    "guidance": "Stage 3: both guidance scales become inputs, and three passes become one.",
    "velocity": (
        "From noise to velocity prediction, which stage 4 starts from; nano predicts velocity from the beginning."
    ),
    "one-step": "Stage 4: adversarial distillation to a single step.",
}
"""What each stage does."""

Data = Annotated[
    str,
    typer.Argument(help="Folder of photographs, or triples: a folder with triples.jsonl, .tar shards, hub:NAME."),
]
Teacher = Annotated[
    str, typer.Option("--teacher", help="Checkpoint or run of the stage before; stays as it is, and is learnt from.")
]
Start = Annotated[
    str | None, typer.Option("--from", help="Take the student's weights from this one instead of the teacher.")
]
Ablations = Annotated[
    list[str] | None, typer.Option("--ablation", help="Change of the method, see `--options`; repeatable.")
]
PresetName = Annotated[str | None, typer.Option("--preset", help="Refuse a teacher of another preset.")]
BatchSize = Annotated[int | None, typer.Option("--batch", help="Examples a batch, per process.", min=1)]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="NAME=VALUE: any option of the stage, see `--options`; repeatable.")
]
Split = Annotated[str, typer.Option("--split", help="Of a data set.")]
MaxTriples = Annotated[int | None, typer.Option("--max-triples", help="Read no more triples than this.", min=1)]
Crops = Annotated[int | None, typer.Option("--crops", help="Crops of photographs that are cached.", min=1)]


def _show_options(context: typer.Context, wanted: bool) -> None:
    """Prints the options of a stage with the values of each family, and ends."""
    if not wanted:
        return
    from mobie_coreml.training.config import TeacherTraining
    from mobie_coreml.training.settings import setting_values
    from mobie_coreml.training.stage_config import ABLATIONS, STAGES

    stage = str(context.command.name)
    _print_options({family: setting_values(config) for family, config in STAGES[stage].items()})
    if stage == "teacher":
        typer.echo("\nfrom nothing, on photographs")
        _print_options({"nano": setting_values(TeacherTraining())})
    if stage == "one-step":
        typer.echo("\nablations")
        for name, (meaning, *_) in ABLATIONS.items():
            typer.echo(f"{name:26} {meaning}")
    raise typer.Exit


def _print_options(columns: dict[str, dict[str, str]]) -> None:
    typer.echo(f"{'option':26} " + " ".join(f"{family:>14}" for family in columns))
    for name in next(iter(columns.values())):
        typer.echo(f"{name:26} " + " ".join(f"{values[name]:>14}" for values in columns.values()))


Options = Annotated[
    bool,
    typer.Option("--options", is_eager=True, callback=_show_options, help="List the stage's options and end."),
]


def add_commands(group: typer.Typer) -> None:
    """Adds this module's commands to `mobie train`."""
    for name, meaning in COMMANDS.items():
        commands: dict[str, Callable[..., None]] = {"teacher": train_teacher, "one-step": train_stage}
        group.command(name, help=meaning)(commands.get(name) or _without(train_stage, "ablation"))


def train_teacher(
    context: typer.Context,
    data: Data,
    out: Out,
    teacher: Annotated[
        str | None, typer.Option("--teacher", help="Checkpoint whose weights to start from; nothing, if left out.")
    ] = None,
    autoencoder: Annotated[
        str | None,
        typer.Option("--autoencoder", help="Run of `mobie train autoencoder`, its folder, or a checkpoint."),
    ] = None,
    feature_distillation: Annotated[
        bool, typer.Option("--feature-distillation", help="Learn from the features of --teacher too.")
    ] = False,
    steps: Steps = None,
    minutes: Minutes = None,
    batch: BatchSize = None,
    accumulate: Accumulate = 1,
    learning_rate: Rate = None,
    settings: Settings = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="What to make of --teacher; mobile of base by default.")
    ] = None,
    seed: Seed = 0,
    held_out_every: HeldOut = 20,
    split: Split = "train",
    max_triples: MaxTriples = None,
    crops: Crops = None,
    threads: Threads = 0,
    precision: Precision = "auto",
    save_minutes: SaveMinutes = 3.0,
    start: Annotated[
        str | None, typer.Option("--from", help="Take the weights from this one of the same shape instead.")
    ] = None,
    resume: Resume = False,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    options: Options = False,
) -> None:
    """Trains a teacher."""
    _run("teacher", locals())


def train_stage(
    context: typer.Context,
    data: Data,
    out: Out,
    teacher: Teacher,
    steps: Steps = None,
    minutes: Minutes = None,
    batch: BatchSize = None,
    accumulate: Accumulate = 1,
    learning_rate: Rate = None,
    settings: Settings = None,
    ablation: Ablations = None,
    preset: PresetName = None,
    seed: Seed = 0,
    held_out_every: HeldOut = 20,
    split: Split = "train",
    max_triples: MaxTriples = None,
    crops: Crops = None,
    threads: Threads = 0,
    precision: Precision = "auto",
    save_minutes: SaveMinutes = 3.0,
    start: Start = None,
    resume: Resume = False,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    options: Options = False,
) -> None:
    """Runs the stage that the command is called after; of the three, one-step has every parameter."""
    _run(str(context.command.name), locals())


def _without(command: Callable[..., None], name: str) -> Callable[..., None]:
    """The same command without one of its parameters, as Typer reads it."""

    @functools.wraps(command)
    def shorter(**given: Any) -> None:
        command(**given)

    signature = inspect.signature(command, eval_str=True)
    kept = [parameter for parameter in signature.parameters.values() if parameter.name != name]
    shorter.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    return shorter


def _run(stage: str, given: dict[str, Any]) -> None:
    """Trains a stage with the arguments of its command."""
    from mobie_coreml.cli.train_view import TrainingBars, print_result
    from mobie_coreml.errors import InputError
    from mobie_coreml.training.config import PhotoConfig
    from mobie_coreml.training.distillation_runs import Request, train_guidance, train_one_step, train_velocity
    from mobie_coreml.training.teacher_runs import TeacherRequest, train_any_teacher

    def loop(usual: LoopConfig) -> LoopConfig:
        names = ("steps", "minutes", "learning_rate", "seed", "threads", "precision", "save_minutes", "accumulate")
        return chosen_loop(usual, *(given[name] for name in names))

    if given["teacher"] == "":
        raise InputError("--teacher is empty.", "Is a variable of your shell not set?")
    settings = list(given["settings"] or [])
    if given["batch"] is not None:
        settings.append(f"batch={given['batch']}")
    with TrainingBars(given["quiet"]) as bars:
        asked: dict[str, Any] = {
            **{name: given[name] for name in ("data", "out", "start", "preset", "split", "crops", "resume", "force")},
            "teacher": given["teacher"] or "",
            "loop": loop,
            "settings": settings,
            "photo_config": PhotoConfig(held_out_every=given["held_out_every"]),
            "most": given["max_triples"],
            "command": command_line(),
            "progress": bars.progress,
        }
        if stage == "teacher":
            result = train_any_teacher(
                TeacherRequest(**asked, autoencoder=given["autoencoder"], distill=given["feature_distillation"])
            )
        else:
            train = {"guidance": train_guidance, "velocity": train_velocity, "one-step": train_one_step}[stage]
            result = train(Request(**asked, ablations=given["ablation"] or ()))
    print_result(result, given["json"])
