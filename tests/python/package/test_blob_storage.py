"""The weight file, both ways and byte for byte against coremltools' own reader and writer, and damaged."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from full_disk import full_disk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from palettization.package import BlobError, BlobReader, BlobWriter, ConstantError, PackageWriteError
from palettization.package.elements import BY_NAME, to_values

# Element type: (suffix of coremltools' methods, numpy type, lowest, highest)
KINDS: dict[str, tuple[str, type[np.generic], int, int]] = {
    "float16": ("fp16", np.float16, 0, 0),
    "float32": ("float", np.float32, 0, 0),
    "int4": ("int4", np.int8, -8, 7),
    "int8": ("int8", np.int8, -128, 127),
    "int16": ("int16", np.int16, -(1 << 15), (1 << 15) - 1),
    "int32": ("int32", np.int32, -(1 << 31), (1 << 31) - 1),
    "uint1": ("uint1", np.uint8, 0, 1),
    "uint2": ("uint2", np.uint8, 0, 3),
    "uint3": ("uint3", np.uint8, 0, 7),
    "uint4": ("uint4", np.uint8, 0, 15),
    "uint6": ("uint6", np.uint8, 0, 63),
    "uint8": ("uint8", np.uint8, 0, 255),
    "uint16": ("uint16", np.uint16, 0, (1 << 16) - 1),
    "uint32": ("uint32", np.uint32, 0, (1 << 32) - 1),
}


@st.composite
def typed_arrays(draw: Callable[[Any], Any]) -> tuple[str, np.ndarray]:
    name = draw(st.sampled_from(sorted(KINDS)))
    _, dtype, low, high = KINDS[name]
    size = draw(st.integers(0, 70))
    if np.dtype(dtype).kind == "f":
        width = np.dtype(dtype).itemsize * 8
        elements: Any = st.floats(width=width, allow_nan=False)  # type: ignore[arg-type]
    else:
        elements = st.integers(low, high)
    return name, draw(hnp.arrays(dtype, size, elements=elements))


def write_with_coremltools(path: Path, arrays: list[tuple[str, np.ndarray]]) -> list[int]:
    from coremltools.libmilstoragepython import _BlobStorageWriter

    writer = _BlobStorageWriter(str(path))
    offsets = []
    for name, array in arrays:
        data = array.view(np.uint16) if name == "float16" else array
        offsets.append(getattr(writer, f"write_{KINDS[name][0]}_data")(np.ascontiguousarray(data)))
    del writer
    return offsets


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays=st.lists(typed_arrays(), min_size=1, max_size=6))
def test_bytes_are_those_of_coremltools_and_both_read_both(
    ct: Any, tmp_path: Path, arrays: list[tuple[str, np.ndarray]]
) -> None:
    from coremltools.libmilstoragepython import _BlobStorageReader

    theirs, ours = tmp_path / "theirs.bin", tmp_path / "ours.bin"
    expected = write_with_coremltools(theirs, arrays)
    with BlobWriter(ours) as writer:
        offsets = [writer.add(array, name) for name, array in arrays]
    assert offsets == expected
    assert ours.read_bytes() == theirs.read_bytes()
    reader = _BlobStorageReader(str(ours))
    with BlobReader(theirs) as blob:
        assert [record.offset for record in blob.records()] == offsets
        for (name, array), offset in zip(arrays, offsets, strict=True):
            for copy in (False, True):
                mine = blob.read(offset, copy=copy)
                assert mine.dtype == array.dtype
                np.testing.assert_array_equal(mine, array)
            assert blob.record(offset).element.name == name
            if array.size:  # coremltools' reader fails on empty records
                other = np.asarray(getattr(reader, f"read_{KINDS[name][0]}_data")(offset))
                np.testing.assert_array_equal(other.view(array.dtype), array)


def test_types_numpy_lacks_decode_as_torch_does() -> None:
    torch = pytest.importorskip("torch")
    codes = np.arange(1 << 16).astype(np.uint16)
    wide = to_values(codes, BY_NAME["bfloat16"])
    reference = torch.from_numpy(codes.view(np.int16)).view(torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(wide, reference)
    codes8 = np.arange(256).astype(np.uint8)
    for name, dtype in (("float8e4m3fn", torch.float8_e4m3fn), ("float8e5m2", torch.float8_e5m2)):
        reference = torch.from_numpy(codes8).view(dtype).float().numpy()
        np.testing.assert_array_equal(to_values(codes8, BY_NAME[name]), reference)


def test_types_numpy_lacks_are_written_from_their_bits(tmp_path: Path) -> None:
    with BlobWriter(tmp_path / "w.bin") as writer:
        wide = writer.add(np.array([0x3F80, 0xC000], np.uint16), "bfloat16")
        small = writer.add(np.array([0x38], np.uint8), "float8e4m3fn")
        packed = writer.add_raw(b"\x21\x03", "uint4", 3)
    with BlobReader(tmp_path / "w.bin") as blob:
        np.testing.assert_array_equal(blob.read(wide), np.array([1, -2], np.float32))
        np.testing.assert_array_equal(blob.read(small), np.array([1], np.float32))
        np.testing.assert_array_equal(blob.read(packed), [1, 2, 3])
        np.testing.assert_array_equal(blob.raw(packed), [0x21, 0x03])


def test_identical_arrays_are_stored_once_if_asked(tmp_path: Path) -> None:
    same, other = np.arange(20, dtype=np.float32), np.arange(20, dtype=np.int32)
    with BlobWriter(tmp_path / "once.bin", deduplicate=True) as writer:
        offsets = [writer.add(array) for array in (same, other, same.copy(), same.view(np.int32))]
    assert offsets[0] == offsets[2] != offsets[1]
    assert offsets[3] not in offsets[:3], "the same bytes of another type are another array"
    with BlobWriter(tmp_path / "twice.bin") as writer:
        assert writer.add(same) != writer.add(same)


def test_reads_one_tensor_of_a_huge_file_without_the_rest(tmp_path: Path, peak_megabytes: Callable[[], float]) -> None:
    path = tmp_path / "huge.bin"
    with BlobWriter(path) as writer:
        writer.add(np.zeros(1, np.float32))
        last = writer.add(np.arange(1000, dtype=np.float32))
    raw = bytearray(path.read_bytes())
    far = 6 << 30
    struct.pack_into("<Q", raw, last + 16, far)
    path.write_bytes(raw)
    with path.open("r+b") as file:
        file.seek(far)
        file.write(np.arange(1000, dtype=np.float32).tobytes())
    before = peak_megabytes()
    with BlobReader(path) as blob:
        np.testing.assert_array_equal(blob.read(last), np.arange(1000))
    assert peak_megabytes() - before < 100


def test_arrays_are_read_only_unless_copied_and_outlive_the_reader(tmp_path: Path) -> None:
    with BlobWriter(tmp_path / "w.bin") as writer:
        offset = writer.add(np.arange(8, dtype=np.float32))
    blob = BlobReader(tmp_path / "w.bin")
    view, copy = blob.read(offset), blob.read(offset, copy=True)
    blob.close()
    assert not view.flags.writeable
    copy += 1
    np.testing.assert_array_equal(view, np.arange(8))


def small_file(path: Path) -> tuple[bytearray, int]:
    with BlobWriter(path) as writer:
        offset = writer.add(np.arange(3, dtype=np.uint8), "uint4")
        writer.add(np.arange(100, dtype=np.float16))
    return bytearray(path.read_bytes()), offset


@pytest.mark.parametrize(
    ("field", "offset", "value", "message"),
    [
        ("<I", 64, 0xDEADBEEE, "sentinel"),
        ("<I", 68, 99, "unknown element type 99"),
        ("<Q", 72, 1 << 40, "outside the file"),
        ("<Q", 72, (1 << 64) - 1, "outside the file"),
        ("<Q", 80, 1 << 50, "outside the file"),
        ("<Q", 80, 129, "outside the file"),
        ("<Q", 80, 0, "outside the file"),
        ("<Q", 80, 64, "overlaps"),
        ("<Q", 88, 9, "padding"),
        ("<Q", 88, 3, "padding"),
        ("<I", 4, 1, "version 1"),
    ],
)
def test_damaged_records_are_refused(tmp_path: Path, field: str, offset: int, value: int, message: str) -> None:
    path = tmp_path / "w.bin"
    raw, record = small_file(path)
    struct.pack_into(field, raw, offset, value)
    path.write_bytes(raw)
    with pytest.raises(BlobError, match=message) as caught, BlobReader(path) as blob:
        blob.read(record, "the_tensor")
    assert str(path) in str(caught.value)
    assert caught.value.hint
    if offset >= 64:
        assert "the_tensor" in str(caught.value)


@pytest.mark.parametrize("offset", [0, 32, 63, 65, 1 << 20, 1 << 63, 576])
def test_offsets_that_are_no_records_are_refused(tmp_path: Path, offset: int) -> None:
    small_file(tmp_path / "w.bin")
    with BlobReader(tmp_path / "w.bin") as blob, pytest.raises(BlobError, match="t1"):
        blob.read(offset, "t1")


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.bin"
    raw, _ = small_file(path)
    with BlobReader(path) as blob:
        offsets = [record.offset for record in blob.records()]
    for length in range(len(raw)):
        path.write_bytes(raw[:length])
        with pytest.raises(BlobError), BlobReader(path) as blob:
            blob.read(offsets[1])


def test_a_file_truncated_while_open_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.bin"
    _, record = small_file(path)
    with BlobReader(path) as blob:
        with path.open("r+b") as file:
            file.truncate(100)
        with pytest.raises(BlobError, match="truncated while open"):
            blob.read(record)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.bin", tmp_path):
        with pytest.raises(BlobError):
            BlobReader(path)


def test_the_writer_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    with BlobWriter(tmp_path / "w.bin") as writer:
        for array, element in (
            (np.array([16], np.uint8), "uint4"),
            (np.array([-9], np.int8), "int4"),
            (np.zeros(2, np.float64), None),
            (np.zeros(2, np.complex64), None),
            (np.zeros(2, np.float32), "float16"),
            (np.zeros(2, np.float32), "nonsense"),
        ):
            with pytest.raises(ConstantError):
                writer.add(array, element)
        with pytest.raises(ConstantError):
            writer.add_raw(b"\x00", "float16", 1)
        assert writer.count == 0


def test_a_full_disk_leaves_no_file(tmp_path: Path) -> None:
    with full_disk(1 << 16), pytest.raises(PackageWriteError, match=r"w\.bin cannot be written"):
        writer = BlobWriter(tmp_path / "w.bin")
        writer.add(np.zeros(1 << 16, np.float32))
    assert list(tmp_path.iterdir()) == []


def test_an_exception_removes_the_unfinished_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), BlobWriter(tmp_path / "w.bin") as writer:
        writer.add(np.zeros(4, np.float32))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
