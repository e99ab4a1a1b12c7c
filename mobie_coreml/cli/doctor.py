"""`mobie doctor`: versions, what this machine can run, and how to get the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from mobie_coreml.cli.options import Json

if TYPE_CHECKING:
    from mobie_coreml.runtime.doctor import Diagnosis


def register(app: typer.Typer) -> None:
    """Adds this module's commands to `app`."""
    app.command("doctor")(doctor)


def doctor(as_json: Json = False) -> None:
    """Show versions, what this machine can do, and how to get the rest.

    Exit code 1 where a library that the toolkit needs is missing.
    """
    from mobie_coreml.runtime.doctor import diagnose

    found = diagnose()
    if as_json:
        import json
        from dataclasses import asdict

        typer.echo(json.dumps({**asdict(found), "healthy": found.healthy}, indent=2))
    else:
        _show(found)
    if not found.healthy:
        raise typer.Exit(1)


def _show(found: Diagnosis) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    memory = "" if found.memory_gb is None else f", {found.memory_gb:.1f} GB of memory"
    console.print(f"{found.system}, Python {found.python}, {found.cores} cores{memory}")
    abilities = Table("this machine can", "", "with", "how to get it")
    for ability in found.abilities:
        mark = "[green]yes[/green]" if ability.available else "[yellow]no[/yellow]"
        abilities.add_row(ability.name, mark, escape(ability.detail), escape(ability.remedy))
    console.print(abilities)
    versions = Table("library", "version")
    for name, version in found.versions.items():
        versions.add_row(name, version or "[yellow]not installed[/yellow]")
    console.print(versions)
