"""Stage 4: adversarial distillation to one step.

Real samples are those of the stage-3 teacher in a few steps. The student sees one of them noised at a timestep of a
coarse grid and answers x0; it descends the squared distance to the real sample and, after a warm-up, the judgement of a
discriminator that sees both through fresh noise. It then samples in a single step from pure noise.
"""

from __future__ import annotations

import numpy as np
import torch

from mobie_coreml.diffusion.samplers import SamplerMethod, sampler_steps
from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.errors import InputError
from mobie_coreml.models.checkpoint import Checkpoint
from mobie_coreml.models.unet import MobilePix2PixUNet
from mobie_coreml.training.adversarial import (
    approximate_r1,
    discriminator_hinge,
    exact_r1,
    logit_normal_timestep,
    ramp,
    student_hinge,
)
from mobie_coreml.training.attention import fast_attention
from mobie_coreml.training.discriminator import Heads, down_features, pooled_text
from mobie_coreml.training.distillation import DistillationStage, noisy_latents, scale_inputs
from mobie_coreml.training.examples import choose_size
from mobie_coreml.training.loop import Batch, Critic
from mobie_coreml.training.photos import generator
from mobie_coreml.training.stage_config import OneStepTraining
from mobie_coreml.training.teacher_samples import TeacherSamples

SAMPLING: tuple[SamplerMethod, int] = ("euler", 1)


def check_teacher(checkpoint: Checkpoint) -> None:
    """Refuses a checkpoint that is none of stage 3.

    Raises:
        InputError: it has no guidance inputs, or is a one-step model itself.
    """
    if checkpoint.info["provenance"].get("stage") == OneStepStage.name:
        raise InputError(
            f"{checkpoint.path} is a one-step model, not a teacher of one.",
            "Pass the teacher that it was trained with, and this one as --from to train it further.",
        )
    _check_guidance(checkpoint)


def _check_guidance(checkpoint: Checkpoint) -> None:
    if not checkpoint.networks.unet.guidance_embedding:
        raise InputError(
            f"{checkpoint.path} has no guidance inputs; stage 4 starts from a teacher that has them.",
            "Make one with `mobie train guidance`.",
        )


def check_student(checkpoint: Checkpoint) -> None:
    """Refuses a checkpoint that a one-step student cannot start from.

    Raises:
        InputError: it has no guidance inputs, or does not predict velocity.
    """
    _check_guidance(checkpoint)
    if checkpoint.schedule.prediction_type != "v_prediction":
        raise InputError(
            f"{checkpoint.path} predicts {checkpoint.schedule.prediction_type}; a one-step student predicts velocity.",
            "Make one with `mobie train velocity` and pass it as --from.",
        )


def check_options(config: OneStepTraining, schedule: NoiseSchedule) -> None:
    """Refuses before any work is done what the samplers would refuse after it.

    Raises:
        InputError: there is no such sampler, or it does not take as many steps.
    """
    sampler_steps(schedule, config.teacher_sampler, config.teacher_steps)
    sampler_steps(schedule, "euler", config.grid)


