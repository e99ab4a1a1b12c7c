"""A teacher made of another one: what is copied, what is learnt, what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from thin_preset import thin

from mobie_coreml.errors import InputError
from mobie_coreml.models.autoencoder import TinyAutoencoder
from mobie_coreml.models.checkpoint import Checkpoint, load_checkpoint, new_checkpoint
from mobie_coreml.models.import_checkpoint import without_top_attention
from mobie_coreml.models.presets import Preset
from mobie_coreml.training import run_folder, teacher_runs
from mobie_coreml.training.autoencoder import save_autoencoder
from mobie_coreml.training.config import LoopConfig, PhotoConfig
from mobie_coreml.training.distillation import Material
from mobie_coreml.training.examples import Example
from mobie_coreml.training.features import block_features, feature_error
from mobie_coreml.training.fine_tuning import FineTuningStage, with_weights_that_fit
from mobie_coreml.training.metrics import MetricsLog
from mobie_coreml.training.photos import Photos
from mobie_coreml.training.stage_config import FeatureTraining, FineTuning, NoiseTraining, ScaleTraining
from mobie_coreml.training.teacher_runs import TeacherRequest, train_any_teacher
from mobie_coreml.training.validation import HeldOut


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("base") / "base"
    new_checkpoint(folder, thin("base"), 0, dtype="float32")
    return load_checkpoint(folder)


@pytest.fixture(scope="module")
def triples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("triples")
    lines = []
    for index in range(12):
        pixels = np.random.default_rng(index).integers(0, 256, (2, 6, 8, 3), dtype=np.uint8)
        for kind, image in zip("ab", pixels, strict=True):
            Image.fromarray(image).resize((64, 48), Image.Resampling.BICUBIC).save(folder / f"{index}{kind}.png")
        lines.append({"source": f"{index}a.png", "target": f"{index}b.png", "instruction": f"edit {index}"})
    (folder / "triples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves are drawn in other tests, and take as long as such a training."""
    monkeypatch.setattr(run_folder, "draw_curve", lambda *_: None)


def asking(data: Path, out: Path, teacher: Path | str = "", steps: int = 1, **changes: Any) -> TeacherRequest:
    def loop(usual: LoopConfig) -> LoopConfig:
        return replace(
            usual, steps=steps, minutes=None, log_every=1, threads=1, learning_rate=3e-4, warmup_steps=1, ema_decay=0.5
        )

    usual = TeacherRequest(
        data=str(data),
        out=out,
        teacher=str(teacher),
        loop=loop,
        settings=("batch=2",),
        crops=8,
        photo_config=PhotoConfig(held_out_every=10),
        command="mobie train teacher",
    )
    return replace(usual, **changes)


def test_every_weight_that_fits_is_copied_and_the_top_attention_left_out(base: Checkpoint) -> None:
    unpruned = base.unet()
    student = with_weights_that_fit(unpruned, without_top_attention(base.networks.unet))
    found, copied = unpruned.state_dict(), student.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in copied.items())
    left_out = {name for name in found if name not in copied}
    top = ("down_blocks.0.attentions.", f"up_blocks.{len(unpruned.up_blocks) - 1}.attentions.")
    assert left_out == {name for name in found if name.startswith(top)}
    assert left_out
    with torch.no_grad():
        copied["conv_in.weight"].add_(1.0)
    assert not torch.equal(copied["conv_in.weight"], found["conv_in.weight"])


def test_weights_that_are_lacking_are_named(base: Checkpoint) -> None:
    pruned = with_weights_that_fit(base.unet(), without_top_attention(base.networks.unet))
    with pytest.raises(InputError, match=r"weights that the teacher lacks .* down_blocks\.0\.attentions\.0"):
        with_weights_that_fit(pruned, base.networks.unet)
    with pytest.raises(InputError, match="or has in another shape"):
        with_weights_that_fit(pruned, replace(pruned.config, block_out_channels=(32, 32, 64, 128)))


