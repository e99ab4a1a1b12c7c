"""Whether the guidance scales do what they say: a grid of each, the other at its default."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mobie_coreml.evaluation.frames import to_image
from mobie_coreml.evaluation.metrics import edit_fraction, psnr
from mobie_coreml.evaluation.models import EditingModel
from mobie_coreml.evaluation.pairs import Pair
from mobie_coreml.metrics import rank_correlation

Scale = Literal["text", "image"]


@dataclass(frozen=True)
class Curve:
    """One pair over the grid.

    Attributes:
        source, frame, instruction: Which pair.
        values: At each scale: for text guidance the strength of the edit (the projection of the change on the wanted
            change), for image guidance the fidelity to the source (PSNR of the result to the source, dB).
    """

    source: str
    frame: str
    instruction: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Controllability:
    """One guidance scale.

    Attributes:
        scale: Which.
        grid: Its values.
        curves: One a pair.
    """

    scale: Scale
    grid: tuple[float, ...]
    curves: tuple[Curve, ...]

    @property
    def spearman(self) -> list[float]:
        """Spearman's rank correlation of scale and value for every pair."""
        return [rank_correlation(self.grid, curve.values) for curve in self.curves]

    @property
    def rising(self) -> list[float]:
        """Share of the grid's steps at which the value does not fall, for every pair."""
        return [float(np.mean(np.diff(curve.values) >= 0)) for curve in self.curves]

    @property
    def mean_spearman(self) -> float:
        """Over the pairs."""
        return float(np.mean(self.spearman))

    @property
    def median_spearman(self) -> float:
        """Over the pairs."""
        return float(np.median(self.spearman))

    @property
    def median_rises(self) -> bool:
        """Whether the median pair, by the share of rising steps, rises at every step."""
        return float(np.median(self.rising)) == 1.0

    @property
    def median_curve(self) -> tuple[float, ...]:
        """Median of the values at each scale."""
        return tuple(float(v) for v in np.median([curve.values for curve in self.curves], axis=0))


def measure_guidance(
    model: EditingModel,
    pairs: Sequence[Pair],
    *,
    points: int = 5,
    batch: int = 8,
    advance: Callable[[int, int], None] | None = None,
) -> list[Controllability]:
    """Edits the pairs at `points` evenly spaced values of each scale's range; a scale without a range is left out.

    Args:
        model: The model.
        pairs: At least one.
        points: At least 2.
        batch: Edits in one call of the model.
        advance: Told (edits done, edits in all).
    """
    ranges = {"text": model.method.text_guidance, "image": model.method.image_guidance}
    grids: dict[Scale, tuple[float, ...]] = {}
    for scale in ("text", "image"):
        bounds = ranges[scale]
        if bounds.maximum > bounds.minimum:
            grids[scale] = tuple(float(v) for v in np.linspace(bounds.minimum, bounds.maximum, points))
    total, done = len(pairs) * points * len(grids), 0
    found: list[Controllability] = []
    for scale, grid in grids.items():
        values: list[list[float]] = [[] for _ in pairs]
        for at in grid:
            text, image = (at, ranges["image"].default) if scale == "text" else (ranges["text"].default, at)
            scaled = model.with_guidance(text, image)
            for start in range(0, len(pairs), batch):
                chunk = pairs[start : start + batch]
                results = scaled.edit(np.stack([p.frame.pixels for p in chunk]), [p.phrase for p in chunk])
                for place, (pair, result) in enumerate(zip(chunk, results, strict=True), start):
                    source, edited = pair.frame.image, to_image(result)
                    values[place].append(
                        edit_fraction(source, pair.edit.apply(source), edited)
                        if scale == "text"
                        else psnr(source, edited)
                    )
                done += len(chunk)
                if advance is not None:
                    advance(done, total)
        curves = zip(pairs, values, strict=True)
        found.append(
            Controllability(
                scale,
                grid,
                tuple(Curve(p.frame.source, p.frame.label, p.edit.name, tuple(of)) for p, of in curves),
            )
        )
    return found
