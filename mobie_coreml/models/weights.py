"""Weights on disk: lazy reading of one component's safetensors files, and writing them one tensor at a time."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open

from mobie_coreml.errors import InputError, WorkError
from mobie_coreml.files import sha256_file

Array = npt.NDArray[Any]
DTYPES = {"float16": "F16", "float32": "F32"}
"""Dtypes that checkpoints are written in, and safetensors' names for them."""

_READABLE = {"F64", "F32", "F16", "BF16", "I64", "I32"}


@dataclass(frozen=True)
class TensorEntry:
    """A tensor to be written: `make` gives its values when its turn comes."""

    name: str
    shape: tuple[int, ...]
    make: Callable[[], Array]


class TensorFiles:
    """The tensors of one component, from one or several files, read one at a time.

    safetensors files are memory-mapped: only the tensors asked for are read. Pickles are read by torch's weights-only
    loader.

    Args:
        files: All of the component's weight files, `.safetensors` or `.bin` / `.pt` / `.pth`.
        rename: Maps a name in a file to the name used here, or to None to leave the tensor out.

    Raises:
        InputError: a file is missing, broken, or two files hold the same tensor.
    """

    def __init__(self, files: Iterable[Path], rename: Callable[[str], str | None] = lambda name: name) -> None:
        self.files = tuple(files)
        self._where: dict[str, tuple[Path, str]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._pickled: dict[Path, Mapping[str, torch.Tensor]] = {}
        for file in self.files:
            for stored, shape in self._list(file):
                name = rename(stored)
                if name is None:
                    continue
                if name in self._where:
                    raise InputError(f"{file.name} and {self._where[name][0].name} both hold the tensor {name}.")
                self._where[name] = (file, stored)
                self._shapes[name] = shape

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every tensor by name."""
        return self._shapes

    def numpy(self, name: str) -> Array:
        """The tensor `name` in its stored dtype (bfloat16, which NumPy lacks, as float32).

        Raises:
            InputError: there is none.
        """
        tensor = self.torch(name)
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()

    def torch(self, name: str) -> torch.Tensor:
        """The tensor `name` in its stored dtype, on the CPU.

        Raises:
            InputError: there is none, or its file is broken.
        """
        if name not in self._where:
            raise InputError(f"There is no tensor {name} in {', '.join(file.name for file in self.files)}.")
        file, stored = self._where[name]
        if file in self._pickled:
            return self._pickled[file][stored]
        try:
            tensor: torch.Tensor = self._open(file).get_tensor(stored)
            return tensor
        except (OSError, SafetensorError) as error:
            raise InputError(f"{file} cannot be read: {error}.") from error

    def merge(self, other: TensorFiles) -> None:
        """Adds the tensors of `other`.

        Raises:
            InputError: both hold the same tensor.
        """
        twice = sorted(self._where.keys() & other._where.keys())
        if twice:
            raise InputError(f"Two files hold the same tensors: {', '.join(twice[:8])}.")
        self.files += other.files
        self._where |= other._where
        self._shapes |= other._shapes
        self._pickled |= other._pickled

    def digests(self) -> dict[str, str]:
        """SHA-256 of every file by file name."""
        return {file.name: sha256_file(file) for file in self.files}

    @staticmethod
    def _open(file: Path) -> Any:
        """A handle for one use. One kept open would keep every page it has touched mapped, until the whole file counts
        as resident memory; opening reads the header alone."""
        return safe_open(file, framework="pt")

    def _list(self, file: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
        if not file.is_file():
            raise InputError(f"{file} is missing.")
        if file.suffix != ".safetensors":
            self._pickled[file] = _unpickle(file)
            for name, tensor in self._pickled[file].items():
                yield name, tuple(tensor.shape)
            return
        try:
            opened = self._open(file)
            for name in opened.keys():  # noqa: SIM118 (a handle, not a mapping)
                view = opened.get_slice(name)
                if view.get_dtype() not in _READABLE:
                    raise InputError(f"{file}: the tensor {name} has the dtype {view.get_dtype()}.")
                yield name, tuple(view.get_shape())
        except (OSError, SafetensorError) as error:
            raise InputError(f"{file} is not a whole safetensors file: {error}.") from error


def _unpickle(file: Path) -> Mapping[str, torch.Tensor]:
    """A state dict from a pickle, through torch's restricted loader: tensors and plain containers, no code."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=_is_zip(file))
    except Exception as error:  # torch raises a different kind for every way a file can be wrong
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{file} cannot be loaded as weights alone: {first_line}") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(f"{file} does not hold a state dict.")
    return state


def _is_zip(file: Path) -> bool:
    """Whether torch can map the file (its formats before 1.6 are not zip files)."""
    with file.open("rb") as opened:
        return opened.read(2) == b"PK"


def find_weight_files(
    names: Iterable[str], stem: str, *, variant: str | None = None, read: Callable[[str], str], pickle: bool = False
) -> list[str]:
    """Chooses one component's weight files from the names in its folder.

    Single or sharded files are recognised, plain ones preferred to the variant "fp16" unless `variant` says otherwise,
    safetensors to pickles.

    Args:
        names: File names in the folder.
        stem: "diffusion_pytorch_model" or "model" ("pytorch_model" is then the pickle's).
        variant: Only files of this variant.
        read: Gives the text of a file, for the index of shards.
        pickle: Whether `.bin` files may be chosen.

    Returns:
        File names; empty where there are none.

    Raises:
        InputError: only pickles are there and `pickle` is false, or an index is broken or names a missing shard.
    """
    available = set(names)
    variants = [variant] if variant else [None, "fp16"]
    for kind in variants:
        chosen = _single_or_sharded(available, stem, "safetensors", kind, read)
        if chosen:
            return chosen
    pickle_stem = "pytorch_model" if stem == "model" else stem
    for kind in variants:
        chosen = _single_or_sharded(available, pickle_stem, "bin", kind, read)
        if chosen and not pickle:
            raise InputError(
                f"The weights are pickles only ({', '.join(chosen)}).",
                "Pass --allow-pickle to read them through torch's weights-only loader.",
            )
        if chosen:
            return chosen
    return []


def _single_or_sharded(
    names: set[str], stem: str, suffix: str, variant: str | None, read: Callable[[str], str]
) -> list[str]:
    single = f"{stem}.{variant}.{suffix}" if variant else f"{stem}.{suffix}"
    if single in names:
        return [single]
    index = f"{stem}.{suffix}.index.{variant}.json" if variant else f"{stem}.{suffix}.index.json"
    if index not in names:
        return []
    try:
        shards = sorted(set(json.loads(read(index))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"The index {index} cannot be read: {error!r}.") from error
    missing = [shard for shard in shards if shard not in names]
    if missing or not shards:
        raise InputError(f"The index {index} names missing files: {', '.join(missing) or 'none at all'}.")
    return shards


def write_safetensors(
    path: Path, entries: Iterable[TensorEntry], dtype: str, progress: Callable[[int], None] | None = None
) -> None:
    """Writes a safetensors file, holding one tensor at a time.

    The format is 8 bytes of header length, little endian, a JSON header padded to a multiple of 8, and the tensors'
    bytes in the header's order (https://github.com/huggingface/safetensors#format).

    Args:
        path: The file; its folder is the caller's to make whole.
        entries: What to write, in this order.
        dtype: "float16" or "float32".
        progress: Called with the bytes written after each tensor.

    Raises:
        InputError: a value is not finite in `dtype`.
        WorkError: a tensor does not have the shape that was announced.
        OSError: the file cannot be written.
    """
    entries = list(entries)
    size = np.dtype(dtype).itemsize
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for entry in entries:
        end = offset + size * math.prod(entry.shape)
        header[entry.name] = {"dtype": DTYPES[dtype], "shape": list(entry.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for entry in entries:
            written = _write_tensor(file, entry, dtype)
            if progress is not None:
                progress(written)
        file.flush()
        os.fsync(file.fileno())


def _write_tensor(file: IO[bytes], entry: TensorEntry, dtype: str) -> int:
    values = entry.make()
    if tuple(values.shape) != entry.shape:
        raise WorkError(f"The tensor {entry.name} has the shape {values.shape}, and {entry.shape} was announced.")
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(values, dtype=dtype)
    if not np.isfinite(stored).all():
        raise InputError(
            f"The tensor {entry.name} has values that are not finite in {dtype}.",
            "Use --dtype float32." if dtype == "float16" and np.isfinite(values).all() else "The weights are broken.",
        )
    file.write(stored.data)
    return int(stored.nbytes)


def check_names(
    where: str, found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]], most: int = 8
) -> None:
    """Compares tensors with those that a network has.

    Args:
        where: Named in the error.
        found: Name and shape of what is there.
        expected: Name and shape of what must be there.
        most: How many names of a kind the error lists.

    Raises:
        InputError: something is missing, unexpected or has another shape; lists them.
    """
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    reshaped = [
        f"{name} {list(found[name])} instead of {list(shape)}"
        for name, shape in expected.items()
        if name in found and tuple(found[name]) != tuple(shape)
    ]
    problems = []
    for kind, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped)):
        if names:
            rest = f" and {len(names) - most} more" if len(names) > most else ""
            problems.append(f"{len(names)} {kind}: {', '.join(names[:most])}{rest}")
    if problems:
        raise InputError(f"The weights of {where} do not fit their config: {'; '.join(problems)}.")
