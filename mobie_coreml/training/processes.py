"""The processes that train together: one, or as many as `accelerate launch` started.

Each process takes batches of its own; gradients are averaged over processes once a step, so that n processes descend
the same loss as one whose step has n times the batches. Each holds the whole network, or a part of it where they were
launched with FSDP (see `sharding.py`). Averaging is done here and not by DistributedDataParallel because stages call
parts of their networks, and an adversarial stage trains two at once.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

from mobie_coreml.errors import InputError
from mobie_coreml.training.config import Precision

BUCKET = 16 * 1024 * 1024
"""Numbers averaged in one message: few enough to hold twice, many enough that latency does not matter."""


def is_main() -> bool:
    """Whether this process is the one that writes and reports."""
    return int(os.environ.get("RANK", "0")) == 0


@contextlib.contextmanager
def main_first() -> Iterator[None]:
    """The main process runs the block before the others do, which then find what it left on the disk."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    processes = Processes("no")
    if not processes.is_main:
        processes.wait()
    yield
    if processes.is_main:
        processes.wait()


def bf16_is_fast(device: torch.device) -> bool:
    """Whether bf16 is worth its rounding on a device: on GPUs, and on processors with instructions for it. Others
    emulate it, many times slower than fp32."""
    if device.type != "cpu":
        return True
    # Older versions of torch have nothing public that says so.
    found: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(bool(found.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def usual_precision() -> Precision:
    """bf16 where that is faster, on the device that trainings run on here."""
    return "bf16" if bf16_is_fast(torch.device("cuda" if torch.cuda.is_available() else "cpu")) else "no"


def half_where_fast(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """bf16 autocast where that is faster; for what is computed without gradients."""
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16_is_fast(device))


class Processes:
    """This process among those that train together.

    Attributes:
        device: Where this process computes.
        count: How many there are.
        index: Which one this is.
        splits: Whether the trained network is to be split among them.

    Raises:
        InputError: they were launched with DeepSpeed.
    """

    def __init__(self, precision: Precision) -> None:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
        from accelerate.utils import DistributedType

        AcceleratorState._reset_state(reset_partial_state=True)
        self.accelerator = Accelerator(mixed_precision=precision, cpu=not torch.cuda.is_available())
        if self.accelerator.distributed_type == DistributedType.DEEPSPEED:
            raise InputError(
                "DeepSpeed is not supported.",
                "Launch with `accelerate launch --multi_gpu`, or with `--use_fsdp` to split the network.",
            )
        self.device: torch.device = self.accelerator.device
        self.count: int = self.accelerator.num_processes
        self.index: int = self.accelerator.process_index
        # Accelerate itself knows FSDP on accelerators alone; torch's works on a CPU too.
        self.splits = self.count > 1 and os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("true", "1")
        if self.count > 1:
            atexit.register(_leave)

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return self.index == 0

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The arithmetic of losses."""
        context: contextlib.AbstractContextManager[Any] = self.accelerator.autocast()
        return context

    def backward(self, loss: torch.Tensor) -> None:
        """Adds the gradients of `loss`."""
        self.accelerator.backward(loss)

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replaces gradients by their means over all processes."""
        if self.count == 1:
            return
        bucket: list[torch.Tensor] = []
        size = 0
        for gradient in [item.grad for item in parameters if item.grad is not None]:
            bucket.append(gradient)
            size += gradient.numel()
            if size >= BUCKET:
                self._average(bucket)
                bucket, size = [], 0
        if bucket:
            self._average(bucket)

    def mean(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Means over all processes, the same numbers in each."""
        if self.count == 1:
            return dict(figures)
        names = sorted(figures)
        values = torch.tensor([figures[name] for name in names], dtype=torch.float64, device=self.device)
        reduced = self.accelerator.reduce(values, "mean")
        return dict(zip(names, reduced.tolist(), strict=True))

    def wait(self) -> None:
        """Returns when every process has called it."""
        self.accelerator.reduce(torch.zeros(1, device=self.device), "sum")

    def _average(self, gradients: list[torch.Tensor]) -> None:
        flat = self.accelerator.reduce(torch.cat([item.reshape(-1) for item in gradients]), "mean")
        for item, values in zip(gradients, flat.split([item.numel() for item in gradients]), strict=True):
            item.copy_(values.view_as(item))


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
