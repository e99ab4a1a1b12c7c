"""Means, win rates and targets over the pairs of an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mobie_coreml.edits import GROUPS
from mobie_coreml.evaluation.evaluate import Evaluation, PairScores

RIGHT_OVER_WRONG = 0.95
RIGHT_OVER_SOURCE = 0.90
NAMED = ("black_and_white", "night", "sunset", "snow")
"""Instructions that must reach `RIGHT_OVER_SOURCE` by themselves."""


@dataclass(frozen=True)
class WinRate:
    """`wins` of `contests`; the rate of none is None."""

    wins: int
    contests: int

    @property
    def rate(self) -> float | None:
        """Share of contests that were won."""
        return self.wins / self.contests if self.contests else None

    def __str__(self) -> str:
        return f"{self.wins} of {self.contests}"


@dataclass(frozen=True)
class Summary:
    """Means of a set of pairs, in dB to the truth, and how often the right instruction's result wins.

    Attributes:
        name: What the pairs have in common.
        pairs: Their number.
        result_db, wrong_db, source_db, color_db, autoencoder_db, result_ssim, edit_fraction: Means.
        over_wrong: Against the wrong instruction's result, on all pairs.
        over_source: Against the unedited source, where the edit changes more than the autoencoder's own error.
        over_color: Against the best colour transform, where the edit is none by more than the autoencoder's own error.
        over_color_result_db, over_color_color_db: Means of both on the pairs of that contest; None without one.
    """

    name: str
    pairs: int
    result_db: float
    wrong_db: float
    source_db: float
    color_db: float
    autoencoder_db: float
    result_ssim: float
    edit_fraction: float
    over_wrong: WinRate
    over_source: WinRate
    over_color: WinRate
    over_color_result_db: float | None
    over_color_color_db: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, win rates with their shares."""
        values = asdict(self)
        for name in ("over_wrong", "over_source", "over_color"):
            values[name]["rate"] = getattr(self, name).rate
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in values.items()}


@dataclass(frozen=True)
class RegionSummary:
    """Means over the local edits, apart in the region that should change and in the rest."""

    name: str
    pairs: int
    share: float
    edited_db: float | None
    edited_ssim: float | None
    preserved_db: float | None
    preserved_ssim: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {key: round(v, 4) if isinstance(v, float) else v for key, v in asdict(self).items()}


@dataclass(frozen=True)
class Target:
    """One thing that a model should reach, and whether it did."""

    name: str
    wanted: str
    found: str
    met: bool


def summarise(name: str, rows: Sequence[PairScores]) -> Summary:
    """Means and win rates of at least one pair."""

    def mean(value: Callable[[PairScores], float], over: Iterable[PairScores] = rows) -> float:
        return float(np.mean([value(row) for row in over]))

    visible = [row for row in rows if row.changes_visibly]
    beyond = [row for row in rows if row.is_beyond_color]
    return Summary(
        name=name,
        pairs=len(rows),
        result_db=mean(lambda row: row.result_db),
        wrong_db=mean(lambda row: row.wrong_db),
        source_db=mean(lambda row: row.source_db),
        color_db=mean(lambda row: row.color_db),
        autoencoder_db=mean(lambda row: row.autoencoder_db),
        result_ssim=mean(lambda row: row.result_ssim),
        edit_fraction=mean(lambda row: row.edit_fraction),
        over_wrong=WinRate(sum(row.result_db > row.wrong_db for row in rows), len(rows)),
        over_source=WinRate(sum(row.result_db > row.source_db for row in visible), len(visible)),
        over_color=WinRate(sum(row.result_db > row.color_db for row in beyond), len(beyond)),
        over_color_result_db=mean(lambda row: row.result_db, beyond) if beyond else None,
        over_color_color_db=mean(lambda row: row.color_db, beyond) if beyond else None,
    )


def by_group(evaluation: Evaluation) -> list[Summary]:
    """One summary a group of instructions, in their usual order, then one of all pairs."""
    rows = evaluation.pairs
    groups = [(group, [row for row in rows if row.group == group]) for group in GROUPS]
    return [summarise(group, own) for group, own in groups if own] + [summarise("all", rows)]


def by_instruction(evaluation: Evaluation) -> list[Summary]:
    """One summary an instruction."""
    return _by(evaluation.pairs, lambda row: row.instruction)


def by_source(evaluation: Evaluation) -> list[Summary]:
    """One summary a clip, and one of the photographs."""
    return _by(evaluation.pairs, lambda row: row.source)


def _by(rows: Sequence[PairScores], key: Callable[[PairScores], str]) -> list[Summary]:
    names = dict.fromkeys(key(row) for row in rows)
    return [summarise(name, [row for row in rows if key(row) == name]) for name in names]


def regions(evaluation: Evaluation) -> list[RegionSummary]:
    """One summary a local instruction, then one of all of them; empty without local pairs."""
    local = [row for row in evaluation.pairs if row.regions is not None]
    names = dict.fromkeys(row.instruction for row in local)
    sets = [(name, [row for row in local if row.instruction == name]) for name in names]
    if local:
        sets.append(("all local", local))
    return [_region_summary(name, rows) for name, rows in sets]


def _region_summary(name: str, rows: Sequence[PairScores]) -> RegionSummary:
    scores = [row.regions for row in rows if row.regions is not None]

    def mean(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    return RegionSummary(
        name=name,
        pairs=len(scores),
        share=float(np.mean([score.share for score in scores])),
        edited_db=mean(score.edited_db for score in scores),
        edited_ssim=mean(score.edited_ssim for score in scores),
        preserved_db=mean(score.preserved_db for score in scores),
        preserved_ssim=mean(score.preserved_ssim for score in scores),
    )


def targets(evaluation: Evaluation) -> list[Target]:
    """What an editor should reach: the right instruction beats the wrong one, the source and a colour transform."""
    found = [_rate_target("right beats wrong", by_group(evaluation)[-1].over_wrong, RIGHT_OVER_WRONG)]
    for summary in by_group(evaluation)[:-1]:
        found.append(_rate_target(f"right beats source: {summary.name}", summary.over_source, RIGHT_OVER_SOURCE))
    for summary in by_instruction(evaluation):
        if summary.name in NAMED:
            name = f"right beats source: {summary.name.replace('_', ' ')}"
            found.append(_rate_target(name, summary.over_source, RIGHT_OVER_SOURCE))
    everything = by_group(evaluation)[-1]
    right, color = everything.over_color_result_db, everything.over_color_color_db
    if right is not None and color is not None:
        text = f"{right:.1f} dB ({everything.over_color} pairs won)"
        found.append(Target("right beats colour transform", f"> {color:.1f} dB on average", text, right > color))
    return found


def _rate_target(name: str, wins: WinRate, least: float) -> Target:
    share = "no pair" if wins.rate is None else f"{100 * wins.rate:.1f} % ({wins})"
    return Target(name, f">= {100 * least:.0f} %", share, wins.rate is not None and wins.rate >= least)
