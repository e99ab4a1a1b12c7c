"""`mobie checkpoint`: make, import and show checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mobie_coreml.cli.options import Force, Json, Quiet

Dtype = Annotated[str, typer.Option("--dtype", help="How weights are stored: float16 or float32.")]


def register(app: typer.Typer) -> None:
    """Adds this module's commands to `app`."""
    group = typer.Typer(no_args_is_help=True, help="Make, import and show checkpoints (diffusers layout).")
    group.command("new")(new)
    group.command("import")(import_)
    group.command("show")(show)
    app.add_typer(group, name="checkpoint")


def new(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    preset: Annotated[str, typer.Option("--preset", help="base, mobile or nano.")],
    seed: Annotated[int, typer.Option("--seed", help="Seeds every weight.", min=0)] = 0,
    guidance_embedding: Annotated[
        bool, typer.Option("--guidance-embedding", help="Make both guidance scales inputs of the network.")
    ] = False,
    dtype: Dtype = "float16",
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a checkpoint with random weights: the true shape and cost of a model, without training."""
    from mobie_coreml.models.checkpoint import new_checkpoint

    with _Progress("Writing weights", quiet) as progress:
        new_checkpoint(
            out,
            preset,
            seed,
            guidance_embedding=guidance_embedding,
            dtype=dtype,
            force=force,
            progress=progress.update,
        )
    _print_summary(out, json)


def import_(
    source: Annotated[str, typer.Argument(help="InstructPix2Pix folder in diffusers layout, or hub id owner/name.")],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    taesd: Annotated[
        str | None, typer.Option("--taesd", help="Folder or hub id of the tiny autoencoder for the source's latents.")
    ] = None,
    preset: Annotated[
        str, typer.Option("--preset", help="mobile (no attention at the highest resolution) or base (all of it).")
    ] = "mobile",
    revision: Annotated[str | None, typer.Option("--revision", help="Commit of a hub source.")] = None,
    taesd_revision: Annotated[str | None, typer.Option("--taesd-revision", help="Commit of a hub --taesd.")] = None,
    variant: Annotated[
        str | None, typer.Option("--variant", help="Weight files of this variant, such as fp16.")
    ] = None,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Read .bin files, through torch's weights-only loader.")
    ] = False,
    licence: Annotated[str | None, typer.Option("--licence", help="The source's licence, if it doesn't say.")] = None,
    image_latents_scale: Annotated[
        float | None,
        typer.Option(help="What image latents must be multiplied by; 1 / the source's VAE scaling factor by default."),
    ] = None,
    dtype: Dtype = "float16",
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn an InstructPix2Pix checkpoint into a mobile one and say which attention weights that drops."""
    from mobie_coreml.models.checkpoint import import_checkpoint

    with _Progress("Importing weights", quiet) as progress:
        report = import_checkpoint(
            source,
            out,
            taesd,
            preset_name=preset,
            revision=revision,
            taesd_revision=taesd_revision,
            variant=variant,
            allow_pickle=allow_pickle,
            licence=licence,
            image_latents_scale=image_latents_scale,
            dtype=dtype,
            force=force,
            progress=progress.update,
        )
    _print_summary(out, json, {"dropped": list(report.dropped)})


def show(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint, or nano for the one inside this package.")],
    json: Json = False,
) -> None:
    """Show what a checkpoint is: networks, sizes, guidance ranges, licence, provenance."""
    _print_summary(checkpoint, json)


def _print_summary(path: Path, as_json: bool, more: dict[str, Any] | None = None) -> None:
    """Prints a checkpoint's summary, and the names of what an import dropped."""
    import json
    import sys

    from mobie_coreml.models.checkpoint import load_checkpoint
    from mobie_coreml.models.checkpoint_summary import summarise

    summary = {**summarise(load_checkpoint(path)), **(more or {})}
    if as_json:
        sys.stdout.write(json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(summary):
        table.add_row(name, escape(value))
    Console(highlight=False, soft_wrap=False).print(table)


def _rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """The lines of the table that people read."""
    guidance, sampling = summary["guidance"], summary["sampling"]
    ranges = ", ".join(
        f"{name} {guidance[name]['minimum']:g} to {guidance[name]['maximum']:g} (default {guidance[name]['default']:g})"
        for name in ("text", "image")
    )
    rows = [
        ("checkpoint", summary["path"]),
        ("preset", summary["preset"]),
        ("frame", "{}x{}, {} latent channels".format(*summary["frame_size"], summary["latent_channels"])),
        ("prediction", summary["prediction_type"]),
        ("guidance", f"{'inputs of the network' if guidance['embedded'] else 'three passes'}: {ranges}"),
        ("sampling", f"{sampling['method']}, {sampling['steps']} step{'s' if sampling['steps'] != 1 else ''}"),
        ("vocabulary", f"{summary['vocabulary']} tokens"),
    ]
    for part, size in summary["parts"].items():
        rows.append((part, f"{size['parameters'] / 1e6:.1f} M parameters, {size['bytes'] / 1e6:.1f} MB"))
    rows.append(("licence", summary["licence"]))
    provenance = summary["provenance"]
    rows.append(("made", ", ".join(f"{key} {value}" for key, value in provenance.items() if _is_plain(value))))
    rows.append(("digest", summary["digest"]))
    if "dropped" in summary:
        rows.append(("dropped", "\n".join(summary["dropped"]) or "nothing"))
    return rows


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


class _Progress:
    """A bar of bytes on standard error, where that is a terminal."""

    def __init__(self, label: str, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._bar.add_task(label, total=None)

    def update(self, done: int, total: int) -> None:
        """Shows `done` of `total` bytes."""
        self._bar.update(self._task, completed=done, total=total)

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
