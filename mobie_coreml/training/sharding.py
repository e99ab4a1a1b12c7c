"""A network split over the processes of a training: each keeps a part of every weight, of its gradient and of its
optimiser's moments, and whole weights exist for a block at a time while it computes (torch's FSDP2, `fully_shard`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from mobie_coreml.models.blocks import ResnetBlock2D, Transformer2DModel
from mobie_coreml.models.text_encoder import CLIPEncoderLayer

UNITS = (ResnetBlock2D, Transformer2DModel, CLIPEncoderLayer)
"""What is put together at a time. Whole levels of a UNet cannot be: they take skips off a list that they are given, and
FSDP hands each unit a copy of its arguments."""


def shard(network: nn.Module, device: torch.device, processes: int) -> None:
    """Splits `network`, in place, over all processes; its forward must be what a loss reaches it by.

    Args:
        network: The same in every process, on `device`.
        device: Where this process computes.
        processes: How many there are.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (processes,))
    for block in [module for module in network.modules() if isinstance(module, UNITS)]:
        fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh)


def local(value: torch.Tensor) -> torch.Tensor:
    """What this process holds of a tensor."""
    part: torch.Tensor = value.to_local() if isinstance(value, DTensor) else value
    return part


def whole(value: Any, *, keep: bool) -> Any:
    """Nested dictionaries and lists with split tensors put together, on the CPU; every process must call it.

    Args:
        value: Tensors, plain values, dictionaries and lists of them.
        keep: Whether this process wants the result; others get None for split tensors.
    """
    if isinstance(value, DTensor):
        gathered = value.full_tensor()
        return gathered.cpu() if keep else None
    if isinstance(value, Mapping):
        return {key: whole(item, keep=keep) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [whole(item, keep=keep) for item in value]
    return value


def split_like(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A whole tensor, the same in every process, split as `like` is."""
    if not isinstance(like, DTensor):
        return value
    on_device = value.to(device=like.device, dtype=like.dtype)
    return distribute_tensor(on_device, like.device_mesh, like.placements, src_data_rank=None)


def load_whole(network: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Gives a network, split or not, weights that are whole."""
    own = network.state_dict()
    network.load_state_dict(
        {name: split_like(value, own[name]) if name in own else value for name, value in weights.items()}
    )
