"""Checkpoints: new, saved, loaded, read lazily; and everything that can be wrong with a folder."""

import errno
import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPTextModel
from transformers import CLIPTokenizer as TransformersTokenizer

from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.errors import InputError, WorkError
from mobie_coreml.models.checkpoint import load_checkpoint, new_checkpoint, save_checkpoint
from mobie_coreml.models.checkpoint_files import PARTS, VOCABULARY, Networks, describe
from mobie_coreml.models.presets import PRESETS, narrowed
from mobie_coreml.models.unet import MobilePix2PixUNet


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoints") / "nano"
    new_checkpoint(path, narrowed("nano"), 3)
    return path


@pytest.fixture
def broken(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "broken"))


def test_same_seed_same_bytes_other_seed_other_weights(made: Path, tmp_path: Path) -> None:
    new_checkpoint(tmp_path / "again", narrowed("nano"), 3)
    assert files_of(tmp_path / "again") == files_of(made)
    new_checkpoint(tmp_path / "other", narrowed("nano"), 4)
    one, other = load_checkpoint(made), load_checkpoint(tmp_path / "other")
    for part in PARTS:
        for name in one.shapes(part):
            assert not np.array_equal(one.tensor(part, name), other.tensor(part, name)), name
    assert one.digest == load_checkpoint(tmp_path / "again").digest != other.digest


@pytest.mark.parametrize("name", ["base", "mobile", "nano"])
def test_new_checkpoints_describe_themselves(name: str, tmp_path: Path) -> None:
    new_checkpoint(tmp_path / "c", narrowed(name), 0, guidance_embedding=name == "mobile")
    checkpoint = load_checkpoint(tmp_path / "c")
    assert checkpoint.preset == name
    assert checkpoint.frame_size == (128, 96)
    assert checkpoint.schedule.prediction_type == PRESETS[name].prediction_type
    assert checkpoint.info["guidance"] == {
        "embedded": name == "mobile",
        "text": asdict(PRESETS[name].text_guidance),
        "image": asdict(PRESETS[name].image_guidance),
    }
    assert checkpoint.info["provenance"]["seed"] == 0
    assert checkpoint.tokenizer.vocab_size == checkpoint.networks.text_encoder.vocab_size <= 4096
    assert checkpoint.unet().config.guidance_embedding == (name == "mobile")


def test_random_weights_keep_signals_near_unit_scale_and_images_off_black(made: Path) -> None:
    checkpoint = load_checkpoint(made)
    ids = torch.tensor([checkpoint.tokenizer.encode("make it snow").ids])
    with torch.no_grad():
        latents = checkpoint.autoencoder().encode(torch.rand(1, 3, 96, 128) * 2 - 1)
        noise = torch.randn(latents.shape)
        output = checkpoint.unet()(torch.cat([noise, latents], 1), torch.tensor([999]), checkpoint.text_encoder()(ids))
        image = checkpoint.autoencoder().decode(output)
    assert all(0.1 < values.std() < 5 for values in (latents, output))
    assert (image.abs() < 1).float().mean() > 0.9


def test_guidance_projections_of_a_new_checkpoint_are_zero(tmp_path: Path) -> None:
    new_checkpoint(tmp_path / "c", narrowed("nano"), 0, guidance_embedding=True)
    checkpoint = load_checkpoint(tmp_path / "c")
    projections = [name for name in checkpoint.shapes("unet") if "guidance_emb_proj" in name]
    assert projections
    assert not any(checkpoint.tensor("unet", name).any() for name in projections)


def test_the_libraries_that_own_the_layout_read_it(tmp_path: Path) -> None:
    new_checkpoint(tmp_path / "c", narrowed("mobile"), 1, dtype="float32")
    checkpoint = load_checkpoint(tmp_path / "c")
    unet = UNet2DConditionModel.from_pretrained(tmp_path / "c", subfolder="unet")
    vae = AutoencoderTiny.from_pretrained(tmp_path / "c", subfolder="vae")
    text_encoder = CLIPTextModel.from_pretrained(tmp_path / "c", subfolder="text_encoder")
    tokenizer = TransformersTokenizer.from_pretrained(tmp_path / "c" / "tokenizer")
    ids = torch.tensor([checkpoint.tokenizer.encode("make it snow").ids])
    assert tokenizer("make it snow", padding="max_length", max_length=77).input_ids == ids[0].tolist()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        states, latents = checkpoint.text_encoder()(ids), checkpoint.autoencoder().encode(images)
        sample, timestep = torch.cat([latents, latents], 1), torch.tensor([500])
        assert (text_encoder(ids).last_hidden_state - states).abs().max() <= 1e-5
        assert (vae.encode(images).latents - latents).abs().max() <= 1e-5
        ours = checkpoint.unet()(sample, timestep, states)
        assert (unet(sample, timestep, states).sample - ours).abs().max() <= 1e-5


