"""What is promised about components: shapes, streaming of weights, names, and graphs within the engine's rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from mobie_coreml.ane.components import COMPONENTS, Component, build_component
from mobie_coreml.ane.conditioner import Conditioner
from mobie_coreml.ane.denoiser import Denoiser
from mobie_coreml.ane.layout import conditioning_layout
from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.errors import InputError
from mobie_coreml.models.checkpoint import Checkpoint
from mobie_coreml.models.checkpoint_files import Part
from mobie_coreml.models.presets import PRESETS
from mobie_coreml.models.unet import MobilePix2PixUNet

MakeCheckpoint = Callable[..., Checkpoint]
PARTS: dict[str, Part] = {
    "TextEncoder": "text_encoder",
    "Conditioner": "unet",
    "Encoder": "vae",
    "Denoiser": "unet",
    "Decoder": "vae",
}

# Everything the graphs are made of. What is not here is either unknown on the Neural Engine or moves data about.
FRAME_OPERATIONS = {
    *("conv2d", "einsum", "matmul", "softmax", "channel_layer_norm", "silu", "gelu", "relu", "tanh", "clamp"),
    *("add", "sub", "mul", "div", "reciprocal", "rsqrt", "mean", "amax", "amin"),
    *("cat", "split", "split_with_sizes", "chunk", "getitem", "slice", "reshape", "transpose", "upsample_nearest2d"),
    # Once a frame, and one operation of a package: channels to blocks of pixels, behind the Decoder's linear path.
    "pixel_shuffle",
}
PROMPT_OPERATIONS = FRAME_OPERATIONS | {
    *("embedding", "linear", "sigmoid", "sin", "cos", "round", "to", "_assert_tensor_metadata", "unsqueeze"),
}


def outputs_of(component: Component) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        result = component.module(*component.example_inputs())
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("guidance", [False, True])
@pytest.mark.parametrize("name", COMPONENTS)
def test_specs_are_what_the_modules_take_and_give(name: str, guidance: bool, make_checkpoint: MakeCheckpoint) -> None:
    component = build_component(name, make_checkpoint("nano", guidance))
    assert [tuple(output.shape) for output in outputs_of(component)] == [spec.shape for spec in component.outputs]
    names = [spec.name for spec in component.inputs]
    if name == "Conditioner":
        scales = ["text_guidance", "image_guidance"] if guidance else []
        assert names == ["text_states", "timestep", *scales]
        assert component.compute == "fp32"
    else:
        assert component.compute == "fp16"
    for spec in component.inputs:
        assert spec.source, spec.name
        assert spec.description.endswith(".")
    for spec in component.outputs:
        assert not spec.source
        assert spec.description.endswith(".")


def test_values_pass_from_component_to_component_under_one_name(make_checkpoint: MakeCheckpoint) -> None:
    checkpoint = make_checkpoint("mobile", True)
    made: dict[str, tuple[tuple[int, ...], str]] = {}
    for name in COMPONENTS:
        component = build_component(name, checkpoint, materialise=False)
        for spec in component.inputs:
            if spec.source in ("conditioner", "text_encoder") or spec.name == "image_latents":
                assert made[spec.name] == (spec.shape, spec.dtype)
        made.update({spec.name: (spec.shape, spec.dtype) for spec in component.outputs})


def test_frame_size_is_the_checkpoint_s_own_or_the_one_asked_for(make_checkpoint: MakeCheckpoint) -> None:
    checkpoint = make_checkpoint("mobile")
    assert build_component("Encoder", checkpoint, materialise=False).inputs[0].shape == (1, 3, 384, 512)
    assert build_component("Denoiser", checkpoint, size=(480, 360), materialise=False).inputs[0].shape == (1, 4, 45, 60)


@pytest.mark.parametrize("guidance", [False, True])
@pytest.mark.parametrize("name", COMPONENTS)
def test_weights_stream_one_at_a_time(name: str, guidance: bool, make_checkpoint: MakeCheckpoint) -> None:
    checkpoint = make_checkpoint("nano", guidance)
    bare = build_component(name, checkpoint, materialise=False)
    full = build_component(name, checkpoint)
    assert all(tensor.device.type == "meta" for tensor in bare.module.state_dict().values())
    for key, value in full.module.state_dict().items():
        stored = bare.load_weight(key)
        assert stored.shape == tuple(value.shape) == tuple(bare.module.state_dict()[key].shape)
        assert np.array_equal(stored, value.numpy()), key


def test_every_weight_of_the_checkpoint_is_in_exactly_the_components_that_need_it(
    make_checkpoint: MakeCheckpoint,
) -> None:
    checkpoint = make_checkpoint("nano", True)
    used: dict[Part, list[str]] = {"unet": [], "vae": [], "text_encoder": []}
    for name in COMPONENTS:
        component = build_component(name, checkpoint, materialise=False)
        assert component.part == PARTS[name]
        used[component.part].extend(key for key, _ in component.module.named_parameters())
    for part, names in used.items():
        assert sorted(names) == sorted(checkpoint.shapes(part))


@pytest.mark.parametrize("guidance", [False, True])
@pytest.mark.parametrize("preset", PRESETS)
def test_full_size_networks_split_into_conditioner_and_denoiser(preset: str, guidance: bool) -> None:
    config = dataclasses.replace(PRESETS[preset].unet, guidance_embedding=guidance)
    with torch.device("meta"):
        whole = MobilePix2PixUNet(config)
        parts = (Conditioner(config, NoiseSchedule()), Denoiser(config, "split-einsum"))
    sizes = {key: value.numel() for part in parts for key, value in part.named_parameters()}
    assert sizes == {key: value.numel() for key, value in whole.named_parameters()}
    assert sum(sizes.values()) == sum(value.numel() for part in parts for value in part.parameters())


@pytest.mark.parametrize("name", COMPONENTS)
def test_module_paths_are_the_reference_s(name: str, make_checkpoint: MakeCheckpoint) -> None:
    checkpoint = make_checkpoint("mobile", True)
    component = build_component(name, checkpoint, materialise=False)
    reference = checkpoint.networks.build(component.part)
    known = {path for path, _ in reference.named_modules()}
    assert {path for path, _ in component.module.named_modules()} <= known


def test_packing_follows_the_order_in_which_the_network_runs(make_checkpoint: MakeCheckpoint) -> None:
    checkpoint = make_checkpoint("mobile")
    layout = conditioning_layout(checkpoint.networks.unet)
    unet = checkpoint.unet()
    ran: list[str] = []

    def noted(path: str) -> Callable[..., None]:
        return lambda *_: ran.append(path)

    for path, module in unet.named_modules():
        if path.endswith("attn2") or path.split(".")[-2:-1] == ["resnets"]:
            module.register_forward_hook(noted(path))
    with torch.no_grad():
        unet(torch.zeros(1, 8, 8, 8), torch.zeros(1), torch.zeros(1, 77, checkpoint.networks.unet.cross_attention_dim))
    assert [slot.path for slot in layout.shifts] == [path for path in ran if "resnets" in path]
    assert [slot.path for slot in layout.attentions] == [path for path in ran if "attn2" in path]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        *((name, "split-einsum") for name in COMPONENTS),
        *(("TextEncoder", form) for form in ("original", "split-einsum-v2")),
        *(pytest.param("Denoiser", form, marks=pytest.mark.slow) for form in ("original", "split-einsum-v2")),
    ],
)
def test_graphs_keep_the_engine_s_rules(name: str, form: str, make_checkpoint: MakeCheckpoint) -> None:
    component = build_component(name, make_checkpoint("nano"), size=(480, 360), attention=form, materialise=False)
    program = torch.export.export(component.module, component.example_inputs(), strict=False)
    allowed = FRAME_OPERATIONS if name in ("Encoder", "Denoiser", "Decoder") else PROMPT_OPERATIONS
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        operation = "getitem" if "getitem" in str(node.target) else str(node.target).split(".")[1]
        assert operation in allowed
        value = node.meta["val"]
        for tensor in value if isinstance(value, (list, tuple)) else [value]:
            if tensor is None:  # torch.export's own assertions have no result
                continue
            assert tensor.ndim <= 5
            assert all(isinstance(side, int) and side <= 16384 for side in tensor.shape)
            assert tensor.dtype is torch.float32 or name in ("TextEncoder", "Conditioner")
        if operation == "slice":
            assert node.args[2] == 0, "a slice with an offset on the last axis breaks large values on the engine"


@pytest.mark.parametrize("name", ["Encoder", "Denoiser", "Decoder", "TextEncoder", "Conditioner"])
def test_components_hold_up_in_fp16(
    name: str,
    make_checkpoint: MakeCheckpoint,
    half_precision: Callable[[], torch.utils._python_dispatch.TorchDispatchMode],
    psnr: Callable[[torch.Tensor, torch.Tensor], float],
) -> None:
    """The gate of a package in fp16 arithmetic is 40 dB; the Conditioner computes in fp32 and gives fp16."""
    component = build_component(name, make_checkpoint("nano", True, "v_prediction"))
    torch.manual_seed(0)
    given = [_random_input(component, index) for index in range(len(component.inputs))]
    with torch.no_grad():
        expected = component.module(*given)
        if name == "Conditioner":
            expected, result = (torch.cat([each.flatten() for each in expected]) for _ in range(2))
            result = result.half().float()
        else:
            for parameter in component.module.parameters():
                parameter.copy_(parameter.half().float())
            with half_precision():
                result = component.module(*given)
    assert psnr(result, expected) >= 50


def _random_input(component: Component, index: int) -> torch.Tensor:
    spec = component.inputs[index]
    if spec.dtype == "int32":
        return torch.randint(0, 1000, spec.shape, dtype=torch.int32)
    if spec.dtype == "image":
        return torch.randint(0, 256, spec.shape).float()
    if spec.maximum is not None:
        return torch.full(spec.shape, spec.maximum)
    return torch.randn(spec.shape).half().float()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "Denoizer"}, "no component 'Denoizer'"),
        ({"name": "Denoiser", "attention": "flash"}, "no attention form 'flash'"),
        ({"name": "Denoiser", "size": (250, 192)}, "250x192"),
        ({"name": "Encoder", "size": (256, 0)}, "256x0"),
        ({"name": "Decoder", "size": (-8, 64)}, "-8x64"),
        ({"name": "Decoder", "size": (100000, 64)}, "100000x64"),
    ],
)
def test_wrong_use_is_refused(arguments: dict[str, object], message: str, make_checkpoint: MakeCheckpoint) -> None:
    with pytest.raises(InputError, match=message) as caught:
        build_component(checkpoint=make_checkpoint("nano"), **arguments)  # type: ignore[arg-type]
    assert caught.value.hint


def test_an_unknown_weight_is_refused(make_checkpoint: MakeCheckpoint) -> None:
    component = build_component("Encoder", make_checkpoint("nano"), materialise=False)
    with pytest.raises(InputError, match=r"decoder\.layers\.0\.weight"):
        component.load_weight("decoder.layers.0.weight")
