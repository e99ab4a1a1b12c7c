"""Good cuts quickly: a first guess from the density, then dynamic programming in windows around it."""

from __future__ import annotations

import numpy as np

from palettization.histogram import Histogram
from palettization.segments import Indices, Segments

_RADIUS = 6
"""Places to either side among which a cut is moved in one round."""
_ROUNDS = 40
_FEW_ROUNDS = 5
_CLOSER = 4
"""By this factor places come closer from one round to the next."""
_FILLINGS = 8


def first_cuts(histogram: Histogram, k: int) -> Indices:
    """k + 1 strictly ascending cuts from 0 to N, spaced as the best quantiser of a smooth density is.

    The point density of an optimal quantiser for squared error is proportional to the cube root of the density (Panter
    and Dite, Quantization distortion in pulse-count modulation with nonuniform spacing of levels, 1951): a value with
    weight w and room h around it has density w / h and takes (w / h)^(1/3) h of the entries, but no more than one: what
    lone values far out cannot use goes to the others.
    """
    values = histogram.values
    count = values.size
    edges = np.empty(count + 1)
    edges[1:-1] = (values[1:] + values[:-1]) / 2
    edges[0], edges[-1] = values[0], values[-1]
    density = np.cbrt(histogram.weights * np.diff(edges) ** 2)
    unit = float(density.sum()) / k
    for _ in range(_FILLINGS):
        alone = density >= unit
        entries = k - int(alone.sum())
        unit, before = float(density[~alone].sum()) / max(entries, 1), unit
        if unit == before:
            break
    share = np.zeros(count + 1)
    np.cumsum(np.minimum(density / unit, 1) if unit else alone, out=share[1:])
    wanted = np.arange(k + 1) * (share[-1] / k)
    return spread_out(np.searchsorted(share, wanted).astype(np.int64), count)


def spread_out(cuts: Indices, count: int) -> Indices:
    """The nearest strictly ascending cuts from 0 to `count`."""
    steps = np.arange(cuts.size)
    cuts = np.maximum.accumulate(np.clip(cuts, 0, count) - steps) + steps
    cuts = np.minimum(cuts, count - steps[::-1])
    cuts[0], cuts[-1] = 0, count
    return cuts


def resample(cuts: Indices, k: int) -> Indices:
    """Cuts for another k, at the same places of the quantiser's density."""
    positions = np.linspace(0, cuts.size - 1, k + 1)
    moved = np.interp(positions, np.arange(cuts.size), cuts)
    return spread_out(np.rint(moved).astype(np.int64), int(cuts[-1]))


def refine(segments: Segments, cuts: Indices, *, near: bool = False) -> Indices:
    """Moves cuts to where they cost less, until windows of neighbouring values hold no better ones.

    Each round lets every cut choose among 2 * 6 + 1 places, all at once, by dynamic programming. Places lie far apart
    at first; they come closer for a cut that chose none of the outermost, until they are next to each other.

    Args:
        segments: What cuts cost.
        cuts: To begin with.
        near: Whether these are nearly right, so that a few rounds will do.
    """
    widths = np.diff(cuts)
    strides = np.maximum(1, np.maximum(widths[1:], widths[:-1]) // (_RADIUS * (_CLOSER if near else 1)))
    for _ in range(_FEW_ROUNDS if near else _ROUNDS):
        moved = _best_of_windows(segments, cuts, strides)
        steps = np.abs(moved - cuts)[1:-1]
        cuts = moved
        if not steps.any() and strides.max(initial=1) == 1:
            break
        strides = np.where(steps < _RADIUS * strides, np.maximum(1, strides // _CLOSER), strides)
    return cuts


def _best_of_windows(segments: Segments, cuts: Indices, strides: Indices) -> Indices:
    k, count = cuts.size - 1, segments.count
    if k == 1:
        return cuts
    order = np.arange(1, k)
    offsets = np.arange(-_RADIUS, _RADIUS + 1)
    places = cuts[1:-1, None] + strides[:, None] * offsets
    places = np.clip(places, order[:, None], (count - k + order)[:, None])
    between = segments.masked_cost(places[:-1, :, None], places[1:, None, :])
    best = segments.cost(np.zeros(1, np.int64), places[0])
    came_from = np.empty((k - 2, offsets.size), np.int64)
    columns = np.arange(offsets.size)
    for layer in range(k - 2):
        reached = between[layer]
        reached += best[:, None]
        choice = reached.argmin(axis=0)
        came_from[layer] = choice
        best = reached[choice, columns]
    last = int((best + segments.cost(places[-1], np.full(1, count))).argmin())
    result = cuts.copy()
    for layer in range(k - 2, -1, -1):
        result[layer + 1] = places[layer, last]
        if layer:
            last = int(came_from[layer - 1, last])
    return result
