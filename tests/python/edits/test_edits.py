"""Instruction edits: deterministic, bounded, resolution-independent, and local where they say so."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mobie_coreml.edits import EDITS, GROUPS, find_edit, wrong_instruction
from mobie_coreml.edits.color import hue_saturation_value
from mobie_coreml.errors import InputError


def drawing(height: int = 96, width: int = 128, seed: int = 0) -> np.ndarray:
    """A scene of our own: sky, hill, a house in red and yellow, a face, some texture."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    y, x = y / height, x / width
    image = np.empty((height, width, 3), np.float32)
    image[:] = np.array([0.45, 0.65, 0.95], np.float32)
    image += (0.15 * y)[..., None]
    hill = y > 0.6 + 0.08 * np.sin(7 * x)
    image[hill] = np.array([0.25, 0.55, 0.15], np.float32)
    image[hill] *= (0.7 + 0.5 * np.sin(40 * x + 31 * y)[..., None] * 0.4)[hill]
    image[(abs(x - 0.3) < 0.12) & (abs(y - 0.6) < 0.15)] = (0.85, 0.10, 0.12)
    image[(abs(x - 0.3) < 0.03) & (abs(y - 0.66) < 0.09)] = (0.95, 0.85, 0.15)
    image[(x - 0.75) ** 2 + (y - 0.5) ** 2 < 0.01] = (0.85, 0.65, 0.52)
    image += rng.normal(0, 0.01, image.shape).astype(np.float32)
    return np.clip(image, 0, 1).astype(np.float32)


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    return float(-10 * np.log10(max(1e-12, np.mean((first - second) ** 2))))


