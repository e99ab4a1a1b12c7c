"""Sinusoidal embeddings against diffusers'."""

import pytest
import torch
from diffusers.models.embeddings import get_timestep_embedding

from mobie_coreml.models.embeddings import sinusoidal_embedding


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("shift", [0.0, 1.0])
@pytest.mark.parametrize("width", [2, 64, 320])
def test_embeddings_are_those_of_diffusers(flip: bool, shift: float, width: int) -> None:
    if width // 2 == shift:
        width = 4  # with one frequency and a shift of one the exponent has no meaning
    values = torch.tensor([0.0, 1.0, 7.5, 500.0, 999.0])
    ours = sinusoidal_embedding(values, width, flip_sin_to_cos=flip, freq_shift=shift)
    theirs = get_timestep_embedding(values, width, flip_sin_to_cos=flip, downscale_freq_shift=shift)
    assert ours.shape == (5, width)
    assert torch.equal(ours, theirs)


def test_whole_numbers_are_embedded_like_their_floats() -> None:
    assert torch.equal(sinusoidal_embedding(torch.tensor([3]), 8), sinusoidal_embedding(torch.tensor([3.0]), 8))
