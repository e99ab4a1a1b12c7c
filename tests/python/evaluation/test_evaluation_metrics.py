"""Metrics against their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobie_coreml import metrics
from mobie_coreml.evaluation.metrics import (
    HIGHEST_DB,
    INNER,
    best_color_transform,
    edit_fraction,
    mean_over,
    psnr,
    similarity,
)


def picture(seed: int = 0, height: int = 40, width: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(st.floats(1e-3, 0.5), st.integers(0, 99))
def test_psnr_of_a_constant_error_is_its_size_in_decibels(error, seed):
    image = picture(seed)
    assert psnr(image, image + np.float32(error)) == pytest.approx(-20 * math.log10(error), abs=1e-2)


def test_psnr_of_equal_images_is_finite_and_regions_count_alone():
    image = picture()
    assert psnr(image, image) == HIGHEST_DB
    changed = image.copy()
    changed[:10] += np.float32(0.1)
    upper = np.zeros(image.shape[:2], bool)
    upper[:10] = True
    assert psnr(image, changed, upper) == pytest.approx(20, abs=0.01)
    assert psnr(image, changed, ~upper) == HIGHEST_DB


def test_similarity_is_that_of_the_planes_and_regions_count_alone():
    x, y = picture(1), picture(2)
    assert np.allclose(similarity(x, x), 1)
    planes = metrics.ssim_map(np.moveaxis(x, 2, 0), np.moveaxis(y, 2, 0), peak=1.0)
    found = similarity(x, y)
    assert np.allclose(found, planes.mean(axis=0))
    assert found.shape == x[..., 0][INNER].shape
    upper = np.zeros(found.shape, bool)
    upper[:15] = True
    assert mean_over(found, upper) == pytest.approx(planes[:, :15].mean())
    assert mean_over(found, ~upper) == pytest.approx(planes[:, 15:].mean())
    assert mean_over(found, np.zeros(found.shape, bool)) is None


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**16))
def test_the_colour_transform_recovers_every_affine_map_and_never_does_worse_than_the_source(seed):
    rng = np.random.default_rng(seed)
    source = (0.25 + 0.5 * picture(seed)).astype(np.float32)
    matrix, offset = rng.uniform(-0.2, 0.2, (3, 3)) + 0.3 * np.eye(3), rng.uniform(0.3, 0.5, 3)
    target = np.clip(source @ matrix + offset, 0, 1).astype(np.float32)
    if target.min() > 0 and target.max() < 1:
        assert psnr(target, best_color_transform(source, target)) > 80
    other = picture(seed + 1)
    assert psnr(other, best_color_transform(source, other)) >= psnr(other, source) - 1e-6


def test_the_colour_transform_of_a_single_colour_is_the_mean_of_the_target():
    source = np.full((16, 16, 3), 0.5, np.float32)
    target = picture(4, 16, 16)
    assert np.allclose(best_color_transform(source, target), target.mean(axis=(0, 1)), atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.floats(-0.5, 1.5), st.integers(0, 99))
def test_edit_fraction_is_the_blend_that_was_made(fraction, seed):
    source, truth = picture(seed), picture(seed + 100)
    result = source + np.float32(fraction) * (truth - source)
    assert edit_fraction(source, truth, result) == pytest.approx(fraction, abs=1e-4)


def test_edit_fraction_without_an_edit_is_zero():
    image = picture()
    assert edit_fraction(image, image, image + 1) == 0
