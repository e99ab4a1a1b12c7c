"""The frames that the page shows: every instruction stage by stage, and some over a small grid of guidance scales."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mobie_coreml.diffusion.guidance import GuidanceRange
from mobie_coreml.evaluation.frames import Pixels
from mobie_coreml.evaluation.models import EditingModel
from mobie_coreml.evaluation.sheet import SheetRow

TEXT_POINTS, IMAGE_POINTS = 4, 3
"""Values of each scale; one where it has no range."""
GUIDED = 8
"""Instructions with a grid, spread evenly over those shown."""


@dataclass(frozen=True)
class GuidedFrames:
    """One instruction at every pair of scales: `frames[i][j]` at `text[i]` and `image[j]`, (H, W, 3) uint8.

    `start` is the (i, j) closest to the model's defaults.
    """

    text: tuple[float, ...]
    image: tuple[float, ...]
    frames: tuple[tuple[Pixels, ...], ...]
    start: tuple[int, int]


@dataclass(frozen=True)
class PageRow:
    """One instruction; `results` has a frame for every model."""

    instruction: str
    phrase: str
    frame: str
    source: Pixels
    truth: Pixels
    results: tuple[Pixels, ...]
    guided: GuidedFrames | None


@dataclass(frozen=True)
class PageFrames:
    """All rows; `labels` are the models' names, `guided_label` that of the one whose scales are tried."""

    labels: tuple[str, ...]
    guided_label: str
    rows: tuple[PageRow, ...]


def guided_rows(
    rows: Sequence[SheetRow],
    labels: Sequence[str],
    model: EditingModel,
    *,
    batch: int = 8,
    advance: Callable[[int, int], None] | None = None,
) -> PageFrames:
    """Adds grids of guidance scales to what was kept for a page.

    Args:
        rows: One an instruction.
        labels: One a result.
        model: Whose scales are tried.
        batch: Edits in one call of the model.
        advance: Told (edits done, edits in all).
    """
    ranges = model.method.text_guidance, model.method.image_guidance
    text, image = _values(ranges[0], TEXT_POINTS), _values(ranges[1], IMAGE_POINTS)
    start = _nearest(text, ranges[0].default), _nearest(image, ranges[1].default)
    count = min(GUIDED, len(rows)) if len(text) * len(image) > 1 else 0
    chosen = [place * len(rows) // count for place in range(count)]
    pixels = [rows[place].source for place in chosen]
    prompts = [rows[place].pair.phrase for place in chosen]
    grids: list[list[list[Pixels]]] = [[] for _ in chosen]
    done, total = 0, count * len(text) * len(image)
    for at in text if count else ():
        for grid in grids:
            grid.append([])
        for also in image:
            scaled = model.with_guidance(at, also)
            for first in range(0, count, batch):
                part = slice(first, first + batch)
                edited = scaled.edit(np.stack(pixels[part]), prompts[part])
                for grid, frame in zip(grids[part], edited, strict=True):
                    grid[-1].append(frame)
                done += len(edited)
                if advance is not None:
                    advance(done, total)
    guided = {
        place: GuidedFrames(text, image, tuple(tuple(line) for line in grid), start)
        for place, grid in zip(chosen, grids, strict=True)
    }
    return PageFrames(
        tuple(labels),
        model.label,
        tuple(
            PageRow(
                row.pair.edit.name,
                row.pair.phrase,
                f"{row.pair.frame.source} {row.pair.frame.label}",
                row.source,
                row.truth,
                tuple(row.results),
                guided.get(place),
            )
            for place, row in enumerate(rows)
        ),
    )


def _values(bounds: GuidanceRange, points: int) -> tuple[float, ...]:
    if bounds.maximum <= bounds.minimum:
        return (bounds.default,)
    return tuple(float(value) for value in np.linspace(bounds.minimum, bounds.maximum, points))


def _nearest(values: tuple[float, ...], wanted: float) -> int:
    return min(range(len(values)), key=lambda place: abs(values[place] - wanted))
