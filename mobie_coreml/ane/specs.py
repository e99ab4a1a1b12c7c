"""Names, shapes, types, units and ranges of every component's inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass

from mobie_coreml.ane.layout import Layout, conditioning_layout
from mobie_coreml.ane.tensors import Source, TensorSpec
from mobie_coreml.errors import InputError
from mobie_coreml.models.checkpoint import Checkpoint
from mobie_coreml.models.checkpoint_files import Networks
from mobie_coreml.models.config import POSITIONS

MAXIMUM_SIDE = 4096
"""Largest side of a frame in pixels; Neural Engine tensors end at 16384, and attention's memory long before."""

Specs = tuple[TensorSpec, ...]


@dataclass(frozen=True)
class Sizes:
    """Everything that shapes depend on.

    Attributes:
        width: Of the frame, in pixels.
        height: Of the frame, in pixels.
        latents: Shape of latents, (1, L, h, w).
        text_width: Channels of the text states.
        layout: Packing of the conditioning.
    """

    width: int
    height: int
    latents: tuple[int, int, int, int]
    text_width: int
    layout: Layout

    @classmethod
    def of(cls, networks: Networks, size: tuple[int, int]) -> Sizes:
        """Sizes for frames of (width, height) pixels.

        Raises:
            InputError: a side is not a positive multiple of the autoencoder's factor, or is too large.
        """
        width, height = size
        factor = networks.autoencoder.factor
        if any(side < factor or side % factor or side > MAXIMUM_SIDE for side in size):
            raise InputError(
                f"A frame of {width}x{height} pixels cannot be encoded.",
                f"Both sides must be multiples of {factor}, up to {MAXIMUM_SIDE}.",
            )
        channels = networks.autoencoder.latent_channels
        return cls(
            width=width,
            height=height,
            latents=(1, channels, height // factor, width // factor),
            text_width=networks.text_encoder.hidden_size,
            layout=conditioning_layout(networks.unet),
        )


def component_specs(name: str, checkpoint: Checkpoint, sizes: Sizes) -> tuple[Specs, Specs]:
    """Inputs and outputs of one component, in the order of its module's arguments and results."""
    frame_shape = (1, 3, sizes.height, sizes.width)
    pixels = f"RGB, {sizes.width}x{sizes.height} pixels, 8 bits a channel"
    if name == "TextEncoder":
        return (_input_ids(checkpoint),), (_text_states(sizes, "the prompt"),)
    if name == "Conditioner":
        return _conditioner_inputs(checkpoint, sizes), _conditioning(sizes, is_output=True)
    if name == "Encoder":
        frame = TensorSpec("frame", frame_shape, "image", "frame", f"Camera frame, {pixels}.", 0, 255)
        return (frame,), (_latents("image_latents", sizes, "", "Latents of the frame"),)
    if name == "Denoiser":
        inputs = (
            _latents("image_latents", sizes, "latents", "Latents of the frame, from the Encoder; zeros for no image"),
            _latents("noisy_latents", sizes, "noise", "Latents of this step: standard normal noise at the first one"),
            *_conditioning(sizes, is_output=False),
        )
        return inputs, (_latents("denoised_latents", sizes, "", "Estimate of the edited frame's latents (x0)"),)
    latents = _latents("denoised_latents", sizes, "latents", "Latents after the last step")
    return (latents,), (TensorSpec("edited_frame", frame_shape, "image", "", f"Edited frame, {pixels}.", 0, 255),)


def _latents(name: str, sizes: Sizes, source: Source, what: str) -> TensorSpec:
    description = f"{what}; scaled to unit variance, about -5 to 5, no unit."
    return TensorSpec(name, sizes.latents, "float16", source, description)


def _input_ids(checkpoint: Checkpoint) -> TensorSpec:
    last = checkpoint.networks.text_encoder.vocab_size - 1
    return TensorSpec(
        "input_ids",
        (1, POSITIONS),
        "int32",
        "prompt",
        f"Token numbers of the prompt with start and end, padded to {POSITIONS}; 0 to {last}.",
        0,
        last,
    )


def _text_states(sizes: Sizes, of: str, *, is_output: bool = True) -> TensorSpec:
    return TensorSpec(
        "text_states",
        (1, sizes.text_width, 1, POSITIONS),
        "float16",
        "" if is_output else "text_encoder",
        f"Hidden states of {of}, one column a token; about -30 to 30, no unit.",
    )


def _conditioner_inputs(checkpoint: Checkpoint, sizes: Sizes) -> Specs:
    last = checkpoint.schedule.num_train_timesteps - 1
    specs = [
        _text_states(sizes, "the prompt, from the TextEncoder", is_output=False),
        TensorSpec(
            "timestep",
            (1,),
            "float32",
            "schedule",
            f"Timestep of the noise schedule that noisy_latents are at; a whole number from 0 to {last}.",
            0,
            last,
        ),
    ]
    if checkpoint.networks.unet.guidance_embedding:
        effects = {"text": "how strongly the prompt is followed", "image": "how closely the frame is kept"}
        for kind, effect in effects.items():
            limits = checkpoint.info["guidance"][kind]
            minimum, maximum = float(limits["minimum"]), float(limits["maximum"])
            specs.append(
                TensorSpec(
                    f"{kind}_guidance",
                    (1,),
                    "float32",
                    "guidance",
                    f"{kind.capitalize()} guidance scale, {effect}; {minimum:g} to {maximum:g}, no unit.",
                    minimum,
                    maximum,
                )
            )
    return tuple(specs)


def _conditioning(sizes: Sizes, *, is_output: bool) -> Specs:
    source: Source = "" if is_output else "conditioner"
    layout = sizes.layout
    return (
        TensorSpec(
            "shifts",
            (1, sum(layout.shift_sizes), 1, 1),
            "float16",
            source,
            f"What timestep and guidance add to each of {len(layout.shifts)} ResNet blocks, in running order; the last "
            "two channels are x_scale and out_scale of x0 = x_scale * noisy_latents + out_scale * prediction. No unit.",
        ),
        TensorSpec(
            "text_kv",
            (1, sum(layout.key_value_sizes), 1, POSITIONS),
            "float16",
            source,
            f"Keys and values of each of {len(layout.attentions)} cross-attentions, in running order. No unit.",
        ),
    )
