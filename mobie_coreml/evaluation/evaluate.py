"""Runs a model on pairs of frame and instruction and measures every result against the known truth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mobie_coreml.evaluation.frames import EvaluationFrame, Pixels
from mobie_coreml.evaluation.metrics import best_color_transform, edit_fraction, psnr, ssim
from mobie_coreml.evaluation.models import EditingModel
from mobie_coreml.evaluation.pairs import Pair
from mobie_coreml.metrics import SSIM_MARGIN

_INNER = (slice(SSIM_MARGIN, -SSIM_MARGIN),) * 2
"""The pixels that have a structural similarity."""

Advance = Callable[[str, int, int, float], None]
"""Called with (what is done, pieces done, pieces in all, pieces a second)."""


@dataclass(frozen=True)
class RegionScores:
    """A local edit, apart in the region that should change and in the rest: dB and SSIM of the result to the truth.

    `share` is the edited region's part of the frame. Values are None where a region has no pixel.
    """

    share: float
    edited_db: float | None
    edited_ssim: float | None
    preserved_db: float | None
    preserved_ssim: float | None


@dataclass(frozen=True)
class PairScores:
    """One pair. All `_db` are PSNR to the truth.

    Attributes:
        source: Name of the clip, or "photos".
        frame: Its label there.
        instruction: Name of the edit.
        group: Its group.
        phrase: The words used.
        wrong: Name of the wrong instruction's edit.
        result_db: The right instruction's result.
        wrong_db: The wrong instruction's result.
        source_db: The unedited source.
        color_db: The best affine colour transform of the source.
        autoencoder_db: The truth itself through encoder and decoder: what the model could reach at most.
        result_ssim: SSIM of the right instruction's result.
        edit_fraction: How much of the edit was made.
        is_color_transform: Whether the edit is a colour transform by its definition.
        regions: Of local edits.
    """

    source: str
    frame: str
    instruction: str
    group: str
    phrase: str
    wrong: str
    result_db: float
    wrong_db: float
    source_db: float
    color_db: float
    autoencoder_db: float
    result_ssim: float
    edit_fraction: float
    is_color_transform: bool
    regions: RegionScores | None

    @property
    def changes_visibly(self) -> bool:
        """Whether the edit changes more than the autoencoder's own error: only there a result can beat the source."""
        return self.source_db < self.autoencoder_db

    @property
    def is_beyond_color(self) -> bool:
        """Whether the edit is no colour transform: by its definition, and by more than the autoencoder's own error."""
        return not self.is_color_transform and self.color_db < self.autoencoder_db


@dataclass
class Evaluation:
    """Everything measured of one model; `reconstruction` has a PSNR for every frame of every source."""

    model: str
    description: dict[str, Any]
    frame_size: tuple[int, int]
    reconstruction: dict[str, list[float]] = field(default_factory=dict)
    pairs: list[PairScores] = field(default_factory=list)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, figures rounded to 4 decimals."""
        return {
            "model": self.model,
            **self.description,
            "frame_size": list(self.frame_size),
            "seconds": round(self.seconds, 1),
            "reconstruction_db": {name: [round(v, 4) for v in values] for name, values in self.reconstruction.items()},
            "pairs": [_rounded(asdict(row)) for row in self.pairs],
        }


def evaluate_model(
    model: EditingModel,
    frames: Sequence[EvaluationFrame],
    pairs: Sequence[Pair],
    *,
    batch: int = 8,
    advance: Advance | None = None,
    keep: Callable[[Pair, npt.NDArray[np.float32], Pixels], None] | None = None,
) -> Evaluation:
    """Measures the autoencoder on every frame and the edit on every pair.

    Args:
        model: The model.
        frames: Of the model's size.
        pairs: From `draw_pairs`.
        batch: Edits made in one call of the model, at least 2.
        advance: Told of progress.
        keep: Called with every pair, its truth and its result (a contact sheet wants some).
    """
    started = time.perf_counter()
    report = advance or (lambda _what, _done, _total, _rate: None)
    evaluation = Evaluation(model.label, model.description, model.frame_size)
    for start in range(0, len(frames), batch):
        piece = frames[start : start + batch]
        decoded = model.reconstruct(np.stack([frame.pixels for frame in piece]))
        for frame, pixels in zip(piece, decoded, strict=True):
            evaluation.reconstruction.setdefault(frame.source, []).append(psnr(frame.image, _image(pixels)))
        done = start + len(piece)
        report("frames reconstructed", done, len(frames), done / (time.perf_counter() - started))
    begun = time.perf_counter()
    for chunk in _chunks(pairs, batch):
        evaluation.pairs += _measure(model, chunk, keep)
        done = len(evaluation.pairs)
        report("pairs edited", done, len(pairs), done / (time.perf_counter() - begun))
    evaluation.seconds = time.perf_counter() - started
    return evaluation


def _requests(chunk: Sequence[Pair]) -> dict[tuple[int, str], Pixels]:
    """The edits a chunk needs, each once: (frame, prompt) to the frame's pixels."""
    wanted: dict[tuple[int, str], Pixels] = {}
    for pair in chunk:
        for phrase in (pair.phrase, pair.wrong_phrase):
            wanted[id(pair.frame), phrase] = pair.frame.pixels
    return wanted


