"""Bit packing and immediate constants against coremltools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from palettization.package import ConstantError, immediate_array, immediate_value, proto
from palettization.package.bits import pack_bits, packed_size, unpack_bits
from palettization.package.elements import BY_NAME


@st.composite
def packable(draw: Callable[[Any], Any]) -> tuple[np.ndarray, int]:
    bits = draw(st.integers(1, 8))
    signed = draw(st.booleans())
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    dtype = np.int8 if signed else np.uint8
    return draw(hnp.arrays(dtype, st.integers(1, 50), elements=st.integers(low, high))), bits


@settings(max_examples=100, deadline=None)
@given(case=packable())
def test_packing_is_that_of_coremltools(ct: Any, case: tuple[np.ndarray, int]) -> None:
    from coremltools.optimize._utils import pack_elements_into_bits, restore_elements_from_packed_bits

    values, bits = case
    packed = pack_bits(values, bits)
    np.testing.assert_array_equal(packed, pack_elements_into_bits(values, bits))
    assert packed.size == packed_size(values.size, bits)
    signed = values.dtype == np.int8
    restored = unpack_bits(packed, bits, values.size, signed=signed)
    assert restored.dtype == values.dtype
    np.testing.assert_array_equal(restored, values)
    if bits not in (5, 7):  # where values cross bytes unevenly coremltools pads differently; no format uses them
        theirs = restore_elements_from_packed_bits(packed, bits, values.size, signed)
        np.testing.assert_array_equal(restored, theirs)


@pytest.mark.parametrize("bits", range(1, 9))
def test_packing_long_arrays_round_trips(bits: int) -> None:
    values = np.random.default_rng(bits).integers(0, 1 << bits, 100_003, dtype=np.uint8)
    np.testing.assert_array_equal(unpack_bits(pack_bits(values, bits), bits, values.size), values)


def test_packing_refuses_what_does_not_fit() -> None:
    for values, bits in ((np.array([4], np.uint8), 2), (np.array([1], np.int8), 1), (np.zeros(1, np.int32), 4)):
        with pytest.raises(ConstantError):
            pack_bits(values, bits)
    with pytest.raises(ConstantError):
        unpack_bits(np.zeros(2, np.uint8), 6, 3)


def elements_of(name: str) -> st.SearchStrategy[Any]:
    element = BY_NAME[name]
    if element.storage.kind == "f":
        return st.floats(width=element.bits, allow_nan=False)  # type: ignore[arg-type]
    if element.storage.kind == "b":
        return st.booleans()
    if element.signed:
        return st.integers(-(1 << (element.bits - 1)), (1 << (element.bits - 1)) - 1)
    return st.integers(0, (1 << min(element.bits, 63)) - 1)


SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
NUMBERS = [name for name, element in BY_NAME.items() if element.storage == element.value]


@settings(max_examples=150, deadline=None)
@given(data=st.data(), name=st.sampled_from(NUMBERS))
def test_immediate_values_round_trip(data: st.DataObject, name: str) -> None:
    array = data.draw(hnp.arrays(BY_NAME[name].storage, SHAPES, elements=elements_of(name)))
    value = immediate_value(array, name)
    read = immediate_array(proto().MIL_pb2.Value.FromString(value.SerializeToString()))
    assert read.dtype == array.dtype
    assert read.shape == array.shape
    np.testing.assert_array_equal(read, array)


COMMON = ["bool", "float16", "float32", "int8", "int16", "int32", "uint8", "uint16"]


@settings(max_examples=80, deadline=None)
@given(data=st.data(), name=st.sampled_from(COMMON))
def test_immediate_values_are_those_of_coremltools(ct: Any, data: st.DataObject, name: str) -> None:
    from coremltools.converters.mil.backend.mil.helper import create_tensor_value
    from coremltools.converters.mil.frontend.milproto.load import TranscriptionContext, _load_value

    shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)
    array = data.draw(hnp.arrays(BY_NAME[name].storage, shapes, elements=elements_of(name)))
    theirs = create_tensor_value(array)
    assert immediate_value(array).SerializeToString(deterministic=True) == theirs.SerializeToString(deterministic=True)
    np.testing.assert_array_equal(immediate_array(theirs), array)
    np.testing.assert_array_equal(np.asarray(_load_value(TranscriptionContext(), immediate_value(array))), array)


@pytest.mark.parametrize("scalar", [True, False, 3, -7, 0.25, "custom", ""])
def test_scalars_are_those_of_coremltools(ct: Any, scalar: Any) -> None:
    from coremltools.converters.mil.backend.mil.helper import create_scalar_value

    theirs = create_scalar_value(scalar)
    assert immediate_value(scalar).SerializeToString() == theirs.SerializeToString()
    read = immediate_array(theirs)
    assert read.shape == ()
    assert read.item() == scalar


def test_lists_and_strings_are_arrays(ct: Any) -> None:
    from coremltools.converters.mil.backend.mil.helper import create_list_scalarvalue

    assert immediate_array(create_list_scalarvalue(["a", "bc"], str)).tolist() == ["a", "bc"]
    assert immediate_array(create_list_scalarvalue([1, 5], np.int64)).tolist() == [1, 5]
    names = np.array([["a", "b"], ["", "dé"]])
    assert immediate_array(immediate_value(names)).tolist() == names.tolist()


def broken(change: Callable[[Any], None], content: Any = None) -> Any:
    value = immediate_value(np.arange(6, dtype=np.int32).reshape(2, 3) if content is None else content)
    change(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        broken(lambda value: value.immediateValue.tensor.ints.values.pop()),
        broken(lambda value: setattr(value.type.tensorType, "rank", 3)),
        broken(lambda value: setattr(value.type.tensorType, "dataType", 99)),
        broken(lambda value: setattr(value.type.tensorType, "dataType", 2)),
        broken(lambda value: setattr(value.type.tensorType, "dataType", 1)),
        broken(lambda value: setattr(value.type.tensorType.dimensions[0].unknown, "variadic", True)),
        broken(lambda value: setattr(value.type.tensorType.dimensions[0].constant, "size", (1 << 64) - 1)),
        broken(lambda value: setattr(value.type.tensorType, "dataType", 31), np.array([300, 1], np.int16)),
        broken(lambda value: value.immediateValue.tensor.floats.values.extend([1.0] * 6)),
        broken(lambda value: setattr(value.immediateValue.tensor.bytes, "values", b"123"), np.zeros(2, np.float16)),
        broken(lambda value: value.immediateValue.tensor.strings.values.append("x")),
        broken(lambda value: value.immediateValue.dictionary.SetInParent()),
        broken(lambda value: value.type.tupleType.SetInParent()),
        broken(lambda value: value.type.Clear()),
    ],
)
def test_values_that_contradict_their_type_are_refused(value: Any) -> None:
    with pytest.raises(ConstantError, match="weight_7"):
        immediate_array(value, "weight_7")


def test_what_has_no_form_is_refused() -> None:
    for content, element in (
        (np.zeros(2, np.complex64), None),
        (np.zeros(2, np.uint16), "bfloat16"),
        (np.array([1 << 63], np.uint64), None),
        (np.array([77], np.uint8), "uint6"),
        (1 << 40, None),
    ):
        with pytest.raises(ConstantError):
            immediate_value(content, element)
