"""Options that several commands have, so that they are spelled, checked and explained in one way."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Force = Annotated[bool, typer.Option("--force", help="Replace outputs that exist.")]
TextGuidance = Annotated[float | None, typer.Option(help="How strongly the prompt is followed.")]
ImageGuidance = Annotated[float | None, typer.Option(help="How closely the source frame is kept.")]


class Runtime(enum.StrEnum):
    """What runs components."""

    COREML = "coreml"
    MIL = "mil"
    TORCH = "torch"


class Precision(enum.StrEnum):
    """Arithmetic of the mil runtime."""

    FP32 = "fp32"
    FP16 = "fp16"


class Sampler(enum.StrEnum):
    """How denoiser steps follow each other."""

    EULER = "euler"
    DDIM = "ddim"
    LCM = "lcm"


Steps = Annotated[int | None, typer.Option(help="Denoiser steps a frame, if not the model's own.")]
SamplerOption = Annotated[Sampler | None, typer.Option("--sampler", help="How steps follow each other.")]
