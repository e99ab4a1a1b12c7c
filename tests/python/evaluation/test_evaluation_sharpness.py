"""Gradients and spectra: known pictures give known figures, blur and noise are told apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobie_coreml.evaluation.sharpness import gradient_magnitude, radial_spectrum, sharpness, spectrum_distance


def texture(seed: int = 0, height: int = 48, width: int = 64) -> np.ndarray:
    return (0.3 + 0.4 * np.random.default_rng(seed).random((height, width, 3))).astype(np.float32)


def blurred(image: np.ndarray) -> np.ndarray:
    return sum(np.roll(image, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)) / np.float32(9)


def test_the_gradient_of_a_ramp_is_its_slope():
    y, x = np.mgrid[0:20, 0:30].astype(np.float32)
    ramp = np.repeat((0.01 * x + 0.02 * y)[..., None], 3, axis=2)
    assert np.allclose(gradient_magnitude(ramp), np.hypot(0.01, 0.02), atol=1e-6)
    found = sharpness(ramp, 2 * ramp)
    assert found.gradient_error == pytest.approx(255 * np.hypot(0.01, 0.02), rel=1e-4)
    assert found.gradient_ratio == pytest.approx(2, rel=1e-4)


def test_the_truth_itself_has_no_error():
    image = texture()
    found = sharpness(image, image)
    assert (found.gradient_error, found.gradient_ratio, found.spectrum_db) == (0, 1, 0)
    flat = np.full_like(image, 0.5)
    assert sharpness(flat, image).gradient_ratio == 0


def test_blur_and_noise_differ_in_sign():
    image = texture()
    noisy = image + np.random.default_rng(1).normal(0, 0.2, image.shape).astype(np.float32)
    assert sharpness(image, blurred(image)).gradient_ratio < 0.6
    assert sharpness(image, noisy).gradient_ratio > 1.2
    assert sharpness(image, blurred(image)).spectrum_db > 3
    assert radial_spectrum(blurred(image))[-1] < 0.3 * radial_spectrum(image)[-1]


@settings(max_examples=15, deadline=None)
@given(st.floats(0.2, 3), st.integers(0, 99))
def test_contrast_moves_the_spectrum_by_its_square(factor, seed):
    image = texture(seed)
    scaled = (0.5 + np.float32(factor) * (image - 0.5)).astype(np.float32)
    assert spectrum_distance(image, scaled) == pytest.approx(abs(20 * np.log10(factor)), abs=0.01)


def test_a_wave_has_its_power_in_the_ring_of_its_frequency_whatever_its_direction():
    """On a picture that is not square: frequencies are per pixel on both axes."""
    y, x = np.mgrid[0:96, 0:128]
    for phase in (2 * np.pi * 0.25 * x, 2 * np.pi * 0.25 * y):
        wave = np.repeat((0.5 + 0.3 * np.sin(phase))[..., None], 3, axis=2).astype(np.float32)
        assert int(radial_spectrum(wave).argmax()) in (15, 16)
