"""Triples as examples: encoded once, kept as latents in a folder of shards, read row by row.

A cache is named by a digest of the data's identity, the autoencoder and the transform; its index is written last, so a
cache can be stale or half made only by being absent.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mobie_coreml.errors import InputError
from mobie_coreml.files import atomic_folder, read_json_object, write_json
from mobie_coreml.models.autoencoder import TinyAutoencoder
from mobie_coreml.training.examples import Example
from mobie_coreml.training.photos import Pixels
from mobie_coreml.training.processes import half_where_fast
from mobie_coreml.training.storage import writing
from mobie_coreml.training.triples import Triple, Triples, content_digest
from mobie_coreml.training.validation import MOST, HeldOut, stack

INDEX = "index.json"
VERSION = 1
ROWS = 256
"""Triples of a shard."""
TOGETHER = 16
MIN_TRIPLES = 8
MIN_SIDE = 32


@dataclass(frozen=True)
class _Fitted:
    """A triple's images at the size of training, (H, W, 3) bytes."""

    source: np.ndarray[Any, Any]
    target: np.ndarray[Any, Any]
    instruction: str
    name: str


class CachedTriples:
    """Examples from a folder of latents.

    Args:
        folder: The cache.
        batch: Examples of a batch.
    """

    shares: tuple[float, ...] = (1.0,)

    def __init__(self, folder: Path, batch: int) -> None:
        self.folder = folder
        self.batches: tuple[int, ...] = (batch,)
        self.index = read_json_object(folder / INDEX)
        self.digest: str = self.index["data_sha256"]

    def example(self, size: int, rng: np.random.Generator) -> Example:
        """A triple at random."""
        row = int(rng.integers(self.index["triples"]))
        shard, place = divmod(row, ROWS)
        latents = self._shards[shard]
        image, edited = (latents.get_slice(name)[place : place + 1][0].float() for name in ("images", "edited"))
        entry = self._entries[row]
        return Example(image, edited, entry["instruction"], entry["name"])

    def held_out(self) -> HeldOut:
        """The triples that were kept out of training."""
        entries = self.index["held_out"]
        if not entries:
            return HeldOut(torch.empty(0, 3, 1, 1), torch.empty(0, 3, 1, 1), ())
        images: list[Pixels] = []
        edited: list[Pixels] = []
        for number in range(len(entries)):
            for kind, kept in (("source", images), ("target", edited)):
                with Image.open(self.folder / f"held-out-{number:02d}-{kind}.png") as image:
                    kept.append(np.asarray(image, np.float32) / np.float32(255))
        return HeldOut(stack(images), stack(edited), tuple(entries))

    def describe(self) -> dict[str, Any]:
        """Number and digest of the triples, size of batches."""
        return {"triples": self.index["triples"], "data_sha256": self.digest, "batches": list(self.batches)}

    def summary(self) -> str:
        """One line for people."""
        skipped = ", ".join(f"{count} {reason}" for reason, count in sorted(self.index["skipped"].items()))
        left_out = f"; {sum(self.index['skipped'].values())} left out ({skipped})" if skipped else ""
        return f"{self.index['triples']} triples to train on, {len(self.index['held_out'])} held out{left_out}"

    @cached_property
    def _shards(self) -> list[Any]:
        files = sorted(self.folder.glob("*.safetensors"))
        try:
            return [safe_open(file, framework="pt") for file in files]
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"The cache {self.folder} cannot be read: {error}.", "Delete it; it is made again."
            ) from error

    @cached_property
    def _entries(self) -> list[dict[str, str]]:
        lines = (self.folder / "triples.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


def cache_triples(
    folder: Path,
    triples: Triples,
    autoencoder: TinyAutoencoder,
    size: tuple[int, int],
    *,
    held_out_every: int = 20,
    most: int | None = None,
    advance: Callable[[int], None] | None = None,
) -> Path:
    """The cache of these triples in `folder`, made where it is not there.

    Args:
        folder: Where caches live.
        triples: The source.
        autoencoder: Encodes, in evaluation mode.
        size: (width, height) that images are cut and resized to.
        held_out_every: Every so many-th usable triple is kept out of training, up to as many as a validation looks at;
            0: none.
        most: Stop after this many usable triples.
        advance: Called with the number of triples read so far.

    Raises:
        InputError: too few triples are usable.
        WorkError: the disk is full.
    """
    options = [VERSION, triples.identity(), _weights_digest(autoencoder), list(size), held_out_every, most]
    name = hashlib.sha256(json.dumps(options).encode()).hexdigest()[:16]
    cache = folder / f"triples-{name}"
    if (cache / INDEX).is_file():
        return cache
    with writing(cache, "Free some space and start again."), atomic_folder(cache, force=True) as temporary:
        _fill(temporary, triples, autoencoder, size, held_out_every, most, advance)
    return cache


def _fill(
    folder: Path,
    triples: Triples,
    autoencoder: TinyAutoencoder,
    size: tuple[int, int],
    held_out_every: int,
    most: int | None,
    advance: Callable[[int], None] | None,
) -> None:
    skipped: Counter[str] = Counter()
    held_out: list[str] = []
    digests: list[str] = []
    training = 0

    def usable() -> Iterator[_Fitted]:
        """Triples to train on; those held out are written on the way."""
        count = 0
        for number, triple in enumerate(triples):
            if advance is not None:
                advance(number + 1)
            fitted = triple if isinstance(triple, str) else _fit(triple, size)
            if isinstance(fitted, str):
                skipped[fitted] += 1
                continue
            digests.append(
                content_digest([fitted.source.tobytes(), fitted.target.tobytes(), fitted.instruction.encode()])
            )
            count += 1
            if held_out_every and count % held_out_every == 0 and len(held_out) < MOST:
                for kind, image in (("source", fitted.source), ("target", fitted.target)):
                    Image.fromarray(image).save(folder / f"held-out-{len(held_out):02d}-{kind}.png")
                held_out.append(fitted.instruction)
            else:
                yield fitted
            if most is not None and count >= most:
                return

    source = usable()
    with (folder / "triples.jsonl").open("w", encoding="utf-8") as lines:
        for shard, rows in enumerate(iter(lambda: list(islice(source, ROWS)), [])):
            training += len(rows)
            images, edited = (
                _encode(autoencoder, [getattr(row, kind) for row in rows]) for kind in ("source", "target")
            )
            save_file({"images": images, "edited": edited}, folder / f"{shard:06d}.safetensors")
            for row in rows:
                lines.write(json.dumps({"name": row.name, "instruction": row.instruction}) + "\n")
    if training < MIN_TRIPLES:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items())) or "none left out"
        raise InputError(
            f"There are too few triples: {training} to train on ({reasons}).",
            f"At least {MIN_TRIPLES} whose images are whole, {MIN_SIDE} pixels or more a side and of one shape.",
        )
    write_json(
        folder / INDEX,
        {
            "triples": training,
            "held_out": held_out,
            "skipped": dict(skipped),
            "size": list(size),
            "data_sha256": content_digest([digest.encode() for digest in digests]),
        },
    )


