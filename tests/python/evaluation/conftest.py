"""Models with known answers, and small pictures and clips of our own."""

import copy
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mobie_coreml.diffusion.guidance import GuidanceRange
from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.editing.method import EditMethod, one_pass
from mobie_coreml.edits import EDITS
from mobie_coreml.evaluation.frames import EvaluationFrame
from mobie_coreml.evaluation.models import EditingModel, Sampling

SIZE = (96, 64)
INSTRUCTIONS = {phrase: edit for edit in EDITS.values() for phrase in edit.phrases + edit.held_out_phrases}


def scene(seed: int, width: int = SIZE[0], height: int = SIZE[1]) -> np.ndarray:
    """A drawing (H, W, 3) uint8 with sky, meadow, a red, a yellow and a blue thing, different for every seed."""
    rng = np.random.default_rng(seed)
    y, x = (grid / side for grid, side in zip(np.mgrid[0:height, 0:width], (height, width), strict=True))
    image = np.empty((height, width, 3))
    image[:] = (0.55, 0.70, 0.95)
    image[y > 0.55 + 0.1 * np.sin(6 * x + seed)] = (0.25, 0.60, 0.15)
    for colour in ((0.90, 0.10, 0.12), (0.95, 0.85, 0.15), (0.15, 0.25, 0.85), (0.2, 0.2, 0.2), (0.95, 0.95, 0.9)):
        left, top = rng.uniform(0, 0.75, 2)
        image[(x > left) & (x < left + 0.22) & (y > top) & (y < top + 0.3)] = colour
    image *= 0.75 + 0.25 * np.cos(9 * x + 4 * y + seed)[..., None]
    return (np.clip(image + rng.normal(0, 0.01, image.shape), 0, 1) * 255).round().astype(np.uint8)


class ScriptedModel(EditingModel):
    """Edits as it is told: "truth", "nothing", or the name of one edit for every prompt; adds the same little noise.

    Text guidance is the share of the edit that is made, 1 by default; image guidance takes that share from it again.
    Latents are the pixels.
    """

    def __init__(self, answer: str = "truth", error: float = 0.02, image_range: tuple[float, float] = (0, 0)) -> None:
        self.label = f"scripted {answer}"
        self.sampling = Sampling()
        self.batches: list[int] = []
        self.prompts: list[str] = []
        self._answer, self._error, self._image_range = answer, error, image_range

    @property
    def description(self):
        return {
            "runtime": "none", "precision": "exact", "sampler": "none", "steps": 1, "passes": 1,
            "text_guidance": 1.0, "image_guidance": 0.0, "noise_seed": 0,
        }  # fmt: skip

    @property
    def method(self) -> EditMethod:
        return EditMethod(
            frame_size=SIZE,
            latent_shape=(1, 3, SIZE[1], SIZE[0]),
            guidance_inputs=True,
            passes=one_pass,
            text_guidance=GuidanceRange(0.0, 1.0, 1.0),
            image_guidance=GuidanceRange(*self._image_range, 0.0),
            steps=(),
            schedule=NoiseSchedule(),
            sampler="ddim",
        )

    def sampled(self, label, sampling):
        other = copy.copy(self)
        other.label, other.sampling = label, sampling
        return other

    def encode(self, frames):
        return np.asarray(frames.transpose(0, 3, 1, 2), np.float32) / np.float32(255)

    def denoise(self, image_latents, prompts):
        self.batches.append(len(prompts))
        self.prompts += prompts
        images = [np.ascontiguousarray(one.transpose(1, 2, 0)) for one in image_latents]
        one_for_all = dict.fromkeys(prompts, EDITS.get(self._answer))
        edits = {"truth": INSTRUCTIONS, "nothing": {}}.get(self._answer, one_for_all)
        text, image = self.sampling.text_guidance, self.sampling.image_guidance
        share = np.float32((1.0 if text is None else text) * (1.0 - (image or 0.0)))
        made = [
            one + share * (edits[prompt].apply(one) - one) if prompt in edits else one
            for one, prompt in zip(images, prompts, strict=True)
        ]
        return np.stack(made).transpose(0, 3, 1, 2)

    def decode(self, latents):
        images = latents.transpose(0, 2, 3, 1)
        noise = np.random.default_rng(7).normal(0, self._error, images.shape[1:])
        return (np.clip(images + noise, 0, 1) * 255).round().astype(np.uint8)


@pytest.fixture(scope="session")
def draw_scene():
    """The function `scene`."""
    return scene


@pytest.fixture(scope="session")
def scripted_model():
    """The class `ScriptedModel`."""
    return ScriptedModel


@pytest.fixture(scope="session")
def frames() -> list[EvaluationFrame]:
    return [EvaluationFrame("photos", f"{n}.png", scene(n)) for n in range(4)] + [
        EvaluationFrame("clip", f"{n:05d}", scene(10 + n)) for n in range(3)
    ]


@pytest.fixture(scope="session")
def row() -> list[EvaluationFrame]:
    """Five consecutive frames of a clip that moves two pixels a frame."""
    wide = scene(3, SIZE[0] + 8, SIZE[1])
    return [
        EvaluationFrame("clip", f"{n:05d}", np.ascontiguousarray(wide[:, 2 * n : 2 * n + SIZE[0]])) for n in range(5)
    ]


@pytest.fixture
def photo_folder(tmp_path) -> Path:
    """Photographs 0000 to 0005, twice the models' size."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(6):
        Image.fromarray(scene(number, 192, 128)).save(folder / f"{number:04d}.png")
    return folder


@pytest.fixture
def clip(tmp_path) -> Path:
    """Twelve frames, each with its number as brightness of the left half."""
    path = tmp_path / "numbers.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 144, 96, "yuv444p"
        for number in range(12):
            pixels = scene(3, 144, 96)
            pixels[:, :72] = 20 * number
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path