def affine_fit(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    design = np.concatenate([source.reshape(-1, 3), np.ones((source.size // 3, 1), np.float32)], axis=1)
    return (design @ np.linalg.lstsq(design, target.reshape(-1, 3), rcond=None)[0]).reshape(target.shape)


@pytest.mark.parametrize("name", EDITS)
def test_same_inputs_give_the_same_bytes_and_the_photograph_is_left_alone(name):
    image = drawing()
    before = image.copy()
    first = EDITS[name].apply(image)
    assert first.tobytes() == EDITS[name].apply(image.copy()).tobytes()
    assert np.array_equal(image, before)
    assert first.shape == image.shape
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert first.min() >= 0
    assert first.max() <= 1


@pytest.mark.parametrize("name", EDITS)
def test_strength_goes_from_nothing_to_the_full_edit(name):
    image, edit = drawing(), EDITS[name]
    full = edit.apply(image, 1.0)
    assert np.array_equal(edit.apply(image, 0.0), image)
    distances = [float(np.abs(edit.apply(image, strength) - image).mean()) for strength in (0.25, 0.5, 0.75, 1.0)]
    assert distances == sorted(distances)
    assert distances[-1] > 0.002, "the drawing has something of everything, so every edit changes it"
    assert np.allclose(edit.apply(image, 0.5), (image + full) / 2, atol=1e-5)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    height=st.integers(8, 70),
    width=st.integers(8, 70),
    kind=st.sampled_from(["noise", "black", "white", "one colour", "columns"]),
    seed=st.integers(0, 2**16),
)
def test_any_size_and_any_picture_stay_finite_and_in_range(height, width, kind, seed):
    rng = np.random.default_rng(seed)
    image = {
        "noise": lambda: rng.random((height, width, 3)),
        "black": lambda: np.zeros((height, width, 3)),
        "white": lambda: np.ones((height, width, 3)),
        "one colour": lambda: np.broadcast_to(rng.random(3), (height, width, 3)),
        "columns": lambda: np.broadcast_to(rng.random((1, width, 3)), (height, width, 3)),
    }[kind]()
    image = np.ascontiguousarray(image, dtype=np.float32)
    for edit in EDITS.values():
        result = edit.apply(image)
        assert np.isfinite(result).all(), edit.name
        assert 0 <= result.min() <= result.max() <= 1, edit.name
        mask = edit.mask(image)
        assert mask.shape == (height, width), edit.name
        assert -1e-5 <= mask.min() <= mask.max() <= 1 + 1e-5, edit.name


@pytest.mark.parametrize("name", [name for name, edit in EDITS.items() if edit.group == "local"])
def test_local_edits_change_their_region_and_nothing_else(name):
    image, edit = drawing(), EDITS[name]
    change = np.abs(edit.apply(image) - image).max(axis=2)
    mask = edit.mask(image)
    assert change[mask < 1e-4].max() < 1e-3
    assert (mask < 1e-4).mean() > 0.02 or name == "only_red"
    assert change[mask > 0.9].mean() > 0.02


def test_local_edits_reach_the_hue_they_name():
    image = drawing()
    wanted = {
        "green_to_red": 0, "green_to_purple": 285, "red_to_blue": 222, "red_to_green": 125,
        "blue_to_orange": 28, "yellow_to_pink": 325,
    }  # fmt: skip
    for name, hue in wanted.items():
        edit = EDITS[name]
        inside = edit.mask(image) > 0.95
        assert inside.any(), name
        hues, _, _ = hue_saturation_value(edit.apply(image))
        distance = np.abs((hues[inside] - hue + 180) % 360 - 180)
        assert np.median(distance) < 4, name


def test_skin_is_neither_red_nor_yellow():
    skins = np.array([[0.96, 0.80, 0.69], [0.85, 0.65, 0.52], [0.62, 0.43, 0.32], [0.38, 0.25, 0.18]], np.float32)
    for tone in skins:
        image = np.ascontiguousarray(np.broadcast_to(tone, (16, 16, 3)))
        for name in ("red_to_blue", "yellow_to_pink", "green_to_red", "blue_to_orange"):
            assert EDITS[name].mask(image).max() < 0.1, (name, tone)


def test_larger_frames_get_the_same_edit():
    """A frame enlarged four times and its edit reduced again are the edit of the frame, up to sampling."""
    small = drawing(192, 256)
    large = np.repeat(np.repeat(small, 3, axis=0), 3, axis=1)
    for name in ("snow", "fire", "oil_painting", "blueprint", "underwater", "green_to_red"):
        reduced = EDITS[name].apply(large).reshape(192, 3, 256, 3, 3).mean(axis=(1, 3))
        assert psnr(reduced, EDITS[name].apply(small)) > 21, name


def test_colour_transforms_are_exactly_the_edits_that_one_affine_map_of_rgb_expresses():
    """On a scene with patches of every colour, where a map that treats hues differently can't pass for affine."""
    image = drawing(seed=3)
    patches = np.random.default_rng(5).random((6, 8, 3)).astype(np.float32)
    image[:, 64:] = np.repeat(np.repeat(patches, 16, axis=0), 16, axis=1)[:, :64]
    for name, edit in EDITS.items():
        if edit.group == "local":
            continue
        fit = psnr(affine_fit(image, edit.apply(image)), edit.apply(image))
        assert (fit > 32) == edit.is_color_transform, (name, fit)


def test_every_group_has_edits_and_every_edit_has_words():
    assert len(EDITS) >= 24
    assert {edit.group for edit in EDITS.values()} == set(GROUPS)
    everything = list(itertools.chain.from_iterable(e.phrases + e.held_out_phrases for e in EDITS.values()))
    assert len(everything) == len(set(everything)), "one phrase, one edit; held-out phrases aren't trained on"
    for name, edit in EDITS.items():
        assert edit.name == name
        assert len(edit.phrases) >= 6, name
        assert len(edit.held_out_phrases) >= 2, name
        assert all(p == p.lower().strip() and p for p in edit.phrases + edit.held_out_phrases), name


def test_wrong_instructions_differ_and_are_reproducible():
    for name, edit in EDITS.items():
        drawn = [wrong_instruction(name, seed) for seed in range(200)]
        assert drawn == [wrong_instruction(name, seed) for seed in range(200)]
        assert name not in drawn
        assert not edit.similar & set(drawn)
        assert len(set(drawn)) > 20
        for other in edit.similar:
            assert name in EDITS[other].similar


@pytest.mark.parametrize(
    ("image", "strength"),
    [
        (np.zeros((32, 32, 3), np.float64), 1.0),
        (np.zeros((32, 32), np.float32), 1.0),
        (np.zeros((32, 32, 4), np.float32), 1.0),
        (np.zeros((4, 32, 3), np.float32), 1.0),
        (np.zeros((32, 32, 3), np.float32), 1.5),
        (np.zeros((32, 32, 3), np.float32), -0.1),
        (np.zeros((32, 32, 3), np.float32), float("nan")),
    ],
)
def test_bad_input_is_one_clear_error(image, strength):
    with pytest.raises(InputError):
        EDITS["snow"].apply(image, strength)


def test_an_unknown_name_says_which_there_are():
    with pytest.raises(InputError) as error:
        find_edit("snoww")
    assert "snow" in error.value.hint
    with pytest.raises(InputError):
        wrong_instruction("snoww", 0)
