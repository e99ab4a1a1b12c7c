"""The five components of a model: module, inputs, outputs and weights of each.

component = build_component("Denoiser", load_checkpoint("nano"))
denoised = component.module(*(spec.example() for spec in component.inputs))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mobie_coreml.ane.attention import ATTENTION_FORMS, AttentionForm
from mobie_coreml.ane.autoencoder import Decoder, Encoder
from mobie_coreml.ane.conditioner import Conditioner
from mobie_coreml.ane.denoiser import Denoiser
from mobie_coreml.ane.specs import Sizes, component_specs
from mobie_coreml.ane.tensors import TensorSpec
from mobie_coreml.ane.text_encoder import TextEncoder
from mobie_coreml.errors import InputError
from mobie_coreml.models.checkpoint import Checkpoint
from mobie_coreml.models.checkpoint_files import Part

ComponentName = Literal["TextEncoder", "Conditioner", "Encoder", "Denoiser", "Decoder"]
COMPONENTS: tuple[ComponentName, ...] = get_args(ComponentName)
"""In the order in which a host runs them."""

Array = npt.NDArray[Any]

_PARTS: Mapping[ComponentName, Part] = {
    "TextEncoder": "text_encoder",
    "Conditioner": "unet",
    "Encoder": "vae",
    "Denoiser": "unet",
    "Decoder": "vae",
}


@dataclass(frozen=True)
class Component:
    """One component.

    Attributes:
        name: One of COMPONENTS.
        module: Takes the inputs in order, positionally, and returns the outputs in order (a tensor where there is one).
            Paths of its submodules are those of the reference network wherever that has a counterpart. Parameters are
            weights, stored in any precision; buffers are constants that must keep fp32.
        inputs: What goes in.
        outputs: What comes out.
        compute: Arithmetic that its package must use.
        part: The checkpoint's part that its weights are in, under the module's own parameter names.
        load_weight: Gives a parameter or buffer by its name in the module, in the module's shape, as stored: fp16 or
            fp32. Nothing is kept, so that a whole network can be written with one weight in memory at a time.
    """

    name: ComponentName
    module: nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    compute: Literal["fp16", "fp32"]
    part: Part
    load_weight: Callable[[str], Array]

    def example_inputs(self) -> tuple[torch.Tensor, ...]:
        """Zeros for every input, on the device of the module's parameters."""
        device = next(self.module.parameters()).device
        return tuple(spec.example(device) for spec in self.inputs)


def build_component(
    name: str,
    checkpoint: Checkpoint,
    *,
    size: tuple[int, int] | None = None,
    attention: str = "split-einsum",
    materialise: bool = True,
) -> Component:
    """Builds one component of a checkpoint.

    Args:
        name: One of COMPONENTS.
        checkpoint: Where shapes and weights come from.
        size: Frame (width, height) in pixels; the checkpoint's own by default.
        attention: One of ATTENTION_FORMS.
        materialise: Load weights as fp32; otherwise parameters and buffers stay on the meta device and only
            `load_weight` reads them.

    Raises:
        InputError: name, size or attention form is not one that exists, or a tensor of the checkpoint has another shape
            than the network.
    """
    if name not in COMPONENTS:
        raise InputError(f"There is no component {name!r}.", f"Components are {', '.join(COMPONENTS)}.")
    if attention not in ATTENTION_FORMS:
        raise InputError(
            f"There is no attention form {attention!r}.", f"Attention forms are {', '.join(ATTENTION_FORMS)}."
        )
    component_name, form = COMPONENTS[COMPONENTS.index(name)], ATTENTION_FORMS[ATTENTION_FORMS.index(attention)]
    sizes = Sizes.of(checkpoint.networks, checkpoint.frame_size if size is None else size)
    inputs, outputs = component_specs(component_name, checkpoint, sizes)
    with torch.device("meta"):
        module = _module(component_name, checkpoint, form).eval().requires_grad_(False)
    part = _PARTS[component_name]
    shapes = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    constants: Mapping[str, Array] = getattr(module, "constants", {})

    def load_weight(key: str) -> Array:
        if key in constants:
            return constants[key]
        if key not in shapes:
            raise InputError(f"{component_name} has no weight {key!r}.")
        stored = checkpoint.tensor(part, key)
        if stored.size != int(np.prod(shapes[key])):
            raise InputError(
                f"{key} has shape {list(stored.shape)} in the checkpoint, {list(shapes[key])} in {component_name}."
            )
        return stored.reshape(shapes[key])

    if materialise:
        state = {key: torch.tensor(load_weight(key), dtype=torch.float32) for key in shapes}
        module.load_state_dict(state, assign=True)
        module.requires_grad_(False)
    return Component(
        name=component_name,
        module=module,
        inputs=inputs,
        outputs=outputs,
        compute="fp32" if component_name == "Conditioner" else "fp16",
        part=part,
        load_weight=load_weight,
    )


def _module(name: ComponentName, checkpoint: Checkpoint, form: AttentionForm) -> nn.Module:
    networks = checkpoint.networks
    modules: dict[ComponentName, Callable[[], nn.Module]] = {
        "TextEncoder": lambda: TextEncoder(networks.text_encoder, form),
        "Conditioner": lambda: Conditioner(networks.unet, checkpoint.schedule),
        "Encoder": lambda: Encoder(networks.autoencoder),
        "Denoiser": lambda: Denoiser(networks.unet, form),
        "Decoder": lambda: Decoder(networks.autoencoder),
    }
    return modules[name]()
