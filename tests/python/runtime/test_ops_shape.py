"""Operations on shapes, slices and padding against coremltools' value inference, numpy and PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from coremltools.converters.mil import Builder
from hypothesis import given, settings
from hypothesis import strategies as st

mb = Builder

Check = Callable[..., None]
MakeCase = Callable[..., object]


def numbers(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)


@st.composite
def sliced(draw: st.DrawFn) -> tuple[tuple[int, ...], dict[str, list[int] | list[bool]], tuple[slice | int, ...]]:
    """A slice_by_index and the Python slices it stands for."""
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=5)))
    options: dict[str, list[int] | list[bool]] = {}
    index: list[slice | int] = []
    columns = []
    for size in shape:
        squeeze = draw(st.booleans()) and len(index) > 0
        if squeeze:
            first = draw(st.integers(-size, size - 1))
            columns.append((first, first + 1, 1, False, False, True))
            index.append(first)
            continue
        step = draw(st.sampled_from([1, 1, 2, 3, -1, -2]))
        chosen = draw(st.integers(0, size - 1)), draw(st.integers(0, size - 1))
        low, high = min(chosen), max(chosen)
        begin, end = (low, high + 1) if step > 0 else (high, low - 1)
        open_end = draw(st.booleans()) or end < 0
        open_begin = draw(st.booleans())
        # Negative positions count from the end; an end at the end has no negative form.
        written_begin = begin - size if draw(st.booleans()) else begin
        written_end = end - size if draw(st.booleans()) and end < size else end
        columns.append((written_begin, max(written_end, -size), step, open_begin, open_end, False))
        index.append(slice(None if open_begin else begin, None if open_end else end, step))
    names = ("begin", "end", "stride", "begin_mask", "end_mask", "squeeze_mask")
    for name, values in zip(names, zip(*columns, strict=True), strict=True):
        options[name] = list(values)
    return shape, options, tuple(index)


def check_slices(check: Check, make_case: MakeCase, choices: list[object]) -> None:
    cases = []
    for shape, options, index in choices:  # type: ignore[misc]
        x = numbers(shape)
        expected = x[index]
        cases.append(
            make_case(lambda x, o=options: mb.slice_by_index(x=x, **o), [x], expected, label=f"{shape} {options}")
        )
        update = -1 - numbers(expected.shape)
        updated = x.copy()
        updated[index] = update
        if update.ndim:
            cases.append(
                make_case(
                    lambda x, u, o=options: mb.slice_update(x=x, update=u, **o),
                    [x, update],
                    updated,
                    label=f"update {options}",
                )
            )
    check(cases, "iOS18")


@settings(max_examples=2)
@given(choices=st.lists(sliced(), min_size=20, max_size=20))
def test_slices(check: Check, make_case: MakeCase, choices: list[object]) -> None:
    check_slices(check, make_case, choices)


@pytest.mark.slow
@settings(max_examples=80)
@given(choices=st.lists(sliced(), min_size=20, max_size=20))
def test_slices_many(check: Check, make_case: MakeCase, choices: list[object]) -> None:
    check_slices(check, make_case, choices)


def test_slices_at_computed_places(check: Check, make_case: MakeCase) -> None:
    x, begin, end = numbers((4, 5, 6)), np.array([1, 0, 2], np.int32), np.array([3, 4, 5], np.int32)
    size = np.array([2, -1, 3], np.int32)
    check(
        [
            make_case(lambda x, b, e: mb.slice_by_index(x=x, begin=b, end=e), [x, begin, end], x[1:3, 0:4, 2:5]),
            make_case(lambda x, b: mb.slice_by_size(x=x, begin=b, size=[2, 1, 3]), [x, begin], x[1:3, 0:1, 2:5]),
            make_case(lambda x, b, s: mb.slice_by_size(x=x, begin=b, size=s), [x, begin, size], x[1:3, 0:, 2:5]),
        ]
    )


@st.composite
def padded(draw: st.DrawFn) -> tuple[tuple[int, ...], list[int], str]:
    mode = draw(st.sampled_from(["constant", "reflect", "replicate"]))
    rank = draw(st.integers(1, 5))
    shape = tuple(draw(st.lists(st.integers(3, 5), min_size=rank, max_size=rank)))
    count = draw(st.integers(1, rank if mode == "constant" else min(2, rank)))
    return shape, draw(st.lists(st.integers(0, 2), min_size=2 * count, max_size=2 * count)), mode


@settings(max_examples=2)
@given(choices=st.lists(padded(), min_size=12, max_size=12))
def test_padding(check: Check, make_case: MakeCase, choices: list[tuple[tuple[int, ...], list[int], str]]) -> None:
    names = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}
    cases = []
    for shape, amounts, mode in choices:
        x = numbers(shape)
        pairs = [(0, 0)] * (len(shape) - len(amounts) // 2) + list(zip(amounts[::2], amounts[1::2], strict=True))
        options = {"constant_values": 2.5} if mode == "constant" else {}
        expected = np.pad(x, pairs, names[mode], **options)  # type: ignore[call-overload]
        cases.append(
            make_case(
                lambda x, a=amounts, m=mode: mb.pad(x=x, pad=a, mode=m, constant_val=2.5),
                [x],
                expected,
                label=f"{mode} {amounts}",
            )
        )
    check(cases)


@pytest.mark.parametrize("opset", ["iOS15", "iOS16", "iOS17"])
def test_reshape(check: Check, make_case: MakeCase, opset: str) -> None:
    x = numbers((2, 3, 4))
    shapes = [[4, 6], [-1], [2, -1, 2], [0, 0, 4], [0, -1, 2], [24, 1, 1, 1]]
    if opset == "iOS17":
        shapes += [[1, 0, 0, 0], [-1, 0], [0, 1, 0, 0, 0]]
    check(
        [make_case(lambda x, s=shape: mb.reshape(x=x, shape=s), [x], label=f"reshape {shape}") for shape in shapes],
        opset,
    )


def test_reshape_to_a_computed_shape(check: Check, make_case: MakeCase) -> None:
    x, shape = numbers((2, 3, 4)), np.array([4, -1], np.int32)
    check([make_case(lambda x, s: mb.reshape(x=x, shape=s), [x, shape], x.reshape(4, -1), label="computed")])


def test_axes(check: Check, make_case: MakeCase) -> None:
    x, y = numbers((2, 1, 3, 4)), numbers((2, 1, 3, 4)) + 100
    cases = [
        make_case(lambda x: mb.transpose(x=x, perm=[2, 0, 3, 1]), [x], label="transpose"),
        make_case(lambda x: mb.transpose(x=x, perm=[-1, -3, -2, -4]), [x], label="transpose by negative axes"),
        make_case(lambda x: mb.expand_dims(x=x, axes=[0]), [x], label="expand_dims"),
        make_case(lambda x: mb.squeeze(x=x, axes=[1]), [x], label="squeeze"),
        make_case(lambda x: mb.squeeze(x=x), [x], label="squeeze all"),
        make_case(lambda x: mb.flatten2d(x=x, axis=2), [x], label="flatten2d"),
        make_case(lambda x: mb.flatten2d(x=x, axis=-1), [x], label="flatten2d from the end"),
        make_case(lambda x: mb.shape(x=x), [x], np.array(x.shape, np.int32), label="shape"),
        make_case(lambda x, y: mb.concat(values=[x, y], axis=1), [x, y], label="concat"),
        make_case(lambda x, y: mb.concat(values=[x, y], axis=-1), [x, y], label="concat last"),
        make_case(lambda x, y: mb.stack(values=[x, y], axis=2), [x, y], label="stack"),
        make_case(lambda x: mb.split(x=x, num_splits=2, axis=3), [x], label="split"),
        make_case(lambda x: mb.split(x=x, split_sizes=[1, 2, 1], axis=-1), [x], label="split sizes"),
        make_case(lambda x: mb.tile(x=x, reps=[1, 2, 1, 3]), [x], label="tile"),
        make_case(lambda x: mb.reverse(x=x, axes=[0, 3]), [x], label="reverse"),
        make_case(lambda x: mb.reverse(x=x), [x], label="reverse all"),
        make_case(lambda x: mb.identity(x=x), [x], label="identity"),
        make_case(lambda x: mb.crop(x=x, crop_height=[1, 0], crop_width=[1, 2]), [x], x[..., 1:, 1:2], label="crop"),
        make_case(
            lambda x: mb.sliding_windows(x=x, axis=-1, size=2, stride=2),
            [x],
            np.stack([x[..., 0:2], x[..., 2:4]], -2),
            label="sliding_windows",
        ),
    ]
    check(cases)


def test_interleaved_concat_takes_channels_in_turn(check: Check, make_case: MakeCase) -> None:
    x, y = numbers((1, 3, 2, 2)), -numbers((1, 3, 2, 2))
    expected = np.stack([x, y], 2).reshape(1, 6, 2, 2)
    check([make_case(lambda x, y: mb.concat(values=[x, y], axis=1, interleave=True), [x, y], expected)], "iOS15")


def test_reshape_like(check: Check, make_case: MakeCase) -> None:
    x, a, b = numbers((2, 3, 4, 5)), numbers((6, 7)), numbers((9, 4, 5))
    function = lambda x, a, b: mb.reshape_like(  # noqa: E731
        x=x, ref_tensors=(a, b), begins=(0, 1), ends=(1, 0), end_masks=(False, True)
    )
    check([make_case(function, [x, a, b], x.reshape(6, 4, 5), label="reshape_like")], "iOS16")


@pytest.mark.parametrize(("lower", "upper"), [(-1, 0), (0, -1), (0, 0), (1, 2), (-1, -1)])
def test_band_part(check: Check, make_case: MakeCase, lower: int, upper: int) -> None:
    x = numbers((2, 4, 5)) + 1
    difference = np.arange(4)[:, None] - np.arange(5)
    keep = (lower < 0) | (difference <= lower)
    keep &= (upper < 0) | (-difference <= upper)
    check([make_case(lambda x: mb.band_part(x=x, lower=lower, upper=upper), [x], x * keep, label="band_part")])


def test_reverse_sequence(check: Check, make_case: MakeCase) -> None:
    x, lengths = numbers((3, 2, 4)), np.array([2, 0, 4], np.int32)
    expected = x.copy()
    for row, length in enumerate(lengths):
        expected[row, :, :length] = x[row, :, :length][:, ::-1]
    turned, other = x.transpose(2, 1, 0), expected.transpose(2, 1, 0)
    check(
        [
            make_case(
                lambda x, n: mb.reverse_sequence(x=x, lengths=n, seq_axis=2, batch_axis=0),
                [x, lengths],
                expected,
                label="after",
            ),
            make_case(
                lambda x, n: mb.reverse_sequence(x=x, lengths=n, seq_axis=0, batch_axis=2),
                [turned, lengths],
                other,
                label="before",
            ),
        ]
    )


def test_space_and_depth(check: Check, make_case: MakeCase) -> None:
    x = numbers((2, 12, 4, 6))
    tensor = torch.from_numpy(x)
    # Depth-to-space orders channels (row, column, channel), which is pixel_shuffle on permuted channels.
    by_block = tensor.reshape(2, 2, 2, 3, 4, 6).permute(0, 3, 1, 2, 4, 5).reshape(2, 12, 4, 6)
    up = F.pixel_shuffle(by_block, 2).numpy()
    cases = [
        make_case(lambda x: mb.pixel_shuffle(x=x, upscale_factor=2), [x], F.pixel_shuffle(tensor, 2).numpy()),
        make_case(
            lambda x: mb.pixel_unshuffle(x=x, downscale_factor=np.uint32(2)), [x], F.pixel_unshuffle(tensor, 2).numpy()
        ),
        make_case(lambda x: mb.depth_to_space(x=x, block_size=2), [x], up, label="depth_to_space"),
        make_case(lambda x: mb.space_to_depth(x=x, block_size=2), [up], x, label="space_to_depth"),
    ]
    check(cases, "iOS16")


def test_space_and_batch_undo_each_other(check: Check, make_case: MakeCase) -> None:
    x = numbers((1, 2, 3, 5))
    padded = np.pad(x, [(0, 0), (0, 0), (0, 1), (1, 0)])
    blocks = np.concatenate([padded[:, :, i::2, j::3] for i in range(2) for j in range(3)])
    cases = [
        make_case(
            lambda x: mb.space_to_batch(x=x, block_shape=[2, 3], paddings=[[0, 1], [1, 0]]),
            [x],
            blocks,
            label="to batch",
        ),
        make_case(
            lambda x: mb.batch_to_space(x=x, block_shape=[2, 3], crops=[[0, 1], [1, 0]]), [blocks], x, label="to space"
        ),
    ]
    check(cases)
