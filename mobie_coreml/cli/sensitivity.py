"""`mobie sensitivity`: what weight compression does to a model's components, tensor by tensor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobie_coreml.cli.options import Force, Json, Quiet

if TYPE_CHECKING:
    from mobie_coreml.analysis.sensitivity import Sensitivity

_WORST = 3


def register(app: typer.Typer) -> None:
    """Adds `sensitivity` to `app`."""
    app.command("sensitivity")(sensitivity)


def sensitivity(
    model: Annotated[Path, typer.Argument(help="Model folder made by `mobie convert`.")],
    checkpoint: Annotated[str, typer.Argument(help="The checkpoint it was converted from, or nano.")],
    out: Annotated[Path, typer.Argument(help="The JSON file to write.")],
    component: Annotated[
        list[str] | None, typer.Option("--component", "-c", help="Only this one; may be repeated. Default: all five.")
    ] = None,
    frames: Annotated[int, typer.Option(help="Frames, each edited by one prompt.")] = 8,
    clip: Annotated[Path | None, typer.Option(help="Clip to take every tenth frame of. Default: drawings.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of images to take instead.")] = None,
    prompt: Annotated[list[str] | None, typer.Option(help="Instruction; may be repeated.")] = None,
    probes: Annotated[int, typer.Option(help="Backward passes a frame: more of them, less noise.")] = 4,
    check: Annotated[int, typer.Option(help="Tensors of each component to measure too, as a check; 0 for none.")] = 0,
    seed: Annotated[int, typer.Option(help="Of noise, probes and the choice of tensors to check.")] = 0,
    json: Json = False,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Estimate what compressing each tensor of MODEL to each width does to the output of its component."""
    import json as json_module

    from rich.console import Console

    from mobie_coreml.analysis.calibration import Calibration
    from mobie_coreml.analysis.sensitivity import SensitivityOptions, take_sensitivity
    from mobie_coreml.analysis.sensitivity_file import save_sensitivity, sensitivity_json
    from mobie_coreml.ane.components import COMPONENTS
    from mobie_coreml.files import check_output

    check_output(out, force=force, is_file=True)
    options = SensitivityOptions(
        components=tuple(component) if component else COMPONENTS,
        calibration=Calibration(frames, clip, images, tuple(prompt or ()), seed),
        probes=probes,
        check=check,
    )
    screen = Console(stderr=True, quiet=quiet)
    with screen.status("Recording …") as status:
        found = take_sensitivity(model, checkpoint, options, progress=lambda what: status.update(f"{what} …"))
    save_sensitivity(out, found)
    if json:
        typer.echo(json_module.dumps(sensitivity_json(found), indent=2, allow_nan=False))
    else:
        _show(found, out)


def _show(found: Sensitivity, out: Path) -> None:
    import math

    from rich.console import Console
    from rich.table import Table

    from mobie_coreml.analysis.cases import psnr_db
    from mobie_coreml.analysis.sensitivity import CHECK_BITS, ROUGH

    title = "Predicted PSNR of each component's output in dB, by bits"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    widths = sorted(
        {bits for one in found.components.values() for t in one.tensors.values() for bits in t.output_error}
    )
    table.add_column("component", no_wrap=True)
    for heading in ("tensors", *map(str, widths), "passes", "rank"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, one in found.components.items():
        totals = [math.fsum(tensor.output_error[bits] for tensor in one.tensors.values()) for bits in widths]
        table.add_row(
            name,
            str(len(one.tensors)),
            *(f"{psnr_db(total):.1f}" for total in totals),
            f"{one.forwards} + {one.backwards}",
            f"{one.check.rank_correlation:.3f}" if one.check else "-",
        )
    screen = Console()
    screen.print(table)
    for name, one in found.components.items():
        worst = sorted(one.tensors.items(), key=lambda item: -item[1].output_error[CHECK_BITS])[:_WORST]
        listed = ", ".join(f"{key} {psnr_db(tensor.output_error[CHECK_BITS]):.1f} dB" for key, tensor in worst)
        screen.print(f"{name}, most sensitive at {CHECK_BITS} bits: {listed}", markup=False, highlight=False)
    checks = [f"{name} {one.check.tensors}" for name, one in found.components.items() if one.check]
    if checks:
        note = f"rank: Spearman's correlation of estimated and measured errors at {CHECK_BITS} bits; tensors measured: "
        screen.print(note + ", ".join(checks), markup=False, highlight=False)
    if any(one.rough for one in found.components.values()):
        screen.print(ROUGH, markup=False, highlight=False)
    screen.print(f"Written to {out}; passes are forward + backward.", markup=False, highlight=False)
