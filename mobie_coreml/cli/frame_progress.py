"""A progress bar for work on frames: frames a second and the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def speed_text(rate: float) -> str:
    """Frames a second with as many digits as matter."""
    return f"{rate:.1f} frames/s" if rate >= 1 else f"{rate:.2f} frames/s"


@contextmanager
def frame_progress(console: Console) -> Iterator[Callable[[int, int | None], None]]:
    """Yields a function of (frames done, frames there are or None) that draws on `console`.

    On a terminal it is a bar; elsewhere one line every ten seconds, so that logs show that work goes on.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("Editing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    first = said = time.monotonic()
    with Progress(*columns, console=console, transient=True, disable=console.quiet or not console.is_terminal) as bar:
        task = bar.add_task("frames", total=None, speed="")

        def advance(done: int, total: int | None) -> None:
            nonlocal first, said
            now = time.monotonic()
            if done == 1:  # it waited for the model to load
                first = now
            rate = (done - 1) / (now - first) if now > first else 0.0
            bar.update(task, completed=done, total=total, speed=speed_text(rate))
            if not console.is_terminal and now - said >= 10:
                said = now
                left = f", {(total - done) / rate:.0f} s left" if total and rate else ""
                of = f" of {total}" if total else ""
                speed = f", {speed_text(rate)}" if rate else ""
                console.print(f"{done}{of} frames{speed}{left}", highlight=False)

        yield advance
