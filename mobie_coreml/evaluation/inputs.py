"""Everything a run is evaluated on, loaded once and named by digest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mobie_coreml.evaluation.frames import EvaluationFrame, clip_frames, held_out_photos
from mobie_coreml.evaluation.options import EvaluationOptions
from mobie_coreml.files import sha256_file


@dataclass
class Inputs:
    """Frames of the models' size.

    Attributes:
        frames: Photographs, and frames spread evenly over every clip.
        rows: Consecutive frames of every clip.
        clips_sha256: A clip's file name to its digest.
        photos_sha256: A photograph's name in the folder to its digest.
        skipped: A photograph's name to the reason why it was left out.
    """

    frames: list[EvaluationFrame] = field(default_factory=list)
    rows: list[list[EvaluationFrame]] = field(default_factory=list)
    clips_sha256: dict[str, str] = field(default_factory=dict)
    photos_sha256: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"clips": self.clips_sha256, "photos": self.photos_sha256, "photos_left_out": self.skipped}


def load_inputs(options: EvaluationOptions, size: tuple[int, int]) -> Inputs:
    """All frames of the clips and photographs of `options`, at (width, height) `size`.

    Raises:
        InputError: a clip cannot be read, or no photograph can be used.
    """
    inputs = Inputs()
    if options.photos is not None:
        photos = held_out_photos(options.photos, options.held_out_every, size)
        inputs.frames += photos.frames
        inputs.photos_sha256, inputs.skipped = photos.sha256, photos.skipped
    for clip in options.clips:
        spread, row = clip_frames(clip, options.frames, size, consecutive=options.frames_in_row)
        inputs.frames += spread
        inputs.rows.append(row)
        inputs.clips_sha256[clip.name] = sha256_file(clip)
    return inputs
