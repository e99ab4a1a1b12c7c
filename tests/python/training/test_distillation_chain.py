"""All stages as whole trainings of a narrowed mobile model: what comes out, what is refused, resuming."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from thin_preset import thin

from mobie_coreml.ane.components import build_component
from mobie_coreml.cli.main import main
from mobie_coreml.convert.component import convert_component
from mobie_coreml.editing.open_model import checkpoint_method
from mobie_coreml.errors import InputError
from mobie_coreml.files import sha256_file
from mobie_coreml.models.checkpoint import load_checkpoint, new_checkpoint
from mobie_coreml.models.presets import Preset
from mobie_coreml.training import run_folder
from mobie_coreml.training.config import LOOPS, AutoencoderTraining, LoopConfig, PhotoConfig
from mobie_coreml.training.distillation_runs import train_guidance, train_one_step, train_velocity
from mobie_coreml.training.loop import RunResult
from mobie_coreml.training.metrics import MetricsLog
from mobie_coreml.training.photos import Photos
from mobie_coreml.training.runs import Progress, train_autoencoder
from mobie_coreml.training.state import load_state
from mobie_coreml.training.teacher_runs import TeacherRequest, train_any_teacher


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
    stages: dict[str, RunResult], data: Path, mobile: Path, tmp_path: Path, small_preset: Preset
) -> None:
    guided, velocity = (stages[name].folder for name in ("guidance", "velocity"))
    out, other = tmp_path / "run", tmp_path / "other"
    new_checkpoint(other, small_preset, 1, guidance_embedding=True)
    cases = [
        (train_guidance, asking(data, out, guided), "has guidance inputs already"),
        (train_guidance, asking(data, out, mobile, start=str(mobile)), "has no guidance inputs"),
        (train_velocity, asking(data, out, velocity), "predicts velocity already"),
        (train_velocity, asking(data, out, guided, start=str(guided)), "does not predict velocity"),
        (train_one_step, asking(data, out, mobile), "has no guidance inputs"),
        (train_one_step, asking(data, out, stages["one-step"].folder), "is a one-step model"),
        (train_one_step, asking(data, out, guided), "a one-step student predicts velocity"),
        (train_one_step, asking(data, out, guided, start=str(other)), "does not fit the teacher"),
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
