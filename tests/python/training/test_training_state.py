"""State, metrics and the average of weights."""

from pathlib import Path

import pytest
import torch
from torch import nn

from mobie_coreml.errors import InputError
from mobie_coreml.training.ema import WeightAverage
from mobie_coreml.training.metrics import MetricsLog, draw_curve
from mobie_coreml.training.state import TENSORS, VALUES, load_state, save_state


def test_nested_state_comes_back_equal(tmp_path: Path) -> None:
    network = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = {"step": 7, "none": None, "optimizer": optimizer.state_dict(), "list": [1, torch.arange(3), {"a": 0.5}]}
    save_state(tmp_path / "state", state)
    loaded = load_state(tmp_path / "state")
    assert loaded["step"] == 7
    assert loaded["none"] is None
    assert loaded["list"][0] == 1
    assert torch.equal(loaded["list"][1], torch.arange(3))
    assert loaded["list"][2] == {"a": 0.5}
    fresh = torch.optim.AdamW(network.parameters())
    fresh.load_state_dict(loaded["optimizer"])
    for key, value in optimizer.state_dict()["state"].items():
        for name, tensor in value.items():
            assert torch.equal(fresh.state_dict()["state"][key][name], tensor)


def test_saving_replaces_what_was_there(tmp_path: Path) -> None:
    save_state(tmp_path / "state", {"step": 1})
    save_state(tmp_path / "state", {"step": 2})
    assert load_state(tmp_path / "state") == {"step": 2}
    assert sorted(item.name for item in tmp_path.iterdir()) == ["state"]


@pytest.mark.parametrize("broken", [TENSORS, VALUES])
def test_broken_state_is_one_error(tmp_path: Path, broken: str) -> None:
    save_state(tmp_path / "state", {"weights": torch.ones(4)})
    (tmp_path / "state" / broken).write_bytes(b"{")
    with pytest.raises(InputError, match="cannot be read"):
        load_state(tmp_path / "state")


def test_absent_state_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no state to resume from"):
        load_state(tmp_path / "state")


def test_average_is_the_weighted_sum_of_the_weights() -> None:
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(0.0)
    average = WeightAverage(network, 0.25)
    expected = 0.0
    for update in range(1, 6):
        network.weight.data.fill_(float(update))
        average.update(network)
        decay = min(0.25, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * update
    assert float(average.network.weight) == pytest.approx(expected, rel=1e-6)


def test_average_takes_over_counters() -> None:
    network = nn.BatchNorm2d(2)
    average = WeightAverage(network, 0.9)
    network(torch.randn(4, 2, 3, 3))
    average.update(network)
    assert int(average.network.num_batches_tracked) == 1


def test_metrics_survive_a_torn_line_and_can_be_cut_back(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for step in (1, 2, 3):
        log.append({"step": step, "loss": 1 / step})
    with log.path.open("a") as file:
        file.write('{"step": 4, "lo')
    assert [record["step"] for record in log.read()] == [1, 2, 3]
    log.truncate(2)
    assert [record["step"] for record in log.read()] == [1, 2]


def test_curve_is_a_picture_and_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    draw_curve([], tmp_path / "none.png", "title")
    assert not (tmp_path / "none.png").exists()
    draw_curve([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, "psnr": 20.0}], tmp_path / "curve.png", "title")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
