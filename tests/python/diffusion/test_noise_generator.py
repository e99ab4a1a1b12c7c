"""The specified noise generator: published vectors of Philox, an independent reading of the docstring, statistics."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobie_coreml.diffusion.noise import philox, standard_normal
from mobie_coreml.errors import InputError

# Known answers for philox4x32 with 10 rounds from the Random123 distribution (kat_vectors): counter, key, result.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def plain_philox(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """The docstring's rounds in plain integers."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        p, q = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (q >> 32) ^ c1 ^ k0, q & 0xFFFFFFFF, (p >> 32) ^ c3 ^ k1, p & 0xFFFFFFFF
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3


def plain_normal(seed: int, stream: int, index: int) -> np.float16:
    """The docstring's number `index`."""
    block = index // 4
    words = plain_philox((block % 2**32, block >> 32, stream % 2**32, stream >> 32), (seed % 2**32, seed >> 32))
    first = index % 4 // 2 * 2
    radius = math.sqrt(-2 * math.log((words[first] + 1) / 2**32))
    angle = 2 * math.pi * (words[first + 1] / 2**32)
    return np.float16(radius * (math.sin(angle) if index % 2 else math.cos(angle)))


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_published_vectors(counter: tuple[int, ...], key: tuple[int, int], result: tuple[int, ...]) -> None:
    words = philox(key, tuple(np.array([word], dtype=np.uint64) for word in counter))  # type: ignore[arg-type]
    assert tuple(int(word[0]) for word in words) == result
    assert plain_philox(counter, key) == result


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**64 - 1), stream=st.integers(0, 2**64 - 1), count=st.integers(1, 40))
def test_numbers_follow_the_specification(seed: int, stream: int, count: int) -> None:
    numbers = standard_normal(seed, stream, (count,))
    assert numbers.dtype == np.float16
    assert numbers.tolist() == [plain_normal(seed, stream, index) for index in range(count)]


def test_statistics_are_those_of_a_standard_normal() -> None:
    numbers = standard_normal(11, 2, (500, 1000)).astype(np.float64)
    assert abs(numbers.mean()) < 0.005
    assert abs(numbers.std() - 1) < 0.005
    assert abs((numbers**3).mean()) < 0.02
    assert abs((numbers**4).mean() - 3) < 0.05
    neighbours = np.corrcoef(numbers.ravel()[:-1], numbers.ravel()[1:])[0, 1]
    assert abs(neighbours) < 0.005


def test_seeds_and_streams_are_independent_and_shapes_are_views_of_one_sequence() -> None:
    base = standard_normal(1, 0, (4, 64)).astype(np.float64)
    for seed, stream in ((2, 0), (1, 1), (1, 2**32), (1 + 2**32, 0)):
        other = standard_normal(seed, stream, (4, 64)).astype(np.float64)
        assert abs(np.corrcoef(base.ravel(), other.ravel())[0, 1]) < 0.25
    assert np.array_equal(standard_normal(1, 0, (256,)), standard_normal(1, 0, (4, 64)).ravel())
    assert np.array_equal(standard_normal(1, 0, (3,)), standard_normal(1, 0, (4, 64)).ravel()[:3])
    assert standard_normal(1, 0, (0, 4)).shape == (0, 4)


@pytest.mark.parametrize(("seed", "stream"), [(-1, 0), (2**64, 0), (0, -1), (0, 2**64)])
def test_out_of_range_is_refused(seed: int, stream: int) -> None:
    with pytest.raises(InputError, match="out of range"):
        standard_normal(seed, stream, (1,))
