"""A training run's exact state on disk: safetensors for tensors, JSON for numbers, both in one folder.

What a run is made of is nested dictionaries and lists of tensors and plain values (as optimisers' `state_dict` gives
them); tensors are lifted out under their path and everything else stays JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mobie_coreml.errors import InputError
from mobie_coreml.files import atomic_folder, write_json
from mobie_coreml.training.storage import writing

TENSORS = "state.safetensors"
VALUES = "state.json"
_TENSOR = "__tensor__"
_PAIRS = "__pairs__"


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Writes `state`, replacing what was there, whole or not at all.

    Raises:
        WorkError: the disk is full.
    """
    tensors: dict[str, torch.Tensor] = {}
    values = _lift(state, "state", tensors)
    with (
        writing(folder, "Free some space: the last save is whole, and --resume goes on from it."),
        atomic_folder(folder, force=True) as temporary,
    ):
        save_file(tensors, temporary / TENSORS)
        write_json(temporary / VALUES, values)


def load_state(folder: Path) -> dict[str, Any]:
    """Reads what `save_state` wrote.

    Raises:
        InputError: there is nothing to resume from, or it cannot be read.
    """
    if not (folder / VALUES).is_file():
        raise InputError(f"{folder} holds no state to resume from.", "Start the run without --resume.")
    try:
        tensors = load_file(folder / TENSORS)
        values = json.loads((folder / VALUES).read_text(encoding="utf-8"))
        state: dict[str, Any] = _lower(values, tensors)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise InputError(
            f"The training state in {folder} cannot be read: {error}.", "Start again with --force."
        ) from error
    return state


def _lift(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        tensors[path] = value.detach().cpu().contiguous().clone()
        return {_TENSOR: path}
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return {key: _lift(item, f"{path}/{key}", tensors) for key, item in value.items()}
        return {_PAIRS: [[key, _lift(item, f"{path}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_lift(item, f"{path}/{index}", tensors) for index, item in enumerate(value)]
    return value


def _lower(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, dict):
        if set(value) == {_TENSOR}:
            return tensors[value[_TENSOR]]
        if set(value) == {_PAIRS}:
            return {key: _lower(item, tensors) for key, item in value[_PAIRS]}
        return {key: _lower(item, tensors) for key, item in value.items()}
    if isinstance(value, list):
        return [_lower(item, tensors) for item in value]
    return value
