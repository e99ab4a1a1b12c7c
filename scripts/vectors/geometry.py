"""Golden geometry: `tests/vectors/geometry.json`.

`plans`: source and model size, fit, crop and region as [x, y, width, height], and a point mapped to the source and back
to the model as fractions [numerator, denominator].
`orientations`: a display matrix's a, b, c, d and what it does to the frame [[0, 1, 2], [3, 4, 5]].
`frames`: a source of random bytes (sizes and seed of its noise), a fit, and the SHA-256 of the prepared model frame, of
the result in it, and of that restored at the source's scale.
"""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from mobie_coreml.diffusion.noise import philox
from mobie_coreml.editing.geometry import FITS, Rectangle, plan_frame
from mobie_coreml.editing.orientation import from_display_matrix
from vectors import json_lists

PATH = "tests/vectors/geometry.json"
_PLANS = 600


def _list(rectangle: Rectangle) -> list[int]:
    return [rectangle.x, rectangle.y, rectangle.width, rectangle.height]


def _fractions(point: tuple[Fraction, Fraction]) -> list[list[int]]:
    return [[value.numerator, value.denominator] for value in point]


def _plans() -> Iterator[dict[str, Any]]:
    source = random.Random(3)
    common = [
        (640, 272),
        (272, 640),
        (1024, 768),
        (1920, 1080),
        (1080, 1920),
        (256, 192),
        (1, 1),
        (1, 4000),
        (4032, 3024),
    ]
    for number in range(_PLANS):
        size = common[number // 3 % len(common)] if number < 60 else (source.randint(1, 5000), source.randint(1, 5000))
        model = (256, 192) if number < 60 else (8 * source.randint(1, 96), 8 * source.randint(1, 96))
        fit = FITS[number % 3]
        plan = plan_frame(size, model, fit)
        x, y = Fraction(source.randint(-20, 2 * model[0]), 2), Fraction(source.randint(-20, 2 * model[1]), 2)
        yield {
            "source": size,
            "model": model,
            "fit": fit,
            "crop": _list(plan.crop),
            "region": _list(plan.region),
            "point": _fractions((x, y)),
            "toSource": _fractions(plan.to_source(x, y)),
            "toModel": _fractions(plan.to_model(x, y)),
        }


def _orientations() -> Iterator[dict[str, Any]]:
    one = 1 << 16
    frame = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    for a, b, c, d in [*_matrices(one), (50000, 42000, -42000, 50000), (42000, 50000, -50000, 42000), (0, 0, 0, 0)]:
        matrix = struct.pack("=9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
        shown = from_display_matrix(matrix).apply(frame)
        yield {"matrix": [a, b, c, d], "shown": shown[:, :, 0].tolist()}


def _matrices(one: int) -> Iterator[tuple[int, int, int, int]]:
    for first in (one, -one):
        for second in (one, -one):
            yield first, 0, 0, second
            yield 0, first, second, 0


def _noise_frame(width: int, height: int, seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(height, width, 3) bytes: Philox words of a seed, least significant byte first."""
    count = width * height * 3
    block = np.arange(-(-count // 16), dtype=np.uint64)
    words = np.stack(philox((seed, 0), (block, block * 0, block * 0, block * 0)), 1).astype("<u4")
    return np.frombuffer(words.tobytes(), np.uint8)[:count].reshape(height, width, 3)


def _frames() -> Iterator[dict[str, Any]]:
    sizes = [((64, 48), (32, 24)), ((50, 37), (64, 48)), ((37, 90), (32, 24)), ((32, 24), (32, 24)), ((5, 3), (16, 16))]
    for seed, (size, model) in enumerate(sizes):
        for fit in FITS:
            plan = plan_frame(size, model, fit)
            prepared = plan.prepare(_noise_frame(*size, seed))
            restored = plan.restore(prepared, source_scale=True)
            yield {
                "source": size,
                "model": model,
                "fit": fit,
                "seed": seed,
                "prepared": hashlib.sha256(prepared.tobytes()).hexdigest(),
                "restored": hashlib.sha256(restored.tobytes()).hexdigest(),
                "region": hashlib.sha256(plan.restore(prepared).tobytes()).hexdigest(),
            }


def make() -> Iterator[tuple[str, bytes]]:
    """The file."""
    parts = {"plans": list(_plans()), "orientations": list(_orientations()), "frames": list(_frames())}
    yield PATH, json_lists(parts)
