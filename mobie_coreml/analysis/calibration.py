"""What sensitivity is taken on: the inputs that edits of real frames by real prompts give to every component."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mobie_coreml.ane.components import COMPONENTS, ComponentName
from mobie_coreml.editing.edit_media import open_source
from mobie_coreml.editing.geometry import plan_frame
from mobie_coreml.editing.media import check_input
from mobie_coreml.editing.open_model import open_editor
from mobie_coreml.editing.options import EditOptions
from mobie_coreml.editing.resample import Pixels
from mobie_coreml.edits.phrases import PHRASES
from mobie_coreml.errors import InputError
from mobie_coreml.parity.frames import parity_frames
from mobie_coreml.parity.record import Record, RecordingBackend, evenly

Told = Callable[[str], None]
"""Told what is being done, one short phrase each."""


@dataclass(frozen=True)
class Calibration:
    """Which frames and prompts.

    Attributes:
        frames: How many, each edited by one prompt with its own noise.
        clip: A clip, every tenth frame of which is taken; drawings without `clip` and `images`.
        images: A folder of images, all of which are taken.
        prompts: Taken in turn; without, the procedural edits' own, spread evenly.
        seed: Of the noise, and of everything that is drawn at random later.
    """

    frames: int = 8
    clip: Path | None = None
    images: Path | None = None
    prompts: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise InputError(f"--frames {self.frames} is out of range.", "Give 1 or more.")
        if self.seed < 0:
            raise InputError(f"--seed {self.seed} is out of range.", "Give 0 or more.")
        if self.clip is not None and self.images is not None:
            raise InputError("--clip and --images exclude each other.", "Pass one of them.")

    def pictures(self, size: tuple[int, int]) -> list[Pixels]:
        """At most `frames` pictures (H, W, 3) uint8 of the model's (width, height).

        Raises:
            InputError: clip or folder cannot be read or has no frame.
        """
        if self.images is None:
            return parity_frames(self.clip, size, self.frames)
        check_input(self.images)
        if not self.images.is_dir():
            raise InputError(f"{self.images} is not a folder.", "Pass one file with --clip.")
        source = open_source(self.images, EditOptions(prompts=("calibration",), limit=self.frames))
        try:
            pixels = [frame.pixels for frame in source.frames()]
        finally:
            source.close()
        if not pixels:
            raise InputError(f"{self.images} has no image.", "Give a folder of images, or leave --images out.")
        return [plan_frame((one.shape[1], one.shape[0]), size, "cover").prepare(one) for one in pixels]

    def instructions(self) -> Sequence[str]:
        """Prompts to take in turn."""
        return self.prompts or evenly([phrases[0] for phrases in PHRASES.values()], self.frames)


def record_inputs(
    model: Path, checkpoint: str, components: Sequence[ComponentName], calibration: Calibration, told: Told
) -> dict[ComponentName, list[Record]]:
    """Edits frames with PyTorch in fp32 and keeps what the components were given and answered.

    No component runs that is not needed for those asked for.

    Args:
        model: Model folder: frame size and schedule.
        checkpoint: What it was converted from.
        components: Whose records are wanted.
        calibration: Frames and prompts.
        told: Told about progress.

    Returns:
        At most `calibration.frames` records of each component, spread evenly over all of its runs.

    Raises:
        InputError: model and checkpoint do not belong together, or frames or prompts are no good.
    """
    editor = open_editor(str(model), runtime="torch", checkpoint=checkpoint)
    recorder = RecordingBackend(editor.backend)
    recording = editor.on(recorder)
    last = max(COMPONENTS.index(component) for component in components)
    prompts = calibration.instructions()
    for index, frame in enumerate(calibration.pictures(editor.method.frame_size)):
        recorder.case = f"frame {index}"
        told(f"recording the edit of frame {index}")
        conditioning = recording.condition(prompts[index % len(prompts)])
        if last >= COMPONENTS.index("Encoder"):
            latents = recording.encode(frame)
            if last >= COMPONENTS.index("Denoiser"):
                latents = recording.denoise(latents, conditioning, editor.noise(calibration.seed, index))
            if last >= COMPONENTS.index("Decoder"):
                recording.decode(latents)
    for component in COMPONENTS:
        editor.backend.release(component)
    return {component: evenly(recorder.records[component], calibration.frames) for component in components}
