"""What a parity run compares, checked before any work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mobie_coreml.errors import InputError

PROMPTS = ("make it snow", "make it a pencil sketch", "make it night", "make it autumn")


@dataclass(frozen=True)
class ParityOptions:
    """What to compare.

    Attributes:
        runtime: What runs the packages: "mil" anywhere, "coreml" on macOS.
        precision: "fp32" or "fp16" arithmetic of the executor.
        clip: Where frames come from; drawings if None.
        frames: Number of frames, each edited by one prompt.
        prompts: Taken in turn.
        steps: Steps of the edit; the model's own schedule if None.
        cases: Runs compared of each component, spread evenly over the reference edits.
        seed: Of the noise.
        gates: Overrides, `NAME=DB:REASON`.
        localise: Find the operation where a component that fails its gate stops agreeing with PyTorch.
        against: With `localise`: compare every component's values with this model folder's packages instead.
    """

    runtime: str = "mil"
    precision: str = "fp32"
    clip: Path | None = None
    frames: int = 2
    prompts: tuple[str, ...] = PROMPTS
    steps: int | None = None
    cases: int = 6
    seed: int = 0
    gates: tuple[str, ...] = ()
    localise: bool = False
    against: Path | None = None

    def __post_init__(self) -> None:
        for name, value in (("frames", self.frames), ("cases", self.cases)):
            if value < 1:
                raise InputError(f"--{name} {value} is out of range.", "Give 1 or more.")
        if self.runtime not in ("mil", "coreml"):
            raise InputError(f"--runtime {self.runtime} is unknown.", "Choose mil (anywhere) or coreml (macOS).")
        if self.precision not in ("fp32", "fp16"):
            raise InputError(f"--precision {self.precision} is unknown.", "Choose fp32 or fp16.")
        if self.against is not None and not self.localise:
            raise InputError("--against is for --localise.", "Pass --localise too.")
        if not self.prompts:
            raise InputError("There is no prompt to compare with.", "Give --prompt, or leave it out.")

    @property
    def program_precision(self) -> Literal["fp32", "fp16"]:
        """Of the executor."""
        return "fp16" if self.precision == "fp16" else "fp32"
