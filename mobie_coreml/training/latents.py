"""Pairs for the teacher: crops and their edits, encoded once and kept as latents.

The cache is a safetensors file named by a digest of everything it depends on (autoencoder, photographs, options), so a
cache can be stale only by being absent.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from mobie_coreml.edits import EDITS, Edit
from mobie_coreml.files import atomic_file
from mobie_coreml.models.autoencoder import TinyAutoencoder
from mobie_coreml.training.config import CropSet, PhotoConfig, TeacherTraining
from mobie_coreml.training.photos import Photos, Pixels, generator, random_crop, recolor
from mobie_coreml.training.processes import half_where_fast
from mobie_coreml.training.storage import load_cache, writing

ENCODE_BATCH = 16
CACHE_VERSION = 2
MIN_REGION = 0.02
"""A local edit whose region covers less of a crop than this is drawn again (up to three times)."""


@dataclass(frozen=True)
class PairSet:
    """Latents of one size of crop.

    Attributes:
        images: (N, L, h, w) float16.
        edited: (N, E, L, h, w) float16.
        edits: (N, E), index of the edit in the order of EDITS.
        photos: (N,), index of the photograph among those trained on.
    """

    images: torch.Tensor
    edited: torch.Tensor
    edits: torch.Tensor
    photos: torch.Tensor


def cache_digest(
    autoencoder: TinyAutoencoder, photos: Photos, photo_config: PhotoConfig, config: TeacherTraining, seed: int
) -> str:
    """Identifies a cache: weights, photographs' names and sizes, options, edits' names, seed."""
    digest = hashlib.sha256()
    for name, value in sorted(autoencoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    options: dict[str, Any] = {
        "version": CACHE_VERSION,
        "photos": [(photo.name, photo.image.size) for photo in photos.training],
        "photo_config": asdict(photo_config),
        "crops": [(item.size, item.crops) for item in config.crop_sets],
        "edits": [config.edits, config.full_strength, config.min_strength, config.local_share, config.recolored],
        "names": list(EDITS),
        "seed": seed,
    }
    digest.update(json.dumps(options, sort_keys=True).encode())
    return digest.hexdigest()


def load_pairs(
    folder: Path,
    autoencoder: TinyAutoencoder,
    photos: Photos,
    photo_config: PhotoConfig,
    config: TeacherTraining,
    seed: int,
    advance: Callable[[int, int], None] | None = None,
) -> list[PairSet]:
    """The pairs of every crop set, from `folder` if they are there, made and kept there otherwise.

    Args:
        folder: Where caches live.
        autoencoder: Encodes crops, in evaluation mode.
        photos: Whose training part crops are drawn from.
        photo_config: How crops are drawn.
        config: Which pairs.
        seed: Of the crops, edits and strengths.
        advance: Called with (crops made, crops in all).

    Raises:
        InputError: the cache is damaged.
        WorkError: the disk is full.
    """
    path = folder / f"latents-{cache_digest(autoencoder, photos, photo_config, config, seed)[:16]}.safetensors"
    if not path.is_file():
        total = sum(item.crops for item in config.crop_sets)
        tensors: dict[str, torch.Tensor] = {}
        made = 0
        for index, crop_set in enumerate(config.crop_sets):

            def report(count: int, before: int = made) -> None:
                if advance is not None:
                    advance(before + count, total)

            pairs = _encode_set(autoencoder, photos, photo_config, config, crop_set, (seed, index), report)
            tensors |= {f"{index}/{name}": value for name, value in vars(pairs).items()}
            made += crop_set.crops
        with writing(path, "Free some space and start again."), atomic_file(path) as temporary:
            save_file(tensors, temporary)
    loaded = load_cache(path)
    names = ("images", "edited", "edits", "photos")
    return [PairSet(*(loaded[f"{index}/{name}"] for name in names)) for index in range(len(config.crop_sets))]


def draw_edit(crop: Pixels, local_share: float, rng: np.random.Generator) -> tuple[int, Edit]:
    """An edit at random, `local_share` of them local; a local one that would change next to nothing is drawn again, up
    to three times, among the local ones."""
    local = rng.random() < local_share
    names = list(EDITS)
    eligible = [index for index, name in enumerate(names) if (EDITS[name].group == "local") == local]
    for attempt in range(4):
        index = eligible[rng.integers(len(eligible))]
        edit = EDITS[names[index]]
        if not local or attempt == 3 or float(edit.mask(crop).mean()) > MIN_REGION:
            break
    return index, edit


def draw_strength(config: TeacherTraining, rng: np.random.Generator) -> float:
    """1 in `config.full_strength` of the draws, uniform from `config.min_strength` to 1 in the others."""
    return 1.0 if rng.random() < config.full_strength else float(rng.uniform(config.min_strength, 1.0))


@dataclass(frozen=True)
class _Group:
    """Some crops, their edited versions (all of the first crop, then all of the second), and what they are."""

    crops: list[Pixels]
    versions: list[Pixels]
    edits: list[int]
    photos: list[int]


def _make_group(
    places: range,
    photos: Photos,
    photo_config: PhotoConfig,
    config: TeacherTraining,
    crop_set: CropSet,
    seeds: tuple[int, int],
) -> _Group:
    group = _Group([], [], [], [])
    for place in places:
        rng = generator(*seeds, place)
        source = int(rng.integers(len(photos.training)))
        crop = random_crop(photos.training[source], crop_set.size, photo_config.max_zoom_out, rng)
        if rng.random() < config.recolored:
            crop = recolor(crop, rng)
        group.crops.append(crop)
        group.photos.append(source)
        for _ in range(config.edits):
            index, edit = draw_edit(crop, config.local_share, rng)
            group.versions.append(edit.apply(crop, draw_strength(config, rng)))
            group.edits.append(index)
    return group


def _in_order(groups: Iterable[Callable[[], _Group]], ahead: int = 4) -> Iterator[_Group]:
    """Results in order, a few made ahead in other threads while the ones before are encoded."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        pending: deque[Future[_Group]] = deque()
        for make in groups:
            pending.append(pool.submit(make))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


@torch.no_grad()
def _encode_set(
    autoencoder: TinyAutoencoder,
    photos: Photos,
    photo_config: PhotoConfig,
    config: TeacherTraining,
    crop_set: CropSet,
    seeds: tuple[int, int],
    report: Callable[[int], None],
) -> PairSet:
    device = next(autoencoder.parameters()).device

    def encode(crops: list[Pixels]) -> torch.Tensor:
        batch = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).to(device)
        with half_where_fast(device):
            latents = autoencoder.encode(2 * batch.contiguous(memory_format=torch.channels_last) - 1)
        return latents.to("cpu", torch.float16).contiguous()

    starts = range(0, crop_set.crops, ENCODE_BATCH)
    places = (range(start, min(start + ENCODE_BATCH, crop_set.crops)) for start in starts)
    makers = (partial(_make_group, part, photos, photo_config, config, crop_set, seeds) for part in places)
    images, edited, edits, sources = [], [], [], []
    for group in _in_order(makers):
        images.append(encode(group.crops))
        latents = encode(group.versions)
        edited.append(latents.view(len(group.crops), config.edits, *latents.shape[1:]))
        edits.append(torch.tensor(group.edits).view(len(group.crops), config.edits))
        sources.append(torch.tensor(group.photos))
        report(sum(len(part) for part in sources))
    return PairSet(torch.cat(images), torch.cat(edited), torch.cat(edits), torch.cat(sources))
