"""The training loop of every stage, to be read from top to bottom.

A stage says what a batch is, what the loss is and what a finished network is saved as (`Stage`); everything else is
here and in what is used here: optimiser, learning rate, average of the weights, metrics, saving, resuming, stopping.

A batch and all randomness of a step depend on the seed and the batch's number alone, so the exact state of a run is its
weights, their average, the optimiser's moments and the step.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from mobie_coreml.errors import InputError, WorkError
from mobie_coreml.training.config import LoopConfig
from mobie_coreml.training.descent import Descent, Slope
from mobie_coreml.training.ema import ShardedAverage, WeightAverage
from mobie_coreml.training.interruption import Interruption, RunStopped
from mobie_coreml.training.processes import Processes
from mobie_coreml.training.run_folder import Run
from mobie_coreml.training.sharding import shard


@dataclass(frozen=True)
class Batch:
    """Tensors of one batch, what they were made from (named when the loss is not finite), and the step it belongs to.

    A stage with a critic leaves there what its loss has computed and the critic needs.
    """

    tensors: dict[str, torch.Tensor]
    sources: tuple[str, ...]
    step: int = 0


@dataclass(frozen=True)
class Critic:
    """A second network, trained beside a stage's own.

    Attributes:
        network: What is trained; parameters that need no gradient stay as they are.
        loss: The loss to descend and figures to log, of a batch that the stage's own loss has seen and of the number of
            the update within the step.
        updates: Updates a step.
        first_step: The step it starts at.
        learning_rate: Peak learning rate; it follows the stage's own schedule.
        betas: Of AdamW.
    """

    network: nn.Module
    loss: Callable[[Batch, int], tuple[torch.Tensor, dict[str, float]]]
    updates: int
    first_step: int
    learning_rate: float
    betas: tuple[float, float]


class Stage(Protocol):
    """One objective. A stage that trains a critic too has an attribute `critic`; one whose loss reaches the network by
    its forward alone, so that it can be split over processes, has an attribute `splits` that is true."""

    name: str
    channels_last: bool
    """Which memory layout the network trains faster in on a CPU."""

    @property
    def network(self) -> nn.Module:
        """What is trained."""
        ...

    def batch(self, step: int) -> Batch:
        """The batch of a number: a function of the stage's seed and `step` alone (called from another thread)."""
        ...

    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss to descend, and other figures to log."""
        ...

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Figures of the averaged network on what is not trained on."""
        ...

    def export(self, network: nn.Module, folder: Path, info: dict[str, Any]) -> None:
        """Writes the averaged network where people will load it from, replacing what was there."""
        ...

    def describe(self) -> dict[str, Any]:
        """What identifies this stage's data and options: a resumed run must match it."""
        ...


@dataclass(frozen=True)
class RunResult:
    """How a run ended."""

    folder: Path
    steps: int
    seconds: float
    finished: bool
    figures: dict[str, float]


Report = Callable[[int, float, dict[str, float]], None]
"""Called after every step with (step, fraction done, smoothed figures)."""


