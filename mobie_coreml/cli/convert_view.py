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


@contextlib.contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Yields a function that shows how far each component is, on standard error where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def report(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=None)
            bars.update(tasks[name], completed=done, total=total or None)

        yield report


def show(result: Conversion, *, as_json: bool) -> None:
    """Prints what a conversion did."""
    from mobie_coreml.manifest.read import manifest_json

    if as_json:
        summary = {
            "folder": str(result.folder),
            "converted": list(result.converted),
            "reused": list(result.reused),
            "manifest": manifest_json(result.manifest),
        }
        typer.echo(json.dumps(summary, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Column, Table

    headings = ("component", "weights", "attention", "compute units", "")
    table = Table(*(Column(heading, no_wrap=True) for heading in headings), box=None)
    for name, component in result.manifest.components.items():
        state = "converted" if name in result.converted else "reused" if name in result.reused else "kept"
        state += ", macOS only" if component.macos_only else ""
        size = f"{component.weight_bytes / 1e6:.1f} MB"
        table.add_row(name, size, component.attention or "-", component.compute_units, state)
    console = Console()
    console.print(table)
    frame = result.manifest.frame
    targets = ", ".join(sorted({component.deployment_target for component in result.manifest.components.values()}))
    console.print(f"{result.folder}: {frame.width}x{frame.height} frames, {targets}.", soft_wrap=True, markup=False)
    if result.manifest.missing:
        console.print(f"Not in the folder: {', '.join(result.manifest.missing)}.", soft_wrap=True)


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
