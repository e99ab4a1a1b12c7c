"""The training loop of every stage, to be read from top to bottom.

A stage says what a batch is, what the loss is and what a finished network is saved as (`Stage`); everything else is
here: optimiser, learning rate, average of the weights, metrics, saving, resuming, stopping.

A batch and all randomness of a step depend on the seed and the step alone, so the exact state of a run is its weights,
their average, the optimiser's moments and the step.
"""

from __future__ import annotations

import contextlib
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from mobie_coreml.errors import InputError, WorkError
from mobie_coreml.files import check_output, write_json
from mobie_coreml.training.config import LoopConfig
from mobie_coreml.training.ema import WeightAverage
from mobie_coreml.training.metrics import MetricsLog, draw_curve
from mobie_coreml.training.state import load_state, save_state


@dataclass(frozen=True)
class Batch:
    """Tensors of one step, and what they were made from (named when the loss is not finite)."""

    tensors: dict[str, torch.Tensor]
    sources: tuple[str, ...]


class Stage(Protocol):
    """One objective."""

    name: str
    network: nn.Module
    channels_last: bool
    """Which memory layout the network trains faster in on a CPU."""

    def batch(self, step: int) -> Batch:
        """The batch of a step: a function of the stage's seed and `step` alone (called from another thread)."""
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
    stage: Stage, config: LoopConfig, folder: Path, *, resume: bool, force: bool, report: Report | None = None
) -> RunResult:
    """Trains `stage` into the run folder `folder`.

    The folder holds `run.json` (what was asked for), `metrics.jsonl`, `curve.png`, `state/` (to resume from) and
    `result/` (the averaged network, as `stage.export` writes it), rewritten every `config.save_minutes`, when the run
    ends and when it is interrupted (SIGINT or SIGTERM; a second signal stops at once).

    Raises:
        InputError: the folder exists (without `resume` or `force`), or is another run's.
        WorkError: the loss stopped being a number.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    if config.threads:
        torch.set_num_threads(config.threads)
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(mixed_precision=config.precision, cpu=not torch.cuda.is_available())
    layout = torch.channels_last if stage.channels_last else torch.contiguous_format
    network = stage.network.to(accelerator.device, memory_format=layout).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        _parameter_groups(network, config.weight_decay), lr=config.learning_rate, betas=config.betas, fused=True
    )
    average = WeightAverage(network, config.ema_decay)
    run = _Run(stage, config, folder, network, optimizer, average)
    run.open(resume=resume, force=force)

    smoothed = run.smoothed
    started = time.monotonic() - run.seconds
    saved = time.monotonic()
    with _Interruption() as interruption, _prefetch(stage, run.step) as batches:
        while not run.is_over:
            batch = next(batches)
            learning_rate = config.learning_rate * learning_rate_factor(run.step, run.progress, config.warmup_steps)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            generator = torch.Generator().manual_seed(config.seed * 1_000_003 + run.step)
            with accelerator.autocast():
                loss, figures = stage.loss(_to(batch, accelerator.device), generator)
            accelerator.backward(loss)
            value = float(loss.detach())
            norm = float(nn.utils.clip_grad_norm_(network.parameters(), config.gradient_clip))
            if not (math.isfinite(value) and math.isfinite(norm)):
                raise WorkError(
                    f"The loss of step {run.step} is {value} with a gradient of norm {norm}; "
                    f"its batch was made of {', '.join(batch.sources)}.",
                    "Look at these photographs or lower the learning rate; --resume continues from the last save.",
                )
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            average.update(network)
            run.step += 1
            run.seconds = time.monotonic() - started

            for name, figure in {"loss": value, "gradient_norm": norm, **figures}.items():
                smoothed[name] = figure if name not in smoothed else 0.98 * smoothed[name] + 0.02 * figure
            if run.step % config.log_every == 0:
                run.log({**smoothed, "learning_rate": learning_rate})
            if run.step % config.validate_every == 0:
                run.validate()
            if report is not None:
                report(run.step, run.progress, smoothed)
            if interruption.asked:
                break
            if time.monotonic() - saved > 60 * config.save_minutes:
                run.save()
                saved = time.monotonic()
    figures = run.validate()
    run.save()
    if interruption.asked:
        raise KeyboardInterrupt
    return RunResult(folder, run.step, run.seconds, run.is_over, figures)


class _Run:
    """The mutable part of a run and its folder."""

    def __init__(
        self,
        stage: Stage,
        config: LoopConfig,
        folder: Path,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        average: WeightAverage,
    ) -> None:
        self.stage, self.config, self.folder = stage, config, folder
        self.network, self.optimizer, self.average = network, optimizer, average
        self.metrics = MetricsLog(folder / "metrics.jsonl")
        self.step = 0
        self.seconds = 0.0
        self.smoothed: dict[str, float] = {}
        self._validated: tuple[int, dict[str, float]] | None = None

    @property
    def progress(self) -> float:
        """How much of the run is done, 0 to 1: by steps or by time, whichever is further."""
        by_steps = self.step / self.config.steps if self.config.steps else 0.0
        by_time = self.seconds / (60 * self.config.minutes) if self.config.minutes else 0.0
        return min(max(by_steps, by_time), 1.0)

    @property
    def is_over(self) -> bool:
        return self.progress >= 1.0

    def open(self, *, resume: bool, force: bool) -> None:
        """Starts the run's folder, or continues what is in it."""
        identity = self._identity()
        if resume:
            state = load_state(self.folder / "state")
            different = [name for name, value in identity.items() if state["identity"].get(name) != value]
            if different:
                raise InputError(
                    f"The run in {self.folder} was made with another {', '.join(different)}.",
                    "Resume with the photographs and options it was started with, or start a run of its own.",
                )
            self.network.load_state_dict(state["network"])
            self.average.network.load_state_dict(state["average"])
            self.average.updates = state["updates"]
            self.optimizer.load_state_dict(state["optimizer"])
            _match_layout(self.optimizer)
            self.step, self.seconds = state["step"], state["seconds"]
            self.smoothed.update(state["smoothed"])
            self.metrics.truncate(self.step)
        else:
            check_output(self.folder, force=force)
            self.folder.mkdir(parents=True, exist_ok=True)
            self.metrics.path.unlink(missing_ok=True)
        write_json(self.folder / "run.json", {**identity, "loop": asdict(self.config)})

    def _identity(self) -> dict[str, Any]:
        """What a run must be resumed with, as JSON gives it back."""
        identity = {"stage": self.stage.name, "seed": self.config.seed, **self.stage.describe()}
        normalized: dict[str, Any] = json.loads(json.dumps(identity))
        return normalized

    def log(self, figures: dict[str, float]) -> None:
        rounded = {name: float(f"{figure:.5g}") for name, figure in figures.items()}
        self.metrics.append({"step": self.step, "seconds": round(self.seconds, 1), **rounded})

    def validate(self) -> dict[str, float]:
        """The stage's figures at this step, made once."""
        if self._validated is None or self._validated[0] != self.step:
            self._validated = (self.step, self.stage.validate(self.average.network))
            self.log(self._validated[1])
        return self._validated[1]

    def save(self) -> None:
        """Writes everything needed to resume, then the result as it is now."""
        save_state(
            self.folder / "state",
            {
                "identity": self._identity(),
                "step": self.step,
                "seconds": self.seconds,
                "smoothed": self.smoothed,
                "network": self.network.state_dict(),
                "average": self.average.network.state_dict(),
                "updates": self.average.updates,
                "optimizer": self.optimizer.state_dict(),
            },
        )
        info = {
            "stage": self.stage.name,
            "steps": self.step,
            "minutes": round(self.seconds / 60, 2),
            "seed": self.config.seed,
        }
        self.stage.export(self.average.network, self.folder / "result", info)
        draw_curve(self.metrics.read(), self.folder / "curve.png", f"mobie train {self.stage.name}")


