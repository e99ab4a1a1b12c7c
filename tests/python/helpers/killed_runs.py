"""Runs that are killed at chosen moments of a save, in processes of their own; prints what is then found."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from mobie_coreml.files import atomic_folder
from mobie_coreml.training import run_folder, state
from mobie_coreml.training.config import LoopConfig
from mobie_coreml.training.loop import Batch, train

SAVES = 3
"""A run of as many steps, saved after each; it is killed in the second save."""


class Slope:
    """One weight that follows a number."""

    name = "slope"
    channels_last = False

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network: torch.nn.Module = torch.nn.Linear(1, 1)
        torch.nn.init.zeros_(self.network.weight)

    def batch(self, step: int) -> Batch:
        return Batch({"values": torch.full((2, 1), 1.0 + step)}, ("number",))

    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        del generator
        return (self.network(batch.tensors["values"]) - 3).square().mean(), {}

    def validate(self, network: torch.nn.Module) -> dict[str, float]:
        del network
        return {}

    def export(self, network: torch.nn.Module, folder: Path, info: dict[str, Any]) -> None:
        with atomic_folder(folder, force=True) as temporary:
            save_file(network.state_dict(), temporary / "weights.safetensors")
            (temporary / "training.json").write_text(json.dumps(info))

    def describe(self) -> dict[str, Any]:
        return {}


def run(folder: Path, *, resume: bool = False) -> None:
    """Trains, saving after every step."""
    options = LoopConfig(steps=SAVES, save_minutes=0.0, log_every=1, validate_every=100, threads=1, precision="no")
    train(Slope(), options, folder, resume=resume, force=False)


def die_at(moment: str) -> None:
    """Kills this process in the second save: "tensors" while the state's are written, "aside" after what was there is
    moved away, "placed" once the new one is in its place; for the folder of the state or of the "result"."""
    what, when = moment.split(":")
    rename, write = Path.replace, state.save_file
    seen = 0

    def replace(path: Path, target: Path) -> Path:
        nonlocal seen
        moved_aside = target.name == "was" and path.name == what
        placed = target.name == what
        if placed or moved_aside:
            seen += placed
            done = rename(path, target)
            if (when == "aside" and moved_aside) or (when == "placed" and placed and seen == 2):
                os.kill(os.getpid(), signal.SIGKILL)
            return done
        return rename(path, target)

    def save(tensors: dict[str, torch.Tensor], path: Path) -> None:
        if when == "tensors" and seen == 1:
            path.write_bytes(b"half of the")
            os.kill(os.getpid(), signal.SIGKILL)
        write(tensors, path)

    Path.replace = replace  # type: ignore[method-assign, assignment]
    state.save_file = save


def in_a_process(work: Any) -> int:
    """The exit status of `work` in a process of its own."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder: Path, moments: list[str]) -> None:
    """Prints for each moment how the run ended, how resuming it did, and whether its weights are those of one that was
    never killed."""
    run_folder.draw_curve = lambda *_: None
    # Here rather than in a process of its own, so that what a run imports is there for all that follow.
    run(folder / "whole")
    whole = load_file(folder / "whole" / "state" / state.TENSORS)
    found = {}
    for moment in moments:
        place = folder / moment.replace(":", "-")

        def killed(moment: str = moment, place: Path = place) -> None:
            die_at(moment)
            run(place)

        ended = in_a_process(killed)
        resumed = in_a_process(lambda place=place: run(place, resume=True))  # type: ignore[misc]
        after = load_file(place / "state" / state.TENSORS)
        found[moment] = {
            "ended": ended,
            "resumed": resumed,
            "equal": all(torch.equal(value, after[name]) for name, value in whole.items()),
            "left": sorted(path.name for path in place.iterdir()),
            "result": (place / "result" / "training.json").is_file(),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
