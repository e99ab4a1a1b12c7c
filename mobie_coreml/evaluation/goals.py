"""What an editor should reach, alone and beside the first model of a run, and whether it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mobie_coreml.evaluation.scores import Evaluation
from mobie_coreml.evaluation.summary import WinRate, by_group, by_instruction, everything, motion, regions, unseen

RIGHT_OVER_WRONG = 0.99
UNSEEN_OVER_WRONG = 0.95
RIGHT_OVER_SOURCE = 0.90
NAMED = ("black_and_white", "night", "sunset", "snow")
"""Instructions that must reach `RIGHT_OVER_SOURCE` by themselves."""
TO_LIMIT_DB = 2.0
PRESERVED_DB = 1.0
SPEARMAN = {"text": 0.9, "image": 0.8}
TEMPORAL_RATIO = 1.3
TO_REFERENCE_DB = 1.0
DENOISING_SPEEDUP, FRAME_SPEEDUP = 28.0, 8.0


@dataclass(frozen=True)
class Goal:
    """One thing that a model should reach, and whether it did."""

    name: str
    wanted: str
    found: str
    met: bool


def goals(evaluation: Evaluation, reference: Evaluation | None = None) -> list[Goal]:
    """The goals of one model, as far as they were measured.

    Args:
        evaluation: Of the model.
        reference: Of a slower model that it replaces; goals beside it are left out without one.
    """
    found = [_rate("right beats wrong", everything(evaluation).over_wrong, RIGHT_OVER_WRONG)]
    other_words = unseen(evaluation)
    if other_words is not None:
        found.append(_rate("unseen wording: right beats wrong", other_words.unseen_over_wrong, UNSEEN_OVER_WRONG))
    for summary in by_group(evaluation)[:-1]:
        found.append(_rate(f"right beats source: {summary.name}", summary.over_source, RIGHT_OVER_SOURCE))
    for summary in by_instruction(evaluation):
        if summary.name in NAMED:
            name = f"right beats source: {summary.name.replace('_', ' ')}"
            found.append(_rate(name, summary.over_source, RIGHT_OVER_SOURCE))
    found += _against_color(evaluation)
    behind = everything(evaluation).to_limit_db
    found.append(_at_most("behind the autoencoder's limit", behind, TO_LIMIT_DB, "dB"))
    local = regions(evaluation), regions(evaluation, "autoencoder")
    if local[0]:
        kept, limit = local[0][-1].preserved_db, local[1][-1].preserved_db
        if kept is not None and limit is not None:
            found.append(_at_most("local edits, preserved region behind the limit", limit - kept, PRESERVED_DB, "dB"))
    for one in evaluation.guidance:
        name = f"Spearman, {one.scale} guidance"
        least = SPEARMAN[one.scale]
        rises = "" if one.median_rises else ", median pair not monotone"
        met = one.mean_spearman >= least and one.median_rises
        found.append(Goal(name, f">= {least:g}, median pair monotone", f"{one.mean_spearman:.2f}{rises}", met))
    clips = motion(evaluation)
    if clips is not None and clips.error_to_truth is not None:
        name = "temporal-difference error to the truth's own change"
        found.append(_at_most(name, clips.error_to_truth, TEMPORAL_RATIO, "x"))
    return found + ([] if reference is None else _beside(evaluation, reference))


def reference_of(evaluations: Sequence[Evaluation], place: int) -> Evaluation | None:
    """What a model is compared with: the first of the run, if that evaluates its denoiser more often a frame."""
    first, own = evaluations[0], evaluations[place]
    slower = _calls(first) > _calls(own)
    return first if place > 0 and slower else None


def _calls(evaluation: Evaluation) -> int:
    return int(evaluation.description["steps"]) * int(evaluation.description["passes"])


def _beside(evaluation: Evaluation, reference: Evaluation) -> list[Goal]:
    """Goals that need the model that is replaced."""
    than = reference.model
    behind = everything(reference).result_db - everything(evaluation).result_db
    found = [_at_most(f"PSNR behind {than}", behind, TO_REFERENCE_DB, "dB")]
    own, other = motion(evaluation), motion(reference)
    if own is not None and other is not None:
        found.append(
            Goal(
                f"temporal-difference error below that of {than}",
                f"< {other.difference_error:.2f}",
                f"{own.difference_error:.2f}",
                own.difference_error < other.difference_error,
            )
        )
    if evaluation.cost is not None and reference.cost is not None:
        fast, slow = evaluation.cost.seconds, reference.cost.seconds
        for name, factor, least in (
            ("denoising", slow.denoise / fast.denoise, DENOISING_SPEEDUP),
            ("the whole frame", slow.frame / fast.frame, FRAME_SPEEDUP),
        ):
            found.append(Goal(f"{name} faster than {than}", f">= {least:g}x", f"{factor:.1f}x", factor >= least))
    return found


def _against_color(evaluation: Evaluation) -> list[Goal]:
    summary = everything(evaluation)
    right, color = summary.over_color_result_db, summary.over_color_color_db
    if right is None or color is None:
        return []
    text = f"{right:.1f} dB ({summary.over_color} pairs won)"
    return [Goal("right beats colour transform", f"> {color:.1f} dB on average", text, right > color)]


def _at_most(name: str, value: float, most: float, unit: str) -> Goal:
    gap = " " if unit == "dB" else ""
    return Goal(name, f"<= {most:g}{gap}{unit}", f"{value:.2f}{gap}{unit}", value <= most)


def _rate(name: str, wins: WinRate, least: float) -> Goal:
    share = "no pair" if wins.rate is None else f"{100 * wins.rate:.1f} % ({wins})"
    return Goal(name, f">= {100 * least:.0f} %", share, wins.rate is not None and wins.rate >= least)
