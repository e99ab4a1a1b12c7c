"""Means and win rates over what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from mobie_coreml.edits import GROUPS
from mobie_coreml.evaluation.scores import Evaluation, PairScores, Quality, rounded
from mobie_coreml.evaluation.temporal import ClipScores

Picture = Literal["result", "unedited", "color", "autoencoder"]
"""What a pair has beside its truth, as attributes of `PairScores`."""


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

    @property
    def to_limit_db(self) -> float:
        """How far the result stays behind what the autoencoder alone would reach."""
        return self.autoencoder_db - self.result_db

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, win rates with their shares."""
        values = asdict(self) | {"to_limit_db": self.to_limit_db}
        for name in ("over_wrong", "over_source", "over_color"):
            values[name]["rate"] = getattr(self, name).rate
        plain: dict[str, Any] = rounded(values)
        return plain


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


@dataclass(frozen=True)
class UnseenSummary:
    """The pairs that were tried in unseen words, beside the same pairs in the usual ones."""

    pairs: int
    usual_db: float
    unseen_db: float
    usual_over_wrong: WinRate
    unseen_over_wrong: WinRate
    usual_edit_fraction: float
    unseen_edit_fraction: float


@dataclass(frozen=True)
class SharpnessSummary:
    """Means over all pairs; `autoencoder_` of the truth through encoder and decoder."""

    gradient_error: float
    gradient_ratio: float
    spectrum_db: float
    autoencoder_gradient_error: float
    autoencoder_gradient_ratio: float
    autoencoder_spectrum_db: float


@dataclass(frozen=True)
class ClipSummary:
    """Means over edited clips, levels of 255; None without OpenCV.

    Attributes:
        clips: Edited clips.
        difference_error, autoencoder_difference_error, truth_difference: See `ClipScores`.
        gradient_ratio: Likewise.
        warp_error, autoencoder_warp_error, truth_warp_error, source_warp_error: See `WarpErrors`.
    """

    clips: int
    difference_error: float
    autoencoder_difference_error: float
    truth_difference: float
    gradient_ratio: float
    warp_error: float | None
    autoencoder_warp_error: float | None
    truth_warp_error: float | None
    source_warp_error: float | None

    @property
    def error_to_truth(self) -> float | None:
        """Temporal-difference error over the truth's own difference."""
        return _ratio(self.difference_error, self.truth_difference)

    @property
    def flicker_to_source(self) -> float | None:
        """Flow-warped error over the unedited clip's own."""
        return _ratio(self.warp_error, self.source_warp_error)

    @property
    def flicker_to_truth(self) -> float | None:
        """Flow-warped error over the true edit's own."""
        return _ratio(self.warp_error, self.truth_warp_error)

    def of_autoencoder(self) -> ClipSummary:
        """The same for the truth through encoder and decoder; its gradient ratio is not measured here."""
        return replace(self, difference_error=self.autoencoder_difference_error, warp_error=self.autoencoder_warp_error)