def learning_rate_factor(step: int, progress: float, warmup_steps: int) -> float:
    """Linear warm-up over `warmup_steps`, times half a cosine from 1 to 0.01 over the run (`progress` 0 to 1)."""
    warmup = min(1.0, (step + 1) / max(warmup_steps, 1))
    return warmup * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels, none for biases, norms and embeddings' offsets."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [item for item in parameters if item.ndim > 1], "weight_decay": weight_decay},
        {"params": [item for item in parameters if item.ndim <= 1], "weight_decay": 0.0},
    ]


def _match_layout(optimizer: torch.optim.Optimizer) -> None:
    """Gives the moments the memory layout of their parameters: the fused optimiser walks both in memory order."""
    for parameter, moments in optimizer.state.items():
        for name, moment in moments.items():
            if moment.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter, requires_grad=False).copy_(moment)


def _to(batch: Batch, device: torch.device) -> Batch:
    return Batch({name: tensor.to(device) for name, tensor in batch.tensors.items()}, batch.sources)


@contextlib.contextmanager
def _prefetch(stage: Stage, first: int) -> Iterator[Iterator[Batch]]:
    """Batches from step `first` on, each made in another thread while the step before it is computed."""
    with ThreadPoolExecutor(max_workers=1) as pool:

        def batches() -> Iterator[Batch]:
            step = first
            ahead = pool.submit(stage.batch, step)
            while True:
                ready, step = ahead, step + 1
                ahead = pool.submit(stage.batch, step)
                yield ready.result()

        yield batches()


class _Interruption:
    """Turns the first SIGINT or SIGTERM into a request to stop after the step; the second acts as usual."""

    asked = False

    def __enter__(self) -> _Interruption:
        self._previous: dict[signal.Signals, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _ask(self, *_: object) -> None:
        self.asked = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