def test_tensors_are_read_alone_and_modules_on_demand(made: Path) -> None:
    checkpoint = load_checkpoint(made)
    unet = checkpoint.unet()
    assert not unet.training
    assert all(parameter.dtype == torch.float32 for parameter in unet.parameters())
    kernel = checkpoint.tensor("unet", "conv_in.weight")
    assert kernel.dtype == np.float16
    assert np.array_equal(kernel.astype(np.float32), unet.conv_in.weight.detach().numpy())
    assert checkpoint.shapes("unet")["conv_in.weight"] == kernel.shape
    for module in (checkpoint.unet(meta=True), checkpoint.autoencoder(meta=True), checkpoint.text_encoder(meta=True)):
        assert all(parameter.is_meta for parameter in module.parameters())
    with pytest.raises(InputError, match="no tensor nothing"):
        checkpoint.tensor("unet", "nothing")


def test_training_a_loaded_module_leaves_the_file_alone(tmp_path: Path) -> None:
    new_checkpoint(tmp_path / "c", narrowed("nano"), 0, dtype="float32")
    checkpoint = load_checkpoint(tmp_path / "c")
    before = files_of(tmp_path / "c")
    with torch.no_grad():
        checkpoint.unet().conv_in.weight.zero_()
    assert checkpoint.tensor("unet", "conv_in.weight").any()
    assert files_of(tmp_path / "c") == before


