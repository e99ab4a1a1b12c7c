"""Progress and results of trainings on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from mobie_coreml.training.loop import RunResult
    from mobie_coreml.training.runs import Progress


def print_result(result: RunResult, as_json: bool) -> None:
    """How the run ended, for people or for programs; nothing where another process reports."""
    from mobie_coreml.training.processes import is_main

    if not is_main():
        return
    if as_json:
        import json

        summary: dict[str, Any] = {
            "result": str(result.folder / "result"),
            "steps": result.steps,
            "seconds": round(result.seconds, 1),
            **result.figures,
        }
        typer.echo(json.dumps(summary))
        return
    figures = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in result.figures.items())
    typer.echo(f"Trained {result.steps} steps in {result.seconds / 60:.1f} minutes: {figures or 'nothing held out'}.")
    typer.echo(f"Weights and card are in {result.folder / 'result'}, the curve in {result.folder / 'curve.png'}.")


class TrainingBars:
    """Progress on standard error: data read and encoded, samples made, steps with the smoothed figures."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        from mobie_coreml.training.processes import is_main

        quiet = quiet or not is_main()
        self._console = Console(stderr=True, quiet=quiet)
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._bars = Bars(*columns, TextColumn("{task.fields[figures]}"), console=self._console, disable=quiet)
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> TrainingBars:
        self._bars.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from mobie_coreml.training.interruption import RunStopped
        from mobie_coreml.training.processes import is_main

        self._bars.stop()
        if isinstance(error, RunStopped) and is_main():
            typer.echo(str(error), err=True)

    @property
    def progress(self) -> Progress:
        """The callbacks that move the bars."""
        from mobie_coreml.training.runs import Progress

        return Progress(
            photos=lambda done, total: self._move("Reading photographs", done / total),
            summary=self._console.print,
            pairs=lambda done, total: self._move("Encoding pairs", done / total),
            triples=self._triples,
            samples=lambda done, total: self._move("Sampling the teacher", done / total),
            step=self._step,
        )

    def _step(self, step: int, fraction: float, figures: dict[str, float]) -> None:
        shown = " ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in figures.items())
        self._move("Training", fraction, f"step {step} {shown}")

    def _triples(self, count: int) -> None:
        if "Encoding triples" not in self._tasks:
            self._tasks["Encoding triples"] = self._bars.add_task("Encoding triples", total=None, figures="")
        self._bars.update(self._tasks["Encoding triples"], figures=f"{count} read")

    def _move(self, description: str, fraction: float, figures: str = "") -> None:
        if description not in self._tasks:
            self._tasks[description] = self._bars.add_task(description, total=1.0, figures="")
        self._bars.update(self._tasks[description], completed=fraction, figures=figures)
