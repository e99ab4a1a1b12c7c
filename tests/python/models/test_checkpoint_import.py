"""Importing InstructPix2Pix folders written by diffusers' own save_pretrained."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    PNDMScheduler,
    StableDiffusionInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel
from transformers import CLIPTokenizer as TransformersTokenizer

from mobie_coreml.errors import InputError
from mobie_coreml.models.checkpoint import Checkpoint, import_checkpoint, load_checkpoint
from mobie_coreml.models.presets import narrowed

SCALING_FACTOR = 0.18215
BASE = narrowed("base")


@pytest.fixture(scope="module")
def source(
    tmp_path_factory: pytest.TempPathFactory, tiny_vocabulary: Path, randomise: Callable[[nn.Module], nn.Module]
) -> Path:
    """A whole InstructPix2Pix pipeline with few channels."""
    tokenizer = TransformersTokenizer.from_pretrained(tiny_vocabulary)
    text_config = {**BASE.text_encoder.to_json(), "vocab_size": 519, "eos_token_id": 518, "bos_token_id": 517}
    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=AutoencoderKL(block_out_channels=(32,), latent_channels=4, scaling_factor=SCALING_FACTOR),
        text_encoder=CLIPTextModel(CLIPTextConfig(**text_config)),
        tokenizer=tokenizer,
        unet=randomise(UNet2DConditionModel.from_config(BASE.unet.to_json())),
        scheduler=PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    folder = tmp_path_factory.mktemp("pipelines") / "instruct-tiny"
    pipeline.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: mit\ntags:\n- image\n---\n# A model\n")
    return folder


@pytest.fixture(scope="module")
def taesd(tmp_path_factory: pytest.TempPathFactory, randomise: Callable[[nn.Module], nn.Module]) -> Path:
    folder = tmp_path_factory.mktemp("autoencoders") / "taesd"
    randomise(AutoencoderTiny.from_config(BASE.autoencoder.to_json())).save_pretrained(folder)
    return folder


@pytest.fixture
def copied(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source, tmp_path / "source"))


@pytest.fixture(scope="module")
def imported(source: Path, taesd: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    out = tmp_path_factory.mktemp("imported") / "mobile"
    import_checkpoint(source, out, taesd, dtype="float32")
    return load_checkpoint(out)


def reference(source: Path, taesd: Path, down: tuple[str, ...], up: tuple[str, ...]) -> Callable[..., torch.Tensor]:
    """InstructPix2Pix in diffusers with a tiny autoencoder: its UNet takes image latents WITHOUT the scaling factor."""
    config = {**UNet2DConditionModel.load_config(source / "unet"), "down_block_types": down, "up_block_types": up}
    unet = UNet2DConditionModel.from_config(config).eval().requires_grad_(False)
    state = load_file(source / "unet" / "diffusion_pytorch_model.safetensors")
    unet.load_state_dict({name: value for name, value in state.items() if name in unet.state_dict()})
    autoencoder = AutoencoderTiny.from_pretrained(taesd)

    def predict(noisy: torch.Tensor, images: torch.Tensor, timestep: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        latents = autoencoder.encode(images).latents / SCALING_FACTOR
        result: torch.Tensor = unet(torch.cat([noisy, latents], 1), timestep, text).sample
        return result

    return predict


@pytest.mark.parametrize("preset", ["mobile", "base"])
def test_an_import_predicts_what_the_source_predicts_from_unscaled_image_latents(
    preset: str, source: Path, taesd: Path, tmp_path: Path
) -> None:
    import_checkpoint(source, tmp_path / "c", taesd, preset_name=preset, dtype="float32")
    checkpoint = load_checkpoint(tmp_path / "c")
    shape = narrowed(preset).unet
    assert checkpoint.networks.unet == shape
    predict = reference(source, taesd, shape.down_block_types, shape.up_block_types)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 64, 96, generator=generator) * 2 - 1
    noisy = torch.randn(2, 4, 8, 12, generator=generator)
    text = torch.randn(2, 77, shape.cross_attention_dim, generator=generator)
    timestep = torch.tensor([10, 900])
    with torch.no_grad():
        expected = predict(noisy, images, timestep, text)
        # One latent space: the image latents go in as the autoencoder gives them.
        latents = checkpoint.autoencoder().encode(images)
        answer = checkpoint.unet()(torch.cat([noisy, latents], 1), timestep, text)
        unfolded = checkpoint.unet()(torch.cat([noisy, latents / SCALING_FACTOR], 1), timestep, text)
    assert (answer - expected).abs().max() <= 1e-5 * expected.abs().max().clamp(min=1)
    assert (unfolded - expected).abs().max() > 0.01


def test_only_the_image_channels_of_the_first_kernel_change(imported: Checkpoint, source: Path) -> None:
    original = load_file(source / "unet" / "diffusion_pytorch_model.safetensors")
    kernel = imported.tensor("unet", "conv_in.weight")
    assert np.array_equal(kernel[:, :4], original["conv_in.weight"][:, :4].numpy())
    assert np.allclose(kernel[:, 4:], original["conv_in.weight"][:, 4:].numpy() / SCALING_FACTOR, rtol=1e-6)
    for name in imported.shapes("unet"):
        if name != "conv_in.weight":
            assert np.array_equal(imported.tensor("unet", name), original[name].numpy()), name


def test_everything_else_travels_along(imported: Checkpoint, source: Path) -> None:
    info = imported.info
    assert info["preset"] == "mobile"
    assert info["licence"] == "mit"
    provenance = info["provenance"]
    assert provenance["source"] == "instruct-tiny"
    assert provenance["image_latents_scale_in_conv_in"] == pytest.approx(1 / SCALING_FACTOR)
    assert provenance["autoencoder"]["source"] == "taesd"
    assert provenance["autoencoder"]["licence"] == "unknown"
    assert set(provenance["files"]) == {"unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"}
    assert str(source.parent) not in json.dumps(info)
    assert imported.schedule.prediction_type == "epsilon"
    theirs = TransformersTokenizer.from_pretrained(source / "tokenizer")
    prompt = "make it snow, it's cold"
    assert imported.tokenizer.encode(prompt).ids == theirs(prompt, padding="max_length", max_length=77).input_ids
    text_encoder = CLIPTextModel.from_pretrained(source / "text_encoder")
    ids = torch.tensor([imported.tokenizer.encode(prompt).ids])
    with torch.no_grad():
        difference = imported.text_encoder()(ids) - text_encoder(ids).last_hidden_state
    assert difference.abs().max() <= 1e-5


def test_dropped_attention_is_reported_by_name(source: Path, taesd: Path, tmp_path: Path) -> None:
    report = import_checkpoint(source, tmp_path / "mobile", taesd)
    original = load_file(source / "unet" / "diffusion_pytorch_model.safetensors")
    expected = [name for name in original if name.startswith(("down_blocks.0.attentions", "up_blocks.3.attentions"))]
    assert sorted(report.dropped) == sorted(expected)
    assert len(expected) == 5 * 26
    assert report.dropped_parameters == sum(original[name].numel() for name in expected)
    assert import_checkpoint(source, tmp_path / "base", taesd, preset_name="base").dropped == ()


def convert_to_half(folder: Path) -> None:
    for part, stem in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
        plain = folder / part / f"{stem}.safetensors"
        state = {name: value.half() if value.is_floating_point() else value for name, value in load_file(plain).items()}
        save_file(state, folder / part / f"{stem}.fp16.safetensors")
        plain.unlink()


def convert_to_shards(folder: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    shutil.rmtree(folder / "unet")
    unet.save_pretrained(folder / "unet", max_shard_size="8MB")
    assert len(list((folder / "unet").glob("*.safetensors"))) > 2


def convert_to_pickles(folder: Path) -> None:
    for part, stem, pickled in (
        ("unet", "diffusion_pytorch_model", "diffusion_pytorch_model"),
        ("text_encoder", "model", "pytorch_model"),
    ):
        plain = folder / part / f"{stem}.safetensors"
        torch.save(load_file(plain), folder / part / f"{pickled}.bin")
        plain.unlink()


def convert_to_old_tokenizer_and_names(folder: Path) -> None:
    """What transformers 4 writes: vocab.json and merges.txt, `text_model.` before every name, a buffer of positions."""
    model = json.loads((folder / "tokenizer" / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps(model["vocab"]))
    lines = [" ".join(pair) for pair in model["merges"]]
    (folder / "tokenizer" / "merges.txt").write_text("\n".join(["#version: 0.2", *lines, ""]))
    (folder / "tokenizer" / "tokenizer.json").unlink()
    path = folder / "text_encoder" / "model.safetensors"
    state = {f"text_model.{name.removeprefix('text_model.')}": value for name, value in load_file(path).items()}
    state["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(state, path)


@pytest.mark.parametrize(
    ("convert", "options", "tolerance"),
    [
        (convert_to_half, {}, 1e-3),
        (convert_to_half, {"variant": "fp16"}, 1e-3),
        (convert_to_shards, {}, 0),
        (convert_to_pickles, {"allow_pickle": True}, 0),
        (convert_to_old_tokenizer_and_names, {}, 0),
    ],
)
def test_other_ways_to_store_the_same_weights(
    convert: Callable[[Path], None],
    options: dict[str, Any],
    tolerance: float,
    copied: Path,
    taesd: Path,
    tmp_path: Path,
    imported: Checkpoint,
) -> None:
    convert(copied)
    if "variant" in options:
        shutil.copytree(taesd, tmp_path / "taesd")
        (tmp_path / "taesd" / "diffusion_pytorch_model.safetensors").rename(
            tmp_path / "taesd" / "diffusion_pytorch_model.fp16.safetensors"
        )
        taesd = tmp_path / "taesd"
    import_checkpoint(copied, tmp_path / "c", taesd, dtype="float32", **options)
    checkpoint = load_checkpoint(tmp_path / "c")
    for part in ("unet", "vae", "text_encoder"):
        assert checkpoint.shapes(part) == imported.shapes(part)
        for name in imported.shapes(part):
            difference = np.abs(checkpoint.tensor(part, name) - imported.tensor(part, name)).max()
            assert difference <= tolerance * max(1, np.abs(imported.tensor(part, name)).max()), name
    assert checkpoint.tokenizer.vocab == imported.tokenizer.vocab
    assert checkpoint.tokenizer.ranks == imported.tokenizer.ranks


def test_pickles_need_the_flag(copied: Path, taesd: Path, tmp_path: Path) -> None:
    convert_to_pickles(copied)
    with pytest.raises(InputError, match="pickles only") as caught:
        import_checkpoint(copied, tmp_path / "c", taesd)
    assert "--allow-pickle" in caught.value.hint
    assert not (tmp_path / "c").exists()


def own_taesd(taesd: Path, folder: Path, suffix: str) -> Path:
    """The same autoencoder in the layout of TAESD's own repository: two files, the decoder's clamp counted."""
    folder.mkdir()
    sides: dict[str, dict[str, torch.Tensor]] = {"encoder": {}, "decoder": {}}
    for name, value in load_file(taesd / "diffusion_pytorch_model.safetensors").items():
        side, _, index, rest = name.split(".", 3)
        sides[side][f"{int(index) + (side == 'decoder')}.{rest}"] = value
    for side, state in sides.items():
        if suffix == ".pth":
            torch.save(state, folder / f"taesd_{side}.pth")
        else:
            save_file(state, folder / f"taesd_{side}.safetensors")
    return folder


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_taesd_in_its_own_layout(
    suffix: str, source: Path, tmp_path: Path, randomise: Callable[[nn.Module], nn.Module]
) -> None:
    full = tmp_path / "diffusers"
    randomise(AutoencoderTiny()).save_pretrained(full)
    own = own_taesd(full, tmp_path / "own", suffix)
    import_checkpoint(source, tmp_path / "a", full)
    import_checkpoint(source, tmp_path / "b", own, allow_pickle=suffix == ".pth")
    one, other = load_checkpoint(tmp_path / "a"), load_checkpoint(tmp_path / "b")
    assert one.part_digest("vae") == other.part_digest("vae")


def test_taesd_pickles_need_the_flag(source: Path, taesd: Path, tmp_path: Path) -> None:
    own = own_taesd(taesd, tmp_path / "own", ".pth")
    with pytest.raises(InputError, match="no tiny autoencoder") as caught:
        import_checkpoint(source, tmp_path / "c", own)
    assert "--allow-pickle" in caught.value.hint


def test_a_source_with_its_own_tiny_autoencoder_needs_no_other(copied: Path, taesd: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is AutoencoderKL") as caught:
        import_checkpoint(copied, tmp_path / "c")
    assert "--taesd" in caught.value.hint
    shutil.rmtree(copied / "vae")
    shutil.copytree(taesd, copied / "vae")
    report = import_checkpoint(copied, tmp_path / "c", dtype="float32")
    # Trained on this autoencoder's latents, which need no scaling.
    assert report.image_latents_scale == 1.0
    original = load_file(copied / "unet" / "diffusion_pytorch_model.safetensors")["conv_in.weight"]
    assert np.array_equal(load_checkpoint(tmp_path / "c").tensor("unet", "conv_in.weight"), original.numpy())


def test_licence_and_scale_can_be_told(source: Path, taesd: Path, tmp_path: Path) -> None:
    report = import_checkpoint(source, tmp_path / "c", taesd, licence="OpenRAIL", image_latents_scale=2.0)
    assert (report.licence, report.image_latents_scale) == ("OpenRAIL", 2.0)
    assert load_checkpoint(tmp_path / "c").info["licence"] == "OpenRAIL"


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def add_tensor(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({**load_file(path), "extra.weight": torch.zeros(1)}, path)


def drop_tensor(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    state = load_file(path)
    del state["mid_block.resnets.0.conv1.bias"]
    save_file(state, path)


BREAKAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "unexpected": (add_tensor, "1 unexpected: extra.weight"),
    "missing": (drop_tensor, r"1 missing: mid_block.resnets.0.conv1.bias"),
    "no unet": (lambda folder: shutil.rmtree(folder / "unet"), r"it lacks unet/ weights, unet/config\.json"),
    "half gone": (
        lambda folder: [shutil.rmtree(folder / name) for name in ("tokenizer", "scheduler", "vae", "text_encoder")],
        r"scheduler/scheduler_config\.json, text_encoder/ weights, text_encoder/config\.json, tokenizer/.*vae/config",
    ),
    "text to image": (lambda folder: edit_json(folder / "unet" / "config.json", in_channels=4), "not twice"),
    "other family": (
        lambda folder: edit_json(folder / "unet" / "config.json", use_linear_projection=True),
        "use_linear_projection",
    ),
    "other betas": (
        lambda folder: edit_json(folder / "scheduler" / "scheduler_config.json", beta_schedule="linear"),
        "not supported",
    ),
    "broken config": (lambda folder: (folder / "unet" / "config.json").write_text("{"), "cannot be read"),
    "broken tokenizer": (
        lambda folder: (folder / "tokenizer" / "tokenizer.json").write_text("{}"),
        "no byte-pair vocabulary",
    ),
    "broken factor": (lambda folder: edit_json(folder / "vae" / "config.json", scaling_factor=0), "makes no sense"),
    "text of a factor": (lambda folder: edit_json(folder / "vae" / "config.json", scaling_factor="x"), "be read"),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_incomplete_sources_give_one_clear_error(breakage: str, copied: Path, taesd: Path, tmp_path: Path) -> None:
    damage, message = BREAKAGES[breakage]
    damage(copied)
    with pytest.raises(InputError, match=message):
        import_checkpoint(copied, tmp_path / "c", taesd)
    assert not (tmp_path / "c").exists()


def test_an_unscaled_config_is_stable_diffusions(copied: Path, taesd: Path, tmp_path: Path) -> None:
    config = json.loads((copied / "vae" / "config.json").read_text())
    del config["scaling_factor"]
    (copied / "vae" / "config.json").write_text(json.dumps(config))
    report = import_checkpoint(copied, tmp_path / "c", taesd)
    assert report.image_latents_scale == pytest.approx(1 / 0.18215)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset_name": "nano"}, "cannot become"),
        ({"image_latents_scale": -1.0}, "makes no sense"),
        ({"image_latents_scale": float("nan")}, "makes no sense"),
        ({"revision": "main"}, "has no revision"),
        ({"source": "./nowhere"}, "no folder"),
        ({"taesd": "./nowhere"}, "no folder"),
        ({"variant": "ema"}, "of variant ema: it lacks text_encoder/ weights, unet/ weights"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str, source: Path, taesd: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        import_checkpoint(**{"source": source, "out": tmp_path / "c", "taesd": taesd, **arguments})
    assert not (tmp_path / "c").exists()


def test_an_autoencoder_of_other_latents_is_refused(
    source: Path, tmp_path: Path, randomise: Callable[[nn.Module], nn.Module]
) -> None:
    wide = AutoencoderTiny.from_config({**BASE.autoencoder.to_json(), "latent_channels": 16})
    wide.save_pretrained(tmp_path / "wide")
    with pytest.raises(InputError, match="16 latent channels, the UNet 4"):
        import_checkpoint(source, tmp_path / "c", tmp_path / "wide")
