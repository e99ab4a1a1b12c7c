"""Models with known answers get the figures and verdicts they deserve, in every form of the report."""

import json

import numpy as np
import pytest
from PIL import Image

from mobie_coreml.errors import InputError
from mobie_coreml.evaluation.evaluate import evaluate_model
from mobie_coreml.evaluation.goals import goals
from mobie_coreml.evaluation.pairs import draw_pairs
from mobie_coreml.evaluation.report import as_dict, grids, markdown
from mobie_coreml.evaluation.sheet import SheetRows, contact_sheet, png
from mobie_coreml.evaluation.stage_table import stage_grids
from mobie_coreml.evaluation.summary import (
    WinRate,
    by_group,
    by_instruction,
    by_source,
    mean_sharpness,
    mean_ssim,
    regions,
    unseen,
)


@pytest.fixture(scope="module")
def pairs(frames):
    return draw_pairs(frames, per_instruction=1, unseen=1)


@pytest.fixture(scope="module")
def perfect(frames, pairs, scripted_model):
    """The evaluation of an editor that knows every truth."""
    return evaluate_model(scripted_model("truth"), frames, pairs)


def test_a_perfect_editor_meets_every_goal(perfect, pairs):
    everything = by_group(perfect)[-1]
    assert everything.pairs == len(pairs)
    assert everything.over_wrong == WinRate(len(pairs), len(pairs))
    assert everything.over_source.rate == 1
    assert everything.over_color.rate is not None
    assert everything.over_color.rate > 0.95
    assert everything.edit_fraction == pytest.approx(1, abs=0.03)
    assert everything.result_db == pytest.approx(everything.autoencoder_db, abs=0.5)
    assert all(goal.met for goal in goals(perfect)), goals(perfect)
    for one in regions(perfect):
        assert one.edited_db > 30
        assert one.preserved_db > 30
    in_other_words = unseen(perfect)
    assert in_other_words.unseen_over_wrong == WinRate(len(pairs), len(pairs))
    assert in_other_words.unseen_db == pytest.approx(in_other_words.usual_db, abs=0.01)
    assert mean_ssim(perfect, "result") == pytest.approx(mean_ssim(perfect, "autoencoder"), abs=0.02)
    sharp = mean_sharpness(perfect)
    assert sharp.gradient_error == pytest.approx(sharp.autoencoder_gradient_error, rel=0.05)


def test_an_editor_that_does_nothing_is_found_out(frames, pairs, scripted_model):
    evaluation = evaluate_model(scripted_model("nothing"), frames, pairs)
    everything = by_group(evaluation)[-1]
    assert everything.over_wrong.wins == 0, "both instructions give the source: equal is no win"
    assert everything.over_source.rate < 0.1
    assert everything.edit_fraction == pytest.approx(0, abs=0.03)
    assert not goals(evaluation)[0].met
    assert unseen(evaluation).unseen_edit_fraction == pytest.approx(0, abs=0.03)
    local = regions(evaluation)[-1]
    same = regions(evaluation, "unedited")[-1]
    assert same.preserved_db > 90, "the source keeps all that is to be kept"
    assert same.preserved_ssim > local.preserved_ssim, "up to windows that reach into the edited region"
    assert same.edited_db == pytest.approx(local.edited_db, abs=1)
    assert local.preserved_db > 30 > local.edited_db


def _of(name, pairs):
    return [pair for pair in pairs if pair.edit.name == name]


def test_an_editor_with_one_answer_for_everything_is_found_out(frames, pairs, scripted_model):
    evaluation = evaluate_model(scripted_model("snow"), frames[:1], [*pairs[:6], *_of("snow", pairs)])
    assert by_group(evaluation)[-1].over_wrong.wins == 0
    snow = next(one for one in by_instruction(evaluation) if one.name == "snow")
    assert snow.over_source.rate == 1


