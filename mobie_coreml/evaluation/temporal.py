"""Edits of consecutive frames: how their changes over time compare with those of the truth and of the source.

All differences are in levels of 255.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mobie_coreml.edits import EDITS, GROUPS, Edit, find_edit
from mobie_coreml.evaluation.flow import Motion, is_available, motion_between
from mobie_coreml.evaluation.frames import EvaluationFrame, Image, Pixels, to_image, to_levels
from mobie_coreml.evaluation.metrics import psnr
from mobie_coreml.evaluation.models import EditingModel
from mobie_coreml.evaluation.pairs import VISIBLE_DB
from mobie_coreml.evaluation.sharpness import gradient_magnitude

Keep = Callable[["ClipEdit", Pixels, Pixels, Pixels], None]
"""Called with a clip's edit, its sources, truths and results, (N, H, W, 3) uint8 each."""


@dataclass(frozen=True)
class ClipEdit:
    """Consecutive frames of a clip, and an edit to make of them."""

    frames: tuple[EvaluationFrame, ...]
    edit: Edit

    @property
    def source(self) -> str:
        """Name of the clip."""
        return self.frames[0].source


@dataclass(frozen=True)
class WarpErrors:
    """Root mean squared difference to the frame before, moved along the source's own flow; hidden pixels are left out.

    The measure of Lai et al. 2018, "Learning blind video temporal consistency" (arXiv 1808.00449), as a root. Blur
    lowers it: read it beside the truth's own and the gradient ratio.

    Attributes:
        result, truth, source, autoencoder: Of the edited clip, its truth, the unedited clip, and the truth through
            encoder and decoder.
        visible: Share of pixels that are not hidden.
    """

    result: float
    truth: float
    source: float
    autoencoder: float
    visible: float


@dataclass(frozen=True)
class ClipScores:
    """One edit of one clip.

    Attributes:
        source: The clip's name.
        instruction: Name of the edit.
        frames: Their number.
        difference_error: Mean |(result_t - result_t-1) - (truth_t - truth_t-1)|.
        autoencoder_difference_error: The same of the truth through encoder and decoder.
        truth_difference: Mean |truth_t - truth_t-1|, which is the error of a clip that stands still.
        gradient_ratio: Mean gradient magnitude over the truth's.
        warp: None without OpenCV.
    """

    source: str
    instruction: str
    frames: int
    difference_error: float
    autoencoder_difference_error: float
    truth_difference: float
    gradient_ratio: float
    warp: WarpErrors | None


