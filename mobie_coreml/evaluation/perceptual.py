"""Scores by CLIP and LPIPS: what they are of embeddings, and their measurement where the user has the weights."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mobie_coreml.evaluation.adapters import ClipScorer, Embeddings, LpipsScorer
from mobie_coreml.evaluation.captions import CAPTIONS
from mobie_coreml.evaluation.frames import Pixels


@dataclass(frozen=True)
class ClipScores:
    """CLIP's view of one pair; what the truth gets stands beside what the result gets.

    Attributes:
        text: Cosine of the result and the caption after the edit.
        direction: Cosine of the change of the images and the change of the captions.
        image: Cosine of the result and the source.
        truth_text, truth_direction, truth_image: The same of the truth.
    """

    text: float
    direction: float
    image: float
    truth_text: float
    truth_direction: float
    truth_image: float


@dataclass(frozen=True)
class FrameConsistency:
    """One edited clip: mean cosine over all pairs of its frames, of the result, the truth and the source."""

    source: str
    instruction: str
    result: float
    truth: float
    unedited: float


@dataclass(frozen=True)
class PerceptualScores:
    """One pair; None is not measured. `lpips` is the distance of the result to the truth."""

    clip: ClipScores | None
    lpips: float | None


class Perceptual:
    """What measures, each None without weights."""

    def __init__(self, clip: ClipScorer | None, lpips: LpipsScorer | None) -> None:
        self.clip = clip
        self.lpips = lpips
        self._captions: dict[str, Embeddings] = {}

    def scores(
        self, names: Sequence[str], sources: Pixels, truths: Pixels, results: Pixels
    ) -> list[PerceptualScores | None]:
        """Scores of N pairs; None each where nothing measures.

        Args:
            names: Of the edits.
            sources, truths, results: (N, H, W, 3) uint8 RGB.
        """
        if self.clip is None and self.lpips is None:
            return [None] * len(names)
        distances: Sequence[float | None] = (
            [None] * len(names) if self.lpips is None else self.lpips.distances(truths, results)
        )
        clips = self._clip_scores(self.clip, names, sources, truths, results)
        return [PerceptualScores(clip, lpips) for clip, lpips in zip(clips, distances, strict=True)]

    def consistency(
        self, source: str, instruction: str, sources: Pixels, truths: Pixels, results: Pixels
    ) -> FrameConsistency | None:
        """Of one edited clip; None without CLIP."""
        if self.clip is None:
            return None
        result, truth, unedited = (frame_consistency(self.clip.images(one)) for one in (results, truths, sources))
        return FrameConsistency(source, instruction, result, truth, unedited)

    def _clip_scores(
        self, clip: ClipScorer | None, names: Sequence[str], sources: Pixels, truths: Pixels, results: Pixels
    ) -> Sequence[ClipScores | None]:
        if clip is None:
            return [None] * len(names)
        for name in dict.fromkeys(names):
            if name not in self._captions:
                self._captions[name] = clip.texts(CAPTIONS[name])
        embedded = clip.images(np.concatenate([sources, truths, results])).reshape(3, len(names), -1)
        scores = []
        for name, source, truth, result in zip(names, *embedded, strict=True):
            before, after = self._captions[name]
            scores.append(
                ClipScores(
                    cosine(result, after),
                    direction(source, result, before, after),
                    cosine(source, result),
                    cosine(truth, after),
                    direction(source, truth, before, after),
                    cosine(source, truth),
                )
            )
        return scores


def cosine(one: Embeddings, other: Embeddings) -> float:
    """Of two vectors; 0 where one has no length."""
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.dot(one, other)) / lengths if lengths > 0 else 0.0


def direction(source: Embeddings, result: Embeddings, before: Embeddings, after: Embeddings) -> float:
    """Directional similarity cos(result - source, after - before), embeddings of length 1.

    Gal et al. 2021, StyleGAN-NADA (arXiv 2108.00946); InstructPix2Pix (arXiv 2211.09800) reports it on edits.
    """
    return cosine(result - source, after - before)


def frame_consistency(frames: Embeddings) -> float:
    """Mean cosine over all pairs of frames, as in the text-guided video editing benchmark (arXiv 2310.16003).

    Not the mean over consecutive frames that others report. 1 for a single frame.
    """
    pairs = list(itertools.combinations(range(len(frames)), 2))
    return float(np.mean([cosine(frames[one], frames[other]) for one, other in pairs])) if pairs else 1.0
