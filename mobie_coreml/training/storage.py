"""Files of a training that may fail to be written or read: one clear error instead of a library's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from mobie_coreml.errors import InputError, WorkError


@contextlib.contextmanager
def writing(path: Path, hint: str) -> Iterator[None]:
    """Within this block, a disk that is full or gone is a WorkError that names `path`.

    Args:
        path: What is written.
        hint: What is whole in spite of it, and what to do.
    """
    try:
        yield
    except SafetensorError as error:
        raise WorkError(f"{path} cannot be written: {error}.", hint) from error
    except OSError as error:
        raise WorkError(f"{path} cannot be written: {error.strerror or error}.", hint) from error


def load_cache(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a cache.

    Raises:
        InputError: it is damaged.
    """
    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"The cache {path} cannot be read: {error}.", "Delete it; it is made again.") from error
    return tensors
