"""The noise generator: standard normal numbers from (seed, stream, index), the same on every machine.

Specification, exact enough to be written again in another language:

1. Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). All arithmetic is on unsigned
   32-bit words. Key (k0, k1) = (seed mod 2^32, seed div 2^32). Counter (c0, c1, c2, c3) = (b mod 2^32, b div 2^32,
   stream mod 2^32, stream div 2^32) for block b = 0, 1, 2, ...
   Ten rounds; in each, with p = 0xD2511F53 * c0 and q = 0xCD9E8D57 * c2 as 64-bit products,

       (c0, c1, c2, c3) <- (hi(q) xor c1 xor k0, lo(q), hi(p) xor c3 xor k1, lo(p))

   and between rounds k0 <- k0 + 0x9E3779B9, k1 <- k1 + 0xBB67AE85 (mod 2^32).
2. Block b gives words w0 to w3 and from them four numbers, in this order, by Box and Muller (1958) in IEEE double
   precision:

       r = sqrt(-2 ln((w0 + 1) 2^-32)), a = 2 pi w1 2^-32:  r cos(a), r sin(a)
       and the same from w2, w3.

3. Each number is rounded to the nearest half-precision number, ties to even. Number i of a tensor in row-major order
   is number i mod 4 of block i div 4.

The largest magnitude is sqrt(64 ln 2) = 6.66, far inside half precision.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mobie_coreml.errors import InputError

_MASK = np.uint64(0xFFFFFFFF)
_WORD = np.uint64(32)
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_INCREMENTS = (0x9E3779B9, 0xBB67AE85)

Words = npt.NDArray[np.uint64]


def philox(key: tuple[int, int], counters: tuple[Words, Words, Words, Words]) -> tuple[Words, Words, Words, Words]:
    """Philox4x32-10 of 32-bit counters (each an array of uint64 below 2^32) under a key of two 32-bit words."""
    c0, c1, c2, c3 = counters
    for step in range(10):
        k0, k1 = (
            np.uint64((word + step * increment) % 2**32) for word, increment in zip(key, _INCREMENTS, strict=True)
        )
        p, q = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (q >> _WORD) ^ c1 ^ k0, q & _MASK, (p >> _WORD) ^ c3 ^ k1, p & _MASK
    return c0, c1, c2, c3


def standard_normal(seed: int, stream: int, shape: tuple[int, ...]) -> npt.NDArray[np.float16]:
    """Standard normal numbers as specified above.

    Args:
        seed: 0 to 2^64 - 1.
        stream: 0 to 2^64 - 1; different streams of one seed are independent (a step, a frame).
        shape: Of the result.

    Returns:
        fp16 array of `shape`.

    Raises:
        InputError: seed or stream is out of range.
    """
    for name, value in (("seed", seed), ("stream", stream)):
        if not 0 <= value < 2**64:
            raise InputError(f"The {name} {value} is out of range.", "It must lie between 0 and 2^64 - 1.")
    count = math.prod(shape)
    numbers = normals(seed, stream, np.arange(-(-count // 4), dtype=np.uint64))
    return numbers.reshape(-1)[:count].reshape(shape).astype(np.float16)


def normals(seed: int, stream: int, block: Words) -> npt.NDArray[np.float64]:
    """The four numbers of each block before they are rounded: (blocks, 4)."""
    low, high = (np.full_like(block, word) for word in (stream % 2**32, stream // 2**32))
    words = philox((seed % 2**32, seed // 2**32), (block & _MASK, block >> _WORD, low, high))
    numbers = np.empty((block.size, 4), dtype=np.float64)
    for column in (0, 2):
        radius = np.sqrt(-2.0 * np.log((words[column].astype(np.float64) + 1.0) * 2.0**-32))
        angle = (2.0 * math.pi) * (words[column + 1].astype(np.float64) * 2.0**-32)
        numbers[:, column], numbers[:, column + 1] = radius * np.cos(angle), radius * np.sin(angle)
    return numbers