def _ratio(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other


def summarise(name: str, rows: Sequence[PairScores]) -> Summary:
    """Means and win rates of at least one pair."""

    def mean(value: Callable[[PairScores], float], over: Iterable[PairScores] = rows) -> float:
        return float(np.mean([value(row) for row in over]))

    visible = [row for row in rows if row.changes_visibly]
    beyond = [row for row in rows if row.is_beyond_color]
    return Summary(
        name=name,
        pairs=len(rows),
        result_db=mean(lambda row: row.result.db),
        wrong_db=mean(lambda row: row.wrong_db),
        source_db=mean(lambda row: row.unedited.db),
        color_db=mean(lambda row: row.color.db),
        autoencoder_db=mean(lambda row: row.autoencoder.db),
        result_ssim=mean(lambda row: row.result.ssim),
        edit_fraction=mean(lambda row: row.edit_fraction),
        over_wrong=WinRate(sum(row.result.db > row.wrong_db for row in rows), len(rows)),
        over_source=WinRate(sum(row.result.db > row.unedited.db for row in visible), len(visible)),
        over_color=WinRate(sum(row.result.db > row.color.db for row in beyond), len(beyond)),
        over_color_result_db=mean(lambda row: row.result.db, beyond) if beyond else None,
        over_color_color_db=mean(lambda row: row.color.db, beyond) if beyond else None,
    )


def by_group(evaluation: Evaluation) -> list[Summary]:
    """One summary a group of instructions, in their usual order, then one of all pairs."""
    rows = evaluation.pairs
    groups = [(group, [row for row in rows if row.group == group]) for group in GROUPS]
    return [summarise(group, own) for group, own in groups if own] + [everything(evaluation)]


def everything(evaluation: Evaluation) -> Summary:
    """One summary of all pairs."""
    return summarise("all", evaluation.pairs)


def by_instruction(evaluation: Evaluation) -> list[Summary]:
    """One summary an instruction."""
    return _by(evaluation.pairs, lambda row: row.instruction)


def by_source(evaluation: Evaluation) -> list[Summary]:
    """One summary a clip, and one of the photographs."""
    return _by(evaluation.pairs, lambda row: row.source)


def _by(rows: Sequence[PairScores], key: Callable[[PairScores], str]) -> list[Summary]:
    names = dict.fromkeys(key(row) for row in rows)
    return [summarise(name, [row for row in rows if key(row) == name]) for name in names]


def mean_ssim(evaluation: Evaluation, picture: Picture) -> float:
    """Over all pairs."""
    return float(np.mean([_quality(row, picture).ssim for row in evaluation.pairs]))


def beyond_color_db(evaluation: Evaluation, picture: Picture) -> float | None:
    """PSNR over the pairs whose edit no colour transform makes; None without one.

    There alone the best colour transform can be compared with a model: elsewhere it is the truth.
    """
    return mean_known(_quality(row, picture).db for row in evaluation.pairs if row.is_beyond_color)


def regions(evaluation: Evaluation, picture: Picture = "result") -> list[RegionSummary]:
    """One summary a local instruction, then one of all of them; empty without local pairs."""
    local = [row for row in evaluation.pairs if row.result.regions is not None]
    names = dict.fromkeys(row.instruction for row in local)
    sets = [(name, [row for row in local if row.instruction == name]) for name in names]
    if local:
        sets.append(("all local", local))
    return [_region_summary(name, rows, picture) for name, rows in sets]


def _quality(row: PairScores, picture: Picture) -> Quality:
    qualities: dict[Picture, Quality] = {
        "result": row.result, "unedited": row.unedited, "color": row.color, "autoencoder": row.autoencoder,
    }  # fmt: skip
    return qualities[picture]


def _region_summary(name: str, rows: Sequence[PairScores], picture: Picture) -> RegionSummary:
    found = [_quality(row, picture).regions for row in rows]
    scores = [regions for regions in found if regions is not None]
    return RegionSummary(
        name=name,
        pairs=len(scores),
        share=float(np.mean([score.share for score in scores])),
        edited_db=mean_known(score.edited_db for score in scores),
        edited_ssim=mean_known(score.edited_ssim for score in scores),
        preserved_db=mean_known(score.preserved_db for score in scores),
        preserved_ssim=mean_known(score.preserved_ssim for score in scores),
    )


def mean_known(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are known; None if none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def unseen(evaluation: Evaluation) -> UnseenSummary | None:
    """Of the pairs that were tried in unseen words; None if none was."""
    both = [(row, row.unseen) for row in evaluation.pairs if row.unseen is not None]
    if not both:
        return None
    return UnseenSummary(
        pairs=len(both),
        usual_db=float(np.mean([row.result.db for row, _ in both])),
        unseen_db=float(np.mean([other.result_db for _, other in both])),
        usual_over_wrong=WinRate(sum(row.result.db > row.wrong_db for row, _ in both), len(both)),
        unseen_over_wrong=WinRate(sum(other.result_db > other.wrong_db for _, other in both), len(both)),
        usual_edit_fraction=float(np.mean([row.edit_fraction for row, _ in both])),
        unseen_edit_fraction=float(np.mean([other.edit_fraction for _, other in both])),
    )


def mean_sharpness(evaluation: Evaluation) -> SharpnessSummary:
    """Over all pairs."""
    found = [row.sharpness for row in evaluation.pairs]
    limit = [row.autoencoder_sharpness for row in evaluation.pairs]
    return SharpnessSummary(
        *(
            float(np.mean([getattr(one, name) for one in values]))
            for values in (found, limit)
            for name in ("gradient_error", "gradient_ratio", "spectrum_db")
        )
    )


def motion(evaluation: Evaluation) -> ClipSummary | None:
    """Over all edited clips; None if there are none."""
    return mean_clips(evaluation.clips) if evaluation.clips else None


def mean_clips(rows: Sequence[ClipScores]) -> ClipSummary:
    """Over edited clips, at least one."""

    def mean(value: Callable[[ClipScores], float]) -> float:
        return float(np.mean([value(row) for row in rows]))

    warps = [row.warp for row in rows if row.warp is not None]
    return ClipSummary(
        clips=len(rows),
        difference_error=mean(lambda row: row.difference_error),
        autoencoder_difference_error=mean(lambda row: row.autoencoder_difference_error),
        truth_difference=mean(lambda row: row.truth_difference),
        gradient_ratio=mean(lambda row: row.gradient_ratio),
        warp_error=mean_known(warp.result for warp in warps),
        autoencoder_warp_error=mean_known(warp.autoencoder for warp in warps),
        truth_warp_error=mean_known(warp.truth for warp in warps),
        source_warp_error=mean_known(warp.source for warp in warps),
    )
