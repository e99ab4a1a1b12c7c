"""Motion: flow finds a known movement, and errors over time are what they say."""

import numpy as np
import pytest

from mobie_coreml.edits import EDITS
from mobie_coreml.evaluation.flow import motion_between
from mobie_coreml.evaluation.frames import EvaluationFrame, to_levels
from mobie_coreml.evaluation.metrics import psnr
from mobie_coreml.evaluation.pairs import VISIBLE_DB
from mobie_coreml.evaluation.temporal import ClipEdit, choose_clip_edits, difference_error, measure_clips, warp_error


@pytest.fixture(scope="module")
def texture():
    """A smooth random texture (64, 112, 3) uint8."""
    values = np.random.default_rng(0).random((64, 112, 3))
    for _ in range(4):
        values = sum(np.roll(values, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)) / 9
    values = (values - values.min()) / (values.max() - values.min())
    return to_levels(values.astype(np.float32))


def test_flow_finds_a_shift_and_what_came_in_is_not_visible(texture):
    before, now = texture[:, 3:99], texture[:, :96]
    motion = motion_between(np.ascontiguousarray(before), np.ascontiguousarray(now))
    grid_x = np.arange(96, dtype=np.float32)[None]
    inner = (slice(8, -8), slice(16, -16))
    assert np.abs((motion.x - grid_x)[inner] + 3).mean() < 0.3, "three pixels to the left, where it was before"
    assert motion.visible[inner].mean() > 0.98
    assert not motion.visible[:, 0].any(), "these were outside"
    again = motion_between(np.ascontiguousarray(before), np.ascontiguousarray(now))
    assert np.array_equal(motion.x, again.x)


def test_what_moves_along_has_no_warp_error_and_what_flickers_has(texture):
    frames = np.stack([texture[:, 2 * n : 2 * n + 96] for n in range(4)])
    motions = [motion_between(*frames[n : n + 2]) for n in range(3)]
    assert warp_error(frames, motions) < 1.5
    flickering = frames.copy()
    flickering[1::2] -= np.minimum(flickering[1::2], 20)
    assert 15 < warp_error(flickering, motions) < 21


def test_difference_error_is_the_mean_change_of_the_error(texture):
    truths = np.stack([texture[:, :96]] * 3)
    results = np.minimum(truths, 200)
    assert difference_error(truths, results) == 0, "an error that stays is no flicker"
    results[1] += 30
    assert difference_error(truths, results) == pytest.approx(30)
    still = np.stack([truths[0], truths[0]])
    moving = np.stack([truths[0], np.roll(truths[0], 1, axis=1)])
    change = np.abs(moving[1].astype(float) - moving[0]).mean()
    assert difference_error(moving, still) == pytest.approx(change, rel=1e-4)


def test_a_perfect_editor_moves_as_the_truth_and_a_flickering_one_does_not(row, scripted_model):
    clip = ClipEdit(tuple(row), EDITS["night"])
    perfect = measure_clips(scripted_model("truth", error=0), [clip], batch=2)[0]
    assert perfect.difference_error < 0.5, "8-bit rounding is left"
    assert perfect.gradient_ratio == pytest.approx(1, abs=0.02)
    assert perfect.warp.result == pytest.approx(perfect.warp.truth, rel=0.05)
    assert perfect.warp.visible > 0.5
    idle = measure_clips(scripted_model("nothing", error=0), [clip])[0]
    assert idle.warp.result == pytest.approx(idle.warp.source, rel=0.01)
    assert idle.difference_error > 5 * perfect.difference_error
    assert (idle.truth_difference, idle.frames) == (perfect.truth_difference, 5)


def test_edits_of_clips_come_from_every_group_and_have_something_to_do(row):
    chosen = choose_clip_edits([row], None, 8, seed=0)
    assert [clip.edit.group for clip in chosen[:3]] == ["tone", "weather", "style"]
    assert len({clip.edit.name for clip in chosen}) == 8
    again = choose_clip_edits([row], None, 8, seed=0)
    assert [clip.edit.name for clip in chosen] == [clip.edit.name for clip in again]
    middle = row[2].image
    assert all(psnr(clip.edit.apply(middle), middle) < VISIBLE_DB for clip in chosen)
    assert [clip.edit.name for clip in choose_clip_edits([row], ["snow"], 8, seed=0)] == ["snow"]
    assert choose_clip_edits([row[:1]], None, 8, seed=0) == [], "one frame has no motion"
    grey = [EvaluationFrame("grey", str(n), np.full((64, 96, 3), 90, np.uint8)) for n in range(3)]
    assert choose_clip_edits([grey], ["red_to_blue"], 8, seed=0) == []
