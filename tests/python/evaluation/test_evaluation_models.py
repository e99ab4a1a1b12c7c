"""A checkpoint under evaluation: batches change nothing, and the arithmetic is the method's."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mobie_coreml.diffusion.noise import standard_normal
from mobie_coreml.diffusion.samplers import sampler_steps
from mobie_coreml.errors import InputError, WorkError
from mobie_coreml.evaluation.models import CheckpointModel, FolderModel, Sampling, open_model
from mobie_coreml.models.checkpoint import load_checkpoint, new_checkpoint
from mobie_coreml.models.presets import narrowed

PROMPTS = ["make it snow", "make it night", "make it snow"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A three-pass and a guidance-embedding checkpoint of the narrowed nano."""
    folder = tmp_path_factory.mktemp("checkpoints")
    preset = replace(narrowed("nano"), frame_size=(64, 48))
    new_checkpoint(folder / "three", preset, 1)
    new_checkpoint(folder / "one", preset, 1, guidance_embedding=True)
    return folder


@pytest.fixture(scope="module")
def frames(draw_scene):
    return np.stack([draw_scene(seed, 64, 48) for seed in range(3)])


@pytest.mark.parametrize("name", ["three", "one"])
def test_a_batch_gives_the_frames_that_single_calls_give(checkpoints, frames, name):
    model = open_model(str(checkpoints / name), Sampling(steps=2))
    together = model.edit(frames, PROMPTS).astype(int)
    alone = np.concatenate([model.edit(frames[i : i + 1], PROMPTS[i : i + 1]) for i in range(3)]).astype(int)
    assert together.shape == (3, 48, 64, 3)
    assert abs(together - alone).max() <= 1
    assert abs(together[0] - together[1]).max() > 1


def test_the_edit_is_the_weighted_sum_of_three_passes_step_by_step(checkpoints, frames):
    checkpoint = load_checkpoint(checkpoints / "three")
    unet, autoencoder, encoder = checkpoint.unet(), checkpoint.autoencoder(), checkpoint.text_encoder()
    schedule, tokenizer = checkpoint.schedule, checkpoint.tokenizer
    s_t, s_i = 3.0, 1.5
    with torch.inference_mode():
        image = torch.from_numpy(frames[:1]).permute(0, 3, 1, 2) / 127.5 - 1
        c_i = autoencoder.encode(image)
        c_t, null = (encoder(torch.tensor([tokenizer.encode(text).ids])) for text in ("make it snow", ""))
        x = torch.from_numpy(standard_normal(5, 0, tuple(c_i.shape)).astype(np.float32))
        steps = sampler_steps(schedule, "lcm", 3)
        for number, step in enumerate(steps):
            t = torch.tensor([step.timestep])

            def v(image_latents, text, x=x, t=t):
                return unet(torch.cat([x, image_latents], 1), t, text)

            nothing = v(0 * c_i, null)
            output = nothing + s_i * (v(c_i, null) - nothing) + s_t * (v(c_i, c_t) - v(c_i, null))
            x0 = schedule.x0_from_output(x, output, t)
            noise = standard_normal(5, number + 1, tuple(x.shape)).astype(np.float32)
            x = step.advance(x, x0, torch.from_numpy(noise))
        expected = ((autoencoder.decode(x) + 1) * 127.5).clamp(0, 255)[0].permute(1, 2, 0).numpy()
    model = CheckpointModel(checkpoint, "three", Sampling(3, "lcm", s_t, s_i, seed=5))
    assert abs(model.edit(frames[:1], ["make it snow"])[0] - expected).max() < 0.6
    assert model.description["passes"] == 3


@pytest.mark.parametrize(("name", "sampler"), [("three", "lcm"), ("one", None)])
def test_a_model_that_the_editor_runs_gives_the_same_frames(checkpoints, frames, name, sampler):
    """With fresh noise between the steps (lcm) too."""
    sampling = Sampling(steps=2, sampler=sampler, seed=9)
    direct = open_model(str(checkpoints / name), sampling)
    edited = FolderModel(checkpoints / name, name, sampling, runtime="torch")
    assert edited.frame_size == direct.frame_size
    shared = ("sampler", "steps", "passes", "text_guidance", "image_guidance", "noise_seed")
    assert {key: edited.description[key] for key in shared} == {key: direct.description[key] for key in shared}
    assert abs(edited.reconstruct(frames).astype(int) - direct.reconstruct(frames)).max() <= 2
    difference = abs(edited.edit(frames[:2], PROMPTS[:2]).astype(int) - direct.edit(frames[:2], PROMPTS[:2]))
    assert difference.mean() < 0.5, "up to the fp16 rounding of latents between components"


def test_reconstruction_is_encoder_and_decoder_alone(checkpoints, frames):
    checkpoint = load_checkpoint(checkpoints / "three")
    with torch.inference_mode():
        decoded = checkpoint.autoencoder()(torch.from_numpy(frames).permute(0, 3, 1, 2) / 127.5 - 1)
    expected = ((decoded + 1) * 127.5).clamp(0, 255).permute(0, 2, 3, 1).numpy()
    assert abs(open_model(str(checkpoints / "three")).reconstruct(frames) - expected).max() < 0.51


def test_bf16_is_close_to_fp32(checkpoints, frames):
    exact, fast = (
        open_model(str(checkpoints / "one"), Sampling(steps=1), precision=precision)
        .edit(frames[:1], PROMPTS[:1])
        .astype(float)
        for precision in ("fp32", "bf16")
    )
    assert 0 < abs(fast - exact).mean() < 12


def test_values_that_are_not_numbers_are_an_error_and_no_picture(checkpoints, frames):
    model = open_model(str(checkpoints / "one"), Sampling(steps=1))
    with torch.no_grad():
        model._autoencoder.decoder.layers[0].bias.fill_(float("nan"))
    with pytest.raises(WorkError, match="not numbers"):
        model.reconstruct(frames[:1])


def test_wrong_use_is_one_clear_error(checkpoints, frames, tmp_path):
    three = str(checkpoints / "three")
    with pytest.raises(InputError, match="fp16"):
        open_model(three, precision="fp16")
    with pytest.raises(InputError, match="steps"):
        open_model(three, Sampling(steps=5000))
    with pytest.raises(InputError, match="torch alone"):
        open_model(three, runtime="mil")
    with pytest.raises(InputError, match="--text-guidance nan is out of range"):
        open_model(three, Sampling(text_guidance=float("nan")))
    with pytest.raises(InputError, match="--image-guidance 4 is out of range"):
        open_model(three, Sampling(image_guidance=4.0))
    with pytest.raises(InputError, match="no checkpoint"):
        open_model(str(tmp_path / "none"))
    with pytest.raises(InputError, match="prompts"):
        open_model(three).edit(frames, ["one"])
