"""Allocation limits: a value that cannot fit into this machine is refused before it is made."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable

from mobie_coreml.runtime.mil.errors import ProgramError

# A loop this long is a program that doesn't end.
MAX_ITERATIONS = 100_000

# A product or broadcast has no more elements than the product of its operands'; below this nothing needs a closer look.
SURELY_SMALL = 1 << 26


@functools.cache
def physical_memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_elements(shape: Iterable[int]) -> None:
    """Refuses a float32 value of `shape` that is larger than the machine's memory.

    Raises:
        ProgramError: too large, or a negative size.
    """
    shape = tuple(shape)
    count = 1
    for size in shape:
        if size < 0:
            raise ProgramError(f"a value of shape {list(shape)} cannot exist")
        count *= size
    if count * 4 > physical_memory():
        raise ProgramError(
            f"a value of shape {list(shape)} needs {count * 4 / 1e9:.1f} GB, "
            f"more than this machine's {physical_memory() / 1e9:.1f} GB"
        )
