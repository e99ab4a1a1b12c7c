"""`mobie train` from the outside: what it refuses and what it leaves behind."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mobie_coreml.cli.main import main
from mobie_coreml.models.checkpoint import new_checkpoint
from mobie_coreml.models.presets import Preset
from mobie_coreml.training.config import LoopConfig, TeacherTraining
from mobie_coreml.training.loop import RunResult
from mobie_coreml.training.runs import autoencoder_folder
from mobie_coreml.training.state import load_state


@pytest.fixture
def folder(tmp_path: Path, photos: object) -> Path:
    from mobie_coreml.training.photos import Photos

    assert isinstance(photos, Photos)
    target = tmp_path / "photographs"
    target.mkdir()
    for photo in (*photos.training, *photos.held_out):
        photo.image.resize((160, 144)).save(target / photo.name)
    return target


def train_autoencoder(folder: Path, out: Path, *options: str) -> int:
    arguments = ["train", "autoencoder", str(folder), str(out), "--batch", "1", "--threads", "1", "--quiet"]
    return main([*arguments, *options])


def test_a_run_leaves_weights_and_figures_and_goes_on(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_autoencoder(folder, tmp_path / "run", "--steps", "2", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["steps"] == 2
    assert printed["result"] == str(tmp_path / "run" / "result")
    assert printed["held_out_psnr"] > 0
    assert autoencoder_folder(tmp_path / "run") == tmp_path / "run" / "result"
    for name in ("run.json", "metrics.jsonl", "curve.png"):
        assert (tmp_path / "run" / name).stat().st_size > 0

    assert train_autoencoder(folder, tmp_path / "run", "--steps", "3", "--resume") == 0
    assert load_state(tmp_path / "run" / "state")["step"] == 3
    assert "Trained 3 steps" in capsys.readouterr().out

    start = ("--from", str(tmp_path / "run"), "--decoder-only", "--steps", "1")
    assert train_autoencoder(folder, tmp_path / "decoder", *start) == 0
    assert train_autoencoder(folder, tmp_path / "run", "--steps", "3") == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["autoencoder"], ["teacher", "--autoencoder", "nothing"]])
def test_force_does_not_write_into_a_folder_that_is_no_run(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    before = sorted(folder.iterdir())
    name, *options = command
    assert main(["train", name, str(folder), str(folder), "--steps", "1", "--force", *options]) == 2
    assert "not replaced" in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--steps", "0"), "0 training steps make no sense"),
        (("--minutes", "nan"), "minutes of training make no sense"),
        (("--steps", "1", "--precision", "fp8"), "no precision 'fp8'"),
        (("--steps", "1", "--resume"), "no run to resume"),
        (("--steps", "1", "--decoder-only"), "needs a trained encoder"),
        (("--steps", "1", "--from", "absent"), "no autoencoder in absent"),
        (("--steps", "1", "--learning-rate", "-1"), "learning rate must be positive"),
    ],
)
def test_wrong_use_is_one_line_and_writes_nothing(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert train_autoencoder(folder, tmp_path / "run", *options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()


def test_photographs_that_are_missing_or_too_few_are_refused(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_autoencoder(tmp_path / "absent", tmp_path / "run", "--steps", "1") == 2
    assert "not a folder" in capsys.readouterr().err
    for path in sorted(folder.iterdir())[3:]:
        path.unlink()
    assert train_autoencoder(folder, tmp_path / "run", "--steps", "1") == 2
    assert "too few photographs" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_weights_of_another_shape_are_refused(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str], small_preset: Preset
) -> None:
    new_checkpoint(tmp_path / "other", small_preset, 0)
    assert train_autoencoder(folder, tmp_path / "run", "--steps", "1", "--from", str(tmp_path / "other")) == 2
    assert "has another shape than the one to train" in capsys.readouterr().err
    arguments = ["train", "teacher", str(folder), str(tmp_path / "run"), "--steps", "1", "--quiet"]
    assert main([*arguments, "--autoencoder", str(tmp_path / "other")]) == 2
    assert "has 4 latent channels, the denoiser 16" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_teacher_on_photographs_takes_the_options_of_the_other_stages(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {}

    def train_teacher(photos: Path, out: Path, autoencoder: Path, loop: LoopConfig, **given: Any) -> RunResult:
        asked.update(given, photos=photos, loop=loop)
        return RunResult(out, 1, 1.0, True, {})

    monkeypatch.setattr("mobie_coreml.training.teacher_runs.train_teacher", train_teacher)
    arguments = ["train", "teacher", str(folder), str(tmp_path / "run"), "--autoencoder", "run", "--steps", "7"]
    assert main([*arguments, "--batch", "10", "--crops", "100", "--set", "pure_noise=0.25", "--from", "before"]) == 0
    usual = TeacherTraining()
    assert asked["config"].pure_noise == 0.25
    assert asked["config"].crop_sets[0].batch == 10
    assert sum(item.crops for item in asked["config"].crop_sets) == 100
    assert replace(asked["config"], crop_sets=usual.crop_sets, pure_noise=usual.pure_noise) == usual
    assert (asked["photos"], asked["start"], asked["loop"].steps) == (folder, Path("before"), 7)
    assert main([*arguments, "--set", "crop_sets=1:2"]) == 2
    assert "no option 'crop_sets'" in capsys.readouterr().err


def test_a_teacher_without_an_autoencoder_is_refused(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "teacher", str(folder), str(tmp_path / "run"), "--steps", "1"]
    assert main([*arguments, "--autoencoder", str(tmp_path)]) == 2
    assert "no autoencoder in" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
