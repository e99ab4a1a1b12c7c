"""`mobie train guidance`, `velocity` and `one-step` from the outside: options, refusals, what is recorded."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mobie_coreml.cli.main import main
from mobie_coreml.models.checkpoint import load_checkpoint, new_checkpoint
from mobie_coreml.models.presets import Preset
from mobie_coreml.training.photos import Photos


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photos: Photos, small_preset: Preset) -> Path:
    """Photographs, and a small teacher that predicts noise, called mobile."""
    target = tmp_path_factory.mktemp("command")
    (target / "photographs").mkdir()
    for photo in (*photos.training, *photos.held_out):
        photo.image.save(target / "photographs" / photo.name)
    preset = replace(small_preset, name="mobile", prediction_type="epsilon")
    new_checkpoint(target / "teacher", preset, 0)
    return target


def train(folder: Path, stage: str, out: Path, *options: str) -> int:
    arguments = ["train", stage, str(folder / "photographs"), str(out), "--teacher", str(folder / "teacher"), "--quiet"]
    return main([*arguments, "--threads", "1", "--batch", "2", "--crops", "6", *options])


def test_a_stage_trains_and_records_its_command(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mobie_coreml.training.run_folder.draw_curve", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["mobie", "train", "guidance", "/somewhere/photographs", str(tmp_path / "run")])
    assert train(folder, "guidance", tmp_path / "run", "--steps", "1", "--set", "scales.text=2:10", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["steps"] == 1
    checkpoint = load_checkpoint(printed["result"])
    assert checkpoint.info["provenance"]["command"] == "mobie train guidance photographs run"
    assert checkpoint.info["guidance"]["text"] == {"minimum": 2.0, "maximum": 10.0, "default": 2.0}
    assert train(folder, "guidance", tmp_path / "run", "--steps", "1") == 2
    assert "exists already" in capsys.readouterr().err


def test_options_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "one-step", "--options"]) == 0
    listed = capsys.readouterr().out
    for word in ("critic.r1", "teacher_steps", "heads-without-guidance", "mobile", "nano"):
        assert word in listed


@pytest.mark.parametrize(
    ("stage", "options", "message"),
    [
        ("guidance", ("--steps", "0"), "0 training steps make no sense"),
        ("guidance", ("--set", "critic.width=3"), "no option 'critic'"),
        ("guidance", ("--preset", "nano"), "of the preset mobile, not nano"),
        ("guidance", ("--from", "absent"), "There is no checkpoint at absent"),
        ("guidance", ("--resume",), "no run to resume"),
        ("guidance", ("--teacher", ""), "--teacher is empty"),
        ("teacher", ("--teacher", "", "--autoencoder", "nano"), "--teacher is empty"),
        ("velocity", ("--from", "nano"), "does not fit the teacher"),
        ("one-step", (), "has no guidance inputs"),
    ],
)
def test_wrong_use_is_one_message_and_writes_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], stage: str, options: tuple[str, ...], message: str
) -> None:
    assert train(folder, stage, tmp_path / "run", *options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()
