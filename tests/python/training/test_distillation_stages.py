"""The stages after the teacher as whole trainings of a narrowed model: what comes out, what is refused, resuming."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from thin_preset import thin

from mobie_coreml.ane.components import build_component
from mobie_coreml.cli.main import main
from mobie_coreml.convert.component import convert_component
from mobie_coreml.diffusion.guidance import combine_passes, guidance_passes
from mobie_coreml.editing.open_model import checkpoint_method
from mobie_coreml.errors import InputError
from mobie_coreml.files import sha256_file
from mobie_coreml.models.checkpoint import Checkpoint, load_checkpoint, new_checkpoint
from mobie_coreml.models.presets import Preset
from mobie_coreml.training import guidance, one_step, run_folder
from mobie_coreml.training.config import LOOPS, AutoencoderTraining, LoopConfig, PhotoConfig
from mobie_coreml.training.distillation import Material, noisy_latents
from mobie_coreml.training.distillation_runs import train_guidance, train_one_step, train_velocity
from mobie_coreml.training.examples import Example
from mobie_coreml.training.loop import RunResult
from mobie_coreml.training.metrics import MetricsLog
from mobie_coreml.training.photos import Photos
from mobie_coreml.training.runs import Progress, train_autoencoder
from mobie_coreml.training.stage_config import (
    CriticTraining,
    NoiseTraining,
    OneStepTraining,
    RegressionTraining,
    ScaleTraining,
)
from mobie_coreml.training.state import load_state
from mobie_coreml.training.teacher_runs import TeacherRequest, train_any_teacher
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
    unet = checkpoint.unet()
    return guidance.GuidanceStage(
        unet, guidance.with_guidance_inputs(unet), material(checkpoint, config.scales), config
    )


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


def test_a_student_at_scales_one_has_nothing_to_learn(small: dict[str, Checkpoint]) -> None:
    stage = guidance_stage(small["plain"], RegressionTraining(scales=ScaleTraining((1.0, 1.0), (1.0, 1.0))))
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


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, photos: Photos) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for photo in (*photos.training, *photos.held_out):
        photo.image.resize((160, 144)).save(folder / photo.name)
    return folder


def loop(steps: int, **changes: Any) -> Any:
    def chosen(usual: LoopConfig) -> LoopConfig:
        return replace(usual, steps=steps, minutes=None, log_every=1, threads=1, **changes)

    return chosen


def asking(data: Path, out: Path, teacher: Path, steps: int = 2, **changes: Any) -> TeacherRequest:
    usual = TeacherRequest(
        data=str(data),
        out=out,
        teacher=str(teacher),
        loop=loop(steps),
        settings=("batch=2",),
        crops=8,
        photo_config=PhotoConfig(held_out_every=20),
        command="mobie train",
    )
    return replace(usual, **changes)


@pytest.fixture(scope="module")
def first_stages(tmp_path_factory: pytest.TempPathFactory, data: Path) -> dict[str, RunResult]:
    """The autoencoder, and a narrowed mobile teacher with it, from an untrained base."""
    out = tmp_path_factory.mktemp("first")
    base = out / "base"
    new_checkpoint(base, thin("base"), 0)
    with pytest.MonkeyPatch.context() as patch:
        # Curves are drawn in the autoencoder's tests; here they would take as long as the training.
        patch.setattr(run_folder, "draw_curve", lambda *_: None)
        crops = AutoencoderTraining(batch=1, crop=32)
        short = loop(1)(LOOPS["autoencoder"])
        photo_config = PhotoConfig(held_out_every=20)
        results = {
            "autoencoder": train_autoencoder(
                data,
                out / "autoencoder",
                short,
                photo_config=photo_config,
                config=crops,
                preset=thin("mobile"),
                command="mobie train autoencoder",
            )
        }
        request = asking(data, out / "teacher", base, 1, distill=True, autoencoder=str(out / "autoencoder"))
        results["teacher"] = train_any_teacher(request)
    return results


@pytest.fixture(scope="module")
def mobile(first_stages: dict[str, RunResult]) -> Path:
    return first_stages["teacher"].folder / "result"


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory, data: Path, mobile: Path) -> dict[str, RunResult]:
    """Every stage after the teacher, of a narrowed mobile model, each from the one before."""
    out = tmp_path_factory.mktemp("stages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "draw_curve", lambda *_: None)
        results = {"guidance": train_guidance(asking(data, out / "guidance", mobile, 1))}
        results["velocity"] = train_velocity(asking(data, out / "velocity", out / "guidance", 1))
        settings = ("batch=2", "mse_steps=1", "ramp_steps=1", "critic.width=8")
        start = {"start": str(out / "velocity"), "settings": settings}
        results["one-step"] = train_one_step(asking(data, out / "one-step", out / "guidance", **start))
    return results


def test_every_stage_leaves_a_checkpoint_that_says_where_it_comes_from(
    stages: dict[str, RunResult], mobile: Path
) -> None:
    opened = {name: load_checkpoint(result.folder / "result") for name, result in stages.items()}
    digests = {"teacher": load_checkpoint(mobile).digest, **{name: one.digest for name, one in opened.items()}}
    parents = {"guidance": "teacher", "velocity": "guidance", "one-step": "guidance"}
    kinds = {"guidance": "epsilon", "velocity": "v_prediction", "one-step": "v_prediction"}
    for name, checkpoint in opened.items():
        provenance = checkpoint.info["provenance"]
        assert provenance["stage"] == name
        assert provenance["parent_sha256"] == digests[parents[name]]
        assert provenance["command"] == "mobie train"
        assert len(provenance["data_sha256"]) == 64
        assert checkpoint.schedule.prediction_type == kinds[name]
        assert checkpoint.info["guidance"] == {
            "embedded": True,
            "text": {"minimum": 2.0, "maximum": 14.0, "default": 7.5},
            "image": {"minimum": 1.0, "maximum": 3.0, "default": 1.5},
        }
        assert len(checkpoint_method(checkpoint).passes(7.5, 1.5)) == 1
        records = MetricsLog(stages[name].folder / "metrics.jsonl").read()
        assert len([one for one in records if "loss" in one]) == stages[name].steps
        assert stages[name].figures["held_out_psnr"] > 0
    assert opened["one-step"].info["provenance"]["started_from"] == digests["velocity"]
    assert opened["one-step"].info["sampling"] == {"method": "euler", "steps": 1}
    assert len(checkpoint_method(opened["one-step"]).steps) == 1
    assert any("critic_loss" in one for one in MetricsLog(stages["one-step"].folder / "metrics.jsonl").read())


def test_a_chain_of_stages_tells_its_lineage_and_converts(
    first_stages: dict[str, RunResult], stages: dict[str, RunResult], tmp_path: Path
) -> None:
    final = load_checkpoint(stages["one-step"].folder / "result")
    told = [one.get("stage") or one["kind"] for one in final.info["provenance"]["lineage"]]
    assert told == ["autoencoder", "random", "teacher", "guidance", "velocity"]
    teacher = load_checkpoint(first_stages["teacher"].folder / "result")
    assert teacher.info["provenance"]["autoencoder_sha256"] == sha256_file(
        first_stages["autoencoder"].folder / "result" / "diffusion_pytorch_model.safetensors"
    )
    assert final.part_digest("vae") == teacher.part_digest("vae")
    for name, result in {**first_stages, **stages}.items():
        card = (result.folder / "result" / "MODEL_CARD.md").read_text()
        assert f"| {name} | `" in card
        assert "held-out PSNR, dB" in card
        assert "12 photographs to train on, 2 held out" in card
    assert "text 2 to 14 (default 7.5)" in card
    assert card.index("| teacher |") < card.index("| guidance |") < card.index("| velocity |")
    convert_component(build_component("Denoiser", final, materialise=False), tmp_path / "Denoiser.mlpackage")
    assert (tmp_path / "Denoiser.mlpackage" / "Manifest.json").is_file()


@pytest.mark.slow
def test_teacher_and_one_step_model_convert_whole(mobile: Path, stages: dict[str, RunResult], tmp_path: Path) -> None:
    for name, checkpoint in (("teacher", mobile), ("one-step", stages["one-step"].folder / "result")):
        assert main(["convert", str(checkpoint), str(tmp_path / name), "--quiet"]) == 0
        assert main(["verify", str(tmp_path / name)]) == 0


def test_parents_of_the_wrong_stage_are_refused(
    stages: dict[str, RunResult], data: Path, mobile: Path, tmp_path: Path, small: dict[str, Checkpoint]
) -> None:
    guided, velocity = (stages[name].folder for name in ("guidance", "velocity"))
    out = tmp_path / "run"
    cases = [
        (train_guidance, asking(data, out, guided), "has guidance inputs already"),
        (train_guidance, asking(data, out, mobile, start=str(mobile)), "has no guidance inputs"),
        (train_velocity, asking(data, out, velocity), "predicts velocity already"),
        (train_velocity, asking(data, out, guided, start=str(guided)), "does not predict velocity"),
        (train_one_step, asking(data, out, mobile), "has no guidance inputs"),
        (train_one_step, asking(data, out, stages["one-step"].folder), "is a one-step model"),
        (train_one_step, asking(data, out, guided), "a one-step student predicts velocity"),
        (train_one_step, asking(data, out, guided, start=str(small["guided"].path)), "does not fit the teacher"),
        (train_guidance, asking(data, out, mobile, preset="nano"), "of the preset mobile, not nano"),
        (train_guidance, asking(data, out, tmp_path), "not a mobie checkpoint"),
        (train_guidance, asking(tmp_path / "absent", out, mobile), "no data at"),
    ]
    for setting, message in (("teacher_sampler=x", "no sampler"), ("teacher_steps=99", "out of range")):
        cases.append((train_one_step, asking(data, out, guided, start=str(velocity), settings=(setting,)), message))
    for train, wrong, message in cases:
        with pytest.raises(InputError, match=message):
            train(wrong)
    assert not out.exists()


@pytest.mark.slow
def test_a_resumed_adversarial_run_equals_an_uninterrupted_one(
    stages: dict[str, RunResult], data: Path, tmp_path: Path
) -> None:
    guided, velocity = (stages[name].folder for name in ("guidance", "velocity"))

    settings = ("batch=2", "mse_steps=1", "ramp_steps=1", "critic.width=8", "pool=5")

    def run(out: Path, **changes: Any) -> dict[str, Any]:
        train_one_step(asking(data, out, guided, 4, start=str(velocity), settings=settings, **changes))
        return load_state(out / "state")

    def stop(step: int, fraction: float, figures: dict[str, float]) -> None:
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", progress=Progress(step=stop))
    assert load_state(tmp_path / "parts" / "state")["step"] == 2
    parts = run(tmp_path / "parts", resume=True)
    assert parts["step"] == 4
    for part in ("network", "average"):
        assert all(torch.equal(value, parts[part][name]) for name, value in whole[part].items())
    heads = whole["critic"]["network"]
    assert all(torch.equal(value, parts["critic"]["network"][name]) for name, value in heads.items())


@pytest.mark.slow
def test_two_processes_descend_the_loss_of_one_with_twice_the_batch(
    stages: dict[str, RunResult], data: Path, tmp_path: Path
) -> None:
    guided, velocity = (stages[name].folder for name in ("guidance", "velocity"))
    command = ["train", "one-step", str(data), "--teacher", str(guided), "--from", str(velocity), "--steps", "3"]
    # A rate at which the losses of the second and third step tell whether the step before them was the same.
    command += ["--learning-rate", "1e-2", "--crops", "8", "--threads", "1", "--precision", "no", "--quiet"]
    command += ["--set", "mse_steps=1", "--set", "ramp_steps=1", "--set", "critic.width=8"]

    def run(launch: list[str], out: Path, *options: str) -> dict[str, Any]:
        words = [sys.executable, *launch, "-m", "mobie_coreml", *command[:3], str(out), *command[3:], *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=900, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.count("Trained ") == 1
        return load_state(out / "state")

    def launch(*how: str) -> list[str]:
        words = ["-m", "accelerate.commands.launch", *how, "--num_processes", "2", "--num_machines", "1"]
        return [*words, "--mixed_precision", "no", "--dynamo_backend", "no"]

    split = launch("--use_fsdp", "--fsdp_version", "2")
    one = run([], tmp_path / "one", "--batch", "4")
    assert {"loss", "squared_error", "critic_loss", "gradient_norm"} <= one["smoothed"].keys()
    for other in (
        run(launch("--multi_gpu"), tmp_path / "two", "--batch", "2"),
        run(split, tmp_path / "split", "--batch", "2"),
        run([], tmp_path / "accumulated", "--batch", "2", "--accumulate", "2"),
    ):
        assert other["smoothed"] == pytest.approx(one["smoothed"], rel=2e-3)
        assert all(other["network"][name].shape == value.shape for name, value in one["network"].items())
    # A run whose network was split goes on split, and whole.
    further = [run(split, tmp_path / "split", "--batch", "2", "--resume", "--steps", "4")]
    shutil.copytree(tmp_path / "two", tmp_path / "split-before")
    further.append(run([], tmp_path / "split-before", "--batch", "2", "--accumulate", "2", "--resume", "--steps", "4"))
    assert further[0]["step"] == further[1]["step"] == 4
    assert further[0]["smoothed"] == pytest.approx(further[1]["smoothed"], rel=2e-3)
