"""`mobie run`: one run of one package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobie_coreml.cli.options import Force, Json, Quiet

if TYPE_CHECKING:
    from mobie_coreml.runtime.run_once import RunReport


def register(app: typer.Typer) -> None:
    """Adds this module's commands to `app`."""
    app.command("run")(run)


def run(
    model: Annotated[Path, typer.Argument(help="A model folder made by `mobie convert`, or any .mlpackage.")],
    component: Annotated[
        str | None, typer.Argument(help="Which component of a model folder, such as Denoiser.")
    ] = None,
    inputs: Annotated[Path | None, typer.Option("--input", "-i", help="Arrays by name (.npz).")] = None,
    seed: Annotated[int | None, typer.Option("--random", help="Make inputs from this seed instead.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where outputs go (.npz).")] = None,
    precision: Annotated[str, typer.Option(help="fp32, or fp16: every result rounded as on a device.")] = "fp32",
    runtime: Annotated[str, typer.Option(help="mil: our executor, anywhere. coreml: Core ML, on macOS.")] = "mil",
    function: Annotated[str | None, typer.Option(help="Function of a multifunction package.")] = None,
    compute_units: Annotated[str, typer.Option(help="Of Core ML: cpuOnly, cpuAndGPU, ...")] = "cpuOnly",
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a package once on arrays, and show what comes out.

    Images are (1, 3, height, width), R G B, 0 to 255; image outputs are as computed, not rounded.
    """
    from rich.console import Console
    from rich.markup import escape

    from mobie_coreml.runtime.run_once import run_once

    progress = Console(stderr=True, quiet=quiet)
    with progress.status(escape(f"Running {component or model.name} ...")):
        report = run_once(
            model,
            component,
            inputs=inputs,
            seed=seed,
            output=output,
            runtime=runtime,
            precision=precision,
            function=function,
            compute_units=compute_units,
            force=force,
        )
    if as_json:
        import json
        from dataclasses import asdict

        typer.echo(json.dumps({**asdict(report), "package": str(report.package)}, indent=2))
    else:
        _show(report, output)


def _show(report: RunReport, output: Path | None) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(f"{report.package.name}, {report.runtime} {report.precision}"), title_justify="left")
    for heading in ("output", "shape", "type"):
        table.add_column(heading)
    for heading in ("min", "mean", "max", "not finite"):
        table.add_column(heading, justify="right")
    for entry in report.outputs:
        numbers = [entry.minimum, entry.mean, entry.maximum]
        table.add_row(
            escape(entry.name),
            " x ".join(map(str, entry.shape)) or "scalar",
            entry.dtype,
            *("" if number is None else f"{number:.5g}" for number in numbers),
            "" if entry.not_finite is None else str(entry.not_finite),
        )
    console = Console()
    console.print(table)
    console.print(f"Loaded in {report.load_seconds:.2f} s, ran in {report.run_seconds:.2f} s.", highlight=False)
    if output is not None:
        console.print(f"Wrote {output}.", highlight=False, markup=False)
