"""`mobie verify`: whether a model folder is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mobie_coreml.cli.options import Json


def register(app: typer.Typer) -> None:
    """Adds this module's commands to `app`."""
    app.command("verify")(verify)


def verify(
    model: Annotated[Path, typer.Argument(help="A model folder made by `mobie convert`.")],
    as_json: Json = False,
) -> None:
    """Check a model folder: every file and digest, packages and tokenizer against the manifest.

    Exit code 0: whole. 1: something is wrong; every problem is listed. 2: not a model folder.
    """
    from mobie_coreml.cli.convert_view import show_verification
    from mobie_coreml.manifest import verify_model

    result = verify_model(model)
    show_verification(result, as_json=as_json)
    if not result.ok:
        raise typer.Exit(1)
