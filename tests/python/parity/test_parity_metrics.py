"""Identities of the parity metrics."""

import math

import numpy as np
import pytest

from mobie_coreml.parity.metrics import compare


def test_equal_arrays_are_infinite_and_identical() -> None:
    values = np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype(np.float16)
    found = compare(values, values.copy(), image=True)
    assert found.psnr_db == math.inf
    assert found.max_error == found.mean_error == 0.0
    assert found.cosine == pytest.approx(1.0)
    assert found.ssim == pytest.approx(1.0)
    assert not found.problem


@pytest.mark.parametrize(("value", "words"), [(np.nan, "1 NaN and 0 inf"), (-np.inf, "0 NaN and 1 inf")])
def test_values_that_are_not_finite_are_a_problem(value: float, words: str) -> None:
    result = np.ones((4, 4))
    result[1, 2] = value
    found = compare(np.ones((4, 4)), result)
    assert words in found.problem
    assert found.psnr_db == -math.inf
    assert found.as_dict()["psnr_db"] is None


def test_a_shape_that_differs_is_a_problem() -> None:
    assert "shape (2, 2) instead of (1, 4)" in compare(np.ones((1, 4)), np.ones((2, 2))).problem


def test_a_reference_that_is_not_finite_is_a_problem() -> None:
    assert "reference" in compare(np.array([np.inf]), np.array([1.0])).problem


def test_zero_reference() -> None:
    zeros = np.zeros(5)
    assert compare(zeros, zeros).cosine == 1.0
    assert compare(zeros, zeros + 1e-3).psnr_db == -math.inf


def test_similarity_is_of_images_alone_and_sees_noise() -> None:
    image = np.random.default_rng(1).uniform(0, 255, size=(1, 3, 20, 20))
    noisy = image + np.random.default_rng(2).normal(0, 20, image.shape)
    found = compare(image, noisy, image=True)
    assert found.ssim is not None
    assert 0.5 < found.ssim < 0.999
    assert compare(image, noisy).ssim is None
