"""What a UNet's blocks give, and how far one network's are from another's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from mobie_coreml.errors import InputError
from mobie_coreml.models.config import UNetConfig
from mobie_coreml.models.unet import MobilePix2PixUNet
from mobie_coreml.training.stage_config import FeatureTraining

Features = dict[str, list[torch.Tensor]]
"""Outputs (B, C, h, w) of the blocks of each path, "down", "middle" and "up", from the first to the last."""


@contextlib.contextmanager
def block_features(unet: MobilePix2PixUNet) -> Iterator[Features]:
    """Yields a dictionary that a forward pass within the block fills; one pass a block."""
    features: Features = {"down": [], "middle": [], "up": []}
    with contextlib.ExitStack() as stack:
        for path, blocks in (("down", unet.down_blocks), ("middle", [unet.mid_block]), ("up", unet.up_blocks)):
            for block in blocks:
                stack.enter_context(_recorded(block, features[path]))
        yield features


@contextlib.contextmanager
def _recorded(block: nn.Module, outputs: list[torch.Tensor]) -> Iterator[None]:
    def record(module: nn.Module, inputs: Any, output: Any) -> None:
        del module, inputs
        # A block of the down path gives its skips too; its own result comes first.
        outputs.append(output[0] if isinstance(output, tuple) else output)

    handle = block.register_forward_hook(record)
    try:
        yield
    finally:
        handle.remove()


def feature_error(
    student: Features, teacher: Features, config: FeatureTraining
) -> tuple[torch.Tensor, dict[str, float]]:
    """The weighted distance of features, and that of each path unweighted.

    Args:
        student: With gradients.
        teacher: Of a network whose blocks have the same outputs' shapes.
        config: Weights.
    """
    total = torch.zeros(())
    figures = {}
    for path, weight in (("down", config.down), ("middle", config.middle), ("up", config.up)):
        errors = []
        for ours, theirs in zip(student[path], teacher[path], strict=True):
            error = (ours.float() - theirs.float()).square().mean()
            errors.append(error / theirs.float().square().mean().clamp_min(1e-8) if config.relative else error)
        mean = torch.stack(errors).mean()
        total = total.to(mean.device) + weight * mean
        figures[f"{path}_features"] = float(mean.detach())
    return total, figures


def check_same_blocks(student: UNetConfig, teacher: UNetConfig) -> None:
    """Refuses networks whose blocks differ in shape.

    Raises:
        InputError: the levels or their widths differ.
    """
    if student.block_out_channels != teacher.block_out_channels or student.out_channels != teacher.out_channels:
        raise InputError(
            "Features can only be learnt from a network with the same levels and widths.",
            "Leave --feature-distillation out.",
        )
