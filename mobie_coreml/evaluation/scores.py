"""What is measured of one pair, and of a model as a whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from mobie_coreml.evaluation.controllability import Controllability
from mobie_coreml.evaluation.cost import Cost
from mobie_coreml.evaluation.perceptual import FrameConsistency, PerceptualScores
from mobie_coreml.evaluation.sharpness import Sharpness
from mobie_coreml.evaluation.temporal import ClipScores


@dataclass(frozen=True)
class RegionScores:
    """A local edit, apart in the region that should change and in the rest: dB and SSIM of a picture to the truth.

    `share` is the edited region's part of the frame. Values are None where a region has no pixel.
    """

    share: float
    edited_db: float | None
    edited_ssim: float | None
    preserved_db: float | None
    preserved_ssim: float | None


@dataclass(frozen=True)
class Quality:
    """A picture against the truth; `regions` of local edits."""

    db: float
    ssim: float
    regions: RegionScores | None


@dataclass(frozen=True)
class UnseenScores:
    """The same pair in wordings that training never saw: dB to the truth, and how much of the edit was made."""

    phrase: str
    wrong_phrase: str
    result_db: float
    wrong_db: float
    edit_fraction: float


@dataclass(frozen=True)
class PairScores:
    """One pair.

    Attributes:
        source: Name of the clip, or "photos".
        frame: Its label there.
        instruction: Name of the edit.
        group: Its group.
        phrase: The words used.
        wrong: Name of the wrong instruction's edit.
        wrong_db: The wrong instruction's result, PSNR to the truth.
        result: The right instruction's result.
        unedited: The source.
        color: The best affine colour transform of the source.
        autoencoder: The truth itself through encoder and decoder: what the model could reach at most.
        edit_fraction: How much of the edit was made.
        is_color_transform: Whether the edit is a colour transform by its definition.
        sharpness, autoencoder_sharpness: Of the result, and of the truth through encoder and decoder.
        unseen: Where the pair was tried in other words.
        perceptual: Where there are weights.
    """

    source: str
    frame: str
    instruction: str
    group: str
    phrase: str
    wrong: str
    wrong_db: float
    result: Quality
    unedited: Quality
    color: Quality
    autoencoder: Quality
    edit_fraction: float
    is_color_transform: bool
    sharpness: Sharpness
    autoencoder_sharpness: Sharpness
    unseen: UnseenScores | None
    perceptual: PerceptualScores | None

    @property
    def changes_visibly(self) -> bool:
        """Whether the edit changes more than the autoencoder's own error: only there a result can beat the source."""
        return self.unedited.db < self.autoencoder.db

    @property
    def is_beyond_color(self) -> bool:
        """Whether the edit is no colour transform: by its definition, and by more than the autoencoder's own error."""
        return not self.is_color_transform and self.color.db < self.autoencoder.db


@dataclass
class Evaluation:
    """Everything measured of one model.

    Attributes:
        model: Its name.
        description: How it was run.
        frame_size: (width, height) in pixels.
        reconstruction: For every source the PSNR of every frame through encoder and decoder, dB.
        pairs: Edits of single frames.
        clips: Edits of consecutive frames.
        consistency: CLIP's of those, where there are weights.
        guidance: Of each scale that has a range.
        cost: Of one frame.
        seconds: That the measurements took.
    """

    model: str
    description: dict[str, Any]
    frame_size: tuple[int, int]
    reconstruction: dict[str, list[float]] = field(default_factory=dict)
    pairs: list[PairScores] = field(default_factory=list)
    clips: list[ClipScores] = field(default_factory=list)
    consistency: list[FrameConsistency] = field(default_factory=list)
    guidance: list[Controllability] = field(default_factory=list)
    cost: Cost | None = None
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, figures rounded to 4 decimals."""
        values: dict[str, Any] = rounded(
            {
                "frame_size": list(self.frame_size),
                "seconds": self.seconds,
                "reconstruction_db": self.reconstruction,
                "pairs": [asdict(row) for row in self.pairs],
                "clips": [asdict(row) for row in self.clips],
                "consistency": [asdict(row) for row in self.consistency],
                "guidance": [
                    asdict(one)
                    | {
                        "mean_spearman": one.mean_spearman,
                        "median_spearman": one.median_spearman,
                        "median_rises": one.median_rises,
                        "median_curve": one.median_curve,
                    }
                    for one in self.guidance
                ],
                "cost": None if self.cost is None else asdict(self.cost),
            }
        )
        return {"model": self.model, **self.description, **values}


def rounded(value: Any) -> Any:
    """The same plain values with every float rounded to 4 decimals."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value