def test_saving_what_was_loaded_gives_the_same_weights(made: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(made)
    save_checkpoint(
        tmp_path / "saved",
        unet=checkpoint.unet(),
        autoencoder=checkpoint.autoencoder(),
        text_encoder=checkpoint.text_encoder(),
        tokenizer_dir=made / "tokenizer",
        schedule=checkpoint.schedule,
        info=checkpoint.info,
    )
    assert files_of(tmp_path / "saved") == files_of(made)


def test_an_output_that_exists_is_refused_without_force(made: Path, tmp_path: Path) -> None:
    before = files_of(made)
    with pytest.raises(InputError, match="exists already"):
        new_checkpoint(made, narrowed("nano"), 9)
    assert files_of(made) == before
    new_checkpoint(tmp_path / "c", narrowed("nano"), 1)
    new_checkpoint(tmp_path / "c", narrowed("nano"), 2, force=True)
    assert load_checkpoint(tmp_path / "c").info["provenance"]["seed"] == 2


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        new_checkpoint(tmp_path / "c", narrowed("nano"), 0, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_error_and_leaves_nothing(tmp_path: Path) -> None:
    def fill_disk(done: int, total: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(WorkError, match="cannot be written: No space left on device"):
        new_checkpoint(tmp_path / "c", narrowed("nano"), 0, progress=fill_disk)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    new_checkpoint(tmp_path / "c", narrowed("nano"), 0, progress=lambda *values: seen.append(values))
    assert all(done <= total for done, total in seen)
    assert seen[-1][0] == seen[-1][1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset_name": "huge"}, "no preset"),
        ({"seed": -1}, "negative"),
        ({"dtype": "int8"}, "stored as"),
        ({"tokenizer_dir": Path("nowhere")}, "missing"),
    ],
)
def test_wrong_arguments_write_nothing(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        new_checkpoint(tmp_path / "c", **{"preset_name": narrowed("nano"), "seed": 0, **arguments})
    assert list(tmp_path.iterdir()) == []


def test_values_too_large_for_half_precision_are_refused_whole(
    made: Path, tmp_path: Path, randomise: Callable[[nn.Module], nn.Module]
) -> None:
    checkpoint = load_checkpoint(made)
    unet = checkpoint.unet()
    with torch.no_grad():
        unet.conv_out.bias.fill_(1e5)
    parts = {"unet": unet, "autoencoder": checkpoint.autoencoder(), "text_encoder": checkpoint.text_encoder()}
    rest = {"tokenizer_dir": made / "tokenizer", "schedule": checkpoint.schedule, "info": checkpoint.info}
    with pytest.raises(InputError, match=r"conv_out.bias has values that are not finite in float16"):
        save_checkpoint(tmp_path / "c", **parts, **rest)
    assert list(tmp_path.iterdir()) == []
    save_checkpoint(tmp_path / "c", **parts, **rest, dtype="float32")
    assert load_checkpoint(tmp_path / "c").tensor("unet", "conv_out.bias")[0] == np.float32(1e5)


def test_a_tokenizer_of_another_size_is_refused(made: Path, tmp_path: Path, tiny_vocabulary: Path) -> None:
    checkpoint = load_checkpoint(made)
    with pytest.raises(InputError, match="tokenizer has 519 tokens"):
        save_checkpoint(
            tmp_path / "c",
            unet=checkpoint.unet(),
            autoencoder=checkpoint.autoencoder(),
            text_encoder=checkpoint.text_encoder(),
            tokenizer_dir=tiny_vocabulary,
            schedule=NoiseSchedule(),
            info=checkpoint.info,
        )


def test_every_byte_of_every_part_is_in_the_digest(broken: Path) -> None:
    digest = load_checkpoint(broken).digest
    for part in ("unet", "vae", "text_encoder"):
        path = next((broken / part).glob("*.safetensors"))
        original = path.read_bytes()
        path.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
        assert load_checkpoint(broken).digest != digest, part
        path.write_bytes(original)
    for name in (
        "unet/config.json",
        "scheduler/scheduler_config.json",
        "tokenizer/vocab.json",
        "mobie_checkpoint.json",
    ):
        original = (broken / name).read_bytes()
        (broken / name).write_bytes(original + b" ")
        assert load_checkpoint(broken).digest != digest, name
        (broken / name).write_bytes(original)
    assert load_checkpoint(broken).digest == digest


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


BREAKAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no info": (lambda path: (path / "mobie_checkpoint.json").unlink(), "not a mobie checkpoint"),
    "info is not JSON": (lambda path: (path / "mobie_checkpoint.json").write_text("{"), "cannot be read"),
    "info is a list": (lambda path: (path / "mobie_checkpoint.json").write_text("[]"), "not a JSON object"),
    "newer schema": (
        lambda path: edit_json(path / "mobie_checkpoint.json", lambda info: info.update(schema_version=2)),
        "schema version 2",
    ),
    "no guidance": (
        lambda path: edit_json(path / "mobie_checkpoint.json", lambda info: info.pop("guidance")),
        "not complete: KeyError",
    ),
    "frame of text": (
        lambda path: edit_json(path / "mobie_checkpoint.json", lambda info: info.update(frame_size=["a", "b"])),
        "wrong kind",
    ),
    "frame of one side": (
        lambda path: edit_json(path / "mobie_checkpoint.json", lambda info: info.update(frame_size=[64])),
        "not complete",
    ),
    "odd frame": (
        lambda path: edit_json(path / "mobie_checkpoint.json", lambda info: info.update(frame_size=[128, 90])),
        "not a multiple of the 8 pixels",
    ),
    "default outside its range": (
        lambda path: edit_json(
            path / "mobie_checkpoint.json", lambda info: info["guidance"]["text"].update(default=20)
        ),
        "out of range",
    ),
    "a bound without end": (
        lambda path: edit_json(
            path / "mobie_checkpoint.json", lambda info: info["guidance"]["text"].update(minimum=-math.inf)
        ),
        "out of range",
    ),
    "a frame without end": (
        lambda path: edit_json(path / "mobie_checkpoint.json", lambda info: info.update(frame_size=[8 * 10**8] * 2)),
        "out of range",
    ),
    "steps without end": (
        lambda path: edit_json(path / "mobie_checkpoint.json", lambda info: info["sampling"].update(steps=10**12)),
        "out of range",
    ),
    "info nested deeply": (
        lambda path: (path / "mobie_checkpoint.json").write_text("[" * 100_000),
        "nested too deeply",
    ),
    "vocabulary nested deeply": (
        lambda path: (path / "tokenizer" / "vocab.json").write_text("[" * 100_000),
        "vocab.json cannot be read",
    ),
    "timesteps without end": (
        lambda path: edit_json(
            path / "scheduler" / "scheduler_config.json", lambda config: config.update(num_train_timesteps=10**13)
        ),
        "makes no sense",
    ),
    "infinite timesteps": (
        lambda path: edit_json(
            path / "scheduler" / "scheduler_config.json", lambda config: config.update(num_train_timesteps=math.inf)
        ),
        "scheduler config cannot be read",
    ),
    "guidance that the network lacks": (
        lambda path: edit_json(path / "mobie_checkpoint.json", lambda info: info["guidance"].update(embedded=True)),
        "disagree",
    ),
    "unknown sampler": (
        lambda path: edit_json(path / "mobie_checkpoint.json", lambda info: info["sampling"].update(method="heun")),
        "no sampler 'heun'",
    ),
    "no unet": (lambda path: shutil.rmtree(path / "unet"), r"unet/config.json is missing"),
    "no weights": (
        lambda path: (path / "vae" / "diffusion_pytorch_model.safetensors").unlink(),
        "no weights in vae/",
    ),
    "no vocabulary": (lambda path: (path / "tokenizer" / "vocab.json").unlink(), "vocab.json is missing"),
    "no schedule": (lambda path: (path / "scheduler" / "scheduler_config.json").unlink(), "is missing"),
    "cut weights": (
        lambda path: (path / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"\0" * 100),
        "not a whole safetensors file",
    ),
    "another shape": (
        lambda path: edit_json(path / "unet" / "config.json", lambda config: config.update(layers_per_block=3)),
        r"do not fit their config: \d+ missing: ",
    ),
    "smaller vocabulary": (
        lambda path: edit_json(path / "text_encoder" / "config.json", lambda config: config.update(vocab_size=10)),
        "token_embedding.weight",
    ),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_broken_folders_are_refused_with_one_clear_error(broken: Path, breakage: str) -> None:
    damage, message = BREAKAGES[breakage]
    damage(broken)
    with pytest.raises(InputError, match=message):
        load_checkpoint(broken)


def test_missing_and_unexpected_tensors_are_listed(broken: Path) -> None:
    path = broken / "unet" / "diffusion_pytorch_model.safetensors"
    state = load_file(path)
    state["conv_in.extra"] = state.pop("conv_in.bias")
    save_file(state, path)
    with pytest.raises(InputError, match=r"1 missing: conv_in.bias; 1 unexpected: conv_in.extra"):
        load_checkpoint(broken)


def test_a_tokenizer_larger_than_the_text_encoder_is_refused(broken: Path) -> None:
    vocab = json.loads((broken / "tokenizer" / "vocab.json").read_text())
    vocab["extra"] = len(vocab)
    (broken / "tokenizer" / "vocab.json").write_text(json.dumps(vocab))
    with pytest.raises(InputError, match="its text encoder"):
        load_checkpoint(broken)


def test_no_folder_at_all() -> None:
    with pytest.raises(InputError, match="no checkpoint at nowhere"):
        load_checkpoint("nowhere")


def test_nano_with_guidance_inputs_fits_the_package() -> None:
    """At most 25 MB of fp16 weights with everything that later stages add."""
    nano = PRESETS["nano"]
    networks = Networks(replace(nano.unet, guidance_embedding=True), nano.autoencoder, nano.text_encoder)
    numbers = sum(parameter.numel() for part in PARTS for parameter in networks.build(part).parameters())
    assert 2 * numbers <= 25e6


def test_full_size_networks_have_shapes_without_memory() -> None:
    mobile = PRESETS["mobile"]
    networks = Networks(mobile.unet, mobile.autoencoder, mobile.text_encoder)
    shapes = networks.shapes("unet")
    assert shapes["up_blocks.1.resnets.0.conv1.weight"] == (1280, 2560, 3, 3)
    assert isinstance(networks.build("unet"), MobilePix2PixUNet)


def test_description_keeps_what_it_is_given() -> None:
    info = describe(
        PRESETS["nano"], licence="CC0-1.0", provenance={"legs": [1, 2]}, guidance_embedding=False, card="README.md"
    )
    assert info["card"] == "README.md"
    assert info["licence"] == "CC0-1.0"
    assert info["provenance"]["legs"] == [1, 2]
    assert info["sampling"]["steps"] == PRESETS["nano"].steps
    assert VOCABULARY.is_dir()
