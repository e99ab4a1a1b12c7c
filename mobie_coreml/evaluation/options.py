"""What an evaluation is asked for: its options and its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mobie_coreml.diffusion.samplers import SamplerMethod
from mobie_coreml.edits import find_edit
from mobie_coreml.errors import InputError
from mobie_coreml.evaluation.frames import PHOTOS
from mobie_coreml.evaluation.pairs import Phrases
from mobie_coreml.files import check_output

PARTS = ("unseen", "temporal", "guidance", "speed")
"""Measurements that can be left out."""


@dataclass(frozen=True)
class EvaluationOptions:
    """What is evaluated and how.

    Args:
        clips: Clips; `frames` frames of each, spread evenly.
        photos: Folder of photographs, of which those with a number divisible by `held_out_every` are used.
        held_out_every: See there.
        frames: Frames a clip.
        instructions: Names of edits, empty for all.
        pairs_per_instruction: Pairs of one instruction and one source: this bounds the work.
        limit: At most this many pairs in all, spread evenly over those drawn.
        phrases: Wording: canonical, training or held-out.
        unseen_pairs: So many of the pairs of one instruction and one source are tried in unseen words too.
        frames_in_row: Consecutive frames of a clip for what is measured over time.
        edits_per_clip: Instructions tried on those.
        guidance_pairs: Pairs over which the guidance scales are tried.
        guidance_points: Values of each scale.
        rounds: Timed frames a model.
        skip: Measurements to leave out, of `PARTS`.
        clip_model: Folder or hub id of a CLIP model, None to measure nothing by it.
        lpips: Whether LPIPS is measured.
        seed: Of the choice of pairs and of the noise.
        batch: Edits a forward.
        runtime, precision, steps, sampler, text_guidance, image_guidance: How models are run, None for their defaults.

    Raises:
        InputError: a number is out of range, or there is neither clip nor photograph.
    """

    clips: tuple[Path, ...] = ()
    photos: Path | None = None
    held_out_every: int = 20
    frames: int = 50
    instructions: tuple[str, ...] = ()
    pairs_per_instruction: int = 4
    limit: int | None = None
    phrases: Phrases = "canonical"
    unseen_pairs: int = 2
    frames_in_row: int = 12
    edits_per_clip: int = 4
    guidance_pairs: int = 16
    guidance_points: int = 5
    rounds: int = 5
    skip: tuple[str, ...] = ()
    clip_model: str | None = None
    lpips: bool = False
    seed: int = 0
    batch: int = 8
    runtime: str | None = None
    precision: str = "fp32"
    steps: int | None = None
    sampler: SamplerMethod | None = None
    text_guidance: float | None = None
    image_guidance: float | None = None

    def __post_init__(self) -> None:
        if not self.clips and self.photos is None:
            raise InputError("There is nothing to evaluate on.", "Give --clips, --photos, or both.")
        for name in self.instructions:
            find_edit(name)
        for name in self.skip:
            if name not in PARTS:
                raise InputError(f"--skip {name} is unknown.", f"Choose of {', '.join(PARTS)}.")
        sources = [clip.stem for clip in self.clips] + ([PHOTOS] if self.photos is not None else [])
        if len(set(sources)) != len(sources):
            raise InputError("Two sources have the same name.", "Rename a clip: reports tell sources apart by name.")
        for option, value, least in (
            ("--held-out-every", self.held_out_every, 1),
            ("--frames", self.frames, 1),
            ("--pairs-per-instruction", self.pairs_per_instruction, 1),
            ("--limit", self.limit, 1),
            ("--unseen-pairs", self.unseen_pairs, 1),
            ("--frames-in-row", self.frames_in_row, 2),
            ("--edits-per-clip", self.edits_per_clip, 1),
            ("--guidance-pairs", self.guidance_pairs, 1),
            ("--guidance-points", self.guidance_points, 2),
            ("--rounds", self.rounds, 1),
            ("--seed", self.seed, 0),
            ("--batch", self.batch, 2),
            ("--steps", self.steps, 1),
        ):
            if value is not None and value < least:
                raise InputError(f"{option} {value} is out of range.", f"Give a whole number of at least {least}.")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; files by their names."""
        values = asdict(self)
        values["clips"] = [clip.name for clip in self.clips]
        values["photos"] = self.photos.name if self.photos else None
        return values


@dataclass(frozen=True)
class Outputs:
    """Files to write beside the JSON that the caller gets.

    `sheet_source` and `page_source` name the clip (or "photos") that the contact sheet and the page show.
    """

    html: Path | None = None
    markdown: Path | None = None
    json: Path | None = None
    sheet: Path | None = None
    sheet_source: str | None = None
    page_source: str | None = None

    def check(self, inputs: Sequence[Path], *, force: bool) -> None:
        """Refuses outputs that exist, before any work.

        Args:
            inputs: Files that no output may replace.
            force: Outputs that exist may be replaced.

        Raises:
            InputError: one exists and `force` is false, cannot be written, is an input, or is named twice.
        """
        taken = {path.resolve() for path in inputs}
        for path in (self.html, self.markdown, self.json, self.sheet):
            if path is not None:
                if path.resolve() in taken:
                    raise InputError(f"{path} is an input or named twice.", "Choose another output.")
                taken.add(path.resolve())
                check_output(path, force=force, is_file=True)

    def check_sources(self, sources: set[str]) -> None:
        """Refuses to show a source that is not there.

        Raises:
            InputError: see above.
        """
        for name in (self.sheet_source, self.page_source):
            if name is not None and name not in sources:
                raise InputError(f"There is no source {name!r}.", f"Choose one of {', '.join(sorted(sources))}.")

    def check_pairs(self, sources: set[str]) -> None:
        """Refuses to show a source that no pair is drawn from.

        Raises:
            InputError: see above.
        """
        for option, name in (("--sheet-source", self.sheet_source), ("--page-source", self.page_source)):
            if name is not None and name not in sources:
                raise InputError(f"No pair is drawn from {name}.", f"Choose another {option}.")
