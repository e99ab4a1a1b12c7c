"""The teacher's stage: cached pairs, dropped conditions, noise levels, what is saved."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.edits import EDITS
from mobie_coreml.models.autoencoder import TinyAutoencoder
from mobie_coreml.models.checkpoint import load_checkpoint
from mobie_coreml.models.checkpoint_files import TOKENIZER_FILES, VOCABULARY
from mobie_coreml.models.presets import Preset
from mobie_coreml.models.tokenizer import CLIPTokenizer
from mobie_coreml.training.config import CropSet, LoopConfig, PhotoConfig, TeacherTraining
from mobie_coreml.training.latents import cache_digest, draw_edit, draw_strength, load_pairs
from mobie_coreml.training.loop import train
from mobie_coreml.training.metrics import MetricsLog
from mobie_coreml.training.photos import Photos, generator, random_crop
from mobie_coreml.training.teacher import (
    CHANGE_LIMIT,
    TeacherNetwork,
    TeacherStage,
    change_weights,
    channel_weights,
    new_teacher,
)

OPTIONS = TeacherTraining(
    crop_sets=(CropSet((32, 32), crops=20, batch=6, share=0.5), CropSet((64, 48), crops=5, batch=2, share=0.5)),
    edits=2,
)


@torch.no_grad()
def autoencoder(preset: Preset) -> TinyAutoencoder:
    """Untrained, with latents of zero mean and unit variance, as a trained one has."""
    torch.manual_seed(3)
    network = TinyAutoencoder(preset.autoencoder).eval()
    latents = network.encode(torch.rand(8, 3, 32, 32) * 2 - 1)
    last = network.encoder.layers[-1]
    assert isinstance(last, torch.nn.Conv2d)
    assert last.bias is not None
    scale = latents.std(dim=(0, 2, 3))
    last.bias.copy_((last.bias - latents.mean(dim=(0, 2, 3))) / scale)
    last.weight.div_(scale[:, None, None, None])
    return network


def teacher(preset: Preset, seed: int = 0) -> TeacherNetwork:
    return new_teacher(preset, CLIPTokenizer(*(VOCABULARY / name for name in TOKENIZER_FILES)), seed)


def stage(folder: Path, photos: Photos, preset: Preset, options: TeacherTraining = OPTIONS) -> TeacherStage:
    encoder = autoencoder(preset)
    pairs = load_pairs(folder, encoder, photos, PhotoConfig(), options, 0)
    return TeacherStage(teacher(preset), pairs, photos, encoder, VOCABULARY, preset, options, 0, {"origin": "test"})


def test_pairs_are_the_crops_and_their_edits(tmp_path: Path, photos: Photos, small_preset: Preset) -> None:
    encoder = autoencoder(small_preset)
    options = replace(OPTIONS, full_strength=1.0, recolored=0.0)
    pairs = load_pairs(tmp_path, encoder, photos, PhotoConfig(), options, 7)[1]
    assert pairs.images.shape == (5, 4, 6, 8)
    assert pairs.edited.shape == (5, 2, 4, 6, 8)
    for place in range(5):
        rng = generator(7, 1, place)
        photo = photos.training[int(rng.integers(len(photos.training)))]
        crop = random_crop(photo, (64, 48), PhotoConfig().max_zoom_out, rng)
        rng.random()
        names = list(EDITS)
        for version in range(2):
            index, edit = draw_edit(crop, options.local_share, rng)
            rng.random()
            assert int(pairs.edits[place, version]) == names.index(edit.name) == index
            truth = torch.from_numpy(edit.apply(crop, 1.0)).permute(2, 0, 1)[None]
            with torch.no_grad():
                expected = encoder.encode(2 * truth - 1)[0]
            # bf16 arithmetic while encoding: about three significant digits.
            torch.testing.assert_close(pairs.edited[place, version].float(), expected, rtol=0.05, atol=0.1)


def test_a_cache_is_used_again_and_never_for_anything_else(
    tmp_path: Path, photos: Photos, small_preset: Preset
) -> None:
    encoder = autoencoder(small_preset)
    calls: list[tuple[int, int]] = []
    first = load_pairs(tmp_path, encoder, photos, PhotoConfig(), OPTIONS, 0, lambda *done: calls.append(done))
    assert calls[-1] == (25, 25)
    calls.clear()
    second = load_pairs(tmp_path, encoder, photos, PhotoConfig(), OPTIONS, 0, lambda *done: calls.append(done))
    assert calls == []
    assert torch.equal(first[0].edited, second[0].edited)
    assert len(list(tmp_path.iterdir())) == 1

    digests = {cache_digest(encoder, photos, PhotoConfig(), OPTIONS, 0)}
    digests.add(cache_digest(encoder, photos, PhotoConfig(), OPTIONS, 1))
    digests.add(cache_digest(encoder, photos, PhotoConfig(max_zoom_out=2.0), OPTIONS, 0))
    digests.add(cache_digest(encoder, photos, PhotoConfig(), replace(OPTIONS, edits=3), 0))
    digests.add(cache_digest(encoder, replace(photos, training=photos.training[1:]), PhotoConfig(), OPTIONS, 0))
    with torch.no_grad():
        next(encoder.parameters()).add_(1e-4)
    digests.add(cache_digest(encoder, photos, PhotoConfig(), OPTIONS, 0))
    assert len(digests) == 6


def test_local_edits_are_drawn_where_they_change_something() -> None:
    grey = np.full((32, 32, 3), 0.5, np.float32)
    drawn = [draw_edit(grey, 0.5, generator(0, index))[1] for index in range(300)]
    local = [edit for edit in drawn if edit.group == "local"]
    assert 0.4 < len(local) / len(drawn) < 0.6
    # Nothing in a grey crop has a colour to change, but all of it can lose what is not red.
    kinds = sum(edit.group == "local" for edit in EDITS.values())
    assert sum(edit.name == "only_red" for edit in local) / len(local) > 2 / kinds
    assert all(edit.group != "local" for edit in (draw_edit(grey, 0.0, generator(1, place))[1] for place in range(50)))


def test_errors_weigh_more_where_an_edit_changes_something() -> None:
    images = torch.randn(3, 4, 8, 8)
    edited = images.clone()
    edited[0, :, :2, :2] += 3.0
    edited[1] += 1.0
    weights = change_weights(images, edited, 0.5)
    assert weights.shape == (3, 1, 8, 8)
    assert torch.equal(weights[0, 0, 4:], torch.ones(4, 8))
    torch.testing.assert_close(weights[0, 0, :2, :2], torch.full((2, 2), 1 + 0.5 * CHANGE_LIMIT))
    torch.testing.assert_close(weights[1], torch.full((1, 8, 8), 1.5))
    assert torch.equal(weights[2], torch.ones(1, 8, 8))
    assert torch.equal(change_weights(images, edited, 0.0), torch.ones(3, 1, 8, 8))


def test_strengths_are_mostly_full_and_never_below_the_least() -> None:
    drawn = np.array([draw_strength(OPTIONS, generator(1, index)) for index in range(400)])
    assert 0.6 < (drawn == 1.0).mean() < 0.8
    assert drawn.min() >= OPTIONS.min_strength


def test_a_batch_is_a_function_of_the_step(tmp_path: Path, photos: Photos, small_preset: Preset) -> None:
    one = stage(tmp_path, photos, small_preset)
    sizes = set()
    for step in range(12):
        first, second = one.batch(step), one.batch(step)
        assert all(torch.equal(first.tensors[name], second.tensors[name]) for name in first.tensors)
        sizes.add(tuple(first.tensors["edited"].shape))
        assert len(first.sources) == len(first.tensors["edited"])
    assert sizes == {(6, 4, 4, 4), (2, 4, 6, 8)}


def test_conditions_are_dropped_as_often_as_asked(tmp_path: Path, photos: Photos, small_preset: Preset) -> None:
    options = replace(OPTIONS, drop_image=0.2, drop_both=0.1, drop_text=0.3)
    one = stage(tmp_path, photos, small_preset, options)
    null = torch.tensor(one.tokenizer.encode("").ids)
    counts = {(False, False): 0, (False, True): 0, (True, False): 0, (True, True): 0}
    for step in range(250):
        tensors = one.batch(step).tensors
        for image, ids in zip(tensors["images"], tensors["ids"], strict=True):
            counts[bool((image == 0).all()), bool((ids == null).all())] += 1
    total = sum(counts.values())
    # About 1,000 examples: 4 standard deviations are at most 0.06.
    assert counts[True, False] / total == pytest.approx(0.2, abs=0.06)
    assert counts[True, True] / total == pytest.approx(0.1, abs=0.06)
    assert counts[False, True] / total == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize(("power", "mean"), [(1.0, 0.5), (1.5, 0.6)])
def test_timesteps_prefer_noise_by_the_power(
    tmp_path: Path, photos: Photos, small_preset: Preset, power: float, mean: float
) -> None:
    one = stage(tmp_path, photos, small_preset, replace(OPTIONS, high_noise=power, pure_noise=0.0))
    drawn = torch.cat([one.batch(step).tensors["timesteps"] for step in range(250)]).double()
    assert 0 <= drawn.min() <= drawn.max() <= 999
    # t = 1 - u^p has mean 1 - 1 / (p + 1).
    assert float(drawn.mean()) / 1000 == pytest.approx(mean, abs=0.04)


def test_an_untrained_teacher_predicts_nothing_and_costs_the_target(
    tmp_path: Path, photos: Photos, small_preset: Preset
) -> None:
    one = stage(tmp_path, photos, small_preset)
    batch = next(batch for batch in map(one.batch, range(50)) if len(set(batch.tensors["pure"].tolist())) == 2)
    with torch.no_grad():
        loss, _ = one.loss(batch, torch.Generator().manual_seed(5))
    edited, timesteps = batch.tensors["edited"], batch.tensors["timesteps"]
    noise = torch.randn(edited.shape, generator=torch.Generator().manual_seed(5))
    schedule = NoiseSchedule(prediction_type="v_prediction")
    weights = channel_weights(autoencoder(small_preset), one.pairs[0].edited[:16, 0].float())
    # An input skip answers that the edit is the image itself: v is -x0.
    answer = -batch.tensors["images"] if small_preset.unet.input_skip else torch.zeros(())
    squared = (answer - schedule.velocity(edited, noise, timesteps)).square()
    expected = (batch.tensors["change"] * weights[:, None, None] * squared).mean()
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_pure_noise_shows_the_network_nothing_of_the_edit(tmp_path: Path, photos: Photos, small_preset: Preset) -> None:
    class Recorder(torch.nn.Module):
        def forward(self, sample: torch.Tensor, timestep: torch.Tensor, input_ids: torch.Tensor) -> torch.Tensor:
            self.seen = sample
            return torch.zeros_like(sample[:, : sample.shape[1] // 2])

    one = stage(tmp_path, photos, small_preset, replace(OPTIONS, pure_noise=0.5))
    one.network = recorder = Recorder()
    seen_pure = 0
    for step in range(6):
        batch = one.batch(step)
        one.loss(batch, torch.Generator().manual_seed(step))
        edited, timesteps = batch.tensors["edited"], batch.tensors["timesteps"]
        noise = torch.randn(edited.shape, generator=torch.Generator().manual_seed(step))
        noisy = one.schedule.add_noise(edited, noise, timesteps)
        for place, pure in enumerate(batch.tensors["pure"].tolist()):
            shown = recorder.seen[place, : edited.shape[1]]
            assert torch.equal(shown, noise[place] if pure else noisy[place])
            assert not pure or int(timesteps[place]) == 999
            assert torch.equal(recorder.seen[place, edited.shape[1] :], batch.tensors["images"][place])
            seen_pure += pure
    assert seen_pure > 0


def test_channels_that_show_more_weigh_more(small_preset: Preset) -> None:
    network = autoencoder(small_preset)
    with torch.no_grad():
        first = network.decoder.layers[0]
        assert isinstance(first, torch.nn.Conv2d)
        first.weight[:, 0] *= 3.0
        first.weight[:, 1] = 0.0
    weights = channel_weights(network, torch.randn(8, 4, 6, 8, generator=torch.Generator().manual_seed(0)))
    assert float(weights.mean()) == pytest.approx(1.0)
    assert int(weights.argmax()) == 0
    assert int(weights.argmin()) == 1
    assert float(weights.min()) > 0


def test_training_descends_and_saves_a_checkpoint(tmp_path: Path, photos: Photos, small_preset: Preset) -> None:
    loop = LoopConfig(steps=14, learning_rate=1e-2, warmup_steps=3, log_every=1, validate_every=1000, threads=1)
    train(stage(tmp_path, photos, small_preset), loop, tmp_path / "run", resume=False, force=False)
    losses = [item["loss"] for item in MetricsLog(tmp_path / "run" / "metrics.jsonl").read() if "loss" in item]
    assert losses[-1] < losses[0]

    checkpoint = load_checkpoint(tmp_path / "run" / "result")
    assert checkpoint.info["provenance"]["stage"] == "teacher"
    assert checkpoint.info["provenance"]["steps"] == 14
    ids = torch.tensor([checkpoint.tokenizer.encode("make it night").ids])
    states = checkpoint.text_encoder()(ids)
    output = checkpoint.unet()(torch.randn(1, 8, 6, 8), torch.tensor([999]), states)
    assert output.shape == (1, 4, 6, 8)
    assert float(output.detach().abs().max()) > 0
