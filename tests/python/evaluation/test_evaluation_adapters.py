"""CLIP scores against computation by hand on a tiny random CLIP, and clear errors where weights are missing."""

import json
import math
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from mobie_coreml.edits import EDITS
from mobie_coreml.errors import InputError
from mobie_coreml.evaluation.adapters import ClipScorer, LpipsScorer
from mobie_coreml.evaluation.captions import CAPTIONS
from mobie_coreml.evaluation.perceptual import Perceptual, cosine, direction, frame_consistency

VOCABULARY = Path(__file__).resolve().parents[3] / "mobie_coreml" / "models" / "vocabulary"


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory) -> str:
    """A CLIP of one layer a tower with random weights, its tokenizer and preprocessor."""
    from transformers import CLIPConfig, CLIPModel

    folder = tmp_path_factory.mktemp("clip")
    size = len(json.loads((VOCABULARY / "vocab.json").read_text(encoding="utf-8")))
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    network = CLIPModel(
        CLIPConfig(
            text_config={**tower, "vocab_size": size, "bos_token_id": size - 2, "eos_token_id": size - 1},
            vision_config={**tower, "image_size": 16, "patch_size": 8},
            projection_dim=8,
        )
    )
    network.save_pretrained(folder)
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(VOCABULARY / name, folder / name)
    settings = {
        "size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}, "do_resize": True,
        "do_center_crop": True, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.25] * 3, "resample": 3,
        "image_processor_type": "CLIPImageProcessor",
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}), encoding="utf-8"
    )
    return str(folder)


@pytest.fixture(scope="module")
def scorer(clip_folder) -> ClipScorer:
    return ClipScorer(clip_folder)


def test_embeddings_are_the_networks_at_length_one(scorer, draw_scene):
    frame = draw_scene(0, 16, 16)
    pixels = torch.from_numpy((frame / 255 - 0.5) / 0.25).permute(2, 0, 1)[None].float()
    network = scorer._network
    with torch.inference_mode():
        features = network.visual_projection(network.vision_model(pixel_values=pixels).pooler_output)[0].numpy()
    found = scorer.images(frame[None])
    assert np.allclose(found[0], features / np.linalg.norm(features), atol=1e-5)
    texts = scorer.texts(["make it snow", "a photo"])
    assert np.allclose(np.linalg.norm(texts, axis=1), 1)
    assert cosine(*texts) < 0.999


def test_frames_of_other_shapes_are_cut_to_the_middle(scorer, draw_scene):
    frames = np.stack([draw_scene(seed, 96, 64) for seed in range(3)])
    together = scorer.images(frames)
    assert together.shape == (3, 8)
    assert np.allclose(together[1], scorer.images(frames[1:2])[0], atol=1e-5)


def test_formulas_by_hand():
    x, y = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    assert cosine(x, x + y) == pytest.approx(math.sqrt(0.5))
    assert cosine(x, 0 * x) == 0
    assert direction(x, y, x, y) == pytest.approx(1)
    assert direction(x, y, y, x) == pytest.approx(-1)
    assert direction(x, x, x, y) == 0, "an edit that changes nothing has no direction"
    third = (x + y) / math.sqrt(2)
    expected = (0 + math.sqrt(0.5) + math.sqrt(0.5)) / 3
    assert frame_consistency(np.stack([x, y, third])) == pytest.approx(expected), "all pairs, not neighbours alone"
    assert frame_consistency(x[None]) == 1


def test_scores_of_pairs_are_the_formulas_on_their_embeddings(scorer, draw_scene):
    sources = np.stack([draw_scene(seed, 32, 32) for seed in range(2)])
    truths, results = sources[::-1], 255 - sources
    judge = Perceptual(scorer, None)
    found = judge.scores(["night", "snow"], sources, truths, results)
    for place, name in enumerate(("night", "snow")):
        before, after = scorer.texts(CAPTIONS[name])
        i0, truth, i1 = (scorer.images(one[place : place + 1])[0] for one in (sources, truths, results))
        clip = found[place].clip
        assert found[place].lpips is None
        assert clip.text == pytest.approx(float(i1 @ after), abs=1e-5)
        assert clip.image == pytest.approx(float(i0 @ i1), abs=1e-5)
        assert clip.direction == pytest.approx(cosine(i1 - i0, after - before), abs=1e-4)
        assert clip.truth_direction == pytest.approx(cosine(truth - i0, after - before), abs=1e-4)
    consistency = judge.consistency("clip", "snow", sources, truths, results)
    assert consistency.unedited == pytest.approx(consistency.truth), "the same frames in another order"
    assert consistency.result == pytest.approx(frame_consistency(scorer.images(results)), abs=1e-6)


def test_nothing_is_measured_without_weights(draw_scene):
    frames = draw_scene(0, 32, 32)[None]
    judge = Perceptual(None, None)
    assert judge.scores(["snow"], frames, frames, frames) == [None]
    assert judge.consistency("clip", "snow", frames, frames, frames) is None


def test_every_edit_has_captions_that_differ():
    assert CAPTIONS.keys() == EDITS.keys()
    assert all(before != after for before, after in CAPTIONS.values())


def test_a_folder_without_a_model_is_one_clear_error(tmp_path):
    with pytest.raises(InputError, match="cannot be loaded"):
        ClipScorer(str(tmp_path))


def test_lpips_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    monkeypatch.setitem(sys.modules, "torchmetrics.image.lpip", None)
    with pytest.raises(InputError, match="torchmetrics") as error:
        LpipsScorer()
    assert "mobie-coreml[perceptual]" in error.value.hint


@pytest.mark.parametrize(
    ("raised", "message"),
    [(ModuleNotFoundError("torchvision"), "torchvision"), (OSError("no route to host"), "no route to host")],
)
def test_lpips_without_its_weights_is_one_clear_error(monkeypatch, raised, message):
    def refuse(**_):
        raise raised

    _plant(monkeypatch, refuse)
    with pytest.raises(InputError, match=message):
        LpipsScorer()


def test_lpips_gets_each_pair_as_planes_between_0_and_1(monkeypatch, draw_scene):
    asked = []

    class Metric:
        def __init__(self, **options):
            asked.append(options)

        def eval(self):
            return self

        def __call__(self, truth, result):
            assert truth.shape == result.shape == (1, 3, 32, 32)
            assert 0 <= float(truth.min()) < float(truth.max()) <= 1
            return (truth - result).abs().mean()

    _plant(monkeypatch, Metric)
    truths = np.stack([draw_scene(seed, 32, 32) for seed in range(2)])
    results = truths.copy()
    results[1] = 255 - results[1]
    found = LpipsScorer().distances(truths, results)
    assert asked == [{"net_type": "alex", "normalize": True}]
    assert found == pytest.approx([0, np.abs(truths[1] / 255 - results[1] / 255).mean()])


def _plant(monkeypatch, metric):
    """Puts `metric` where torchmetrics would be: neither it nor its weights are among the development tools."""
    names = ("torchmetrics", "torchmetrics.image", "torchmetrics.image.lpip")
    for name in names:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules[names[-1]].LearnedPerceptualImagePatchSimilarity = metric
