"""`mobie recipe`: bits for every tensor from a sensitivity and a target."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mobie_coreml.cli.options import Force, Json

if TYPE_CHECKING:
    from mobie_coreml.analysis.recipes import ModelRecipe

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}


def register(app: typer.Typer) -> None:
    """Adds `recipe` to `app`."""
    app.command("recipe")(recipe)


def recipe(
    model: Annotated[Path, typer.Argument(help="Model folder made by `mobie convert`.")],
    sensitivity: Annotated[Path, typer.Argument(help="What `mobie sensitivity` wrote.")],
    out: Annotated[Path, typer.Argument(help="The recipe to write, JSON.")],
    target_bits: Annotated[
        float | None, typer.Option("--target-bits", help="Stored bits a weight of each component, tables included.")
    ] = None,
    target_size: Annotated[
        str | None, typer.Option("--target-size", help="Of all packages together, such as 320MB.")
    ] = None,
    min_psnr: Annotated[
        float | None, typer.Option("--min-psnr", help="Predicted PSNR in dB that each component keeps.")
    ] = None,
    component: Annotated[
        list[str] | None, typer.Option("--component", "-c", help="Only this one; may be repeated.")
    ] = None,
    json: Json = False,
    force: Force = False,
) -> None:
    """Choose the bits of every tensor of MODEL so that the output suffers least, or the size is least."""
    import json as json_module

    from mobie_coreml.analysis.recipes import Target, make_recipe, save_recipe
    from mobie_coreml.analysis.sensitivity_file import load_sensitivity
    from mobie_coreml.errors import InputError
    from mobie_coreml.files import check_output

    if out.exists() and sensitivity.exists() and out.samefile(sensitivity):
        raise InputError(f"{out} would overwrite the sensitivity.", "Choose another output.")
    check_output(out, force=force, is_file=True)
    size = parse_bytes(target_size) if target_size is not None else None
    target = Target(target_bits, size, min_psnr)
    found = make_recipe(model, load_sensitivity(sensitivity), target, tuple(component or ()))
    save_recipe(out, found)
    if json:
        typer.echo(json_module.dumps(_figures(found), indent=2, allow_nan=False))
    else:
        _show(found, out)


def parse_bytes(text: str) -> int:
    """Bytes of a size such as 320MB, 1.5GiB or 4096.

    Raises:
        InputError: it is none.
    """
    from mobie_coreml.errors import InputError

    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]I?)?B?\s*", text.upper())
    if not match:
        raise InputError(f"{text!r} is no size.", "Write for example 320MB, 1.5GiB or a number of bytes.")
    return int(float(match[1]) * _UNITS[match[2] or ""])


def _figures(found: ModelRecipe) -> dict[str, Any]:
    """Plain values; a PSNR without error is null."""
    import math

    def finite(value: float) -> float | None:
        return value if math.isfinite(value) else None

    components = {
        name: {
            "bits_per_weight": one.bits_per_weight,
            "bytes": one.bytes,
            "predicted_psnr_db": finite(one.psnr),
            "tensors_by_bits": one.tensors_by_bits,
            "uniform": {
                bits: {"bits_per_weight": stored, "predicted_psnr_db": finite(psnr)}
                for bits, (stored, psnr) in one.uniform.items()
            },
        }
        for name, one in found.components.items()
    }
    return {"same_weights": found.same_weights, "rough": found.rough, "components": components}


def _show(found: ModelRecipe, out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from mobie_coreml.analysis.sensitivity import ROUGH

    table = Table(title="Recipe", title_justify="left")
    table.add_column("component")
    for title in ("bits a weight", "bytes", "predicted PSNR dB", "tensors x bits", "uniform: bits, dB"):
        table.add_column(title, justify="right")
    for name, one in found.components.items():
        near = min(one.uniform.values(), key=lambda pair: abs(pair[0] - one.bits_per_weight), default=None)
        table.add_row(
            name,
            f"{one.bits_per_weight:.3f}",
            f"{one.bytes:,}",
            f"{one.psnr:.1f}",
            ", ".join(f"{count} x {bits}" for bits, count in one.tensors_by_bits.items()),
            f"{near[0]:.3f}, {near[1]:.1f}" if near else "-",
        )
    screen = Console()
    screen.print(table)
    if not found.same_weights:
        note = "The sensitivity was taken on other weights of the same network: predictions are for those."
        screen.print(note, markup=False, highlight=False)
    if found.rough:
        screen.print(ROUGH, markup=False, highlight=False)
    use = "Use it with `mobie palettize --recipe` or `mobie convert --recipe`."
    screen.print(f"Written to {out}. {use}", markup=False, highlight=False)
