"""The UNet against diffusers' UNet2DConditionModel with the same random weights, and its guidance inputs."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn

from mobie_coreml.errors import InputError
from mobie_coreml.models.config import UNetConfig
from mobie_coreml.models.presets import PRESETS, Preset, narrowed
from mobie_coreml.models.unet import MobilePix2PixUNet

# The true counts: Stable Diffusion 1.5's UNet with eight input channels, and the same without attention at the top.
PARAMETERS = {"base": 859_532_484, "mobile": 846_801_284}
SIZES = [(64, 48), (60, 60), (48, 64)]


def checked_preset(name: str) -> Preset:
    """`nano` without what diffusers lacks, the others narrowed; `base` with one head at the costly top."""
    if name == "nano":
        return replace(PRESETS[name], unet=replace(PRESETS[name].unet, text_embedding=False, input_skip=False))
    small = narrowed(name)
    return replace(small, unet=replace(small.unet, num_attention_heads=(1, 2, 3, 3))) if name == "base" else small


def inputs(preset: Preset, batch: int, width: int, height: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(width * height + batch)
    sample = torch.randn(batch, preset.unet.in_channels, height, width, generator=generator)
    timestep = torch.randint(0, 1000, (batch,), generator=generator)
    text = torch.randn(batch, 77, preset.unet.cross_attention_dim, generator=generator)
    return sample, timestep, text


@pytest.fixture(scope="module", params=["base", "mobile", "nano"])
def pair(
    request: pytest.FixtureRequest, randomise: Callable[[nn.Module], nn.Module]
) -> tuple[Preset, nn.Module, nn.Module]:
    preset = checked_preset(request.param)
    ours = randomise(MobilePix2PixUNet(preset.unet))
    theirs = UNet2DConditionModel.from_config(preset.unet.to_json()).eval().requires_grad_(False)
    theirs.load_state_dict(ours.state_dict())
    return preset, ours, theirs


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_outputs_are_those_of_diffusers(
    pair: tuple[Preset, nn.Module, nn.Module], batch: int, width: int, height: int
) -> None:
    preset, ours, theirs = pair
    sample, timestep, text = inputs(preset, batch, width, height)
    difference = ours(sample, timestep, text) - theirs(sample, timestep, text).sample
    assert difference.abs().max() <= 1e-5


def test_odd_sizes_are_those_of_diffusers(pair: tuple[Preset, nn.Module, nn.Module]) -> None:
    preset, ours, theirs = pair
    sample, timestep, text = inputs(preset, 2, 13, 9)
    assert (ours(sample, timestep, text) - theirs(sample, timestep, text).sample).abs().max() <= 1e-5


@pytest.mark.parametrize("name", ["base", "mobile"])
def test_true_sizes_have_the_published_parameters(name: str) -> None:
    config = PRESETS[name].unet
    with torch.device("meta"):
        ours, theirs = MobilePix2PixUNet(config), UNet2DConditionModel.from_config(config.to_json())
    assert sum(parameter.numel() for parameter in ours.parameters()) == PARAMETERS[name]
    assert {key: value.shape for key, value in ours.state_dict().items()} == {
        key: value.shape for key, value in theirs.state_dict().items()
    }


def test_mobile_has_no_attention_at_the_highest_resolution() -> None:
    with torch.device("meta"):
        base, mobile = MobilePix2PixUNet(PRESETS["base"].unet), MobilePix2PixUNet(PRESETS["mobile"].unet)
    dropped = base.state_dict().keys() - mobile.state_dict().keys()
    assert dropped
    assert all(name.startswith(("down_blocks.0.attentions.", "up_blocks.3.attentions.")) for name in dropped)
    assert not mobile.state_dict().keys() - base.state_dict().keys()


def test_an_input_skip_adds_a_linear_map_that_the_embeddings_choose(
    randomise: Callable[[nn.Module], nn.Module],
) -> None:
    config = narrowed("nano").unet
    assert config.input_skip
    assert UNetConfig.from_json(config.to_json()) == config
    with_skip = randomise(MobilePix2PixUNet(config))
    without = MobilePix2PixUNet(replace(config, input_skip=False)).eval().requires_grad_(False)
    left = without.load_state_dict(with_skip.state_dict(), strict=False)
    assert not left.missing_keys
    assert sorted(left.unexpected_keys) == ["input_skip.time_emb_proj.bias", "input_skip.time_emb_proj.weight"]
    sample, timestep, text = inputs(narrowed("nano"), 2, 12, 8)
    values = with_skip.get_submodule("input_skip.time_emb_proj")(with_skip.conditioning(timestep, text).time)
    matrix, offset = values[:, : 16 * 32].view(2, 16, 32), values[:, 16 * 32 :]
    mapped = torch.einsum("boi,bihw->bohw", matrix, sample) + offset[:, :, None, None]
    assert torch.allclose(with_skip(sample, timestep, text), without(sample, timestep, text) + mapped, atol=1e-4)


def test_text_is_embedded_wherever_it_stands_and_added_to_the_timestep(
    randomise: Callable[[nn.Module], nn.Module],
) -> None:
    config = narrowed("nano").unet
    assert config.text_embedding
    unet = randomise(MobilePix2PixUNet(config))
    _, timestep, text = inputs(narrowed("nano"), 2, 12, 8)
    embedded = unet.conditioning(timestep, text).time
    assert torch.equal(embedded, unet.conditioning(timestep, text.flip(1)).time)
    louder = text.clone()
    louder[:, 40] += 9
    assert not torch.allclose(embedded, unet.conditioning(timestep, louder).time)
    plain = randomise(MobilePix2PixUNet(replace(config, text_embedding=False)))
    assert torch.equal(plain.conditioning(timestep, text).time, plain.conditioning(timestep, louder).time)


def test_nano_has_five_to_eleven_million_parameters_and_attention_at_its_lower_level_alone() -> None:
    with torch.device("meta"):
        nano = MobilePix2PixUNet(PRESETS["nano"].unet)
    assert 5e6 <= sum(parameter.numel() for parameter in nano.parameters()) <= 11e6
    assert PRESETS["nano"].frame_size == (256, 192)
    assert not any(name.startswith(("down_blocks.0.att", "up_blocks.1.att")) for name in nano.state_dict())


@pytest.mark.parametrize("name", ["base", "mobile", "nano"])
def test_untrained_guidance_inputs_change_nothing_at_all(
    name: str, randomise: Callable[[nn.Module], nn.Module]
) -> None:
    preset = checked_preset(name)
    plain = randomise(MobilePix2PixUNet(preset.unet))
    # Fresh, so that zero weights are those of the class and not of the random filling.
    guided = MobilePix2PixUNet(replace(preset.unet, guidance_embedding=True)).eval().requires_grad_(False)
    left = guided.load_state_dict(plain.state_dict(), strict=False)
    assert not left.unexpected_keys
    assert all("guidance" in key for key in left.missing_keys)
    sample, timestep, text = inputs(preset, 2, 24, 16)
    scales = torch.tensor([2.0, 13.7]), torch.tensor([1.0, 2.9])
    assert torch.equal(guided(sample, timestep, text, *scales), plain(sample, timestep, text))


def test_every_resnet_block_has_its_own_guidance_projections_and_they_act() -> None:
    preset = narrowed("mobile")
    torch.manual_seed(0)
    guided = MobilePix2PixUNet(replace(preset.unet, guidance_embedding=True)).eval().requires_grad_(False)
    sample, timestep, text = inputs(preset, 1, 12, 8)
    scales = [torch.tensor([7.5]), torch.tensor([1.5])]
    start = guided(sample, timestep, text, *scales)
    blocks = [name.removesuffix(".time_emb_proj") for name, _ in guided.named_modules() if "time_emb_proj" in name]
    # Two blocks a level down, two in the middle, three a level up.
    assert len(blocks) == 4 * 2 + 2 + 4 * 3
    for name in blocks:
        for scale in ("text", "image"):
            projection = guided.get_submodule(f"{name}.{scale}_guidance_emb_proj")
            assert not projection.weight.any()
            assert not projection.bias.any()
            projection.bias.fill_(0.5)
            assert not torch.equal(guided(sample, timestep, text, *scales), start), f"{name} {scale}"
            projection.bias.zero_()


def test_each_scale_moves_the_output_through_its_own_projections() -> None:
    preset = narrowed("nano")
    torch.manual_seed(0)
    guided = MobilePix2PixUNet(replace(preset.unet, guidance_embedding=True)).eval().requires_grad_(False)
    sample, timestep, text = inputs(preset, 1, 12, 8)
    for name, parameter in guided.named_parameters():
        if "text_guidance_emb_proj.weight" in name:
            parameter.normal_(std=0.1)

    def answer(text_scale: float, image_scale: float) -> torch.Tensor:
        result: torch.Tensor = guided(sample, timestep, text, torch.tensor([text_scale]), torch.tensor([image_scale]))
        return result

    assert not torch.equal(answer(3.0, 1.0), answer(9.0, 1.0))
    assert torch.equal(answer(3.0, 1.0), answer(3.0, 2.0))


def test_a_scale_multiplies_what_the_prompt_does() -> None:
    """A gate of s - 1 makes the input skip's matrix at scale s the s-fold of that at scale 1, whatever the prompt."""
    preset = narrowed("nano")
    torch.manual_seed(0)
    guided = MobilePix2PixUNet(replace(preset.unet, guidance_embedding=True)).eval().requires_grad_(False)
    _, timestep, text = inputs(preset, 2, 12, 8)
    assert guided.guidance_gate is not None
    scale = torch.ones(2)
    plain = guided.conditioning(timestep, text, scale, scale)
    guided.guidance_gate.text_guidance_emb_proj.bias.fill_(2.0)
    tripled = guided.conditioning(timestep, text, scale, scale)
    torch.testing.assert_close(tripled.time, 3 * plain.time)
    assert not torch.equal(plain.time[0], plain.time[1])
    assert guided.input_skip is not None
    offset = guided.input_skip.time_emb_proj.bias
    torch.testing.assert_close(
        guided.input_skip.project(tripled) - offset, 3 * (guided.input_skip.project(plain) - offset)
    )


def test_no_gate_where_the_embedding_holds_nothing_of_the_prompt() -> None:
    assert MobilePix2PixUNet(replace(narrowed("mobile").unet, guidance_embedding=True)).guidance_gate is None
    assert MobilePix2PixUNet(narrowed("nano").unet).guidance_gate is None


def test_guidance_scales_must_fit_the_network() -> None:
    preset = narrowed("nano")
    sample, timestep, text = inputs(preset, 1, 8, 8)
    one = torch.ones(1)
    with pytest.raises(InputError, match="no guidance inputs"):
        MobilePix2PixUNet(preset.unet)(sample, timestep, text, one, one)
    with pytest.raises(InputError, match="needs text_guidance"):
        MobilePix2PixUNet(replace(preset.unet, guidance_embedding=True))(sample, timestep, text, one)
