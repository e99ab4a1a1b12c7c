"""A weight file that is not on disk reads as the file that the same arrays would make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palettization.package import BlobError, BlobReader, BlobWriter, DeferredBlob

DTYPES = ("float16", "float32", "int32", "uint8")


@given(st.lists(st.tuples(st.sampled_from(DTYPES), st.integers(1, 300)), min_size=1, max_size=8), st.integers(1, 97))
@settings(max_examples=25, deadline=None)
def test_it_reads_as_the_written_file(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[tuple[str, int]], size: int
) -> None:
    rng = np.random.default_rng(len(kinds))
    arrays = [rng.integers(0, 255, count).astype(dtype) for dtype, count in kinds]
    path = tmp_path_factory.mktemp("blob") / "weight.bin"
    deferred = DeferredBlob(Path("nowhere"))
    with BlobWriter(path) as writer:
        offsets = [writer.add(array) for array in arrays]
    assert offsets == [deferred.defer(array.dtype.name, array.size, lambda array=array: array) for array in arrays]
    with BlobReader(path) as reader:
        assert list(deferred.records()) == list(reader.records())
        assert (deferred.size, deferred.count) == (reader.size, reader.count)
        for offset in reversed(offsets):
            assert deferred.record(offset) == reader.record(offset)
            np.testing.assert_array_equal(deferred.read(offset), reader.read(offset))
            np.testing.assert_array_equal(deferred.raw(offset, copy=True), reader.raw(offset))
            pieces = zip(deferred.pieces(offset, size), reader.pieces(offset, size), strict=True)
            assert all(np.array_equal(mine, theirs) for mine, theirs in pieces)


def test_arrays_are_made_again_and_few_are_held() -> None:
    made: list[int] = []

    def make(number: int) -> np.ndarray:
        made.append(number)
        return np.full(10, number, np.float16)

    blob = DeferredBlob(Path("nowhere"))
    offsets = [blob.defer("float16", 10, lambda number=number: make(number)) for number in range(8)]
    assert made == []
    for offset in offsets:
        blob.read(offset)
        blob.read(offset)
    assert made == list(range(8))
    blob.read(offsets[0])
    assert made[-1] == 0


def test_wrong_offsets_and_arrays_are_refused() -> None:
    blob = DeferredBlob(Path("nowhere"))
    offset = blob.defer("float16", 10, lambda: np.zeros(9, np.float16))
    with pytest.raises(BlobError, match="was made with 18 bytes instead of 20"):
        blob.read(offset, "w")
    with pytest.raises(BlobError, match="no record at offset 65"):
        blob.record(65)
