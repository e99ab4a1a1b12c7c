"""The resampler keeps its written rule exactly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mobie_coreml.editing.resample import axis_weights, resize


def _resize_by_the_rule(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    """The rule of the module's docstring in plain Python integers, pixel by pixel."""

    def weights(length: int, size: int, index: int) -> dict[int, int]:
        centre = (2 * index + 1) * length
        raw = {j: 2 * max(size, length) - abs((2 * j + 1) * size - centre) for j in range(length)}
        raw = {j: weight for j, weight in raw.items() if weight > 0}
        total, so_far, fixed = sum(raw.values()), 0, {}
        for j, weight in raw.items():
            before, so_far = so_far, so_far + weight
            fixed[j] = (2 * so_far * 2**14 + total) // (2 * total) - (2 * before * 2**14 + total) // (2 * total)
        return fixed

    old_height, old_width, channels = frame.shape
    rows = np.zeros((height, old_width, channels), object)
    for y in range(height):
        terms = weights(old_height, height, y)
        for x in range(old_width):
            for c in range(channels):
                rows[y, x, c] = (sum(q * int(frame[j, x, c]) for j, q in terms.items()) + 2**5) >> 6
    out = np.zeros((height, width, channels), np.uint8)
    for x in range(width):
        terms = weights(old_width, width, x)
        for y in range(height):
            for c in range(channels):
                out[y, x, c] = (sum(q * int(rows[y, j, c]) for j, q in terms.items()) + 2**21) >> 22
    return out


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_resize_equals_the_written_rule(old_width: int, old_height: int, width: int, height: int, seed: int) -> None:
    frame = np.random.default_rng(seed).integers(0, 256, (old_height, old_width, 3), np.uint8)
    assert np.array_equal(resize(frame, width, height), _resize_by_the_rule(frame, width, height))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 600))
def test_weights_add_up_and_are_not_negative(length: int, size: int) -> None:
    positions, weights = axis_weights(length, size)
    assert (weights.sum(axis=0) == 2**14).all()
    assert (weights >= 0).all()
    assert positions.min() >= 0
    assert positions.max() < length


@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
def test_flat_frames_stay_flat(value: int) -> None:
    frame = np.full((45, 77, 3), value, np.uint8)
    assert (resize(frame, 31, 64) == value).all()


def test_same_size_is_a_copy() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    assert np.array_equal(resize(frame, 30, 20), frame)


def test_agrees_with_pillow_to_one_level() -> None:
    frame = np.random.default_rng(2).integers(0, 256, (272, 640, 3), np.uint8)
    theirs = np.asarray(Image.fromarray(frame).resize((256, 192), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(resize(frame, 256, 192).astype(int) - theirs).max() <= 1
