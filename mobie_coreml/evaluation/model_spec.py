"""Models as a user names them: MODEL, or MODEL@steps=10,text=3,image=1.5 for one that is run in another way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

from mobie_coreml.diffusion.samplers import SamplerMethod
from mobie_coreml.errors import InputError
from mobie_coreml.evaluation.models import EditingModel, Sampling, open_model

KEYS = ("steps", "sampler", "text", "image", "name")
"""What may follow the @: steps, sampler, text and image guidance, and the name in reports."""


@dataclass(frozen=True)
class ModelSpec:
    """A model and how it is run.

    Attributes:
        model: Checkpoint, model folder or "nano".
        suffix: What the user wrote from the @ on.
        name: Name in reports, None for one made of path and suffix.
        sampling: How edits are drawn.
    """

    model: str
    suffix: str
    name: str | None
    sampling: Sampling


def parse_model(text: str, shared: Sampling = Sampling()) -> ModelSpec:
    """Reads one model.

    Args:
        text: MODEL, or MODEL@KEY=VALUE[,KEY=VALUE...] with `KEYS`. A path that exists is a path, @ or not.
        shared: How models are run that do not say it themselves.

    Raises:
        InputError: there is no model, a key is unknown or stands twice, or its value is no number.
    """
    model, at, options = text.rpartition("@")
    if not at or "=" not in options or Path(text).exists():
        return ModelSpec(text, "", None, shared)
    if not model:
        raise InputError(f"{text} names no model.", "Write the model before the @: MODEL@KEY=VALUE.")
    values: dict[str, str] = {}
    for option in options.split(","):
        key, _, value = (part.strip() for part in option.partition("="))
        if key not in KEYS or not value or key in values:
            raise InputError(
                f"{text}: {option.strip() or 'an empty option'} is not understood.",
                f"Write MODEL@KEY=VALUE,KEY=VALUE with each of {', '.join(KEYS)} at most once.",
            )
        values[key] = value
    sampler = values.get("sampler")
    if sampler is not None and sampler not in get_args(SamplerMethod):
        raise InputError(f"{text}: there is no sampler {sampler}.", f"Choose {', '.join(get_args(SamplerMethod))}.")
    steps = _number(text, values, "steps", shared.steps, whole=True)
    sampling = replace(
        shared,
        steps=None if steps is None else int(steps),
        sampler=shared.sampler if sampler is None else cast(SamplerMethod, sampler),
        text_guidance=_number(text, values, "text", shared.text_guidance),
        image_guidance=_number(text, values, "image", shared.image_guidance),
    )
    return ModelSpec(model, at + options, values.get("name"), sampling)


def _number(
    text: str, values: dict[str, str], key: str, otherwise: float | None, *, whole: bool = False
) -> float | None:
    if key not in values:
        return otherwise
    try:
        number = int(values[key]) if whole else float(values[key])
    except ValueError:
        raise InputError(
            f"{text}: {key} is {values[key]!r}.", f"Give a {'whole number' if whole else 'number'}."
        ) from None
    if whole and number < 1:
        raise InputError(f"{text}: {key} {number} is out of range.", "Give a whole number of at least 1.")
    return number


def open_models(
    texts: Sequence[str], shared: Sampling = Sampling(), *, runtime: str | None = None, precision: str = "fp32"
) -> list[EditingModel]:
    """Opens all models; one that is run in several ways is loaded once.

    Args:
        texts: As users write them, see `parse_model`.
        shared: How models are run that do not say it themselves.
        runtime: Of model folders.
        precision: Of the arithmetic.

    Raises:
        InputError: one cannot be opened, two have the same name, or their frame sizes differ.
    """
    specs = [parse_model(text, shared) for text in texts]
    models: list[EditingModel] = []
    opened: dict[str, EditingModel] = {}
    for spec, label in zip(specs, _labels(specs), strict=True):
        if spec.model not in opened:
            opened[spec.model] = open_model(
                spec.model, spec.sampling, label=label, runtime=runtime, precision=precision
            )
        models.append(opened[spec.model].sampled(label, spec.sampling))
    if len({model.frame_size for model in models}) != 1:
        raise InputError("The models have different frame sizes.", "Evaluate models of one size together.")
    return models


def _labels(specs: Sequence[ModelSpec]) -> list[str]:
    """Names in reports: the user's, or as much of the end of the path as tells models apart."""
    parts = [Path(spec.model).absolute().parts for spec in specs]
    for depth in range(1, max(len(one) for one in parts) + 1):
        labels = [spec.name or str(Path(*one[-depth:])) + spec.suffix for spec, one in zip(specs, parts, strict=True)]
        twice = [label for label, count in Counter(labels).items() if count > 1]
        if not twice:
            return labels
    raise InputError(f"Two models have the same name, {twice[0]}.", "Give one another: MODEL@name=NAME.")
