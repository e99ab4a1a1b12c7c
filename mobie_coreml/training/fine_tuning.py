"""Stages 1 and 2: a teacher made of another one, on triples or on procedural edits of photographs.

The student takes every weight of the other that it has a place for, so that one without attention at the highest
resolution starts from one with it, and learns to denoise the data's edits: the same squared error and the same dropped
conditions as in the training of InstructPix2Pix (Brooks et al. 2022, arXiv 2211.09800, section 3.2). Where asked, the
unpruned network's features are learnt from too; the method's paper does not say how its pruned network was trained.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mobie_coreml.errors import InputError
from mobie_coreml.models.checkpoint import Checkpoint
from mobie_coreml.models.config import UNetConfig
from mobie_coreml.models.unet import MobilePix2PixUNet
from mobie_coreml.training.attention import fast_attention
from mobie_coreml.training.distillation import DistillationStage, Material, frozen, noisy_batch, noisy_latents
from mobie_coreml.training.examples import choose_size
from mobie_coreml.training.features import block_features, check_same_blocks, feature_error
from mobie_coreml.training.loop import Batch
from mobie_coreml.training.photos import generator
from mobie_coreml.training.stage_config import FineTuning
from mobie_coreml.training.teacher import TeacherNetwork, dropped_conditions
from mobie_coreml.training.text_states import TextStates


def check_parent(checkpoint: Checkpoint) -> None:
    """Refuses a checkpoint of a later stage.

    Raises:
        InputError: it has guidance inputs.
    """
    if checkpoint.networks.unet.guidance_embedding:
        raise InputError(
            f"{checkpoint.path} has guidance inputs: it is of stage 3 or later, not a teacher guided in three passes.",
            "Pass a teacher as --teacher, or train this one on with the command of its own stage.",
        )


def with_weights_that_fit(unet: MobilePix2PixUNet, config: UNetConfig) -> MobilePix2PixUNet:
    """A network of another shape with the weights of `unet`, of which it may leave some out.

    Raises:
        InputError: it has weights that `unet` lacks, or of another shape.
    """
    student = MobilePix2PixUNet(config)
    found, wanted = unet.state_dict(), student.state_dict()
    unlike = [name for name, value in wanted.items() if name not in found or found[name].shape != value.shape]
    if unlike:
        raise InputError(
            f"The denoiser to train has {len(unlike)} weights that the teacher lacks or has in another shape, "
            f"the first is {unlike[0]}.",
            "Start from a teacher of the same preset, or of base for mobile.",
        )
    student.load_state_dict({name: found[name] for name in wanted})
    return student


class FineTuningStage(DistillationStage):
    """Denoising of edits given image and instruction.

    Args:
        student: What is trained.
        material: Data and what is written; a copy of its text encoder is trained too where the options say so.
        config: Options.
        unpruned: The checkpoint whose features are learnt from, where the options say so.

    Raises:
        InputError: the unpruned network's blocks have other shapes than the student's.
    """

    name = "teacher"

    def __init__(
        self, student: MobilePix2PixUNet, material: Material, config: FineTuning, unpruned: Checkpoint | None
    ) -> None:
        super().__init__(student, material, config, material.parent.schedule)
        self.config = config
        if config.train_text:
            text_encoder = copy.deepcopy(material.text_states.encoder).train().requires_grad_(True)
            self.network = TeacherNetwork(student, text_encoder)
        self.unpruned: MobilePix2PixUNet | None = None
        if unpruned is not None:
            check_same_blocks(student.config, unpruned.networks.unet)
            self.unpruned = frozen(unpruned.unet())
            self._unpruned_states = TextStates(unpruned.text_encoder(), unpruned.tokenizer)

    def batch(self, step: int) -> Batch:
        """Images, edits, token ids and noise, conditions dropped."""
        material, config = self.material, self.config
        batch = noisy_batch(material, config.noise, self.schedule.num_train_timesteps, step)
        count = len(batch.sources)
        size = choose_size(material.examples, material.seed, step)
        drawn = [generator(material.seed, 6, size, step * count + place).random() for place in range(count)]
        no_image, no_text = dropped_conditions(
            torch.tensor(drawn), config.drop_image, config.drop_both, config.drop_text
        )
        batch.tensors["images"][no_image] = 0.0
        batch.tensors["ids"][no_text] = material.text_states.null_ids
        return batch

    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Squared error of the output against the schedule's target, and the distance of features."""
        tensors = batch.tensors
        edited, timesteps = tensors["edited"], tensors["timesteps"]
        sample = torch.cat([noisy_latents(self.schedule, edited, tensors), tensors["images"]], dim=1)
        with fast_attention(edited.device), block_features(self.student) as features:
            if self.config.train_text:
                output = self.network(sample, timesteps, tensors["ids"]).float()
            else:
                output = self.network(sample, timesteps, self.material.text_states(tensors["ids"])).float()
        squared = (output - self.schedule.target(edited, tensors["noise"], timesteps)).square().mean()
        figures = {"squared_error": float(squared.detach())}
        if self.unpruned is None:
            return squared, figures
        states = self._unpruned_states(tensors["ids"])
        unpruned = self.unpruned.to(sample.device)
        with torch.no_grad(), fast_attention(edited.device), block_features(unpruned) as theirs:
            answer = unpruned(sample, timesteps, states).float()
        distance, more = feature_error(features, theirs, self.config.features)
        gap = (output - answer).square().mean()
        figures |= {**more, "output_error": float(gap.detach())}
        return squared + distance + self.config.features.output * gap, figures

    def validate(self, network: nn.Module) -> dict[str, float]:
        """PSNR of edits in one pass a step."""
        if isinstance(network, TeacherNetwork):
            return replace(self._validation, text_encoder=network.text_encoder).figures(network.unet)
        return super().validate(network)

    def export(self, network: nn.Module, folder: Path, info: dict[str, Any]) -> None:
        """Writes a checkpoint with `network` as its denoiser and, where it is trained, its text encoder."""
        if isinstance(network, TeacherNetwork):
            self.material.export(network.unet, self.schedule, folder, info, text_encoder=network.text_encoder)
        else:
            super().export(network, folder, info)
