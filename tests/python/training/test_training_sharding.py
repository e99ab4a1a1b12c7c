"""A network that is split over processes, here over one: it computes, averages, saves and loads as a whole one does."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
import torch.distributed as distributed
from torch import nn
from torch.distributed.tensor import DTensor

from mobie_coreml.errors import InputError
from mobie_coreml.models.presets import Preset
from mobie_coreml.models.unet import MobilePix2PixUNet
from mobie_coreml.training.config import LoopConfig
from mobie_coreml.training.descent import Descent
from mobie_coreml.training.ema import ShardedAverage, WeightAverage
from mobie_coreml.training.loop import Stage, averaged
from mobie_coreml.training.processes import Processes
from mobie_coreml.training.sharding import load_whole, shard, split_like, whole


@pytest.fixture
def one_process() -> Iterator[None]:
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def descended(network: nn.Module, *, is_split: bool) -> Descent:
    """`network` after a step on fixed inputs."""
    descent = Descent(
        network,
        Processes("no"),
        learning_rate=1e-2,
        betas=(0.9, 0.99),
        weight_decay=1e-2,
        clip=1.0,
        is_split=is_split,
    )
    random = torch.Generator().manual_seed(1)
    inputs = (torch.randn(2, 8, 6, 8, generator=random), torch.tensor([3, 900]))
    states = torch.randn(2, 77, 16, generator=random)

    def loss() -> tuple[torch.Tensor, dict[str, float]]:
        return network(*inputs, states).square().mean(), {}

    descent.differentiate([loss])
    descent.apply(1.0)
    return descent


def test_a_split_network_is_trained_averaged_saved_and_loaded_as_a_whole_one(
    one_process: None, small_preset: Preset
) -> None:
    torch.manual_seed(0)
    plain = MobilePix2PixUNet(small_preset.unet)
    split = MobilePix2PixUNet(small_preset.unet)
    split.load_state_dict(plain.state_dict())
    average, followed = WeightAverage(plain, 0.5), ShardedAverage(split, 0.5)
    shard(split, torch.device("cpu"), 1)
    followed.follow(split)
    assert all(isinstance(value, DTensor) for value in split.parameters())

    expected, found = descended(plain, is_split=False), descended(split, is_split=True)
    average.update(plain)
    followed.update(split)
    followed.gather()
    # Adam's first step has the same size for a gradient that is next to nothing, whose rounding then shows.
    for name, value in average.network.state_dict().items():
        torch.testing.assert_close(followed.network.state_dict()[name], value, rtol=1e-3, atol=2e-4)

    saved = whole({"network": split.state_dict(), "optimizer": found.optimizer.state_dict()}, keep=True)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(saved["network"][name], value, rtol=1e-3, atol=2e-4)
    moments = expected.optimizer.state_dict()["state"]
    for key, moment in moments.items():
        torch.testing.assert_close(saved["optimizer"]["state"][key]["exp_avg"], moment["exp_avg"])
    assert whole(next(split.parameters()), keep=False) is None

    with torch.no_grad():
        for parameter in split.parameters():
            parameter.zero_()
    load_whole(split, saved["network"])
    found.load(saved["optimizer"])
    followed.load(average.network.state_dict())
    again = whole({"network": split.state_dict(), "optimizer": found.optimizer.state_dict()}, keep=True)
    assert all(torch.equal(value, again["network"][name]) for name, value in saved["network"].items())
    assert all(
        torch.equal(moment["exp_avg_sq"], again["optimizer"]["state"][key]["exp_avg_sq"])
        for key, moment in saved["optimizer"]["state"].items()
    )
    first = next(iter(split.parameters()))
    assert torch.equal(whole(split_like(torch.ones(first.shape), first), keep=True), torch.ones(first.shape))


def test_a_stage_that_reaches_into_its_network_is_not_split() -> None:
    stage = cast(Stage, SimpleNamespace(name="autoencoder"))
    processes: Any = SimpleNamespace(splits=True)
    with pytest.raises(InputError, match=r"stage autoencoder cannot be split .* --multi_gpu"):
        averaged(stage, nn.Linear(1, 1), LoopConfig(steps=1), processes)
