"""Models with known answers, and small pictures and clips of our own."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mobie_coreml.edits import EDITS
from mobie_coreml.evaluation.frames import EvaluationFrame

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


class ScriptedModel:
    """Edits as it is told: "truth", "nothing", or the name of one edit for every prompt; adds the same little noise."""

    def __init__(self, answer: str = "truth", error: float = 0.02) -> None:
        self.label = f"scripted {answer}"
        self.description = {
            "runtime": "none", "precision": "exact", "sampler": "none", "steps": 1, "passes": 1,
            "text_guidance": 1.0, "image_guidance": 1.0, "noise_seed": 0,
        }  # fmt: skip
        self.frame_size = SIZE
        self.batches: list[int] = []
        self.prompts: list[str] = []
        self._answer = answer
        self._error = error

    def _noisy(self, images: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(7).normal(0, self._error, images.shape[1:])
        return (np.clip(images + noise, 0, 1) * 255).round().astype(np.uint8)

    def reconstruct(self, frames):
        return self._noisy(frames / 255)

    def edit(self, frames, prompts):
        self.batches.append(len(frames))
        self.prompts += prompts
        images = [frame.astype(np.float32) / np.float32(255) for frame in frames]
        if self._answer == "truth":
            images = [INSTRUCTIONS[prompt].apply(image) for image, prompt in zip(images, prompts, strict=True)]
        elif self._answer != "nothing":
            images = [EDITS[self._answer].apply(image) for image in images]
        return self._noisy(np.stack(images))


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
