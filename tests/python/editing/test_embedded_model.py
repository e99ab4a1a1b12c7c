"""The checkpoint inside the package: one step in one pass, and two guidance scales that do what they say."""

from __future__ import annotations

import numpy as np
import pytest

from mobie_coreml.editing.editor import Editor
from mobie_coreml.editing.open_model import open_editor
from mobie_coreml.edits import find_edit
from mobie_coreml.evaluation.frames import Image, to_image
from mobie_coreml.evaluation.metrics import edit_fraction, psnr

PROMPTS = {"snow": "make it snow", "night": "make it night", "sunset": "make it sunset", "sepia": "make it sepia"}


@pytest.fixture(scope="module")
def embedded() -> Editor:
    return open_editor("nano", runtime="torch")


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """A drawn landscape (192, 256, 3) uint8: sky, hills, a meadow, a house, grain."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:192, 0:256].astype(np.float32)
    sky = np.stack([120 + 0.4 * y, 165 + 0.3 * y, 225 - 0.1 * y], axis=-1)
    hills = np.stack([85 + 0.1 * x, 105 + 0.05 * x, 80 + 0.02 * x], axis=-1)
    meadow = np.stack([60 + 0.2 * (y - 120), 120 + 0.15 * (y - 120), 45 + 0 * x], axis=-1)
    picture = np.where((y > 80 + 15 * np.sin(x / 30))[..., None], hills, sky)
    picture = np.where((y > 125)[..., None], meadow, picture)
    picture[95:150, 60:120] = (190, 150, 110)
    picture[110:130, 75:95] = (60, 60, 75)
    return np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)


def edited(editor: Editor, scene: np.ndarray, prompt: str, text: float = 1.0, image: float = 1.0) -> Image:
    return to_image(editor.edit(scene, editor.condition(prompt, text, image), editor.noise(0)))


def test_a_frame_takes_one_pass_whatever_the_scales(embedded: Editor) -> None:
    assert len(embedded.method.steps) == 1
    assert [len(step) for step in embedded.condition("make it snow", 3.0, 1.5)] == [1]


@pytest.mark.parametrize("name", PROMPTS)
def test_the_edit_is_nearer_its_truth_than_the_source_and_than_another_edit(
    embedded: Editor, scene: np.ndarray, name: str
) -> None:
    source = to_image(scene)
    truth = find_edit(name).apply(source)
    other = PROMPTS["night" if name != "night" else "snow"]
    right = psnr(truth, edited(embedded, scene, PROMPTS[name]))
    assert right > psnr(truth, source) + 3
    assert right > psnr(truth, edited(embedded, scene, other)) + 3


@pytest.mark.parametrize("name", PROMPTS)
def test_more_text_guidance_makes_more_of_the_edit(embedded: Editor, scene: np.ndarray, name: str) -> None:
    source = to_image(scene)
    truth = find_edit(name).apply(source)
    made = [edit_fraction(source, truth, edited(embedded, scene, PROMPTS[name], text=s)) for s in (1.0, 2.0, 4.0)]
    assert made[0] < made[1] < made[2]
    assert made[2] > made[0] + 0.1


@pytest.mark.parametrize("name", PROMPTS)
def test_more_image_guidance_keeps_more_of_the_source(embedded: Editor, scene: np.ndarray, name: str) -> None:
    source = to_image(scene)
    kept = [psnr(source, edited(embedded, scene, PROMPTS[name], image=s)) for s in (1.0, 1.5, 2.0)]
    assert kept[0] < kept[1] < kept[2]
    assert kept[2] > kept[0] + 0.5
