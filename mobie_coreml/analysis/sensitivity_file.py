"""The JSON file that holds a sensitivity: written by `mobie sensitivity`, read by `mobie recipe`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobie_coreml.analysis.sensitivity import Check, ComponentSensitivity, Sensitivity, TensorSensitivity
from mobie_coreml.errors import InputError
from mobie_coreml.files import read_json_object, write_json
from palettization.clustering import BITS

KIND = "sensitivity"
VERSION = 1
_DIGITS = 6
_AGAIN = "Make it with `mobie sensitivity MODEL CHECKPOINT OUT`."


def save_sensitivity(path: Path, sensitivity: Sensitivity) -> None:
    """Writes the file, whole or not at all; figures have six significant digits."""
    write_json(path, sensitivity_json(sensitivity))


def sensitivity_json(sensitivity: Sensitivity) -> dict[str, Any]:
    """What the file holds."""
    return {
        "kind": KIND,
        "version": VERSION,
        "checkpoint": sensitivity.checkpoint,
        "components": {name: _component_json(one) for name, one in sensitivity.components.items()},
    }


def load_sensitivity(path: Path) -> Sensitivity:
    """Reads the file.

    Raises:
        InputError: it is missing, cannot be read, or is no sensitivity of this version.
    """
    content = read_json_object(path, _AGAIN)
    if content.get("kind") != KIND or content.get("version") != VERSION:
        raise InputError(f"{path} is no sensitivity of version {VERSION}.", _AGAIN)
    try:
        components = {str(name): _component(entry, f"{path}, {name}") for name, entry in content["components"].items()}
        return Sensitivity(str(content["checkpoint"]), components)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path} is damaged: something in it is missing or of the wrong kind.", _AGAIN) from error


def _component_json(one: ComponentSensitivity) -> dict[str, Any]:
    check = one.check and {"tensors": one.check.tensors, "rank_correlation": _short(one.check.rank_correlation)}
    return {
        "architecture": one.architecture,
        "forwards": one.forwards,
        "backwards": one.backwards,
        "check": check,
        "tensors": {
            name: {
                "shape": list(tensor.shape),
                "distinct": tensor.distinct,
                "squared_error": _by_bits(tensor.squared_error),
                "output_error": _by_bits(tensor.output_error),
            }
            for name, tensor in one.tensors.items()
        },
    }


def _by_bits(figures: Mapping[int, float]) -> dict[str, float]:
    return {str(bits): _short(value) for bits, value in figures.items()}


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _component(entry: Any, where: str) -> ComponentSensitivity:
    check = entry["check"]
    return ComponentSensitivity(
        architecture=str(entry["architecture"]),
        forwards=int(entry["forwards"]),
        backwards=int(entry["backwards"]),
        tensors={str(name): _tensor(tensor, f"{where}, {name}") for name, tensor in entry["tensors"].items()},
        check=None if check is None else Check(int(check["tensors"]), float(check["rank_correlation"])),
    )


def _tensor(entry: Any, where: str) -> TensorSensitivity:
    return TensorSensitivity(
        shape=tuple(int(size) for size in entry["shape"]),
        distinct=int(entry["distinct"]),
        squared_error=_figures(entry["squared_error"], f"{where}, squared_error"),
        output_error=_figures(entry["output_error"], f"{where}, output_error"),
    )


def _figures(entry: Any, where: str) -> dict[int, float]:
    figures = {int(bits): float(value) for bits, value in entry.items()}
    if set(figures) != set(BITS) or not all(math.isfinite(value) and value >= 0 for value in figures.values()):
        widths = ", ".join(map(str, BITS))
        raise InputError(
            f"{where} is damaged: it needs a finite number, not negative, for each of {widths} bits.", _AGAIN
        )
    return figures