def _fit(triple: Triple, size: tuple[int, int]) -> _Fitted | str:
    """The middle of both images with the shape of `size`, or why they cannot be used."""
    images = []
    try:
        for opener in (triple.source, triple.target):
            with opener() as image:
                images.append(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, Image.DecompressionBombError):
        return "unreadable"
    source, target = images
    if min(*source.size, *target.size) < MIN_SIDE:
        return "too small"
    shapes = [image.width / image.height for image in images]
    if abs(shapes[0] / shapes[1] - 1) > 0.02:
        return "of two shapes"
    fitted = [np.asarray(ImageOps.fit(image, size, Image.Resampling.BICUBIC)) for image in images]
    return _Fitted(fitted[0], fitted[1], triple.instruction, triple.name)


@torch.no_grad()
def _encode(autoencoder: TinyAutoencoder, images: list[np.ndarray[Any, Any]]) -> torch.Tensor:
    """Latents (N, L, h, w), fp16, of (H, W, 3) bytes."""
    device = next(autoencoder.parameters()).device
    parts = []
    for start in range(0, len(images), TOGETHER):
        batch = torch.from_numpy(np.stack(images[start : start + TOGETHER])).permute(0, 3, 1, 2).to(device)
        with half_where_fast(device):
            latents = autoencoder.encode(batch.float().div(127.5).sub(1))
        parts.append(latents.to("cpu", torch.float16))
    return torch.cat(parts).contiguous()


def _weights_digest(autoencoder: TinyAutoencoder) -> str:
    state = sorted(autoencoder.state_dict().items())
    parts = [name.encode() + value.detach().float().cpu().contiguous().numpy().tobytes() for name, value in state]
    return content_digest(parts)
