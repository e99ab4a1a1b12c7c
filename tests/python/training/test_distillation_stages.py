"""The stages after the teacher, step by step on a small untrained network: targets, draws, losses, samples."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mobie_coreml.diffusion.guidance import combine_passes, guidance_passes
from mobie_coreml.models.checkpoint import Checkpoint, load_checkpoint, new_checkpoint
from mobie_coreml.models.presets import Preset
from mobie_coreml.training import guidance, one_step
from mobie_coreml.training.distillation import Material, noisy_latents
from mobie_coreml.training.examples import Example
from mobie_coreml.training.stage_config import (
    CriticTraining,
    NoiseTraining,
    OneStepTraining,
    RegressionTraining,
    RescaleTraining,
    ScaleTraining,
)
from mobie_coreml.training.teacher_samples import TeacherSamples
from mobie_coreml.training.validation import HeldOut


class DrawnExamples:
    """Random latents with a few prompts, in two sizes."""

    shares = (0.5, 0.5)
    batches = (4, 2)
    digest = "drawn"

    def example(self, size: int, rng: np.random.Generator) -> Example:
        values = torch.from_numpy(rng.standard_normal((2, 4, *((4, 4), (6, 8))[size])).astype("float32"))
        prompt = ("make it night", "add snow")[int(rng.integers(2))]
        return Example(values[0], values[0] + 0.3 * values[1], prompt, prompt)

    def held_out(self) -> HeldOut:
        return HeldOut(torch.empty(0), torch.empty(0), ())

    def describe(self) -> dict[str, object]:
        return {"data": "drawn"}

    def summary(self) -> str:
        return "drawn"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, small_preset: Preset) -> dict[str, Checkpoint]:
    """Untrained small checkpoints that predict velocity, without and with guidance inputs."""
    folder = tmp_path_factory.mktemp("small")
    for name, embedded in (("plain", False), ("guided", True)):
        new_checkpoint(folder / name, small_preset, 1, guidance_embedding=embedded, dtype="float32")
    return {name: load_checkpoint(folder / name) for name in ("plain", "guided")}


def material(checkpoint: Checkpoint, scales: ScaleTraining | None = None) -> Material:
    return Material(checkpoint, DrawnExamples(), scales or ScaleTraining(), 0, {})


def guidance_stage(checkpoint: Checkpoint, config: RegressionTraining) -> guidance.GuidanceStage:
    unet, data = checkpoint.unet(), material(checkpoint, config.scales)
    student = guidance.with_guidance_inputs(unet)
    return guidance.GuidanceStage(unet, student, data, config)


def one_step_stage(checkpoint: Checkpoint, config: OneStepTraining, pool: Path | None = None) -> one_step.OneStepStage:
    samples = TeacherSamples(checkpoint.unet(), material(checkpoint, config.scales), config)
    if pool is not None:
        samples.fill(pool)
    return one_step.OneStepStage(samples, checkpoint.unet(), config)


def test_the_guided_target_is_three_explicit_passes(small: dict[str, Checkpoint]) -> None:
    stage = guidance_stage(small["plain"], RegressionTraining(scales=ScaleTraining((2.0, 14.0), (1.0, 3.0))))
    tensors = stage.batch(0).tensors
    noisy = noisy_latents(stage.schedule, tensors["edited"], tensors)
    states = stage.material.text_states(tensors["ids"])
    target = stage.target(noisy, tensors, states)
    null = stage.material.text_states.null(len(noisy), noisy.device)
    blank = torch.zeros_like(tensors["images"])
    with torch.no_grad():
        outputs = [
            stage.teacher(torch.cat([noisy, image], dim=1), tensors["timesteps"], text)
            for image, text in ((blank, null), (tensors["images"], null), (tensors["images"], states))
        ]
    for row, (text, image) in enumerate(zip(tensors["text_guidance"], tensors["image_guidance"], strict=True)):
        expected = combine_passes(guidance_passes(float(text), float(image)), [one[row] for one in outputs])
        torch.testing.assert_close(target[row], expected, rtol=1e-3, atol=1e-4)
    assert all(one.grad is None and not one.requires_grad for one in stage.teacher.parameters())


@pytest.mark.parametrize("rescale", [RescaleTraining(), RescaleTraining(0.6, 1.0)])
def test_the_target_is_rescaled_as_an_image(small: dict[str, Checkpoint], rescale: RescaleTraining) -> None:
    scales = ScaleTraining((6.0, 6.0), (2.0, 2.0))
    stage = guidance_stage(small["plain"], RegressionTraining(scales=scales, rescale=rescale))
    tensors = stage.batch(0).tensors
    noisy, times = noisy_latents(stage.schedule, tensors["edited"], tensors), tensors["timesteps"]
    states = stage.material.text_states(tensors["ids"])
    null = stage.material.text_states.null(len(noisy), noisy.device)
    passes = ((torch.zeros_like(noisy), null), (tensors["images"], null), (tensors["images"], states))
    estimates = []
    with torch.no_grad():
        for image, text in passes:
            output = stage.teacher(torch.cat([noisy, image], dim=1), times, text)
            estimates.append(stage.schedule.x0_from_output(noisy, output, times))
    expected = guidance.rescaled_guidance(
        torch.cat(estimates), tensors["text_guidance"], tensors["image_guidance"], rescale
    )
    target = stage.schedule.x0_from_output(noisy, stage.target(noisy, tensors, states), times)
    torch.testing.assert_close(target, expected, rtol=1e-3, atol=1e-4)


def test_a_student_at_scales_one_has_nothing_to_learn(small: dict[str, Checkpoint]) -> None:
    ones = ScaleTraining((1.0, 1.0), (1.0, 1.0))
    stage = guidance_stage(small["plain"], RegressionTraining(scales=ones, rescale=RescaleTraining(0.7, 1.0)))
    loss, _ = stage.loss(stage.batch(1), torch.Generator())
    assert float(loss.detach()) < 1e-10
    loss.backward()
    assert all(one.grad is None for one in stage.teacher.parameters())
    away = guidance_stage(small["plain"], RegressionTraining(scales=ScaleTraining((4.0, 4.0), (2.0, 2.0))))
    assert float(away.loss(away.batch(1), torch.Generator())[0].detach()) > 1e-4


def test_scales_and_noise_are_drawn_as_asked(small: dict[str, Checkpoint]) -> None:
    options = RegressionTraining(
        scales=ScaleTraining((2.0, 14.0), (1.0, 3.0), usual=0.25), noise=NoiseTraining(high_noise=1.0, pure=0.2)
    )
    stage = guidance_stage(small["plain"], options)
    drawn = [stage.batch(number).tensors for number in range(120)]
    text, image, times, pure = (
        torch.cat([one[name] for one in drawn]).double()
        for name in ("text_guidance", "image_guidance", "timesteps", "pure")
    )
    usual = text == stage.material.text_range.default
    assert stage.material.text_range.default == 2.0
    assert float(usual.double().mean()) == pytest.approx(0.25, abs=0.08)
    assert float(text[~usual].mean()) == pytest.approx(8.0, abs=0.9)
    assert (float(image.min()), float(image.max())) == pytest.approx((1.0, 3.0), abs=0.05)
    assert float(pure.mean()) == pytest.approx(0.2, abs=0.07)
    assert (times[pure == 1] == 999).all()
    assert float(times[pure == 0].mean()) == pytest.approx(499.5, abs=50)
    shapes = {tuple(one["images"].shape) for one in drawn}
    assert shapes == {(4, 4, 4, 4), (2, 4, 6, 8)}


def test_pure_noise_is_all_that_is_seen(small: dict[str, Checkpoint]) -> None:
    stage = guidance_stage(small["plain"], RegressionTraining(noise=NoiseTraining(pure=1.0)))
    tensors = stage.batch(0).tensors
    assert torch.equal(noisy_latents(stage.schedule, tensors["edited"], tensors), tensors["noise"])


@pytest.mark.parametrize("r1", ["exact", "approximate", "none"])
def test_each_loss_reaches_its_own_network_alone(small: dict[str, Checkpoint], r1: str) -> None:
    options = OneStepTraining(mse_steps=0, ramp_steps=0, critic=CriticTraining(width=8, r1=r1))
    stage = one_step_stage(small["guided"], options)
    batch = stage.batch(0)
    loss, figures = stage.loss(batch, torch.Generator())
    assert float(loss.detach()) == pytest.approx(figures["squared_error"] + 0.01 * figures["adversarial"], rel=1e-4)
    loss.backward()
    assert all(one.grad is not None for one in stage.network.parameters())
    assert all(one.grad is None for one in stage.samples.teacher.parameters())
    stage.network.zero_grad()
    stage.heads.zero_grad()
    loss, figures = stage.critic_loss(batch, 0)
    loss.backward()
    assert all(one.grad is None for one in (*stage.network.parameters(), *stage.samples.teacher.parameters()))
    assert all(one.grad is not None and one.grad.isfinite().all() for one in stage.heads.parameters())
    assert ("r1" in figures) == (r1 != "none")


def test_the_warm_up_is_squared_error_to_the_noised_sample(small: dict[str, Checkpoint]) -> None:
    stage = one_step_stage(small["guided"], OneStepTraining(mse_steps=5))
    batch = replace(stage.batch(3), step=4)
    loss, figures = stage.loss(batch, torch.Generator())
    assert set(figures) == {"squared_error"}
    tensors, schedule = batch.tensors, stage.schedule
    noisy = schedule.add_noise(tensors["real"], tensors["noise"], tensors["timesteps"])
    states, scales = stage.material.text_states(tensors["ids"]), (tensors["text_guidance"], tensors["image_guidance"])
    sample = torch.cat([noisy, tensors["images"]], dim=1)
    velocity = stage.network(sample, tensors["timesteps"], states, *scales)
    made = schedule.x0_from_velocity(noisy, velocity, tensors["timesteps"])
    assert float(loss.detach()) == pytest.approx(float((made.detach() - tensors["real"]).square().mean()), rel=1e-4)
    assert set(tensors["timesteps"].tolist()) <= set(stage.grid)
    assert stage.grid[0] == 999
    assert len(stage.grid) == 8


def test_true_edits_stand_for_the_teacher_at_scales_one(small: dict[str, Checkpoint]) -> None:
    options = OneStepTraining(true_edits=True, scales=ScaleTraining((1.0, 3.0), (1.0, 2.0), usual=0.5))
    stage = one_step_stage(small["guided"], options)
    tensors = stage.batch(0).tensors
    tensors["text_guidance"] = torch.tensor([1.0, 1.0, 2.0, 1.0])[: len(tensors["images"])]
    tensors["image_guidance"] = torch.tensor([1.0, 1.5, 1.0, 1.0])[: len(tensors["images"])]
    states = stage.material.text_states(tensors["ids"])
    made, real = stage.samples.make(tensors, states), stage.real(tensors, states)
    for row in range(len(real)):
        plain = tensors["text_guidance"][row] == 1 and tensors["image_guidance"][row] == 1
        torch.testing.assert_close(real[row], (tensors["edited"] if plain else made)[row])


def test_samples_are_the_teachers_in_five_steps(small: dict[str, Checkpoint], tmp_path: Path) -> None:
    options = OneStepTraining(pool=6, noise="teacher")
    stage = one_step_stage(small["guided"], options, tmp_path)
    batch = stage.batch(0)
    tensors, schedule = batch.tensors, small["guided"].schedule
    noisy, *fresh = tensors["teacher_noise"].unbind(dim=1)
    assert torch.equal(tensors["noise"], noisy)
    states, scales = stage.material.text_states(tensors["ids"]), (tensors["text_guidance"], tensors["image_guidance"])
    draws = iter(fresh)
    with torch.no_grad():
        for step in stage.samples.steps:
            times = torch.full((len(noisy),), step.timestep)
            output = stage.samples.teacher(torch.cat([noisy, tensors["images"]], dim=1), times, states, *scales)
            noisy = step.advance(noisy, schedule.x0_from_output(noisy, output, times), next(draws, None))
    assert stage.samples.steps[0].timestep == 999
    assert len(stage.samples.steps) == 5
    # The pool is made in bf16 and kept in fp16: about two significant digits.
    error = (tensors["real"] - noisy).square().mean() / noisy.square().mean()
    assert float(error) < 3e-3

    again = one_step_stage(small["guided"], options, tmp_path).batch(0)
    assert all(torch.equal(value, again.tensors[name]) for name, value in tensors.items())
    assert len(list(tmp_path.iterdir())) == 1
    one_step_stage(small["guided"], replace(options, teacher_steps=4), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_examples_do_not_depend_on_how_batches_are_cut(small: dict[str, Checkpoint]) -> None:
    class Single(DrawnExamples):
        shares = (1.0,)

    stages = []
    for count in (2, 4):
        examples = Single()
        examples.batches = (count,)
        data = Material(small["guided"], examples, ScaleTraining(), 0, {})
        samples = TeacherSamples(small["guided"].unet(), data, OneStepTraining())
        stages.append(one_step.OneStepStage(samples, small["guided"].unet(), OneStepTraining()))
    halves = [stages[0].batch(number).tensors for number in (6, 7)]
    whole = stages[1].batch(3).tensors
    for name, value in whole.items():
        assert torch.equal(torch.cat([one[name] for one in halves]), value), name