def test_figures_of_a_pair_are_what_they_say(frames, scripted_model):
    pair = draw_pairs(frames, ["red_to_blue"], per_instruction=1)[0]
    row = evaluate_model(scripted_model("truth", error=0), frames[:1], [pair]).pairs[0]
    image, truth = pair.frame.image, pair.edit.apply(pair.frame.image)
    assert row.unedited.db == pytest.approx(-10 * np.log10(np.mean((image - truth) ** 2)), abs=1e-4)
    assert row.result.db > 50, "only rounding to 8 bits is left"
    assert row.wrong_db < row.result.db
    assert row.result.regions.share == pytest.approx((pair.edit.mask(image) > 0.5).mean())
    assert row.phrase == pair.phrase
    assert row.unedited.db < row.color.db < row.result.db


def test_batches_stay_within_bounds_and_nothing_is_edited_twice(frames, pairs, scripted_model):
    model = scripted_model("truth")
    seen = []
    pairs = pairs[::4]
    evaluate_model(model, frames, pairs, batch=6, advance=lambda *step: seen.append(step))
    assert max(model.batches) <= 6
    assert sum(model.batches) <= 4 * len(pairs), "two instructions in two wordings"
    assert len(model.prompts) == sum(model.batches)
    assert [step[1] for step in seen if step[0] == "frames reconstructed"][-1] == len(frames)
    assert [step[1] for step in seen if step[0] == "pairs edited"][-1] == len(pairs)
    assert all(step[3] > 0 for step in seen)


def test_json_has_a_row_for_every_pair_and_the_means_follow_from_the_rows(perfect, pairs):
    report = json.loads(json.dumps(as_dict([perfect], {"seed": 0}, {"clips": {}}), allow_nan=False))
    model = report["models"][0]
    assert len(model["pairs"]) == len(pairs)
    assert set(model["reconstruction_db"]) == {"photos", "clip"}
    for summary in model["groups"][:-1]:
        rows = [row for row in model["pairs"] if row["group"] == summary["name"]]
        assert summary["pairs"] == len(rows)
        for name, part in (("result", "result"), ("source", "unedited"), ("color", "color"), ("autoencoder",) * 2):
            assert summary[f"{name}_db"] == pytest.approx(np.mean([row[part]["db"] for row in rows]), abs=2e-4)
        assert summary["wrong_db"] == pytest.approx(np.mean([row["wrong_db"] for row in rows]), abs=2e-4)
        visible = [row for row in rows if row["unedited"]["db"] < row["autoencoder"]["db"]]
        wins = sum(row["result"]["db"] > row["unedited"]["db"] for row in visible)
        assert summary["over_source"]["contests"] == len(visible)
        assert summary["over_source"]["wins"] == wins
    assert [summary["name"] for summary in model["sources"]] == ["photos", "clip"]
    assert len(by_source(perfect)) == 2


def test_markdown_shows_every_figure(perfect):
    text = markdown([perfect])
    for grid in (*stage_grids([perfect]), *grids(perfect)):
        assert grid.title in text
        for row in grid.rows:
            assert len(row) == len(grid.columns)
            assert "| " + " | ".join(row) + " |" in text


def test_a_contact_sheet_has_source_truth_and_results_in_place(frames, pairs, scripted_model):
    rows = SheetRows("clip")
    models = [scripted_model("truth", error=0), scripted_model("nothing", error=0)]
    for model in models:
        evaluate_model(model, frames[:1], pairs[-8:], keep=rows.keep)
    assert len(rows.rows) > 4
    sheet = contact_sheet(rows.rows, [model.label for model in models], across=2)
    height, width = frames[0].pixels.shape[:2]
    down = -(-len(rows.rows) // 2)
    assert sheet.size == (8 * width, 18 + down * (height + 18))
    pixels = np.asarray(sheet)
    row = rows.rows[1]
    for column, expected in enumerate((row.source, row.truth, *row.results)):
        left = 4 * width + column * width
        assert np.array_equal(pixels[18 : 18 + height, left : left + width], expected)
    assert png(sheet)[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(InputError):
        contact_sheet([], [])
    with pytest.raises(InputError):
        contact_sheet(rows.rows, ["one"])
    assert isinstance(sheet, Image.Image)
