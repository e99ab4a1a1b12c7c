"""The loop of steps and passes, against the formulas written out."""

import numpy as np
import pytest

from mobie_coreml.diffusion.noise import standard_normal
from mobie_coreml.diffusion.samplers import sampler_steps
from mobie_coreml.editing.editor import Editor
from mobie_coreml.errors import InputError, WorkError

from .conftest import MODEL_SIZE, FakeBackend, fake_method, fake_tokenize, picture

SHAPE = (1, 3, MODEL_SIZE[1] // 8, MODEL_SIZE[0] // 8)


class LinearDenoiser(FakeBackend):
    """x0 = 0.5 x + image + text / 10 + timestep / 1000: every term can be told apart."""

    def _denoiser(self, image_latents, noisy_latents, shifts, text_kv):
        return {
            "denoised_latents": 0.5 * noisy_latents
            + image_latents
            + 100 * float(text_kv[0, 0, 0, 0])
            + float(shifts[0, 0, 0, 0]) / 1000
        }


def test_one_step_is_the_denoiser_itself(editor: Editor) -> None:
    conditioning = editor.condition("abc")
    frame = picture(0, MODEL_SIZE)
    noise = editor.noise(3)
    blocks = frame.reshape(6, 8, 8, 8, 3).mean(axis=(1, 3)).transpose(2, 0, 1)[None] / 127.5 - 1
    expected = blocks + np.float16(np.float16(3) / 1000) + 0.01 * standard_normal(3, 0, SHAPE).astype(np.float32)
    result = editor.denoise(editor.encode(frame), conditioning, noise)
    assert np.abs(result - expected).max() < 1e-5
    levels = np.floor(np.clip((result + 1) * 127.5, 0, 255) + 0.5)
    assert np.array_equal(editor.edit(frame, conditioning, noise)[::8, ::8], levels[0].transpose(1, 2, 0))


@pytest.mark.parametrize("sampler", ["euler", "ddim", "lcm"])
def test_several_steps_follow_the_sampler(sampler: str) -> None:
    editor = Editor(LinearDenoiser(guidance_inputs=True), fake_method(), fake_tokenize).with_steps(4, sampler)
    image = np.full(SHAPE, 0.25, np.float32)
    result = editor.denoise(image, editor.condition("abcd"), editor.noise(11, 5))

    text = float(np.float16(np.float16(4) / 1000)) * 100
    x = standard_normal(11, 5 * 2**32, SHAPE).astype(np.float64)
    for k, step in enumerate(sampler_steps(fake_method().schedule, sampler, 4)):
        x0 = 0.5 * x + 0.25 + text + step.timestep / 1000
        fresh = standard_normal(11, 5 * 2**32 + k + 1, SHAPE).astype(np.float64)
        x = step.x0 * x0 + step.latents * x + step.noise * fresh
    assert np.abs(result - x).max() < 1e-5


def test_three_passes_are_the_guidance_formula() -> None:
    backend = LinearDenoiser()
    editor = Editor(backend, fake_method(steps=2, guidance_inputs=False), fake_tokenize)
    image = np.full(SHAPE, 0.25, np.float32)
    s_text, s_image = 5.0, 1.5
    result = editor.denoise(image, editor.condition("abcdef", s_text, s_image), editor.noise(1))

    text = float(np.float16(np.float16(6) / 1000)) * 100
    x = standard_normal(1, 0, SHAPE).astype(np.float64)
    for step in fake_method(steps=2).steps:
        base = 0.5 * x + step.timestep / 1000
        nothing, only_image, both = base, base + 0.25, base + 0.25 + text
        x0 = nothing + s_image * (only_image - nothing) + s_text * (both - only_image)
        x = step.x0 * x0 + step.latents * x
    assert np.abs(result - x).max() < 1e-4
    assert backend.count("Denoiser") == 6
    assert backend.count("TextEncoder") == 2
    assert backend.count("Conditioner") == 4


def test_guidance_one_needs_one_pass() -> None:
    backend = LinearDenoiser()
    method = fake_method(guidance_inputs=False)
    low = type(method.text_guidance)(1.0, 14.0, 7.5)
    editor = Editor(backend, type(method)(**{**vars(method), "text_guidance": low}), fake_tokenize)
    editor.denoise(np.zeros(SHAPE, np.float32), editor.condition("a", 1.0, 1.0), editor.noise(1))
    assert backend.count("Denoiser") == 1


def test_embedded_guidance_reaches_the_conditioner(editor: Editor, backend: FakeBackend) -> None:
    editor.condition("a", 4.0, 2.0)
    editor.condition("a", 4.0, 2.0)
    editor.condition("a")
    scales = [
        (float(inputs["text_guidance"][0]), float(inputs["image_guidance"][0]))
        for name, inputs in backend.calls
        if name == "Conditioner"
    ]
    assert scales == [(4.0, 2.0), (7.5, 1.5)]
    assert backend.count("TextEncoder") == 1


@pytest.mark.parametrize("value", [1.9, 14.1, -3.0, float("nan"), float("inf"), float("-inf")])
def test_text_guidance_out_of_range_is_refused(editor: Editor, value: float) -> None:
    with pytest.raises(InputError, match="--text-guidance"):
        editor.condition("a", value)


@pytest.mark.parametrize("value", [0.9, 3.1, float("nan")])
def test_image_guidance_out_of_range_is_refused(editor: Editor, value: float) -> None:
    with pytest.raises(InputError, match="--image-guidance"):
        editor.condition("a", None, value)


@pytest.mark.parametrize("prompt", ["", "  \n\t", " ".join(["snow"] * 76)])
def test_prompts_that_do_not_fit_are_refused(editor: Editor, prompt: str) -> None:
    with pytest.raises(InputError):
        editor.condition(prompt)


def test_a_frame_of_another_size_is_refused(editor: Editor) -> None:
    with pytest.raises(InputError, match="80x60"):
        editor.encode(picture(0))


def test_values_that_are_not_numbers_are_an_error(editor: Editor) -> None:
    with pytest.raises(WorkError, match="not numbers"):
        editor.decode(np.full(SHAPE, np.nan, np.float32))


def test_levels_are_rounded_and_clipped() -> None:
    class Levels(FakeBackend):
        def _decoder(self, denoised_latents):
            return {"edited_frame": denoised_latents}

    editor = Editor(Levels(), fake_method(), fake_tokenize)
    levels = np.array([-3.0, 0.49, 0.5, 1.5, 254.5, 300.0], np.float32).reshape(1, 1, 1, 6).repeat(3, axis=1)
    assert editor.decode(levels)[0, :, 0].tolist() == [0, 0, 1, 2, 255, 255]


def test_prompt_components_are_released(editor: Editor, backend: FakeBackend) -> None:
    editor.condition("a")
    editor.finish_conditioning()
    assert backend.released == ["TextEncoder", "Conditioner"]
