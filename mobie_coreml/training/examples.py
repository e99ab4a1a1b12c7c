"""What a denoiser is trained on, wherever it comes from: latents of a photograph and of its edit, and the instruction.

An example is a function of its number alone, so that any process can make any of them again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from mobie_coreml.edits import EDITS
from mobie_coreml.training.config import TeacherTraining
from mobie_coreml.training.latents import PairSet
from mobie_coreml.training.photos import Photos, generator
from mobie_coreml.training.validation import HeldOut, edited_photos
from mobie_coreml.training.wording import vary_wording

VARIANTS = 8
"""Different wordings of one phrase that examples show: so many that the text encoder's answers can be kept."""


@dataclass(frozen=True)
class Example:
    """One triple as latents (L, h, w), fp32; `name` says what it was made from."""

    image: torch.Tensor
    edited: torch.Tensor
    prompt: str
    name: str


class Examples(Protocol):
    """A source of examples, in one or more sizes of latents; a batch has one size."""

    shares: tuple[float, ...]
    """How often a batch has each size."""
    batches: tuple[int, ...]
    """Examples of a batch of each size."""
    digest: str
    """SHA-256 of the data and of how it is used."""

    def example(self, size: int, rng: np.random.Generator) -> Example:
        """An example drawn by `rng`."""
        ...

    def held_out(self) -> HeldOut:
        """What to validate on."""
        ...

    def describe(self) -> dict[str, Any]:
        """What a resumed run must be given again, as JSON."""
        ...

    def summary(self) -> str:
        """One line for people."""
        ...


def choose_size(examples: Examples, seed: int, number: int) -> int:
    """The size of the examples in a batch of a number."""
    shares = np.array(examples.shares)
    return int(generator(seed, 2, number).choice(len(shares), p=shares / shares.sum()))


class EditedPhotos:
    """Crops of photographs and their procedural edits, from the latent cache."""

    def __init__(
        self,
        pairs: list[PairSet],
        photos: Photos,
        config: TeacherTraining,
        frame_size: tuple[int, int],
        digest: str,
        seed: int,
    ) -> None:
        self.pairs, self.photos, self.frame_size, self.digest, self.seed = pairs, photos, frame_size, digest, seed
        self.shares = tuple(item.share for item in config.crop_sets)
        self.batches = tuple(item.batch for item in config.crop_sets)
        self._phrases = [edit.phrases for edit in EDITS.values()]

    def example(self, size: int, rng: np.random.Generator) -> Example:
        """A crop, one of its edits, one of that edit's phrases in one of its wordings."""
        pairs = self.pairs[size]
        row, column = int(rng.integers(len(pairs.images))), int(rng.integers(pairs.edited.shape[1]))
        edit = int(pairs.edits[row, column])
        phrase, variant = int(rng.integers(len(self._phrases[edit]))), int(rng.integers(VARIANTS))
        prompt = vary_wording(self._phrases[edit][phrase], generator(self.seed, 3, edit, phrase, variant))
        name = self.photos.training[int(pairs.photos[row])].name
        return Example(pairs.images[row].float(), pairs.edited[row, column].float(), prompt, name)

    def held_out(self) -> HeldOut:
        """Held-out photographs, each with another edit at full strength in its canonical wording."""
        return edited_photos(self.photos.held_out, self.frame_size)

    def describe(self) -> dict[str, Any]:
        """Photographs and sizes of batches."""
        return {"photographs": len(self.photos.training), "data_sha256": self.digest, "batches": list(self.batches)}

    def summary(self) -> str:
        """Photographs, held out and left out."""
        return f"Procedural edits of {self.photos.summary()}"