def _chunks(pairs: Sequence[Pair], batch: int) -> Iterator[list[Pair]]:
    """Consecutive pairs that together need at most `batch` edits (a pair alone may need two)."""
    chunk: list[Pair] = []
    for pair in pairs:
        if chunk and len(_requests([*chunk, pair])) > batch:
            yield chunk
            chunk = []
        chunk.append(pair)
    if chunk:
        yield chunk


def _measure(
    model: EditingModel,
    chunk: Sequence[Pair],
    keep: Callable[[Pair, npt.NDArray[np.float32], Pixels], None] | None,
) -> list[PairScores]:
    requests = _requests(chunk)
    edited = model.edit(np.stack(list(requests.values())), [prompt for _, prompt in requests])
    results = dict(zip(requests, edited, strict=True))
    truths = [pair.edit.apply(pair.frame.image) for pair in chunk]
    limits = model.reconstruct(np.stack([np.floor(truth * 255 + 0.5).astype(np.uint8) for truth in truths]))
    rows = []
    for pair, truth, limit in zip(chunk, truths, limits, strict=True):
        result = results[id(pair.frame), pair.phrase]
        wrong = results[id(pair.frame), pair.wrong_phrase]
        rows.append(_score(pair, truth, _image(result), _image(wrong), _image(limit)))
        if keep is not None:
            keep(pair, truth, result)
    return rows


def _score(
    pair: Pair,
    truth: npt.NDArray[np.float32],
    result: npt.NDArray[np.float32],
    wrong: npt.NDArray[np.float32],
    limit: npt.NDArray[np.float32],
) -> PairScores:
    source = pair.frame.image
    return PairScores(
        source=pair.frame.source,
        frame=pair.frame.label,
        instruction=pair.edit.name,
        group=pair.edit.group,
        phrase=pair.phrase,
        wrong=pair.wrong.name,
        result_db=psnr(truth, result),
        wrong_db=psnr(truth, wrong),
        source_db=psnr(truth, source),
        color_db=psnr(truth, best_color_transform(source, truth)),
        autoencoder_db=psnr(truth, limit),
        result_ssim=ssim(truth, result),
        edit_fraction=edit_fraction(source, truth, result),
        is_color_transform=pair.edit.is_color_transform,
        regions=_regions(pair, truth, result) if pair.edit.group == "local" else None,
    )


def _regions(pair: Pair, truth: npt.NDArray[np.float32], result: npt.NDArray[np.float32]) -> RegionScores:
    """Scores apart where the mask is above one half and where it is below one in fifty; its soft border is neither."""
    mask = pair.edit.mask(pair.frame.image)
    edited, preserved = mask > 0.5, mask < 0.02
    return RegionScores(
        share=float(edited.mean()),
        edited_db=psnr(truth, result, edited) if edited.any() else None,
        edited_ssim=ssim(truth, result, edited) if edited[_INNER].any() else None,
        preserved_db=psnr(truth, result, preserved) if preserved.any() else None,
        preserved_ssim=ssim(truth, result, preserved) if preserved[_INNER].any() else None,
    )


def _image(pixels: Pixels) -> npt.NDArray[np.float32]:
    return pixels.astype(np.float32) / np.float32(255)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, 4) if isinstance(value, float) else value
