"""The mutable part of a run and the folder it lives in; only the main process writes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobie_coreml.errors import InputError
from mobie_coreml.files import check_output, check_replaceable, recover_folder, write_json
from mobie_coreml.training.config import LoopConfig
from mobie_coreml.training.descent import Descent
from mobie_coreml.training.ema import WeightAverage
from mobie_coreml.training.metrics import MetricsLog, draw_curve
from mobie_coreml.training.model_card import write_model_card
from mobie_coreml.training.sharding import load_whole, whole
from mobie_coreml.training.state import load_state, save_state
from mobie_coreml.training.storage import writing

if TYPE_CHECKING:
    from mobie_coreml.training.loop import Stage

RUN_FILE = "run.json"


def recover_run(folder: Path) -> None:
    """Puts back what a run that was killed while it saved had moved aside, and clears away what it left."""
    for name in ("state", "result"):
        recover_folder(folder / name)


class Run:
    """Step, time, figures and weights of a run.

    Args:
        stage: What is trained.
        config: How.
        folder: Where.
        descent: The network and its optimiser.
        average: The network's average.
        critic: The critic and its optimiser, where the stage has one.
        processes: How many processes train together.
        is_main: Whether this one writes.
        provenance: What the result says of its making beside the run's own figures.
    """

    def __init__(
        self,
        stage: Stage,
        config: LoopConfig,
        folder: Path,
        descent: Descent,
        average: WeightAverage,
        critic: Descent | None,
        *,
        processes: int,
        is_main: bool,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        self.stage, self.config, self.folder = stage, config, folder
        self.descent, self.average, self.critic = descent, average, critic
        self.is_main = is_main
        self.provenance = dict(provenance or {})
        self.batches_a_step = config.accumulate * processes
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
        """Whether all steps are taken or all time is used."""
        return self.progress >= 1.0

    def open(self, *, resume: bool, force: bool) -> None:
        """Starts the run's folder, or continues what is in it."""
        if resume:
            self._load()
        elif self.is_main:
            check_output(self.folder, force=force)
            check_replaceable(self.folder, RUN_FILE)
            self.folder.mkdir(parents=True, exist_ok=True)
            self.metrics.path.unlink(missing_ok=True)
            # Else a run that is killed before its first save would be resumed from the one it replaces.
            shutil.rmtree(self.folder / "state", ignore_errors=True)
        if self.is_main:
            with writing(self.folder, "Free some space and start again."):
                write_json(self.folder / RUN_FILE, {**self._identity(), "loop": asdict(self.config)})

    def log(self, figures: dict[str, float]) -> None:
        """Adds figures of this step to the metrics."""
        if self.is_main:
            rounded = {name: float(f"{figure:.5g}") for name, figure in figures.items()}
            with writing(self.metrics.path, "Free some space: --resume goes on from the last save."):
                self.metrics.append({"step": self.step, "seconds": round(self.seconds, 1), **rounded})

    def smooth(self, figures: dict[str, float]) -> None:
        """Lets the smoothed figures follow those of this step."""
        for name, figure in figures.items():
            before = self.smoothed.get(name)
            self.smoothed[name] = figure if before is None else 0.98 * before + 0.02 * figure

    def validate(self) -> dict[str, float]:
        """The stage's figures at this step, made once; none in other processes, which must call it too."""
        if self._validated is None or self._validated[0] != self.step:
            self.average.gather()
            self._validated = (self.step, self._figures() if self.is_main else {})
            self.log(self._validated[1])
        return self._validated[1]

    def _figures(self) -> dict[str, float]:
        # The whole average of a network that is split rests on the CPU.
        network = self.average.network
        home = next(network.parameters()).device
        figures = self.stage.validate(network.to(self.descent.processes.device))
        network.to(home)
        return figures

    def save(self) -> None:
        """Writes everything needed to resume, then the result as it is now; every process must call it."""
        self.average.gather()
        networks = {"network": self.descent.network.state_dict(), "optimizer": self.descent.optimizer.state_dict()}
        networks = whole(networks, keep=self.is_main)
        if not self.is_main:
            return
        state = {
            "identity": self._identity(),
            "step": self.step,
            "seconds": self.seconds,
            "smoothed": self.smoothed,
            **networks,
            "average": self.average.network.state_dict(),
            "updates": self.average.updates,
        }
        if self.critic is not None:
            state["critic"] = {
                "network": self.critic.network.state_dict(),
                "optimizer": self.critic.optimizer.state_dict(),
            }
        save_state(self.folder / "state", state)
        info = {
            **self.provenance,
            "stage": self.stage.name,
            "steps": self.step,
            "minutes": round(self.seconds / 60, 2),
            "seed": self.config.seed,
        }
        with writing(self.folder / "result", "Free some space: the state is saved, and --resume goes on from it."):
            self.stage.export(self.average.network, self.folder / "result", info)
            records = self.metrics.read()
            write_model_card(self.folder / "result", records)
            draw_curve(records, self.folder / "curve.png", f"mobie train {self.stage.name}")

    def _load(self) -> None:
        if self.is_main:
            recover_run(self.folder)
        state = load_state(self.folder / "state")
        different = [name for name, value in self._identity().items() if state["identity"].get(name) != value]
        if different:
            raise InputError(
                f"The run in {self.folder} was made with another {', '.join(different)}.",
                "Resume with the photographs and options it was started with, or start a run of its own.",
            )
        load_whole(self.descent.network, state["network"])
        self.average.load(state["average"])
        self.average.updates = state["updates"]
        self.descent.load(state["optimizer"])
        if self.critic is not None:
            self.critic.network.load_state_dict(state["critic"]["network"])
            self.critic.load(state["critic"]["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.smoothed.update(state["smoothed"])
        if self.is_main:
            self.metrics.truncate(self.step)

    def _identity(self) -> dict[str, Any]:
        """What a run must be resumed with, as JSON gives it back."""
        identity = {"stage": self.stage.name, "seed": self.config.seed, **self.stage.describe()}
        if self.batches_a_step != 1:
            identity["batches_a_step"] = self.batches_a_step
        normalized: dict[str, Any] = json.loads(json.dumps(identity))
        return normalized
