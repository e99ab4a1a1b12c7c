"""`mobie edit`: a clip, an image or a folder of images, edited by a prompt."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from mobie_coreml.cli.options import (
    Force,
    ImageGuidance,
    Json,
    Precision,
    Runtime,
    SamplerOption,
    Steps,
    TextGuidance,
)


class _Fit(enum.StrEnum):
    COVER = "cover"
    CONTAIN = "contain"
    STRETCH = "stretch"


class _OutputSize(enum.StrEnum):
    MODEL = "model"
    SOURCE = "source"


class _Noise(enum.StrEnum):
    FIXED = "fixed"
    FRESH = "fresh"


def edit(
    model: Annotated[
        str, typer.Argument(help="A model folder, or a checkpoint with --runtime torch.", metavar="MODEL")
    ],
    source: Annotated[Path, typer.Argument(help="A clip, an image or a folder of images.", metavar="INPUT")],
    output: Annotated[
        Path,
        typer.Argument(
            help="A clip, an image, or a folder for one file a prompt; its name may hold {prompt} or {number}.",
            metavar="OUTPUT",
        ),
    ],
    prompt: Annotated[list[str], typer.Option("--prompt", "-p", help="What to change; repeat it for several.")],
    text_guidance: TextGuidance = None,
    image_guidance: ImageGuidance = None,
    steps: Steps = None,
    sampler: SamplerOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    noise: Annotated[
        _Noise, typer.Option(help="One noise for the clip, or new noise a frame (flickers).")
    ] = _Noise.FIXED,
    fit: Annotated[_Fit, typer.Option(help="Crop to the model's frame, pad into it, or distort.")] = _Fit.COVER,
    output_size: Annotated[
        _OutputSize, typer.Option(help="Frames as the model makes them, or resized back.")
    ] = _OutputSize.MODEL,
    side_by_side: Annotated[
        bool, typer.Option("--side-by-side", help="One output: the source and every result.")
    ] = False,
    start: Annotated[float, typer.Option(help="Seconds of the clip to skip.")] = 0.0,
    limit: Annotated[int | None, typer.Option(help="Edit at most this many frames.")] = None,
    runtime: Annotated[Runtime | None, typer.Option(help="Core ML on macOS, mil anywhere, or PyTorch.")] = None,
    precision: Annotated[Precision, typer.Option(help="Arithmetic of the mil runtime.")] = Precision.FP32,
    checkpoint: Annotated[
        str | None, typer.Option(help="With --runtime torch: the checkpoint of the model folder.")
    ] = None,
    force: Force = False,
    json_output: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Edits a clip, an image or a folder of images by a prompt.

    Timestamps, rotation and audio of a clip are kept. Several prompts give one file each, or one clip that shows all of
    them with --side-by-side.
    """
    import json

    from rich.console import Console

    from mobie_coreml.cli.frame_progress import frame_progress, speed_text
    from mobie_coreml.editing.edit_clip import edit_clip
    from mobie_coreml.editing.options import EditOptions

    options = EditOptions(
        prompts=tuple(prompt),
        text_guidance=text_guidance,
        image_guidance=image_guidance,
        steps=steps,
        sampler=sampler.value if sampler else None,
        seed=seed,
        noise=noise.value,
        fit=fit.value,
        output_size=output_size.value,
        side_by_side=side_by_side,
        start=start,
        limit=limit,
    )
    console = Console(stderr=True, quiet=quiet)
    with frame_progress(console) as on_progress:
        report = edit_clip(
            model,
            source,
            output,
            options,
            runtime=runtime.value if runtime else None,
            precision=precision.value,
            checkpoint=checkpoint,
            force=force,
            on_progress=on_progress,
        )
    for note in report.notes:
        console.print(f"Note: {note}", style="yellow", highlight=False, markup=False)
    if json_output:
        typer.echo(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
        return
    width, height = report.frame_size
    speed = f", {speed_text(report.frames / report.seconds)}" if report.seconds else ""
    frames = "1 frame" if report.frames == 1 else f"{report.frames} frames"
    console.print(f"Edited {frames} of {width}x{height} pixels{speed}:", highlight=False)
    for path in report.outputs:
        console.print(f"  {path}", highlight=False, markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Adds `mobie edit` to `app`."""
    app.command("edit")(edit)
