"""Samples of the stage-3 teacher, made when they are needed or beforehand and kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from mobie_coreml.diffusion.samplers import sampler_steps
from mobie_coreml.files import atomic_file
from mobie_coreml.models.unet import MobilePix2PixUNet
from mobie_coreml.training.attention import fast_attention
from mobie_coreml.training.distillation import Material, collate, frozen, scale_inputs
from mobie_coreml.training.loop import Batch
from mobie_coreml.training.photos import generator
from mobie_coreml.training.processes import half_where_fast, main_first
from mobie_coreml.training.sampling import fresh_draws, sample
from mobie_coreml.training.stage_config import OneStepTraining
from mobie_coreml.training.storage import load_cache, writing


class TeacherSamples:
    """A teacher and what it makes of numbered conditions.

    Args:
        teacher: Denoiser with guidance inputs; it is frozen.
        material: Data; its parent is the teacher's checkpoint.
        config: How it samples, and how many samples are made beforehand.
    """

    def __init__(self, teacher: MobilePix2PixUNet, material: Material, config: OneStepTraining) -> None:
        self.teacher, self.material, self.config = frozen(teacher), material, config
        self.steps = sampler_steps(material.parent.schedule, config.teacher_sampler, config.teacher_steps)
        self._pool: list[torch.Tensor] = []

    def number(self, size: int, example: int, rng: np.random.Generator) -> int:
        """The number of the conditions of an example: one of those in the pool, else its own."""
        return int(rng.integers(len(self._pool[size]))) if self._pool else example

    def batch(self, size: int, numbers: list[int]) -> Batch:
        """Conditions of these numbers, the noise that sampling takes (`teacher_noise`, (B, draws, L, h, w)) and, from
        the pool, the samples (`real`)."""
        drawn, noises = [], []
        for number in numbers:
            rng = generator(self.material.seed, 4, size, number)
            drawn.append(self.material.conditions(size, rng))
            shape = (1 + fresh_draws(self.steps), *drawn[-1].example.image.shape)
            noises.append(rng.standard_normal(shape, np.float32))
        batch = collate(drawn)
        batch.tensors["teacher_noise"] = torch.from_numpy(np.stack(noises))
        if self._pool:
            batch.tensors["real"] = self._pool[size][numbers].float()
        return batch

    def make(self, tensors: dict[str, torch.Tensor], states: torch.Tensor) -> torch.Tensor:
        """Samples (B, L, h, w) of a batch."""
        noise, schedule = tensors["teacher_noise"], self.material.parent.schedule
        teacher = self.teacher.to(noise.device)
        with fast_attention(noise.device):
            return sample(
                teacher, schedule, self.steps, tensors["images"], states, scale_inputs(teacher, tensors), noise
            )

    def fill(self, folder: Path, advance: Callable[[int, int], None] | None = None) -> None:
        """Makes the pool, or reads it from `folder` where it lies from an earlier run.

        Args:
            folder: Where pools live.
            advance: Called with (samples made, samples in all).
        """
        examples = self.material.examples
        whole = sum(examples.shares)
        counts = [max(1, round(self.config.pool * share / whole)) for share in examples.shares]
        path = folder / f"samples-{self._digest()[:16]}.safetensors"
        with main_first():
            if not path.is_file():
                made = {}
                done = 0
                for size, count in enumerate(counts):
                    parts = []
                    for start in range(0, count, examples.batches[size]):
                        numbers = list(range(start, min(start + examples.batches[size], count)))
                        parts.append(self._sample(size, numbers))
                        done += len(numbers)
                        if advance is not None:
                            advance(done, sum(counts))
                    made[str(size)] = torch.cat(parts)
                with writing(path, "Free some space and start again."), atomic_file(path) as temporary:
                    save_file(made, temporary)
        loaded = load_cache(path)
        self._pool = [loaded[str(size)] for size in range(len(counts))]

    def _sample(self, size: int, numbers: list[int]) -> torch.Tensor:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        tensors = {name: tensor.to(device) for name, tensor in self.batch(size, numbers).tensors.items()}
        states = self.material.text_states(tensors["ids"])
        with half_where_fast(device):
            return self.make(tensors, states).to("cpu", torch.float16)

    def _digest(self) -> str:
        """Identifies a pool: teacher, data, scales, sampler, number, seed."""
        config, material = self.config, self.material
        options = {
            "teacher": material.parent.digest,
            "data": material.examples.describe(),
            "scales": asdict(material.scales),
            "sampling": [config.teacher_sampler, config.teacher_steps, config.pool],
            "seed": material.seed,
        }
        return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()