def choose_clip_edits(
    clips: Sequence[Sequence[EvaluationFrame]], instructions: Iterable[str] | None, per_clip: int, seed: int
) -> list[ClipEdit]:
    """Up to `per_clip` edits of every clip, of every group in turn, that have something to do on its middle frame.

    Args:
        clips: Consecutive frames of each; clips of a single frame have no time and are passed over.
        instructions: Names of edits, None for all.
        per_clip: Edits a clip.
        seed: The same arguments choose the same edits.
    """
    names = list(dict.fromkeys(EDITS if instructions is None else instructions))
    chosen: list[ClipEdit] = []
    for frames in clips:
        if len(frames) < 2:
            continue
        rng = np.random.default_rng([seed, zlib.crc32(frames[0].source.encode())])
        drawn = [find_edit(names[int(place)]) for place in rng.permutation(len(names))]
        groups = [[edit for edit in drawn if edit.group == group] for group in GROUPS]
        turns = [own[place] for place in range(len(names)) for own in groups if place < len(own)]
        middle = frames[len(frames) // 2].image
        visible = (edit for edit in turns if psnr(edit.apply(middle), middle) < VISIBLE_DB)
        chosen += [ClipEdit(tuple(frames), edit) for edit, _ in zip(visible, range(per_clip), strict=False)]
    return chosen


def measure_clips(
    model: EditingModel,
    clips: Sequence[ClipEdit],
    *,
    batch: int = 8,
    advance: Callable[[int, int], None] | None = None,
    keep: Keep | None = None,
) -> list[ClipScores]:
    """Edits every clip, canonical wording, and measures it.

    Args:
        model: The model.
        clips: What to edit.
        batch: Frames in one call of the model.
        advance: Told (clips done, clips in all).
        keep: Called with every clip.
    """
    scores: list[ClipScores] = []
    motions: dict[str, list[Motion] | None] = {}
    for clip in clips:
        pixels = np.stack([frame.pixels for frame in clip.frames])
        if clip.source not in motions:
            motions = {clip.source: _motions(pixels) if is_available() else None}
        truths = np.stack([to_levels(clip.edit.apply(frame.image)) for frame in clip.frames])
        prompt = clip.edit.phrases[0]
        parts = [slice(start, start + batch) for start in range(0, len(pixels), batch)]
        results = np.concatenate([model.edit(pixels[part], [prompt] * len(pixels[part])) for part in parts])
        limits = np.concatenate([model.reconstruct(truths[part]) for part in parts])
        scores.append(_score(clip, pixels, truths, results, limits, motions[clip.source]))
        if keep is not None:
            keep(clip, pixels, truths, results)
        if advance is not None:
            advance(len(scores), len(clips))
    return scores


def _motions(pixels: Pixels) -> list[Motion]:
    return [motion_between(before, now) for before, now in itertools.pairwise(pixels)]


def _score(
    clip: ClipEdit, pixels: Pixels, truths: Pixels, results: Pixels, limits: Pixels, motions: list[Motion] | None
) -> ClipScores:
    changes = _mean(np.abs(_change(pair)).mean() for pair in _steps(truths))
    own, found = (_mean(gradient_magnitude(to_image(frame)).mean() for frame in frames) for frames in (truths, results))
    return ClipScores(
        source=clip.source,
        instruction=clip.edit.name,
        frames=len(pixels),
        difference_error=difference_error(truths, results),
        autoencoder_difference_error=difference_error(truths, limits),
        truth_difference=255 * changes,
        gradient_ratio=found / own if own > 0 else 0.0,
        warp=None if motions is None else _warp_errors(pixels, truths, results, limits, motions),
    )


def _warp_errors(
    pixels: Pixels, truths: Pixels, results: Pixels, limits: Pixels, motions: Sequence[Motion]
) -> WarpErrors:
    return WarpErrors(
        result=warp_error(results, motions),
        truth=warp_error(truths, motions),
        source=warp_error(pixels, motions),
        autoencoder=warp_error(limits, motions),
        visible=_mean(motion.visible.mean() for motion in motions),
    )


def difference_error(truths: Pixels, results: Pixels) -> float:
    """Mean |(result_t - result_t-1) - (truth_t - truth_t-1)| over pixels, channels and steps, levels of 255."""
    pairs = zip(_steps(truths), _steps(results), strict=True)
    return 255 * _mean(np.abs(_change(found) - _change(right)).mean() for right, found in pairs)


def warp_error(frames: Pixels, motions: Sequence[Motion]) -> float:
    """Root of the mean squared difference of visible pixels to the frame before, moved; levels of 255."""
    squared, count = 0.0, 0
    for (before, now), motion in zip(_steps(frames), motions, strict=True):
        gap = np.square((now - motion.warp(before))[motion.visible].astype(np.float64))
        squared, count = squared + float(gap.sum()), count + gap.size
    return 255 * math.sqrt(squared / count) if count else 0.0


def _steps(frames: Pixels) -> Iterator[tuple[Image, Image]]:
    for before, now in itertools.pairwise(frames):
        yield to_image(before), to_image(now)


def _change(pair: tuple[Image, Image]) -> Image:
    return pair[1] - pair[0]


def _mean(values: Iterable[np.floating]) -> float:
    return float(np.mean(list(values)))