def train(
    stage: Stage,
    config: LoopConfig,
    folder: Path,
    *,
    resume: bool,
    force: bool,
    report: Report | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> RunResult:
    """Trains `stage` into the run folder `folder`.

    The folder holds `run.json` (what was asked for), `metrics.jsonl`, `curve.png`, `state/` (to resume from) and
    `result/` (the averaged network, as `stage.export` writes it), rewritten every `config.save_minutes`, when the run
    ends and when it is interrupted (SIGINT or SIGTERM; a second signal stops at once). The result says `provenance` of
    itself beside the run's own figures.

    Raises:
        InputError: the folder exists (without `resume` or `force`), is another run's, or holds something else.
        WorkError: the loss stopped being a number.
        RunStopped: it was interrupted, and is saved.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    processes = Processes(config.precision)
    layout = torch.channels_last if stage.channels_last else torch.contiguous_format
    network = stage.network.to(processes.device, memory_format=layout).train()  # type: ignore[call-overload]
    average = averaged(stage, network, config, processes)
    descend = partial(Descent, processes=processes, weight_decay=config.weight_decay, clip=config.gradient_clip)
    descent = descend(network, learning_rate=config.learning_rate, betas=config.betas, is_split=processes.splits)
    critic: Critic | None = getattr(stage, "critic", None)
    critic_descent = None
    if critic is not None:
        critic_network = critic.network.to(processes.device).train()
        critic_descent = descend(critic_network, learning_rate=critic.learning_rate, betas=critic.betas)
    run = Run(
        stage,
        config,
        folder,
        descent,
        average,
        critic_descent,
        processes=processes.count,
        is_main=processes.is_main,
        provenance=provenance,
    )
    run.open(resume=resume, force=force)

    started = time.monotonic() - run.seconds
    saved = run.seconds
    stopped = False
    with Interruption() as interruption, _prefetch(stage, _numbers(run, processes)) as numbered:
        while not run.is_over:
            drawn = [next(numbered) for _ in range(config.accumulate)]
            batches = [_to(batch, processes.device, run.step) for _, batch in drawn]
            generators = [torch.Generator().manual_seed(config.seed * 1_000_003 + number) for number, _ in drawn]
            losses = [partial(stage.loss, *pair) for pair in zip(batches, generators, strict=True)]
            slope = descent.differentiate(losses)
            _require_finite(slope, run.step, batches)
            factor = learning_rate_factor(run.step, run.progress, config.warmup_steps)
            descent.apply(factor)
            average.update(network)
            figures = {"loss": slope.loss, "gradient_norm": slope.norm, **slope.figures}
            if critic is not None and critic_descent is not None and run.step >= critic.first_step:
                for update in range(critic.updates):
                    slope = critic_descent.differentiate([partial(critic.loss, batch, update) for batch in batches])
                    _require_finite(slope, run.step, batches)
                    critic_descent.apply(factor)
                figures |= {"critic_loss": slope.loss, "critic_gradient_norm": slope.norm, **slope.figures}
            run.step += 1
            # Clocks and signals differ between processes, and all must stop after the same step.
            run.seconds = processes.mean({"seconds": time.monotonic() - started})["seconds"]

            run.smooth(figures)
            if run.step % config.log_every == 0:
                run.log({**run.smoothed, "learning_rate": factor * config.learning_rate})
            if run.step % config.validate_every == 0:
                run.validate()
            if report is not None:
                report(run.step, run.progress, run.smoothed)
            stopped = processes.mean({"asked": float(interruption.asked)})["asked"] > 0
            if stopped:
                break
            if run.seconds - saved > 60 * config.save_minutes:
                run.save()
                saved = run.seconds
    figures = run.validate()
    run.save()
    if stopped:
        raise RunStopped(f"Stopped after step {run.step}; {folder} is saved, and --resume goes on from there.")
    return RunResult(folder, run.step, run.seconds, run.is_over, figures)


def averaged(stage: Stage, network: nn.Module, config: LoopConfig, processes: Processes) -> WeightAverage:
    """The average of the network, which is split here where processes split it.

    Raises:
        InputError: the stage's network cannot be split.
    """
    if not processes.splits:
        return WeightAverage(network, config.ema_decay)
    if not getattr(stage, "splits", False):
        raise InputError(
            f"The network of the stage {stage.name} cannot be split over processes.",
            "Launch with `accelerate launch --multi_gpu`.",
        )
    average = ShardedAverage(network, config.ema_decay)
    shard(network, processes.device, processes.count)
    average.follow(network)
    return average


def learning_rate_factor(step: int, progress: float, warmup_steps: int) -> float:
    """Linear warm-up over `warmup_steps`, times half a cosine from 1 to 0.01 over the run (`progress` 0 to 1)."""
    warmup = min(1.0, (step + 1) / max(warmup_steps, 1))
    return warmup * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def _require_finite(slope: Slope, step: int, batches: list[Batch]) -> None:
    if not slope.is_finite:
        sources = ", ".join(name for batch in batches for name in batch.sources)
        raise WorkError(
            f"The loss of step {step} is {slope.loss} with a gradient of norm {slope.norm}; "
            f"its batch was made of {sources}.",
            "Look at these photographs or lower the learning rate; --resume continues from the last save.",
        )


def _to(batch: Batch, device: torch.device, step: int) -> Batch:
    return Batch({name: tensor.to(device) for name, tensor in batch.tensors.items()}, batch.sources, step)


def _numbers(run: Run, processes: Processes) -> Iterator[int]:
    """Numbers of this process's batches: those of a step follow each other, one after the other over the processes."""
    number = run.step * run.batches_a_step + processes.index
    while True:
        yield number
        number += processes.count


@contextlib.contextmanager
def _prefetch(stage: Stage, numbers: Iterator[int]) -> Iterator[Iterator[tuple[int, Batch]]]:
    """Numbers and their batches, each made in another thread while the one before it is used."""
    with ThreadPoolExecutor(max_workers=1) as pool:

        def batches() -> Iterator[tuple[int, Batch]]:
            number = next(numbers)
            ahead = pool.submit(stage.batch, number)
            while True:
                ready, made = ahead, number
                number = next(numbers)
                ahead = pool.submit(stage.batch, number)
                yield made, ready.result()

        yield batches()
