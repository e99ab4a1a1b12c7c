"""How conversions and verifications look in a terminal."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from mobie_coreml.convert.model import Conversion
    from mobie_coreml.manifest import Verification
    from mobie_coreml.manifest.content import ComponentInfo

_SMALLER = 0.99
_UNITS = {
    "all": "all",
    "cpuOnly": "CPU",
    "cpuAndGPU": "CPU + GPU",
    "cpuAndNeuralEngine": "CPU + Neural Engine",
}


@contextlib.contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Yields a function that shows how far each component is, on standard error where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def report(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=None)
            bars.update(tasks[name], completed=done, total=total or None)

        yield report


def show(result: Conversion, *, as_json: bool, quiet: bool) -> None:
    """Prints what a conversion did: JSON, a table, or with `quiet` nothing; warnings on standard error in any case."""
    from mobie_coreml.manifest.read import manifest_json

    for warning in result.warnings:
        typer.echo(f"Warning: {warning}", err=True)
    if as_json:
        summary = {
            "folder": str(result.folder),
            "converted": list(result.converted),
            "reused": list(result.reused),
            "warnings": list(result.warnings),
            "manifest": manifest_json(result.manifest),
        }
        typer.echo(json.dumps(summary, indent=2, ensure_ascii=False))
        return
    if quiet:
        return
    from rich.console import Console
    from rich.table import Column, Table

    from mobie_coreml.convert.options import DENSE_WEIGHT_BITS

    numbers = [Column(heading, no_wrap=True, justify="right") for heading in ("weights", "bits", "SNR dB")]
    texts = [Column(heading, no_wrap=True) for heading in ("attention", "runs on", "")]
    columns = (Column("component", no_wrap=True), *numbers, *texts)
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, component in result.manifest.components.items():
        state = "converted" if name in result.converted else "reused" if name in result.reused else "kept"
        size, bits = f"{component.weight_bytes / 1e6:.1f} MB", f"{component.weight_bits:.2f}"
        attention = component.attention.replace("split-einsum", "split") or "-"
        table.add_row(name, size, bits, _snr(component), attention, _UNITS[component.compute_units], state)
    console = Console()
    console.print(table)
    for name, component in result.manifest.components.items():
        if component.macos_only:
            console.print(f"{name} is for macOS only: over 1 GB of weights of more than 6 bits.", soft_wrap=True)
    frame = result.manifest.frame
    targets = ", ".join(sorted({component.deployment_target for component in result.manifest.components.values()}))
    stored = sum(component.weight_bytes for component in result.manifest.components.values())
    plain = sum(
        component.weight_bytes * DENSE_WEIGHT_BITS / component.weight_bits
        for component in result.manifest.components.values()
    )
    weights = f"{stored / 1e6:.1f} MB of weights"
    if stored < plain * _SMALLER:
        weights += f", {plain / 1e6:.1f} MB in fp16"
    console.print(
        f"{result.folder}: {frame.width}x{frame.height} frames, {targets}; {weights}.", soft_wrap=True, markup=False
    )
    if result.manifest.missing:
        console.print(f"Not in the folder: {', '.join(result.manifest.missing)}.", soft_wrap=True)


def _snr(component: ComponentInfo) -> str:
    palettes = component.palettes
    return "-" if palettes is None else "exact" if palettes.snr_db is None else f"{palettes.snr_db:.1f}"


def show_verification(result: Verification, *, as_json: bool) -> None:
    """Prints what a verification found."""
    if as_json:
        summary = {
            "folder": str(result.folder),
            "ok": result.ok,
            "files": result.files,
            "bytes": result.bytes,
            "components": list(result.components),
            "problems": [{"where": problem.where, "what": problem.what} for problem in result.problems],
        }
        typer.echo(json.dumps(summary, indent=2, ensure_ascii=False))
        return
    if result.ok:
        typer.echo(f"{result.folder} is whole: {len(result.components)} components, {result.files} files, checked.")
        return
    for problem in result.problems:
        typer.echo(str(problem))
    typer.echo(f"{result.folder} is not whole: {len(result.problems)} problems.")
