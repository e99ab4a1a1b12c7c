"""Guidance scales that do what they say, nothing, or the contrary."""

import pytest

from mobie_coreml.evaluation.controllability import Controllability, Curve, measure_guidance
from mobie_coreml.evaluation.pairs import draw_pairs


def test_a_scale_that_is_the_strength_is_found_monotone(frames, scripted_model):
    pairs = draw_pairs(frames, ["snow", "night"], per_instruction=1)
    seen = []
    text, image = measure_guidance(
        scripted_model("truth", error=0, image_range=(0, 1)),
        pairs,
        points=3,
        batch=3,
        advance=lambda *step: seen.append(step),
    )
    assert (text.scale, text.grid, image.scale, image.grid) == ("text", (0, 0.5, 1), "image", (0, 0.5, 1))
    assert text.median_curve == pytest.approx((0, 0.5, 1), abs=0.05)
    assert text.mean_spearman == image.mean_spearman == 1
    assert text.median_rises
    assert image.median_rises
    assert [curve.instruction for curve in text.curves] == [pair.edit.name for pair in pairs]
    assert seen[-1] == (3 * 2 * len(pairs), 3 * 2 * len(pairs))


def test_a_scale_without_a_range_is_left_out(frames, scripted_model):
    pairs = draw_pairs(frames, ["snow"], per_instruction=1)
    assert [one.scale for one in measure_guidance(scripted_model("truth"), pairs, points=2)] == ["text"]


def test_a_scale_that_does_nothing_has_no_correlation(frames, scripted_model):
    pairs = draw_pairs(frames, ["snow"], per_instruction=1)
    assert measure_guidance(scripted_model("nothing"), pairs)[0].mean_spearman == 0


def test_summaries_are_those_of_the_curves():
    curves = [Curve("clip", str(n), "snow", values) for n, values in enumerate([(1, 2, 3), (3, 2, 1), (1, 3, 2)])]
    one = Controllability("text", (1.0, 2.0, 3.0), tuple(curves))
    assert one.spearman == pytest.approx([1, -1, 0.5])
    assert one.rising == [1, 0, 0.5]
    assert one.mean_spearman == pytest.approx(1 / 6)
    assert one.median_spearman == 0.5
    assert not one.median_rises
    assert one.median_curve == (1, 2, 2)
