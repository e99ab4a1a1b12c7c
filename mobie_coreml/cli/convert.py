"""`mobie convert`: a checkpoint to a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mobie_coreml.cli.options import Json, Quiet

_COMPONENTS = "TextEncoder, Conditioner, Encoder, Denoiser, Decoder"


def register(app: typer.Typer) -> None:
    """Adds this module's commands to `app`."""
    app.command("convert")(convert)


def convert(
    checkpoint: Annotated[str, typer.Argument(help="A checkpoint's folder, or nano for the one inside mobie.")],
    out: Annotated[Path, typer.Argument(help="The model folder to make or to bring up to date.")],
    component: Annotated[
        list[str] | None,
        typer.Option("--component", "-c", help=f"Convert only this one; may be repeated: {_COMPONENTS}."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="WxH", help="Frame size in pixels, multiples of 8. Default: the checkpoint's."),
    ] = None,
    attention: Annotated[
        str, typer.Option("--attention", help="original (GPU), split-einsum or split-einsum-v2 (Neural Engine).")
    ] = "split-einsum",
    target: Annotated[str, typer.Option("--target", help="Oldest system: iOS17 or iOS18.")] = "iOS17",
    compute_units: Annotated[
        str | None,
        typer.Option("--compute-units", help="Recommended to apps: all, cpuOnly, cpuAndGPU, cpuAndNeuralEngine."),
    ] = None,
    weight_bits: Annotated[
        int | None,
        typer.Option("--weight-bits", help="16 (fp16), 8, 6, 4; iOS17 has 2 and 1, iOS18 3 too. 6 unless given."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", help="Bits per tensor instead: a recipe file, or a shipped one's name."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Convert again what did not change, too.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Convert a checkpoint into Core ML packages, their weights palettized on the way.

    A model folder that exists is brought up to date: components whose weights and options did not change are reused.
    """
    from mobie_coreml.cli.convert_view import progress, show
    from mobie_coreml.convert.model import convert_model
    from mobie_coreml.convert.options import ConvertOptions, parse_size
    from mobie_coreml.manifest.content import COMPONENT_NAMES
    from mobie_coreml.models.checkpoint import load_checkpoint

    options = ConvertOptions(
        components=tuple(component) if component else COMPONENT_NAMES,
        size=parse_size(size) if size else None,
        attention=attention,
        target=target,
        compute_units=compute_units,
        weight_bits=weight_bits,
        recipe=recipe,
        force=force,
    )
    loaded = load_checkpoint(checkpoint)
    with progress(quiet=quiet) as report:
        result = convert_model(loaded, out, options, report=report)
    show(result, as_json=as_json, quiet=quiet)
