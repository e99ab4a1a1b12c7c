"""The loop on a problem small enough to follow: resuming, stopping, failing."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mobie_coreml.errors import InputError, WorkError
from mobie_coreml.training.config import LoopConfig
from mobie_coreml.training.interruption import RunStopped
from mobie_coreml.training.loop import Batch, learning_rate_factor, train
from mobie_coreml.training.metrics import MetricsLog
from mobie_coreml.training.processes import half_where_fast, usual_precision
from mobie_coreml.training.state import load_state


class LineStage:
    """A line through noisy points; `poison` makes the loss of that step infinite."""

    name = "line"
    channels_last = False

    def __init__(self, poison: int | None = None, scale: float = 1.0) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
        self.poison, self.scale = poison, scale

    def batch(self, step: int) -> Batch:
        values = torch.randn(8, 2, generator=torch.Generator().manual_seed(step))
        if step == self.poison:
            values[0, 0] = float("inf")
        return Batch({"values": values}, (f"photo{step}.jpg",))

    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        values = batch.tensors["values"]
        noise = 0.1 * torch.randn(len(values), 1, generator=generator)
        target = self.scale * values.sum(dim=1, keepdim=True) + noise
        return (self.network(values) - target).square().mean(), {"noise": float(noise.mean())}

    def validate(self, network: nn.Module) -> dict[str, float]:
        return {"at_one": float(network(torch.ones(1, 2)))}

    def export(self, network: nn.Module, folder: Path, info: dict[str, Any]) -> None:
        folder.mkdir(exist_ok=True)
        torch.save(network.state_dict(), folder / "weights.pt")
        (folder / "training.json").write_text(json.dumps(info))

    def describe(self) -> dict[str, Any]:
        return {"scale": self.scale}


def config(**changes: Any) -> LoopConfig:
    options: dict[str, Any] = {"steps": 12, "log_every": 1, "validate_every": 5, "warmup_steps": 3, "threads": 1}
    return LoopConfig(**{**options, **changes})


def interrupt_at(step: int) -> Any:
    def report(now: int, fraction: float, figures: dict[str, float]) -> None:
        if now == step:
            os.kill(os.getpid(), signal.SIGINT)

    return report


def assert_equal_states(first: dict[str, Any], second: dict[str, Any]) -> None:
    for part in ("network", "average"):
        assert first[part].keys() == second[part].keys()
        for name in first[part]:
            assert torch.equal(first[part][name], second[part][name]), (part, name)
    for key in first["optimizer"]["state"]:
        for name, value in first["optimizer"]["state"][key].items():
            assert torch.equal(value, second["optimizer"]["state"][key][name]), (key, name)
    assert first["smoothed"] == second["smoothed"]
    assert (first["step"], first["updates"]) == (second["step"], second["updates"])


@pytest.mark.parametrize("precision", ["bf16", "no"])
def test_stopped_and_resumed_equals_uninterrupted(tmp_path: Path, precision: str) -> None:
    options = config(precision=precision)
    train(LineStage(), options, tmp_path / "whole", resume=False, force=False)
    with pytest.raises(RunStopped, match=r"after step 7; .*parts is saved"):
        train(LineStage(), options, tmp_path / "parts", resume=False, force=False, report=interrupt_at(7))
    assert load_state(tmp_path / "parts" / "state")["step"] == 7
    result = train(LineStage(), options, tmp_path / "parts", resume=True, force=False)
    assert result.finished
    assert result.steps == 12
    assert_equal_states(load_state(tmp_path / "whole" / "state"), load_state(tmp_path / "parts" / "state"))
    records = [MetricsLog(tmp_path / name / "metrics.jsonl").read() for name in ("whole", "parts")]
    losses = [[record["loss"] for record in items if "loss" in record] for items in records]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 12


def test_signal_handlers_come_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    train(LineStage(), config(steps=2), tmp_path / "run", resume=False, force=False)
    assert signal.getsignal(signal.SIGINT) is before


def test_loss_that_is_no_number_names_the_batch(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match=r"step 4 is .*made of photo4\.jpg"):
        train(LineStage(poison=4), config(precision="no"), tmp_path / "run", resume=False, force=False)


def test_a_run_that_exists_is_refused_and_replaced_with_force(tmp_path: Path) -> None:
    train(LineStage(), config(steps=2), tmp_path / "run", resume=False, force=False)
    with pytest.raises(InputError, match="exists already"):
        train(LineStage(), config(steps=3), tmp_path / "run", resume=False, force=False)
    train(LineStage(), config(steps=3), tmp_path / "run", resume=False, force=True)
    steps = [record["step"] for record in MetricsLog(tmp_path / "run" / "metrics.jsonl").read() if "loss" in record]
    assert steps == [1, 2, 3]
    with pytest.raises(WorkError):
        train(LineStage(poison=0), config(precision="no"), tmp_path / "run", resume=False, force=True)
    with pytest.raises(InputError, match="no state to resume"):
        train(LineStage(), config(precision="no"), tmp_path / "run", resume=True, force=False)


def test_a_folder_that_is_no_run_is_refused_even_with_force(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter.txt").write_text("mine")
    with pytest.raises(InputError, match="not replaced"):
        train(LineStage(), config(steps=2), tmp_path / "letters", resume=False, force=True)
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["letter.txt"]


def test_resuming_with_other_options_is_refused(tmp_path: Path) -> None:
    train(LineStage(), config(steps=2), tmp_path / "run", resume=False, force=False)
    with pytest.raises(InputError, match="made with another scale"):
        train(LineStage(scale=2.0), config(), tmp_path / "run", resume=True, force=False)
    with pytest.raises(InputError, match="made with another seed"):
        train(LineStage(), config(seed=1), tmp_path / "run", resume=True, force=False)


def test_minutes_end_a_run(tmp_path: Path) -> None:
    result = train(LineStage(), config(steps=None, minutes=0.005), tmp_path / "run", resume=False, force=False)
    assert result.finished
    assert 0.3 <= result.seconds < 20


def test_training_descends(tmp_path: Path) -> None:
    train(LineStage(), config(steps=300, learning_rate=3e-2), tmp_path / "run", resume=False, force=False)
    losses = [item["loss"] for item in MetricsLog(tmp_path / "run" / "metrics.jsonl").read() if "loss" in item]
    assert losses[-1] < 0.3 * losses[0]


def test_learning_rate_rises_then_falls_to_a_hundredth() -> None:
    assert learning_rate_factor(0, 0.0, 10) == pytest.approx(0.1)
    assert learning_rate_factor(9, 0.0, 10) == pytest.approx(1.0)
    assert learning_rate_factor(50, 0.5, 10) == pytest.approx(0.505)
    assert learning_rate_factor(99, 1.0, 10) == pytest.approx(0.01)


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": None},
        {"steps": 0},
        {"minutes": 0.0},
        {"minutes": float("nan")},
        {"learning_rate": float("inf")},
        {"learning_rate": -1.0},
    ],
)
def test_options_that_make_no_sense_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        config(**changes)


@pytest.mark.parametrize(
    ("found", "precision", "dtype"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16", torch.bfloat16),
        ({"amx_bf16": True}, "bf16", torch.bfloat16),
        ({"avx512_f": True, "avx512_bf16": False}, "no", torch.float32),
        (None, "no", torch.float32),
    ],
)
def test_bf16_is_used_where_the_processor_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, bool] | None, precision: str, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if found is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    assert usual_precision() == precision
    weight = torch.ones(2, 2)
    with half_where_fast(torch.device("cpu")):
        assert (weight @ weight).dtype == dtype