def test_a_pruned_teacher_learns_the_features_of_the_unpruned(
    base: Checkpoint, triples: Path, tmp_path: Path, no_curves: None
) -> None:
    settings = ("batch=4", "features.down=2")
    out = tmp_path / "mobile"
    result = train_any_teacher(asking(triples, out, base.path, 8, settings=settings, distill=True))
    records = [one for one in MetricsLog(out / "metrics.jsonl").read() if "loss" in one]
    assert result.steps == len(records) == 8
    names = ("loss", "down_features", "middle_features", "up_features", "output_error")
    first, last = ({name: record[name] for name in names} for record in (records[0], records[-1]))
    assert all(last[name] < first[name] for name in names), (first, last)

    made = load_checkpoint(out / "result")
    assert made.preset == "mobile"
    assert made.networks.unet == without_top_attention(base.networks.unet)
    assert made.part_digest("tokenizer") == base.part_digest("tokenizer")
    ours, theirs = made.text_encoder().state_dict(), base.text_encoder().half().float().state_dict()
    assert all(torch.equal(value, ours[name]) for name, value in theirs.items())
    provenance = made.info["provenance"]
    assert provenance["parent_sha256"] == base.digest
    assert provenance["data"].startswith("11 triples")
    assert [one["kind"] for one in provenance["lineage"]] == ["random"]


def test_photographs_and_another_autoencoder(base: Checkpoint, photos: Photos, tmp_path: Path, no_curves: None) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for photo in (*photos.training, *photos.held_out):
        photo.image.save(folder / photo.name)
    torch.manual_seed(5)
    swapped = TinyAutoencoder(replace(base.networks.autoencoder, num_decoder_blocks=(1, 1, 1, 1)))
    save_autoencoder(swapped, tmp_path / "taesd", {})
    train_any_teacher(asking(folder, tmp_path / "run", base.path, autoencoder=str(tmp_path / "taesd")))
    made = load_checkpoint(tmp_path / "run" / "result")
    assert made.networks.autoencoder == swapped.config
    kept = made.autoencoder().state_dict()
    assert all(torch.equal(value.half().float(), kept[name]) for name, value in swapped.state_dict().items())
    assert len(made.info["provenance"]["autoencoder_sha256"]) == 64
    assert "procedural edits" in (tmp_path / "run" / "result" / "MODEL_CARD.md").read_text().lower()


def test_from_nothing_on_triples_the_text_encoder_learns_too(
    triples: Path, tmp_path: Path, small_preset: Preset, no_curves: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher_runs, "find_preset", lambda _: small_preset)
    save_autoencoder(TinyAutoencoder(small_preset.autoencoder), tmp_path / "autoencoder", {})
    train_any_teacher(asking(triples, tmp_path / "run", autoencoder=str(tmp_path / "autoencoder")))
    first = load_checkpoint(tmp_path / "run" / "result")
    assert first.schedule.prediction_type == "v_prediction"
    train_any_teacher(asking(triples, tmp_path / "further", tmp_path / "run", start=str(tmp_path / "run")))
    further = load_checkpoint(tmp_path / "further" / "result")
    assert further.info["provenance"]["started_from"] == first.digest
    before, after = first.text_encoder().state_dict(), further.text_encoder().state_dict()
    assert any(not torch.equal(value, after[name]) for name, value in before.items())


class Drawn:
    """Random latents with one prompt."""

    shares = (1.0,)
    batches = (4,)
    digest = "drawn"

    def example(self, size: int, rng: np.random.Generator) -> Example:
        values = torch.from_numpy(rng.standard_normal((2, 4, 6, 8)).astype("float32"))
        return Example(values[0], values[1], "make it night", "drawn")

    def held_out(self) -> HeldOut:
        return HeldOut(torch.empty(0), torch.empty(0), ())

    def describe(self) -> dict[str, object]:
        return {}

    def summary(self) -> str:
        return "drawn"


def stage(base: Checkpoint, config: FineTuning, unpruned: Checkpoint | None = None) -> FineTuningStage:
    student = with_weights_that_fit(base.unet(), without_top_attention(base.networks.unet))
    return FineTuningStage(student, Material(base, Drawn(), ScaleTraining(), 0, {}), config, unpruned)


