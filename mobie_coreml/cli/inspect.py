"""`mobie inspect`: what a package holds, its weights one by one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from palettization.compare import WeightError
    from palettization.package import Feature, FunctionSummary, PackageSummary

_ROWS = 20


def register(app: typer.Typer) -> None:
    """Adds `inspect` to `app`."""

    @app.command()
    def inspect(
        package: Path = typer.Argument(..., help="An .mlpackage holding an ML Program.", show_default=False),
        against: Path | None = typer.Option(
            None, "--against", help="The package before it was compressed: adds every weight's error."
        ),
        json_output: bool = typer.Option(False, "--json", help="JSON alone on standard output, all weights included."),
        all_weights: bool = typer.Option(False, "--all", help=f"List every weight, not only the {_ROWS} largest."),
    ) -> None:
        """Show a package's inputs, outputs, operations, metadata and weights with their form, bits and bytes.

        Errors of weights are shown with --against alone: a package does not know what it was made from.
        """
        import json

        from mobie_coreml.errors import InputError
        from palettization.compare import compare_weights
        from palettization.package import Package, summarise

        for path in filter(None, (package, against)):
            if (path / "mobie.json").is_file():
                inside = ", ".join(sorted(item.name for item in path.glob("*.mlpackage")))
                raise InputError(
                    f"{path} is a model folder.", f"Inspect one of its packages: {inside or 'it has none'}."
                )
        errors = None
        with Package.open(package) as opened:
            summary = summarise(opened)
            if against is not None:
                with Package.open(against) as original:
                    errors = compare_weights(opened, original)
        if json_output:
            print(json.dumps(_to_json(summary, errors), indent=2, ensure_ascii=False))
        else:
            _render(summary, errors, all_weights)


def _to_json(summary: PackageSummary, errors: dict[str, WeightError] | None) -> dict[str, Any]:
    """The summary, every weight with its error where there are errors; SNR is null where there is no error."""
    import dataclasses
    import math

    content = dataclasses.asdict(summary)
    for weight in content["weights"] if errors is not None else ():
        error = errors.get(weight["name"]) if errors else None
        weight["squared_error"] = error.squared_error if error else None
        weight["snr"] = error.snr if error and math.isfinite(error.snr) else None
    return content


def _render(summary: PackageSummary, errors: dict[str, WeightError] | None, all_weights: bool) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    console.print(f"[bold]{escape(summary.path)}[/bold]  specification {summary.specification_version}", soft_wrap=True)
    if summary.metadata:
        table = Table("key", "value", title="Metadata", title_justify="left")
        for key, text in summary.metadata.items():
            table.add_row(escape(key), escape(text))
        console.print(table)
    for function in summary.functions:
        _render_function(console, function)
    if summary.weights:
        shown = summary.weights if all_weights else summary.weights[:_ROWS]
        table = Table(title=f"Weights ({len(shown)} of {len(summary.weights)})", title_justify="left")
        for title in ("name", "shape", "form"):
            table.add_column(title, overflow="fold")
        for title in ("bits", "bytes", "bits/weight", *(["SNR dB"] if errors is not None else [])):
            table.add_column(title, justify="right", no_wrap=True)
        for weight in shown:
            rate = 8 * weight.bytes / weight.elements if weight.elements else 0.0
            form = f"{weight.form} {weight.element}" + (f"\n{weight.granularity}" if weight.granularity else "")
            cells = [escape(weight.name), _shape(weight.shape), form]
            cells += [str(weight.bits), f"{weight.bytes:,}", f"{rate:.2f}"]
            if errors is not None:
                cells.append(_snr(errors.get(weight.name)))
            table.add_row(*cells)
        console.print(table)
    console.print(
        f"{len(summary.weights)} weight tensors, {summary.elements:,} elements, {summary.weight_bytes:,} bytes, "
        f"{summary.bits_per_weight:.2f} bits per weight; weight files {summary.file_bytes:,} bytes, "
        f"specification {summary.specification_bytes:,} bytes",
        soft_wrap=True,
        highlight=False,
    )
    if errors:
        from palettization.compare import total_error

        text = f"{len(errors)} weights compared, {_snr(total_error(errors.values()))} dB over all of them"
        console.print(text, soft_wrap=True, highlight=False)


def _snr(error: WeightError | None) -> str:
    if error is None:
        return ""
    return "exact" if not error.squared_error else f"{error.snr:.2f}"


def _render_function(console: Console, function: FunctionSummary) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"Function {escape(function.name)}, {escape(function.opset)}", title_justify="left")
    for title in ("", "name", "type", "description"):
        table.add_column(title, overflow="fold")
    groups = (
        ("input", function.interface.inputs),
        ("output", function.interface.outputs),
        ("state", function.interface.states),
    )
    for role, features in groups:
        for feature in features:
            table.add_row(role, escape(feature.name), _feature_type(feature), escape(feature.description))
    console.print(table)
    table = Table("operation", "count", title=f"Operations, {function.constants} constants", title_justify="left")
    table.columns[1].justify = "right"
    for kind, count in function.operations.items():
        table.add_row(escape(kind), str(count))
    console.print(table)


def _feature_type(feature: Feature) -> str:
    """For example "image RGB 512x384" or "float16 (1, 4, 48, 64), optional"."""
    if feature.kind == "image" and len(feature.shape) == 2:
        text = f"image {feature.element} {feature.shape[1]}x{feature.shape[0]}"
    elif feature.kind in ("array", "state"):
        text = f"{feature.element} {_shape(feature.shape)}"
    else:
        text = feature.kind
    if feature.flexible:
        text += ", flexible: " + " ".join(_shape(shape) for shape in feature.flexible[:8])
        text += " ..." if len(feature.flexible) > 8 else ""
    return text + (", optional" if feature.optional else "")


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"