class OneStepStage(DistillationStage):
    """One step towards the teacher's several.

    Args:
        samples: The frozen teacher and its samples.
        student: Denoiser with guidance inputs that predicts velocity.
        config: Options.
    """

    name = "one-step"

    def __init__(self, samples: TeacherSamples, student: MobilePix2PixUNet, config: OneStepTraining) -> None:
        schedule = samples.material.parent.schedule.with_prediction("v_prediction")
        super().__init__(student, samples.material, config, schedule, SAMPLING)
        self.samples, self.config = samples, config
        self.grid = [step.timestep for step in sampler_steps(self.schedule, "euler", config.grid)]
        unet = student.config
        torch.manual_seed(self.material.seed)
        self.heads = Heads(
            unet.block_out_channels, config.critic.width, unet.cross_attention_dim, config.critic.guidance
        )
        self.critic: Critic | None = None
        if config.adversarial > 0:
            self.critic = Critic(
                self.heads,
                self.critic_loss,
                config.critic.updates,
                config.mse_steps,
                config.critic.learning_rate,
                betas=(0.5, 0.99),
            )

    def batch(self, step: int) -> Batch:
        """Conditions with real samples (or the noise to make them from), noise and timesteps for student and
        discriminator; every example has a generator of its own."""
        size = choose_size(self.material.examples, self.material.seed, step)
        count = self.material.examples.batches[size]
        rngs = [generator(self.material.seed, 5, size, step * count + place) for place in range(count)]
        batch = self.samples.batch(
            size, [self.samples.number(size, step * count + i, rng) for i, rng in enumerate(rngs)]
        )
        shape = tuple(batch.tensors["images"].shape[1:])
        looks = 1 + self.config.critic.updates
        largest = np.array([rng.random() < self.config.largest for rng in rngs])
        drawn = np.array([self.grid[rng.integers(len(self.grid))] for rng in rngs])
        timesteps = np.where(largest, self.grid[0], drawn)
        pure = (timesteps == self.grid[0]) & [rng.random() < self.config.pure for rng in rngs]
        noise = np.stack([rng.standard_normal(shape, np.float32) for rng in rngs])
        batch.tensors["timesteps"] = torch.from_numpy(timesteps)
        batch.tensors["pure"] = torch.from_numpy(pure)
        own = self.config.noise == "teacher"
        batch.tensors["noise"] = batch.tensors["teacher_noise"][:, 0] if own else torch.from_numpy(noise)
        if self.critic is not None:
            levels = [[self._look(rng) for _ in range(looks)] for rng in rngs]
            noises = np.stack([rng.standard_normal((looks + 1, *shape), np.float32) for rng in rngs])
            batch.tensors["look_timesteps"] = torch.tensor(levels)
            batch.tensors["look_noise"] = torch.from_numpy(noises)
        return batch

    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Squared distance to the real sample plus the weighted judgement of the discriminator."""
        tensors = batch.tensors
        states = self.material.text_states(tensors["ids"])
        real = self.real(tensors, states)
        noisy = noisy_latents(self.schedule, real, tensors)
        scales = (tensors["text_guidance"], tensors["image_guidance"])
        with fast_attention(noisy.device):
            sample = torch.cat([noisy, tensors["images"]], dim=1)
            output = self.network(sample, tensors["timesteps"], states, *scales).float()
        made = self.schedule.x0_from_output(noisy, output, tensors["timesteps"])
        squared = (made - real).square().mean()
        batch.tensors.update(real=real, made=made.detach(), states=states)
        figures = {"squared_error": float(squared.detach())}
        weight = self.config.adversarial * ramp(batch.step, self.config.mse_steps, self.config.ramp_steps)
        if self.critic is None or weight == 0:
            return squared, figures
        judged = student_hinge(self._judge(self._features(made, batch, 0), batch, 0))
        return squared + weight * judged, {**figures, "adversarial": float(judged.detach())}

    def real(self, tensors: dict[str, torch.Tensor], states: torch.Tensor) -> torch.Tensor:
        """Real samples (B, L, h, w) of a batch."""
        real = tensors["real"] if "real" in tensors else self.samples.make(tensors, states)
        if not self.config.true_edits:
            return real
        plain = (tensors["text_guidance"] == 1) & (tensors["image_guidance"] == 1)
        return torch.where(plain[:, None, None, None], tensors["edited"], real)

    def critic_loss(self, batch: Batch, update: int) -> tuple[torch.Tensor, dict[str, float]]:
        """The hinge loss of the heads and the penalty on their gradient at real samples."""
        options, look = self.config.critic, update + 1
        with torch.no_grad():
            real = self._features(batch.tensors["real"], batch, look)
            made = self._features(batch.tensors["made"], batch, look)
        exact = options.r1 == "exact" and options.r1_weight > 0
        real = [level.float().requires_grad_(exact) for level in real]
        real_logits, made_logits = self._judge(real, batch, look), self._judge(made, batch, look)
        loss = discriminator_hinge(real_logits, made_logits)
        figures = {
            "real_logit": float(torch.stack([one.detach().mean() for one in real_logits]).mean()),
            "made_logit": float(torch.stack([one.detach().mean() for one in made_logits]).mean()),
        }
        if options.r1 == "none" or options.r1_weight == 0:
            return loss, figures
        if exact:
            penalty = exact_r1(real_logits, real)
        else:
            with torch.no_grad():
                nudged = self._features(batch.tensors["real"], batch, look, options.r1_step)
            penalty = approximate_r1(real_logits, self._judge(nudged, batch, look), options.r1_step)
        return loss + options.r1_weight * penalty, {**figures, "r1": float(penalty.detach())}

    def _look(self, rng: np.random.Generator) -> int:
        options, timesteps = self.config.critic, self.schedule.num_train_timesteps
        if options.noise == "uniform":
            return int(rng.integers(timesteps))
        return logit_normal_timestep(rng, options.mean, options.deviation, timesteps)

    def _features(self, clean: torch.Tensor, batch: Batch, look: int, nudge: float = 0.0) -> list[torch.Tensor]:
        """Features of a sample through the noise of a look, where asked for with a little noise of its own before."""
        tensors, teacher = batch.tensors, self.samples.teacher.to(clean.device)
        if nudge:
            clean = clean + nudge * tensors["look_noise"][:, -1]
        timesteps = tensors["look_timesteps"][:, look]
        noisy = self.schedule.add_noise(clean, tensors["look_noise"][:, look], timesteps)
        sample = torch.cat([noisy, tensors["images"]], dim=1)
        with fast_attention(clean.device):
            return down_features(teacher, sample, timesteps, tensors["states"], scale_inputs(teacher, tensors))

    def _judge(self, features: list[torch.Tensor], batch: Batch, look: int) -> list[torch.Tensor]:
        tensors = batch.tensors
        scales = (tensors["text_guidance"], tensors["image_guidance"])
        text = pooled_text(tensors["states"], tensors["ids"])
        logits: list[torch.Tensor] = self.heads(features, tensors["look_timesteps"][:, look], scales, text)
        return logits