def test_dropped_conditions_are_blank_images_and_the_empty_prompt(base: Checkpoint) -> None:
    one = stage(base, FineTuning(drop_image=0.3, drop_both=0.3, drop_text=0.3, noise=NoiseTraining(pure=0.5)))
    seen = set()
    null = one.material.text_states.null_ids
    for number in range(20):
        tensors = one.batch(number).tensors
        for image, ids in zip(tensors["images"], tensors["ids"], strict=True):
            seen.add((not image.any(), torch.equal(ids, null)))
    assert seen == {(blank, silent) for blank in (True, False) for silent in (True, False)}


def test_the_loss_is_the_error_of_noise_plus_weighted_features(base: Checkpoint) -> None:
    weights = FeatureTraining(down=2.0, middle=3.0, up=5.0, output=7.0)
    one = stage(base, FineTuning(features=weights, distill=True), base)
    batch = one.batch(0)
    loss, figures = one.loss(batch, torch.Generator())
    parts = [2 * figures["down_features"], 3 * figures["middle_features"], 5 * figures["up_features"]]
    expected = figures["squared_error"] + sum(parts) + 7 * figures["output_error"]
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert all(one.grad is not None for one in one.network.parameters())
    assert one.unpruned is not None
    assert all(other.grad is None and not other.requires_grad for other in one.unpruned.parameters())


def test_features_are_those_of_every_level_and_their_error_is_relative(base: Checkpoint) -> None:
    unet = base.unet()
    inputs = (torch.randn(2, 8, 6, 8), torch.tensor([10, 900]), torch.randn(2, 77, 64))
    with torch.no_grad(), block_features(unet) as features:
        unet(*inputs)
    assert [tuple(one.shape[1:]) for one in features["down"]] == [(32, 3, 4), (32, 2, 2), (64, 1, 1), (64, 1, 1)]
    assert len(features["middle"]) == 1
    assert [one.shape[1] for one in features["up"]] == [64, 64, 32, 32]
    doubled = {path: [2 * one for one in levels] for path, levels in features.items()}
    relative, figures = feature_error(doubled, features, FeatureTraining())
    assert float(relative) == pytest.approx(3.0, rel=1e-5)
    assert set(figures) == {"down_features", "middle_features", "up_features"}
    plain, _ = feature_error(doubled, features, FeatureTraining(down=0.0, up=0.0, relative=False))
    assert float(plain) == pytest.approx(float(features["middle"][0].square().mean()), rel=1e-5)
    with torch.no_grad():
        unet(*inputs)
    assert len(features["down"]) == 4


def test_what_does_not_fit_is_refused_before_any_work(
    base: Checkpoint, triples: Path, tmp_path: Path, small_preset: Preset
) -> None:
    guided, other = tmp_path / "guided", tmp_path / "other"
    new_checkpoint(guided, thin("mobile"), 0, guidance_embedding=True)
    new_checkpoint(other, small_preset, 0)
    six = replace(small_preset.autoencoder, latent_channels=6)
    save_autoencoder(TinyAutoencoder(six), tmp_path / "six", {})
    out = tmp_path / "run"
    cases = [
        (asking(triples, out), "needs an autoencoder"),
        (asking(triples, out, distill=True, autoencoder=str(tmp_path / "six")), "no network whose features"),
        (asking(triples, out, preset="mobile", autoencoder=str(tmp_path / "six")), "not trained from nothing"),
        (asking(triples, out, guided), "has guidance inputs"),
        (asking(triples, out, base.path, preset="nano"), "nano cannot be made of it"),
        (asking(triples, out, other, preset="mobile"), "mobile cannot be made of it"),
        (asking(triples, out, base.path, autoencoder=str(tmp_path / "six")), "6 latent channels at a factor of 8"),
        (asking(triples, out, base.path, start=str(other)), "not of the shape that is made of"),
        (asking(triples, out, base.path, start=str(base.path)), "not of the shape that is made of"),
        (asking(triples, out, base.path, settings=("drop_text=2",)), "must add up to 1"),
        (asking(triples, out, base.path, settings=("features.down=-1",)), "must be at least 0"),
        (asking(tmp_path / "absent", out, base.path), "no data at"),
        (asking(triples, out, tmp_path), "not a mobie checkpoint"),
    ]
    for request, message in cases:
        with pytest.raises(InputError, match=message):
            train_any_teacher(request)
    assert not out.exists()
