"""`mobie parity`: packages against PyTorch, with gates, for people and for CI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mobie_coreml.cli.options import Json, Quiet


def register(app: typer.Typer) -> None:
    """Adds `parity` to `app`."""
    app.command("parity")(parity)


def parity(
    model: Annotated[Path, typer.Argument(help="Model folder made by `mobie convert`.")],
    checkpoint: Annotated[str, typer.Argument(help="The checkpoint it was converted from, or nano.")],
    runtime: Annotated[str, typer.Option(help="What runs the packages: mil (anywhere) or coreml (macOS).")] = "mil",
    precision: Annotated[str, typer.Option(help="Arithmetic of the mil runtime: fp32 or fp16.")] = "fp32",
    clip: Annotated[Path | None, typer.Option(help="Clip, image or folder to take frames from.")] = None,
    frames: Annotated[int, typer.Option(help="Frames to compare on, each edited by one prompt.")] = 2,
    prompt: Annotated[list[str] | None, typer.Option(help="Instruction; may be repeated.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps of the edit; the model's own by default.")] = None,
    cases: Annotated[int, typer.Option(help="Runs compared of each component, spread over the edits.")] = 6,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    gate: Annotated[
        list[str] | None,
        typer.Option(help="NAME=DB:REASON overrides a gate; NAME is a component, `edit`, or `Denoiser/conversion`."),
    ] = None,
    localise: Annotated[
        bool,
        typer.Option(help="Name the first operation that disagrees of what fails, and the palette that costs most."),
    ] = False,
    against: Annotated[
        Path | None, typer.Option(help="With --localise: another model folder whose packages count as right.")
    ] = None,
    json: Json = False,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Append Markdown to this file, as for a job summary.")] = None,
    quiet: Quiet = False,
) -> None:
    """Compare a converted MODEL with the CHECKPOINT in PyTorch: each component alone, and the whole edit.

    Exit code 0: every comparison reached its gate. 1: one did not. 2: wrong use.
    """
    import json as json_module

    from rich.console import Console

    from mobie_coreml.files import atomic_file, check_output
    from mobie_coreml.parity.options import PROMPTS, ParityOptions
    from mobie_coreml.parity.report import to_junit, to_lines, to_markdown, to_table
    from mobie_coreml.parity.run import check_parity

    for path in (junit, markdown):
        if path is not None:  # reports of a gate are written anew by every run
            check_output(path, force=True, is_file=True)
    screen = Console(stderr=True, quiet=quiet)
    options = ParityOptions(
        runtime=runtime,
        precision=precision,
        clip=clip,
        frames=frames,
        prompts=tuple(prompt) if prompt else PROMPTS,
        steps=steps,
        cases=cases,
        seed=seed,
        gates=tuple(gate or ()),
        localise=localise,
        against=against,
    )
    with screen.status("Comparing …") as status:
        report = check_parity(model, checkpoint, options, progress=lambda what: status.update(f"{what} …"))
    if junit is not None:
        with atomic_file(junit) as temporary:
            temporary.write_bytes(to_junit(report))
    if markdown is not None:
        markdown.parent.mkdir(parents=True, exist_ok=True)
        with markdown.open("a", encoding="utf-8") as file:
            file.write(to_markdown(report))
    if json:
        typer.echo(json_module.dumps(report.as_dict(), indent=2, allow_nan=False))
    else:
        out = Console()
        out.print(to_table(report))
        for line in to_lines(report):
            out.print(line, highlight=False, markup=False)
    if not report.passed:
        raise typer.Exit(1)
