"""PSNR, structural similarity and rank correlation against their definitions."""

import math

import numpy as np
import pytest

from mobie_coreml.metrics import psnr, rank_correlation, ssim, ssim_map


def test_psnr_of_a_known_error() -> None:
    """An error of 1/100 of the peak everywhere is 40 dB, whether the peak is given or found."""
    reference = np.full((2, 3), -2.0)
    assert psnr(reference, reference - 0.02) == pytest.approx(40.0)
    assert psnr(reference, reference + 0.02, peak=2.0) == pytest.approx(40.0)
    assert psnr(reference, reference + 0.02, peak=20.0) == pytest.approx(60.0)


def test_psnr_at_its_ends() -> None:
    values = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float16)
    assert psnr(values, values) == math.inf
    assert psnr(np.zeros(3), np.full(3, 1e-3)) == -math.inf
    for bad in (math.nan, math.inf):
        assert psnr(np.ones(3), np.array([1.0, bad, 1.0]), peak=1.0) == -math.inf


def test_psnr_of_a_region_leaves_the_rest_out() -> None:
    reference, result = np.ones((4, 4, 3)), np.ones((4, 4, 3))
    result[:1] += 0.1
    top = np.zeros((4, 4, 1), bool)
    top[:1] = True
    assert psnr(reference, result, peak=1.0, weight=top) == pytest.approx(20.0)
    assert psnr(reference, result, peak=1.0, weight=~top) == math.inf


@pytest.mark.parametrize("peak", [1.0, 255.0])
def test_ssim_against_a_direct_evaluation_of_its_formula(peak: float) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, peak, (2, 15, 16)), rng.uniform(0, peak, (2, 15, 16))
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(taps, taps) / np.outer(taps, taps).sum()
    expected = np.empty((2, 5, 6))
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    for plane, row, column in np.ndindex(expected.shape):
        a, b = (image[plane, row : row + 11, column : column + 11] for image in (x, y))
        ma, mb = (window * a).sum(), (window * b).sum()
        va, vb = (window * (a - ma) ** 2).sum(), (window * (b - mb) ** 2).sum()
        cov = (window * (a - ma) * (b - mb)).sum()
        top = (2 * ma * mb + c1) * (2 * cov + c2)
        expected[plane, row, column] = top / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    assert np.allclose(ssim_map(x, y, peak=peak), expected, atol=1e-9)
    assert ssim(x, y, peak=peak) == pytest.approx(expected.mean())
    assert ssim(x, x, peak=peak) == pytest.approx(1)
    region = np.zeros((15, 16))
    region[5:7, 5:7] = 1
    assert ssim(x, y, peak=peak, weight=region) == pytest.approx(expected[:, :2, :2].mean())


def test_ssim_falls_with_noise_and_is_symmetric() -> None:
    rng = np.random.default_rng(1)
    image = rng.uniform(0, 255, size=(3, 40, 40))
    little = image + rng.normal(0, 5, image.shape)
    much = image + rng.normal(0, 50, image.shape)
    assert 1 > ssim(image, little, peak=255.0) > ssim(image, much, peak=255.0)
    assert ssim(image, much, peak=255.0) == pytest.approx(ssim(much, image, peak=255.0))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1, 2, 3], [10, 20, 21], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        ([1, 2, 3, 4], [1, 2, 4, 3], 0.8),
        ([1, 1, 2], [1, 2, 3], math.sqrt(3) / 2),
        ([1, 1], [1, 2], 0.0),
    ],
)
def test_rank_correlation(one: list[float], other: list[float], expected: float) -> None:
    assert rank_correlation(one, other) == pytest.approx(expected)
