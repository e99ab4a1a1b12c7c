"""The autoencoder's stage: its loss, its normalised latents and what is saved."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mobie_coreml.errors import InputError
from mobie_coreml.models.autoencoder import TinyAutoencoder
from mobie_coreml.models.config import AutoencoderConfig
from mobie_coreml.models.presets import Preset
from mobie_coreml.training.autoencoder import (
    AutoencoderStage,
    NormalizedAutoencoder,
    RunningNorm,
    fold_normalization,
    load_autoencoder,
    reconstruction_loss,
    start_linear,
)
from mobie_coreml.training.config import AutoencoderTraining, LoopConfig, PhotoConfig, ReconstructionWeights
from mobie_coreml.training.loop import train
from mobie_coreml.training.metrics import MetricsLog
from mobie_coreml.training.photos import Photos
from mobie_coreml.training.state import load_state

OPTIONS = AutoencoderTraining(batch=2, crop=32)


def stage(photos: Photos, preset: Preset, options: AutoencoderTraining = OPTIONS, seed: int = 0) -> AutoencoderStage:
    return AutoencoderStage(photos, PhotoConfig(), options, preset.autoencoder, seed, preset.frame_size)


def network_with_statistics(preset: Preset) -> NormalizedAutoencoder:
    torch.manual_seed(1)
    network = NormalizedAutoencoder(replace(preset.autoencoder, linear_path=False)).train()
    for _ in range(5):
        network.encode(torch.rand(4, 3, 32, 32) * 2 - 1)
    return network.eval()


@pytest.mark.parametrize("scaling_factor", [1.0, 0.5])
def test_folding_changes_no_latent_and_no_image(small_preset: Preset, scaling_factor: float) -> None:
    config = replace(small_preset.autoencoder, scaling_factor=scaling_factor)
    network = network_with_statistics(replace(small_preset, autoencoder=config))
    folded = fold_normalization(network)
    images = torch.rand(2, 3, 48, 64) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(folded.encode(images), network.encode(images), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(folded(images), network(images), rtol=1e-5, atol=1e-5)


def test_linear_paths_start_as_the_best_linear_map_of_blocks() -> None:
    # Blocks of 8x8 pixels that differ in two ways only: two latents tell everything.
    generator = torch.Generator().manual_seed(0)
    patterns = torch.rand(2, 1, 3, 8, 8, generator=generator)
    amounts = torch.rand(2, 4, 6, generator=generator)
    blocks = [
        [(amounts[:, i, j, None, None, None] * patterns[:, 0]).sum(dim=0) / 4 for j in range(6)] for i in range(4)
    ]
    image = torch.cat([torch.cat(row, dim=2) for row in blocks], dim=1)[None]
    autoencoder = TinyAutoencoder(AutoencoderConfig(latent_channels=3, linear_path=True))
    start_linear(autoencoder, image)
    with torch.no_grad():
        latents = autoencoder.encode(2 * image - 1)
        assert torch.allclose(autoencoder.decode(latents), 2 * image - 1, atol=1e-4)
    assert torch.allclose(latents[0, :2].mean(dim=(1, 2)), torch.zeros(2), atol=1e-3)
    assert torch.allclose(latents[0, :2].flatten(1).var(dim=1, correction=0), torch.ones(2), atol=1e-2)
    assert float(latents[0, 2].abs().max()) < 0.05


def test_linear_paths_and_the_scale_of_their_latents_stay_while_layers_learn(
    photos: Photos, small_preset: Preset
) -> None:
    preset = replace(small_preset, autoencoder=replace(small_preset.autoencoder, linear_path=True))
    network = stage(photos, preset).network
    assert isinstance(network, NormalizedAutoencoder)
    frozen = {name for name, value in network.named_parameters() if not value.requires_grad}
    assert frozen == {
        f"autoencoder.{side}.linear.{part}" for side in ("encoder", "decoder") for part in ("weight", "bias")
    }
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(network.train().encode(images), network.autoencoder.encode(images), atol=1e-6)


def test_latents_have_unit_moments_over_what_was_seen() -> None:
    norm = RunningNorm(3).train()
    values = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 5 + 3
    norm(values)
    normalized = norm.eval()(values)
    torch.testing.assert_close(normalized.mean(dim=(0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(normalized.var(dim=(0, 2, 3)), torch.ones(3), rtol=1e-4, atol=0)


def test_the_first_statistics_are_a_plain_average_and_later_ones_follow_slowly() -> None:
    norm = RunningNorm(1).train()
    for value in range(150):
        norm(torch.full((1, 1, 2, 2), float(value)))
        if value == 9:
            assert norm.running_mean is not None
            assert float(norm.running_mean) == pytest.approx(4.5)
    assert norm.running_mean is not None
    before = float(norm.running_mean)
    norm(torch.full((1, 1, 2, 2), before + 100))
    assert float(norm.running_mean) == pytest.approx(before + 1)


def test_evaluation_leaves_the_statistics_alone() -> None:
    norm = RunningNorm(2).eval()
    norm(torch.full((1, 2, 4, 4), 7.0))
    assert norm.running_mean is not None
    assert torch.equal(norm.running_mean, torch.zeros(2))


def test_loss_is_zero_for_equal_images_and_sees_every_kind_of_error() -> None:
    weights = ReconstructionWeights()
    image = torch.rand(1, 3, 32, 32)
    assert float(reconstruction_loss(image, image, weights)) == 0
    grey = torch.full_like(image, 0.05)
    color = grey * torch.tensor([1.0, -1.0, 1.0])[:, None, None]
    # A shift of colour costs more than the same shift of brightness; the sharper error costs more at equal size.
    assert reconstruction_loss(image + color, image, weights) > reconstruction_loss(image + grey, image, weights)
    only_edges = replace(weights, absolute=0.0, squared=0.0, chroma=0.0, averages=0.0, chroma_average=0.0)
    checks = grey * (torch.arange(32) % 2 * 2 - 1)
    assert float(reconstruction_loss(image + grey, image, only_edges)) == pytest.approx(0, abs=1e-6)
    assert float(reconstruction_loss(image + checks, image, only_edges)) == pytest.approx(0.1, rel=1e-4)


def test_a_batch_is_a_function_of_seed_and_step(photos: Photos, small_preset: Preset) -> None:
    first, second = stage(photos, small_preset), stage(photos, small_preset)
    assert torch.equal(first.batch(5).tensors["images"], second.batch(5).tensors["images"])
    assert not torch.equal(first.batch(5).tensors["images"], first.batch(6).tensors["images"])
    other = stage(photos, small_preset, seed=1)
    assert not torch.equal(first.batch(5).tensors["images"], other.batch(5).tensors["images"])
    held_out = {photo.name for photo in photos.held_out}
    assert not held_out.intersection(name for step in range(20) for name in first.batch(step).sources)


def test_edits_and_colours_change_their_share_of_the_crops(photos: Photos, small_preset: Preset) -> None:
    plain = stage(photos, small_preset, AutoencoderTraining(batch=4, crop=32, edited=0.0, recolored=0.0))
    varied = stage(photos, small_preset, AutoencoderTraining(batch=4, crop=32, edited=0.5, recolored=0.25))
    changed = [
        not torch.equal(one, other)
        for step in range(60)
        for one, other in zip(plain.batch(step).tensors["images"], varied.batch(step).tensors["images"], strict=True)
    ]
    # 240 draws of probability 0.75, less the edits that change nothing on a crop: 4 standard deviations each way.
    assert 0.55 < sum(changed) / len(changed) < 0.87


def test_training_improves_and_resumes_to_the_same_bits(tmp_path: Path, photos: Photos, small_preset: Preset) -> None:
    loop = LoopConfig(steps=40, learning_rate=3e-3, warmup_steps=5, log_every=1, validate_every=1000, threads=1)
    result = train(stage(photos, small_preset), loop, tmp_path / "whole", resume=False, force=False)
    losses = [item["loss"] for item in MetricsLog(tmp_path / "whole" / "metrics.jsonl").read() if "loss" in item]
    assert losses[-1] < 0.8 * losses[0]

    def stop(step: int, fraction: float, figures: dict[str, float]) -> None:
        if step == 21:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        train(stage(photos, small_preset), loop, tmp_path / "parts", resume=False, force=False, report=stop)
    again = train(stage(photos, small_preset), loop, tmp_path / "parts", resume=True, force=False)
    assert again.figures == result.figures
    first, second = (load_state(tmp_path / name / "state") for name in ("whole", "parts"))
    assert all(torch.equal(first["average"][name], second["average"][name]) for name in first["average"])


def test_what_is_saved_loads_and_reconstructs_alike(tmp_path: Path, small_preset: Preset, photos: Photos) -> None:
    network = network_with_statistics(small_preset)
    stage(photos, small_preset).export(network, tmp_path / "result", {"stage": "autoencoder"})
    loaded = load_autoencoder(tmp_path / "result")
    images = torch.rand(1, 3, 48, 64) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), network(images), rtol=1e-5, atol=1e-5)


def test_decoder_alone_leaves_the_encoder_bit_for_bit(tmp_path: Path, photos: Photos, small_preset: Preset) -> None:
    start = fold_normalization(network_with_statistics(small_preset))
    tuned = stage(photos, small_preset, replace(OPTIONS, decoder_only=True))
    tuned.start_from(start)
    loop = LoopConfig(steps=3, threads=1, warmup_steps=1)
    train(tuned, loop, tmp_path / "run", resume=False, force=False)
    result = load_autoencoder(tmp_path / "run" / "result").state_dict()
    for name, value in start.state_dict().items():
        same = torch.equal(result[name], value)
        assert same if name.startswith("encoder.") else not same, name


def test_starting_from_another_shape_is_refused(photos: Photos, small_preset: Preset) -> None:
    other = TinyAutoencoder(replace(small_preset.autoencoder, latent_channels=5))
    with pytest.raises(InputError, match="another shape"):
        stage(photos, small_preset).start_from(other)
