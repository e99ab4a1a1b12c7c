"""`mobie serve`: a model's components for another program, over pipes."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from mobie_coreml.cli.options import Precision


class _PackageRuntime(enum.StrEnum):
    COREML = "coreml"
    MIL = "mil"


def register(app: typer.Typer) -> None:
    """Adds `mobie serve` to `app`."""
    app.command("serve")(serve)


def serve(
    model: Annotated[Path, typer.Argument(help="A model folder made by `mobie convert`.", metavar="MODEL")],
    runtime: Annotated[_PackageRuntime | None, typer.Option(help="Core ML on macOS, or mil anywhere.")] = None,
    precision: Annotated[Precision, typer.Option(help="Arithmetic of the mil runtime.")] = Precision.FP32,
) -> None:
    """Runs a model's components for another program, over standard input and output.

    The Swift package's tests and mobie-bench start it where there is no Core ML. It ends when standard input does.
    """
    from mobie_coreml.serving.serve_model import serve_model

    serve_model(model, runtime=runtime.value if runtime else None, precision=precision.value)
