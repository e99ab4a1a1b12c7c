"""The text encoder against transformers' CLIPTextModel with the same random weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from mobie_coreml.models.checkpoint_files import text_encoder_name
from mobie_coreml.models.config import TextEncoderConfig
from mobie_coreml.models.presets import PRESETS, narrowed
from mobie_coreml.models.text_encoder import CLIPTextEncoder
from mobie_coreml.models.weights import TensorFiles

CONFIGS = {
    "narrowed": narrowed("mobile").text_encoder,
    "nano": PRESETS["nano"].text_encoder,
    "gelu": replace(narrowed("mobile").text_encoder, hidden_act="gelu", layer_norm_eps=1e-3),
}


def transformers_model(config: TextEncoderConfig, ours: CLIPTextEncoder) -> nn.Module:
    theirs = CLIPTextModel(CLIPTextConfig(**config.to_json())).eval().requires_grad_(False)
    classic = {text_encoder_name(name): name for name in theirs.state_dict()}
    state = {classic[name]: value for name, value in ours.state_dict().items()}
    theirs.load_state_dict(state, strict=False)
    assert not theirs.state_dict().keys() - state.keys() - {"embeddings.position_ids"}
    return theirs


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", CONFIGS)
def test_states_are_those_of_transformers(name: str, batch: int, randomise: Callable[[nn.Module], nn.Module]) -> None:
    config = CONFIGS[name]
    ours = randomise(CLIPTextEncoder(config))
    theirs = transformers_model(config, ours)
    ids = torch.randint(0, config.vocab_size, (batch, 77), generator=torch.Generator().manual_seed(batch))
    states = ours(ids)
    assert states.shape == (batch, 77, config.hidden_size)
    assert (states - theirs(ids).last_hidden_state).abs().max() <= 1e-5


def test_full_size_names_and_shapes_are_those_of_transformers() -> None:
    config = PRESETS["mobile"].text_encoder
    with torch.device("meta"):
        ours, theirs = CLIPTextEncoder(config), CLIPTextModel(CLIPTextConfig(**config.to_json()))
    named = {text_encoder_name(name): value.shape for name, value in theirs.state_dict().items()}
    named.pop(None, None)
    assert {name: value.shape for name, value in ours.state_dict().items()} == named
    assert sum(value.numel() for value in ours.parameters()) == 123_060_480


def test_what_transformers_saves_can_be_read(tmp_path: Path) -> None:
    config = CONFIGS["narrowed"]
    CLIPTextModel(CLIPTextConfig(**config.to_json())).save_pretrained(tmp_path)
    files = TensorFiles([tmp_path / "model.safetensors"], text_encoder_name)
    with torch.device("meta"):
        assert set(files.shapes) == set(CLIPTextEncoder(config).state_dict())


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ("text_model.final_layer_norm.weight", "text_model.final_layer_norm.weight"),
        ("final_layer_norm.weight", "text_model.final_layer_norm.weight"),
        ("text_model.embeddings.position_ids", None),
        ("embeddings.position_ids", None),
    ],
)
def test_names_of_old_and_new_transformers(stored: str, name: str | None) -> None:
    assert text_encoder_name(stored) == name


def test_later_tokens_do_not_reach_earlier_states(randomise: Callable[[nn.Module], nn.Module]) -> None:
    config = CONFIGS["narrowed"]
    encoder = randomise(CLIPTextEncoder(config))
    ids = torch.randint(0, config.vocab_size, (1, 77), generator=torch.Generator().manual_seed(0))
    changed = ids.clone()
    changed[0, 40] = (changed[0, 40] + 1) % config.vocab_size
    before, after = encoder(ids), encoder(changed)
    assert torch.equal(before[:, :40], after[:, :40])
    assert not torch.allclose(before[:, 40:], after[:, 40:])
