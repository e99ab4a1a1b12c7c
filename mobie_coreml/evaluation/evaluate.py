"""Runs a model on pairs of frame and instruction and measures every result against the known truth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from mobie_coreml.evaluation.frames import EvaluationFrame, Image, Pixels, to_image, to_levels
from mobie_coreml.evaluation.metrics import INNER, best_color_transform, edit_fraction, mean_over, psnr, similarity
from mobie_coreml.evaluation.models import EditingModel
from mobie_coreml.evaluation.pairs import Pair
from mobie_coreml.evaluation.perceptual import Perceptual
from mobie_coreml.evaluation.scores import Evaluation, PairScores, Quality, RegionScores, UnseenScores
from mobie_coreml.evaluation.sharpness import sharpness

Advance = Callable[[str, int, int, float], None]
"""Called with (what is done, pieces done, pieces in all, pieces a second)."""
Keep = Callable[[Pair, Pixels, Pixels], None]
"""Called with a pair, its truth and its result, (H, W, 3) uint8 each."""


def evaluate_model(
    model: EditingModel,
    frames: Sequence[EvaluationFrame],
    pairs: Sequence[Pair],
    *,
    batch: int = 8,
    perceptual: Perceptual | None = None,
    advance: Advance | None = None,
    keep: Keep | None = None,
) -> Evaluation:
    """Measures the autoencoder on every frame and the edit on every pair.

    Args:
        model: The model.
        frames: Of the model's size.
        pairs: From `draw_pairs`.
        batch: Edits made in one call of the model, at least 2.
        perceptual: What else judges the results.
        advance: Told of progress.
        keep: Called with every pair (a contact sheet wants some).
    """
    started = time.perf_counter()
    report = advance or (lambda _what, _done, _total, _rate: None)
    judge = perceptual or Perceptual(None, None)
    evaluation = Evaluation(model.label, model.description, model.frame_size)
    for start in range(0, len(frames), batch):
        piece = frames[start : start + batch]
        decoded = model.reconstruct(np.stack([frame.pixels for frame in piece]))
        for frame, pixels in zip(piece, decoded, strict=True):
            evaluation.reconstruction.setdefault(frame.source, []).append(psnr(frame.image, to_image(pixels)))
        done = start + len(piece)
        report("frames reconstructed", done, len(frames), done / (time.perf_counter() - started))
    begun = time.perf_counter()
    for chunk in _chunks(pairs, batch):
        evaluation.pairs += _measure(model, chunk, judge, keep)
        done = len(evaluation.pairs)
        report("pairs edited", done, len(pairs), done / (time.perf_counter() - begun))
    evaluation.seconds = time.perf_counter() - started
    return evaluation


def _requests(chunk: Sequence[Pair]) -> dict[tuple[int, str], Pixels]:
    """The edits a chunk needs, each once: (frame, prompt) to the frame's pixels."""
    wanted: dict[tuple[int, str], Pixels] = {}
    for pair in chunk:
        unseen = () if pair.unseen is None else (pair.unseen.phrase, pair.unseen.wrong_phrase)
        for phrase in (pair.phrase, pair.wrong_phrase, *unseen):
            wanted[id(pair.frame), phrase] = pair.frame.pixels
    return wanted


def _chunks(pairs: Sequence[Pair], batch: int) -> Iterator[list[Pair]]:
    """Consecutive pairs that together need at most `batch` edits (a pair alone may need more)."""
    chunk: list[Pair] = []
    for pair in pairs:
        if chunk and len(_requests([*chunk, pair])) > batch:
            yield chunk
            chunk = []
        chunk.append(pair)
    if chunk:
        yield chunk


def _measure(model: EditingModel, chunk: Sequence[Pair], judge: Perceptual, keep: Keep | None) -> list[PairScores]:
    requests = _requests(chunk)
    edited = model.edit(np.stack(list(requests.values())), [prompt for _, prompt in requests])
    results = dict(zip(requests, edited, strict=True))
    truths = [pair.edit.apply(pair.frame.image) for pair in chunk]
    levels = np.stack([to_levels(truth) for truth in truths])
    limits = model.reconstruct(levels)
    own = np.stack([results[id(pair.frame), pair.phrase] for pair in chunk])
    judged = judge.scores(
        [pair.edit.name for pair in chunk], np.stack([pair.frame.pixels for pair in chunk]), levels, own
    )
    rows = []
    for pair, truth, limit, result, perceptual in zip(chunk, truths, limits, own, judged, strict=True):
        image, source, best = to_image(result), pair.frame.image, to_image(limit)
        pictures = (image, source, best_color_transform(source, truth), best)
        quality, unedited, color, autoencoder = _qualities(pair, truth, pictures)
        rows.append(
            PairScores(
                source=pair.frame.source,
                frame=pair.frame.label,
                instruction=pair.edit.name,
                group=pair.edit.group,
                phrase=pair.phrase,
                wrong=pair.wrong.name,
                wrong_db=psnr(truth, to_image(results[id(pair.frame), pair.wrong_phrase])),
                result=quality,
                unedited=unedited,
                color=color,
                autoencoder=autoencoder,
                edit_fraction=edit_fraction(source, truth, image),
                is_color_transform=pair.edit.is_color_transform,
                sharpness=sharpness(truth, image),
                autoencoder_sharpness=sharpness(truth, best),
                unseen=_unseen(pair, truth, results),
                perceptual=perceptual,
            )
        )
    if keep is not None:
        for pair, truth_levels, result in zip(chunk, levels, own, strict=True):
            keep(pair, truth_levels, result)
    return rows


def _unseen(pair: Pair, truth: Image, results: dict[tuple[int, str], Pixels]) -> UnseenScores | None:
    if pair.unseen is None:
        return None
    right, wrong = (
        to_image(results[id(pair.frame), phrase]) for phrase in (pair.unseen.phrase, pair.unseen.wrong_phrase)
    )
    return UnseenScores(
        pair.unseen.phrase,
        pair.unseen.wrong_phrase,
        psnr(truth, right),
        psnr(truth, wrong),
        edit_fraction(pair.frame.image, truth, right),
    )


def _qualities(pair: Pair, truth: Image, pictures: Sequence[Image]) -> list[Quality]:
    """Each picture against the truth; local edits apart where the mask is above one half and where it is below one in
    fifty: its soft border is neither.
    """
    if pair.edit.group != "local":
        return [Quality(psnr(truth, one), float(similarity(truth, one).mean()), None) for one in pictures]
    mask = pair.edit.mask(pair.frame.image)
    edited, preserved = mask > 0.5, mask < 0.02
    found = []
    for one in pictures:
        alike = similarity(truth, one)
        regions = RegionScores(
            share=float(edited.mean()),
            edited_db=psnr(truth, one, edited) if edited.any() else None,
            edited_ssim=mean_over(alike, edited[INNER]),
            preserved_db=psnr(truth, one, preserved) if preserved.any() else None,
            preserved_ssim=mean_over(alike, preserved[INNER]),
        )
        found.append(Quality(psnr(truth, one), float(alike.mean()), regions))
    return found
