"""A disk that fills up and a process that is killed while a run is saved: the last save is whole and goes on."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from full_disk import full_disk
from killed_runs import Slope

from mobie_coreml.errors import InputError, WorkError
from mobie_coreml.files import recover_folder
from mobie_coreml.models.autoencoder import TinyAutoencoder
from mobie_coreml.models.checkpoint import new_checkpoint
from mobie_coreml.models.presets import Preset
from mobie_coreml.training.config import CropSet, LoopConfig, PhotoConfig, TeacherTraining
from mobie_coreml.training.latents import load_pairs
from mobie_coreml.training.loop import train
from mobie_coreml.training.photos import Photos
from mobie_coreml.training.runs import open_checkpoint
from mobie_coreml.training.state import load_state

HELPER = Path(__file__).parents[1] / "helpers" / "killed_runs.py"


def test_a_killed_run_goes_on_from_its_last_save(tmp_path: Path) -> None:
    moments = ["state:tensors", "state:aside", "state:placed", "result:aside"]
    done = subprocess.run(
        [sys.executable, str(HELPER), str(tmp_path), *moments], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for moment in moments:
        assert found[moment] == {
            "ended": -signal.SIGKILL,
            "resumed": 0,
            "equal": True,
            "left": ["metrics.jsonl", "result", "run.json", "state"],
            "result": True,
        }, moment


def options(**changes: Any) -> LoopConfig:
    return LoopConfig(log_every=100, threads=1, precision="no", **changes)


def test_a_full_disk_is_one_error_and_leaves_the_last_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mobie_coreml.training.run_folder.draw_curve", lambda *_: None)
    folder = tmp_path / "run"
    train(Slope(), options(steps=2), folder, resume=False, force=False)
    before = load_state(folder / "state")
    with full_disk(1000), pytest.raises(WorkError, match=r"state cannot be written: .* --resume goes on from it"):
        train(Slope(), options(steps=4), folder, resume=True, force=False)
    after = load_state(folder / "state")
    assert after["step"] == before["step"] == 2
    assert torch.equal(after["network"]["weight"], before["network"]["weight"])
    assert sorted(path.name for path in folder.iterdir()) == ["metrics.jsonl", "result", "run.json", "state"]
    assert train(Slope(), options(steps=4), folder, resume=True, force=False).steps == 4


def test_a_cache_that_cannot_be_written_or_read_is_one_error(
    tmp_path: Path, photos: Photos, small_preset: Preset
) -> None:
    config = TeacherTraining(crop_sets=(CropSet((32, 32), crops=6, batch=2, share=1.0),), edits=1)
    encoder = TinyAutoencoder(small_preset.autoencoder).eval()

    def load() -> Any:
        return load_pairs(tmp_path, encoder, photos, PhotoConfig(), config, 0)

    with full_disk(1000), pytest.raises(WorkError, match="cannot be written"):
        load()
    assert list(tmp_path.iterdir()) == []
    load()
    (cache,) = tmp_path.iterdir()
    cache.write_bytes(cache.read_bytes()[:500])
    with pytest.raises(InputError, match=r"cannot be read: .* Delete it"):
        load()


def test_a_result_moved_aside_is_found(tmp_path: Path, small_preset: Preset) -> None:
    (tmp_path / "run" / ".result-old-abc").mkdir(parents=True)
    (tmp_path / "run" / "run.json").write_text("{}")
    with pytest.raises(InputError, match="not a mobie checkpoint"):
        open_checkpoint(tmp_path / "run")
    new_checkpoint(tmp_path / "run" / ".result-old-abc" / "was", small_preset, 0)
    assert open_checkpoint(tmp_path / "run").path.name == "was"


def test_a_folder_moved_aside_comes_back_and_leftovers_go(tmp_path: Path) -> None:
    (tmp_path / ".state-old-abc" / "was").mkdir(parents=True)
    (tmp_path / ".state-old-abc" / "was" / "kept").write_text("1")
    (tmp_path / ".state-xyz").mkdir()
    (tmp_path / ".result-xyz").mkdir()
    recover_folder(tmp_path / "state")
    assert (tmp_path / "state" / "kept").read_text() == "1"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".result-xyz", "state"]
    (tmp_path / ".state-old-abc" / "was").mkdir(parents=True)
    recover_folder(tmp_path / "state")
    assert (tmp_path / "state" / "kept").read_text() == "1"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".result-xyz", "state"]
