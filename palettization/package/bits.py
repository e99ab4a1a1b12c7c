"""Packing of small integers, least significant bits first, across byte borders.

This is the packing of iOS16's palettes and masks and of every sub-byte element type: the first element fills the lowest
bits of the first byte, and an element that crosses a byte border continues in the lowest bits of the next byte.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from palettization.package.errors import ConstantError

_GROUP = 8
"""Elements packed at once, one a byte of a 64-bit word: they fill a whole number of bytes for every width."""
_CHUNK = 1 << 14
"""Words at a time, so that what is between steps stays in a core's cache."""
_Words = npt.NDArray[np.uint64]


def packed_size(count: int, bits: int) -> int:
    """Bytes that `count` elements of `bits` bits take."""
    return -(-count * bits // 8)


def pack_bits(values: npt.NDArray[np.generic], bits: int) -> npt.NDArray[np.uint8]:
    """Packs integers of 1 to 8 bits.

    Args:
        values: Any shape, uint8 or int8, row-major order; every value fits in `bits` bits.
        bits: Bits per element.

    Returns:
        (ceil(size * bits / 8),) bytes; bits after the last element are zero.

    Raises:
        ConstantError: a value does not fit.
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    if flat.dtype not in (np.uint8, np.int8) or not 1 <= bits <= 8:
        raise ConstantError(f"Cannot pack {flat.dtype} elements into {bits} bits.", "Pass uint8 or int8 arrays.")
    if flat.size:
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if flat.dtype == np.int8 else (0, (1 << bits) - 1)
        if int(flat.min()) < low or int(flat.max()) > high:
            raise ConstantError(f"Values {flat.min()} to {flat.max()} do not fit in {bits} bits ({low} to {high}).")
    raw = flat.view(np.uint8)
    if bits == 8:
        return raw
    groups = -(-flat.size // _GROUP)
    packed = np.empty(groups * bits, np.uint8)
    for start in range(0, groups, _CHUNK):
        stop = min(start + _CHUNK, groups)
        words = _words(raw[start * _GROUP : stop * _GROUP])
        words &= _repeated((1 << bits) - 1, 8)
        for lane in (8, 16, 32):
            # Two neighbours of lane / 8 elements each: the upper one moves down to the end of the lower one.
            halves = _repeated((1 << lane) - 1, 2 * lane)
            upper = words & ~halves
            upper >>= np.uint64(lane - bits * lane // 8)
            words &= halves
            words |= upper
        _move_columns(words, packed[start * bits : stop * bits], bits, to_words=False)
    return packed[: packed_size(flat.size, bits)]


def unpack_bits(
    packed: npt.NDArray[np.uint8], bits: int, count: int, *, signed: bool = False
) -> npt.NDArray[np.generic]:
    """The inverse of `pack_bits`.

    Args:
        packed: (at least ceil(count * bits / 8),) bytes; what follows is ignored.
        bits: Bits per element, 1 to 8.
        count: Number of elements.
        signed: Whether elements are two's complement numbers.

    Returns:
        (count,) int8 where signed, else uint8.

    Raises:
        ConstantError: too few bytes.
    """
    size = packed_size(count, bits)
    raw = np.ascontiguousarray(packed).reshape(-1).view(np.uint8)
    if count < 0 or raw.size < size or not 1 <= bits <= 8:
        raise ConstantError(f"{raw.size} bytes cannot hold {count} elements of {bits} bits.")
    raw = raw[:size]
    values = raw.copy() if bits == 8 else _unpacked(raw, bits, count)
    if not signed:
        return values
    shift = np.int8(8 - bits)
    return (values.view(np.int8) << shift) >> shift


def _unpacked(raw: npt.NDArray[np.uint8], bits: int, count: int) -> npt.NDArray[np.uint8]:
    groups = -(-count // _GROUP)
    values = np.empty(groups * _GROUP, np.uint8)
    for start in range(0, groups, _CHUNK):
        stop = min(start + _CHUNK, groups)
        part = raw[start * bits : stop * bits]
        if part.size < (stop - start) * bits:
            part = np.concatenate([part, np.zeros((stop - start) * bits - part.size, np.uint8)])
        words = np.zeros(stop - start, np.dtype("<u8"))
        _move_columns(words, part, bits, to_words=True)
        for lane in (32, 16, 8):
            low = _repeated((1 << bits * lane // 8) - 1, 2 * lane)
            upper = words << np.uint64(lane - bits * lane // 8)
            upper &= low << np.uint64(lane)
            words &= low
            words |= upper
        values[start * _GROUP : stop * _GROUP] = words.view(np.uint8)
    return values[:count]


def _words(raw: npt.NDArray[np.uint8]) -> _Words:
    """Bytes as little-endian 64-bit words of their own, filled up with zeros."""
    words = np.zeros(-(-raw.size // _GROUP), np.dtype("<u8"))
    words.view(np.uint8)[: raw.size] = raw
    return words


def _repeated(pattern: int, step: int) -> np.uint64:
    """A 64-bit word with `pattern` every `step` bits."""
    return np.uint64(sum(pattern << shift for shift in range(0, 64, step)))


def _move_columns(words: _Words, packed: npt.NDArray[np.uint8], bits: int, *, to_words: bool) -> None:
    """Copies between the lowest `bits` bytes of every word and `packed`, in the largest units that divide them."""
    size = next(unit for unit in (4, 2, 1) if bits % unit == 0)
    unit = np.dtype(f"u{size}")
    wide = words.view(unit).reshape(words.size, 8 // size)
    narrow = packed.view(unit).reshape(words.size, bits // size)
    for column in range(bits // size):
        if to_words:
            wide[:, column] = narrow[:, column]
        else:
            narrow[:, column] = wide[:, column]
