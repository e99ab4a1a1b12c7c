"""`mobie palettize` and `mobie decompress`: weights of a package into tables and back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from palettization.recipe import Recipe
    from palettization.report import PaletteReport

_ROWS = 20
_PACKAGE = typer.Argument(..., help="An .mlpackage holding an ML Program.", show_default=False)
_OUT = typer.Argument(..., help="The .mlpackage to write.", show_default=False)
_JSON = typer.Option(False, "--json", help="JSON alone on standard output.")
_FORCE = typer.Option(False, "--force", help="Replace OUT if it is a package.")
_QUIET = typer.Option(False, "--quiet", help="No progress.")


def register(app: typer.Typer) -> None:
    """Adds `palettize` and `decompress` to `app`."""

    @app.command()
    def palettize(
        package: Path = _PACKAGE,
        out: Path = _OUT,
        bits: int | None = typer.Option(None, "--bits", help="1, 2, 4, 6 or 8; 3 too for iOS18. 6 unless given."),
        recipe: Path | None = typer.Option(
            None, "--recipe", help="Bits per tensor: a recipe file, or a shipped one's name."
        ),
        component: str | None = typer.Option(None, "--component", help="Which of the recipe's components OUT is."),
        group_size: int = typer.Option(0, "--group-size", min=0, help="Channels that share a table; iOS18. 0: all."),
        cluster_dim: int = typer.Option(
            1, "--cluster-dim", help="Weights that share an index: 1, 2 or 4; iOS18. 8 bits and 2 are 4 bits a weight."
        ),
        per_channel_scale: bool = typer.Option(
            False,
            "--per-channel-scale",
            help="A factor for every output channel; iOS18. Known to crash Core ML on macOS 26.",
        ),
        skip: list[str] = typer.Option([], "--skip", help="Pattern of tensor names left as they are; repeatable."),
        threads: int = typer.Option(2, "--threads", min=1, help="Tensors clustered at once."),
        check: bool = typer.Option(True, "--check/--no-check", help="Read every tensor back and compare every bit."),
        all_tensors: bool = typer.Option(False, "--all", help=f"List every tensor, not only the {_ROWS} largest."),
        json_output: bool = _JSON,
        force: bool = _FORCE,
        quiet: bool = _QUIET,
    ) -> None:
        """Compress a package's weights into tables with the least squared error that tables can have."""
        import json

        from palettization.palettize import palettize as run

        if recipe is None:
            wanted = _recipe(bits, component, skip, group_size, cluster_dim, per_channel_scale)
        else:
            given = bits is not None or group_size or cluster_dim != 1 or per_channel_scale or skip
            wanted = _recipe_file(recipe, component, bool(given))
        with _progress(quiet) as progress:
            report = run(package, out, wanted, force=force, check=check, threads=threads, progress=progress)
        if json_output:
            print(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
        else:
            _render(report, all_tensors)
        for warning in report.warnings:
            typer.echo(f"Warning: {warning}", err=True)

    @app.command()
    def decompress(
        package: Path = _PACKAGE,
        out: Path = _OUT,
        json_output: bool = _JSON,
        force: bool = _FORCE,
        quiet: bool = _QUIET,
    ) -> None:
        """Turn a package's compressed weights back into plain ones."""
        import dataclasses
        import json

        from palettization.decompress import decompress as run

        with _progress(quiet) as progress:
            report = run(package, out, force=force, progress=progress)
        if json_output:
            print(json.dumps(dataclasses.asdict(report), indent=2, ensure_ascii=False))
        else:
            print(
                f"{report.path}: {len(report.tensors)} tensors decompressed, "
                f"{report.bytes_before:,} to {report.bytes_after:,} bytes"
            )


def _recipe(
    bits: int | None, component: str | None, skip: list[str], group_size: int, cluster_dim: int, scaled: bool
) -> Recipe:
    """The same for all tensors, as options say."""
    from mobie_coreml.errors import InputError
    from palettization.recipe import Choice, Recipe
    from palettization.rules import SkipRules

    if component is not None:
        raise InputError("--component names a part of a recipe.", "Pass the recipe with --recipe.")
    choice = Choice(6 if bits is None else bits, group_size, cluster_dim, scaled)
    return Recipe(choice, skip=SkipRules(names=tuple(skip)))


def _recipe_file(path: Path, component: str | None, more: bool) -> Recipe:
    """A file's, which `more` options would contradict."""
    from mobie_coreml.errors import InputError
    from palettization.recipe import load_recipe
    from palettization.recipes import recipe_path

    if more:
        raise InputError(
            "--recipe says all of what --bits, --group-size, --cluster-dim, --per-channel-scale and --skip say.",
            "Pass either a recipe or those.",
        )
    return load_recipe(recipe_path(path), component)


@contextlib.contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar on standard error that follows the stages of the work."""
    if quiet:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        stages: dict[str, TaskID] = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bar.add_task(stage, total=total)
            bar.update(stages[stage], completed=done)

        yield update


def _render(report: PaletteReport, all_tensors: bool) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    ordered = sorted(report.tensors, key=lambda tensor: (-tensor.bytes_before, tensor.name))
    shown = ordered if all_tensors else ordered[:_ROWS]
    table = Table(title=f"Tensors ({len(shown)} of {len(ordered)})", title_justify="left")
    for title in ("name", "shape", "form"):
        table.add_column(title, overflow="fold")
    for title in ("bytes before", "after", "SNR dB"):
        table.add_column(title, justify="right", no_wrap=True)
    for tensor in shown:
        form = tensor.reason
        figures: tuple[Any, ...] = (f"{tensor.bytes_before:,}", f"{tensor.bytes_after:,}")
        if tensor.palettized:
            form = f"{tensor.bits} bits"
            form += f", {tensor.tables} tables" if tensor.tables > 1 else ""
            form += f", vectors of {tensor.cluster_dim}" if tensor.cluster_dim > 1 else ""
            form += ", scaled" if tensor.scaled else ""
            figures += ("exact" if not tensor.squared_error else f"{tensor.snr:.2f}",)
        shape = "x".join(map(str, tensor.shape))
        table.add_row(escape(tensor.name), shape, escape(form), *figures)
    console.print(table)
    console.print(
        f"{escape(report.path)}: {len(report.palettized)} of {len(report.tensors)} tensors palettized, "
        f"{report.bits_per_weight:.2f} bits per weight, {report.bytes_before:,} to {report.bytes_after:,} bytes, "
        f"{report.checked} read back",
        soft_wrap=True,
        highlight=False,
    )
