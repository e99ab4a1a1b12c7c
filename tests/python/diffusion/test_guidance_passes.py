"""Three-pass guidance as a weighted sum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobie_coreml.diffusion.guidance import GuidancePass, combine_passes, guidance_passes
from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.errors import InputError

SCALES = st.floats(0, 20, allow_nan=False)


@settings(max_examples=80, deadline=None)
@given(text=SCALES, image=SCALES, seed=st.integers(0, 2**16))
def test_the_sum_is_the_published_formula(text: float, image: float, seed: int) -> None:
    null, with_image, both = np.random.default_rng(seed).standard_normal((3, 5))
    expected = null + image * (with_image - null) + text * (both - with_image)
    values = {(False, False): null, (False, True): with_image, (True, True): both}
    passes = guidance_passes(text, image)
    assert np.isclose(sum(one.weight for one in passes), 1.0)
    assert all(one.weight != 0 for one in passes)
    assert np.allclose(combine_passes(passes, [values[one.text, one.image] for one in passes]), expected, atol=1e-10)


def test_guiding_noise_and_guiding_x0_agree() -> None:
    schedule = NoiseSchedule()
    rng = np.random.default_rng(0)
    x_t, *outputs = rng.standard_normal((4, 6))
    passes = guidance_passes(7.5, 1.5)
    through_noise = schedule.x0_from_epsilon(x_t, combine_passes(passes, outputs), 600)
    through_x0 = combine_passes(passes, [schedule.x0_from_epsilon(x_t, output, 600) for output in outputs])
    assert np.allclose(through_noise, through_x0)


def test_scales_of_one_are_the_conditional_pass_alone() -> None:
    assert guidance_passes(1.0, 1.0) == [GuidancePass(text=True, image=True, weight=1.0)]
    assert [one.weight for one in guidance_passes(7.5, 1.0)] == [-6.5, 7.5]


@pytest.mark.parametrize(("text", "image"), [(float("nan"), 1.0), (7.5, float("inf"))])
def test_scales_that_are_not_numbers_are_refused(text: float, image: float) -> None:
    with pytest.raises(InputError, match="not a finite number"):
        guidance_passes(text, image)


def test_estimates_must_match_the_passes() -> None:
    with pytest.raises(InputError, match="as many estimates"):
        combine_passes(guidance_passes(7.5, 1.5), [np.zeros(2)])
