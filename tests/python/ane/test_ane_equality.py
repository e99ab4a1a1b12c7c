"""Every component equals the reference networks to 1e-4 of their largest value, in every attention form."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from mobie_coreml.ane.attention import ATTENTION_FORMS
from mobie_coreml.ane.components import Component, build_component
from mobie_coreml.models.checkpoint import Checkpoint

MakeCheckpoint = Callable[..., Checkpoint]
TOLERANCE = 1e-4

SIZES = {"base": (512, 384), "mobile": (480, 480), "nano": (256, 192)}
"""One size a preset for every form; `test_other_sizes` adds the rest. In 480x480 levels have 900 and 225 positions."""


def assert_equal(result: torch.Tensor, expected: torch.Tensor) -> None:
    assert result.shape == expected.shape
    assert float((result - expected).abs().max()) <= TOLERANCE * float(expected.abs().max())


def latents_of(component: Component) -> tuple[torch.Tensor, torch.Tensor]:
    shape = component.inputs[0].shape
    return torch.randn(shape), torch.randn(shape)


def check_denoising(
    checkpoint: Checkpoint, size: tuple[int, int], form: str, timestep: int, scales: tuple[float, ...] = ()
) -> None:
    """Conditioner and Denoiser together against the UNet and the schedule's own x0."""
    torch.manual_seed(timestep)
    conditioner = build_component("Conditioner", checkpoint, size=size, attention=form)
    denoiser = build_component("Denoiser", checkpoint, size=size, attention=form)
    image, noisy = latents_of(denoiser)
    text = torch.randn(1, 77, checkpoint.networks.text_encoder.hidden_size)
    time = torch.tensor([float(timestep)])
    guidance = tuple(torch.tensor([scale]) for scale in scales)
    with torch.no_grad():
        shifts, text_kv = conditioner.module(text.transpose(1, 2).unsqueeze(2), time, *guidance)
        result = denoiser.module(image, noisy, shifts, text_kv)
        output = checkpoint.unet()(torch.cat([noisy, image], 1), time, text, *guidance)
        expected = checkpoint.schedule.x0_from_output(noisy, output, timestep)
    assert_equal(result, expected)


@pytest.mark.parametrize("form", ATTENTION_FORMS)
@pytest.mark.parametrize("preset", SIZES)
def test_denoising_equals_the_unet(preset: str, form: str, make_checkpoint: MakeCheckpoint) -> None:
    check_denoising(make_checkpoint(preset), SIZES[preset], form, 801)


@pytest.mark.parametrize(
    ("preset", "size", "form"),
    [
        ("mobile", (512, 384), "split-einsum-v2"),
        ("mobile", (384, 512), "split-einsum"),
        ("base", (384, 512), "split-einsum-v2"),
        ("nano", (480, 360), "original"),
    ],
)
def test_denoising_at_other_sizes(
    preset: str, size: tuple[int, int], form: str, make_checkpoint: MakeCheckpoint
) -> None:
    check_denoising(make_checkpoint(preset), size, form, 3)


@pytest.mark.slow
@pytest.mark.parametrize("form", ATTENTION_FORMS)
@pytest.mark.parametrize("size", [(512, 384), (384, 512), (480, 480), (256, 192), (64, 48), (488, 360)])
@pytest.mark.parametrize("preset", SIZES)
def test_denoising_at_all_sizes(preset: str, size: tuple[int, int], form: str, make_checkpoint: MakeCheckpoint) -> None:
    check_denoising(make_checkpoint(preset, guidance=True), size, form, 500, (7.5, 1.5))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("timestep", [0, 999])
def test_x0_for_every_prediction_type(prediction: str, timestep: int, make_checkpoint: MakeCheckpoint) -> None:
    check_denoising(make_checkpoint("nano", prediction=prediction), (64, 64), "split-einsum", timestep)


@pytest.mark.parametrize("preset", ["mobile", "nano"])
def test_guidance_inputs(preset: str, make_checkpoint: MakeCheckpoint) -> None:
    check_denoising(make_checkpoint(preset, guidance=True), (128, 96), "split-einsum", 999, (11.3, 2.7))


def test_guidance_changes_the_result(make_checkpoint: MakeCheckpoint) -> None:
    conditioner = build_component("Conditioner", make_checkpoint("nano", guidance=True))
    text, time = torch.randn(conditioner.inputs[0].shape), torch.tensor([500.0])
    results = [
        conditioner.module(text, time, torch.tensor([s_t]), torch.tensor([s_i]))[0]
        for s_t, s_i in ((2.0, 1.0), (14.0, 1.0), (2.0, 3.0))
    ]
    assert not torch.allclose(results[0], results[1], atol=1e-3)
    assert not torch.allclose(results[0], results[2], atol=1e-3)


@pytest.mark.parametrize("form", ATTENTION_FORMS)
@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
def test_text_encoder(form: str, act: str, make_checkpoint: MakeCheckpoint) -> None:
    checkpoint = make_checkpoint("mobile", act=act)
    component = build_component("TextEncoder", checkpoint, attention=form)
    ids = torch.tensor([checkpoint.tokenizer.encode("make it a snowy night").ids], dtype=torch.int32)
    with torch.no_grad():
        expected = checkpoint.text_encoder()(ids)
        assert_equal(component.module(ids), expected.transpose(1, 2).unsqueeze(2))


@pytest.mark.parametrize("preset", ["mobile", "nano"])
@pytest.mark.parametrize("size", [(64, 48), (120, 136)])
def test_encoder_and_decoder(preset: str, size: tuple[int, int], make_checkpoint: MakeCheckpoint) -> None:
    checkpoint = make_checkpoint(preset)
    autoencoder = checkpoint.autoencoder()
    encoder, decoder = (build_component(name, checkpoint, size=size) for name in ("Encoder", "Decoder"))
    torch.manual_seed(0)
    frame = torch.randint(0, 256, encoder.inputs[0].shape).float()
    latents = torch.randn(decoder.inputs[0].shape) * 4
    with torch.no_grad():
        assert_equal(encoder.module(frame), autoencoder.encode(frame / 127.5 - 1))
        result = decoder.module(latents)
        assert_equal(result, ((autoencoder.decode(latents) + 1) * 127.5).clamp(0, 255))
    # Both ends of the clip were reached.
    assert float(result.min()) == 0
    assert float(result.max()) == 255
