"""Golden noise: `tests/vectors/noise.json`.

`philox`: counters, keys and results; the first three are the authors' own examples (Random123, kat_vectors).
`streams`: seed, stream, count, the bits of the first 16 numbers, and the SHA-256 of all bits, little-endian.
`close`: seed, stream, block, number in the block and bits of the numbers that come closest to the middle between two
half-precision ones, where a logarithm or cosine that is one bit off would show.
`halves`: doubles, by their bits, and the half-precision bits that they round to.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from mobie_coreml.diffusion.noise import normals, philox, standard_normal
from vectors import json_lists

PATH = "tests/vectors/noise.json"
_STREAMS = [
    (0, 0, 6144),
    (1, 0, 6144),
    (0, 1, 5),
    (7, 1 << 32, 1024),
    (2**64 - 1, 2**64 - 1, 1023),
    (0x0123456789ABCDEF, 0xFEDCBA9876543210, 200_000),
]
_SEARCHED = 10_000_000
_KEPT = 24


def _philox(counter: list[int], key: list[int]) -> list[int]:
    words = philox((key[0], key[1]), tuple(np.array([word], np.uint64) for word in counter))  # type: ignore[arg-type]
    return [int(word[0]) for word in words]


def _counters() -> Iterator[dict[str, list[int]]]:
    pi = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0]
    ones = 0xFFFFFFFF
    for counter, key in (([0] * 4, [0] * 2), ([ones] * 4, [ones] * 2), pi, ([1, 2, 3, 4], [5, 6])):
        yield {"counter": counter, "key": key, "words": _philox(counter, key)}


def _streams() -> Iterator[dict[str, Any]]:
    for seed, stream, count in _STREAMS:
        bits = standard_normal(seed, stream, (count,)).view(np.uint16)
        yield {
            "seed": str(seed),
            "stream": str(stream),
            "count": count,
            "first": [int(one) for one in bits[:16]],
            "sha256": hashlib.sha256(bits.astype("<u2").tobytes()).hexdigest(),
        }


def _blocks(first: int, count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The numbers of some blocks of stream 3 of seed 2026 before they are rounded."""
    return normals(2026, 3, np.arange(first, first + count, dtype=np.uint64)).reshape(-1)


def _close() -> Iterator[dict[str, Any]]:
    """The numbers of stream 3 of seed 2026 whose distance to a middle is the smallest part of them."""
    found: list[tuple[float, int]] = []
    piece = 1 << 20
    for first in range(0, _SEARCHED // 4, piece // 4):
        exact = np.abs(_blocks(first, piece // 4))
        down = exact.view(np.uint64) & np.uint64(2**64 - 2**42)
        # What is dropped, as part of the step between two half-precision numbers; the middle is at one half.
        step = (down + np.uint64(2**42)).view(np.float64) - down.view(np.float64)
        distance = np.abs(exact - down.view(np.float64) - step / 2) / exact
        distance[exact < 2.0**-14] = 1
        for index in np.argpartition(distance, 4)[:4]:
            found.append((float(distance[index]), first * 4 + int(index)))
    for _, index in sorted(found)[:_KEPT]:
        block = index // 4
        value = _blocks(block, 1)[index % 4]
        yield {"seed": "2026", "stream": "3", "block": block, "number": index % 4, "bits": _half(value)}


def _half(value: float) -> int:
    with np.errstate(over="ignore"):
        return int(np.float64(value).astype(np.float16).view(np.uint16))


def _halves() -> Iterator[list[Any]]:
    source = random.Random(16)
    values = [0.0, -0.0, 1.0, -2.0, 65504.0, 65519.99, 65520.0, 1e300, 2.0**-14, 2.0**-24, 2.0**-25, 2.0**-26, 1e-300]
    values += [1 + 2.0**-11, 1 + 3 * 2.0**-11, 1 + 2.0**-11 + 2.0**-52, 2.0**-24 * 1.5, 2.0**-14 - 2.0**-25, 2047.5]
    values += [2.0**-25 * (1 + 2.0**-52), float("inf"), float("-inf")]
    values += [source.uniform(-8, 8) for _ in range(100)]
    values += [source.choice((-1, 1)) * 2 ** source.uniform(-28, 17) for _ in range(200)]
    for value in values:
        yield [f"{np.float64(value).view(np.uint64):016x}", _half(value)]


def make() -> Iterator[tuple[str, bytes]]:
    """The file."""
    parts: dict[str, list[Any]] = {
        "philox": list(_counters()),
        "streams": list(_streams()),
        "close": list(_close()),
        "halves": list(_halves()),
    }
    yield PATH, json_lists(parts)
