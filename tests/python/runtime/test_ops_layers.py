"""Matrix products, normalisation, attention, resizing, sampling and recurrence against PyTorch and the formulas."""

from __future__ import annotations

import math
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


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@st.composite
def product(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], bool, bool]:
    rows, inner, columns = (draw(st.integers(1, 5)) for _ in range(3))
    batch = draw(st.lists(st.integers(1, 3), max_size=2))
    flips = draw(st.booleans()), draw(st.booleans())
    x = (*batch, inner, rows) if flips[0] else (*batch, rows, inner)
    other = [1 if draw(st.booleans()) else size for size in batch]
    y = (*other, columns, inner) if flips[1] else (*other, inner, columns)
    return x, y, *flips


@settings(max_examples=2)
@given(choices=st.lists(product(), min_size=10, max_size=10))
def test_matmul(
    check: Check, make_case: MakeCase, choices: list[tuple[tuple[int, ...], tuple[int, ...], bool, bool]]
) -> None:
    cases = []
    for left, right, flip_x, flip_y in choices:
        x, y = normal(1, *left), normal(2, *right)
        expected = (x.swapaxes(-1, -2) if flip_x else x) @ (y.swapaxes(-1, -2) if flip_y else y)
        cases.append(
            make_case(
                lambda x, y, a=flip_x, b=flip_y: mb.matmul(x=x, y=y, transpose_x=a, transpose_y=b),
                [x, y],
                expected,
                label=f"matmul {left} {right} {flip_x} {flip_y}",
            )
        )
    check(cases)


def test_linear_and_einsum(check: Check, make_case: MakeCase) -> None:
    x, weight, bias = normal(3, 2, 4, 5), normal(4, 6, 5), normal(5, 6)
    a, b = normal(6, 1, 3, 2, 4), normal(7, 1, 4, 2, 5)
    check(
        [
            make_case(lambda x: mb.linear(x=x, weight=weight, bias=bias), [x], x @ weight.T + bias, label="linear"),
            make_case(lambda x: mb.linear(x=x, weight=weight), [x], x @ weight.T, label="without bias"),
            make_case(
                lambda a, b: mb.einsum(values=(a, b), equation="nchw,nwhr->nchr"),
                [a, b],
                np.einsum("nchw,nwhr->nchr", a, b),
                label="einsum",
            ),
        ]
    )


def test_norms(check: Check, make_case: MakeCase) -> None:
    x = normal(8, 2, 6, 4, 5) * 2 + 1
    t = torch.from_numpy(x)
    gamma, beta, mean = normal(9, 6), normal(10, 6), normal(11, 6)
    variance = np.abs(normal(12, 6)) + 0.5
    scale, shift = normal(13, 4, 5), normal(14, 4, 5)
    per_channel = [torch.from_numpy(array) for array in (mean, variance, gamma, beta)]
    instance = F.instance_norm(t, weight=per_channel[2], bias=per_channel[3], eps=1e-3).numpy()
    channels_last = F.layer_norm(t.permute(0, 2, 3, 1), [6], per_channel[2], per_channel[3], 1e-4).permute(0, 3, 1, 2)
    layer = F.layer_norm(t, [4, 5], torch.from_numpy(scale), torch.from_numpy(shift), 1e-4).numpy()
    everything = F.layer_norm(t, list(t.shape), eps=1e-5).numpy()
    l2 = x / np.sqrt((x**2).sum((1, 2, 3), keepdims=True) + 1e-4)
    check(
        [
            make_case(
                lambda x: mb.batch_norm(x=x, mean=mean, variance=variance, gamma=gamma, beta=beta, epsilon=1e-3),
                [x],
                F.batch_norm(t, *per_channel, eps=1e-3).numpy(),
                label="batch_norm",
            ),
            make_case(
                lambda x: mb.batch_norm(x=x, mean=mean, variance=variance),
                [x],
                F.batch_norm(t, *per_channel[:2], eps=1e-5).numpy(),
                label="batch_norm, plain",
            ),
            make_case(
                lambda x: mb.instance_norm(x=x, gamma=gamma, beta=beta, epsilon=1e-3),
                [x],
                instance,
                label="instance_norm",
            ),
            make_case(
                lambda x: mb.layer_norm(x=x, axes=[2, 3], gamma=scale, beta=shift, epsilon=1e-4),
                [x],
                layer,
                label="last axes",
            ),
            make_case(
                lambda x: mb.layer_norm(x=x, axes=[1], gamma=gamma, beta=beta, epsilon=1e-4),
                [x],
                channels_last.numpy(),
                label="layer_norm over channels",
            ),
            make_case(
                lambda x: mb.layer_norm(x=x, axes=[0, 1, 2, 3], epsilon=1e-5),
                [x],
                everything,
                label="layer_norm over all",
            ),
            make_case(lambda x: mb.l2_norm(x=x, epsilon=1e-4), [x], l2, label="l2_norm"),
            make_case(
                lambda x: mb.local_response_norm(x=x, size=3, alpha=0.2, beta=0.6, k=1.5),
                [x],
                F.local_response_norm(t, 3, 0.2, 0.6, 1.5).numpy(),
                label="local_response_norm",
            ),
        ]
    )


@pytest.mark.parametrize("mask", ["none", "bool", "float"])
def test_scaled_dot_product_attention(check: Check, make_case: MakeCase, mask: str) -> None:
    query, key, value = normal(15, 2, 3, 5, 4), normal(16, 2, 3, 7, 4), normal(17, 2, 3, 7, 6)
    inputs = [query, key, value]
    scores = query @ key.swapaxes(-1, -2) / math.sqrt(4)
    if mask == "bool":
        allowed = np.tril(np.ones((5, 7), bool))
        scores = np.where(allowed, scores, -np.inf)
        inputs.append(allowed)
    elif mask == "float":
        bias = normal(18, 5, 7)
        scores = scores + bias
        inputs.append(bias)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = weights / weights.sum(-1, keepdims=True) @ value

    def function(q: object, k: object, v: object, m: object = None) -> object:
        return mb.scaled_dot_product_attention(query=q, key=k, value=v, attn_mask=m)

    check([make_case(function, inputs, expected, label=f"attention, mask {mask}")], "iOS18")


def linear(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Interpolates the last axis at positions, clamped: the definition, one number at a time."""
    return np.stack(
        [np.interp(positions, np.arange(values.shape[-1]), row) for row in values.reshape(-1, values.shape[-1])]
    ).reshape(*values.shape[:-1], len(positions))


def positions(size: int, count: int, mode: str) -> np.ndarray:
    """The documented grids (coremltools, resize_bilinear)."""
    steps = np.arange(count)
    if mode == "ALIGN_CORNERS" and count == 1:
        return np.array([(size - 1) / 2])
    if mode in ("ALIGN_CORNERS", "STRICT_ALIGN_CORNERS"):
        return steps * (size - 1) / max(count - 1, 1)
    if mode == "DEFAULT":
        return steps * size / count
    if mode == "OFFSET_CORNERS":
        delta = max(1, size - 1) / count
        return 0.5 * delta + steps * delta
    return (steps + 0.5) * size / count - 0.5


MODES = ["DEFAULT", "STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "OFFSET_CORNERS", "UNALIGN_CORNERS"]


@pytest.mark.parametrize("mode", MODES)
def test_resizing(check: Check, make_case: MakeCase, mode: str) -> None:
    x = normal(19, 1, 2, 5, 4)
    cases = []
    options = {"sampling_mode": mode}
    for height, width in [(8, 8), (3, 2), (5, 4), (1, 7), (11, 3)]:
        rows = linear(x.swapaxes(-1, -2), positions(5, height, mode)).swapaxes(-1, -2)
        expected = linear(rows, positions(4, width, mode)).astype(np.float32)
        cases += [
            make_case(
                lambda x, h=height, w=width: mb.resize_bilinear(
                    x=x, target_size_height=h, target_size_width=w, **options
                ),
                [x],
                expected,
                label=f"resize_bilinear {height} {width} {mode}",
            ),
            make_case(
                lambda x, h=height, w=width: mb.resize(x=x, shape=[h, w], resized_dims=np.uint32(2), **options),
                [x],
                expected,
                label=f"resize {height} {width} {mode}",
            ),
        ]
    check(cases, "iOS17")


def test_resizing_to_the_nearest(check: Check, make_case: MakeCase) -> None:
    x = normal(20, 1, 2, 4, 6)
    t = torch.from_numpy(x)
    exact = F.interpolate(t, size=(7, 9), mode="nearest-exact").numpy()
    plain = F.interpolate(t, size=(7, 9), mode="nearest").numpy()
    options = {"interpolation_mode": "NEAREST_NEIGHBOR"}
    check(
        [
            make_case(
                lambda x: mb.resize_nearest_neighbor(x=x, target_size_height=7, target_size_width=9),
                [x],
                plain,
                label="sized",
            ),
            make_case(
                lambda x: mb.resize(x=x, shape=[7, 9], resized_dims=np.uint32(2), **options), [x], plain, label="resize"
            ),
            make_case(
                lambda x: mb.resize(
                    x=x, shape=[7, 9], resized_dims=np.uint32(2), sampling_mode="UNALIGN_CORNERS", **options
                ),
                [x],
                exact,
                label="resize by areas",
            ),
            make_case(
                lambda x: mb.upsample_nearest_neighbor(x=x, scale_factor_height=2, scale_factor_width=3),
                [x],
                x.repeat(2, 2).repeat(3, 3),
                label="upsample",
            ),
            make_case(
                lambda x: mb.upsample_nearest_neighbor(x=x, scale_factor_height=1.5, scale_factor_width=2.5),
                [x],
                F.interpolate(t, size=(6, 15), mode="nearest").numpy(),
                label="upsample by a fraction",
            ),
        ],
        "iOS17",
    )


@pytest.mark.parametrize(("aligned", "half"), [(True, None), (False, None), (False, True), (False, False)])
def test_upsample_bilinear(check: Check, make_case: MakeCase, aligned: bool, half: bool | None) -> None:
    x = normal(21, 1, 2, 4, 3)
    mode = "STRICT_ALIGN_CORNERS" if aligned else "DEFAULT" if half is False else "UNALIGN_CORNERS"
    rows = linear(x.swapaxes(-1, -2), positions(4, 8, mode)).swapaxes(-1, -2)
    expected = linear(rows, positions(3, 9, mode)).astype(np.float32)
    options = {} if half is None else {"half_pixel_centers": half}
    case = make_case(
        lambda x: mb.upsample_bilinear(
            x=x, scale_factor_height=2, scale_factor_width=3, align_corners=aligned, **options
        ),
        [x],
        expected,
        label="upsample_bilinear",
    )
    check([case], "iOS15" if half is None else "iOS16")


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("aligned", [True, False])
def test_resample(check: Check, make_case: MakeCase, mode: str, aligned: bool) -> None:
    x, points = normal(22, 1, 2, 5, 6), np.random.default_rng(23).uniform(-1.3, 1.3, (1, 4, 3, 2)).astype(np.float32)
    grid = torch.from_numpy(points)
    cases = []
    # torch reflects at pixel centres exactly where corners are aligned, which is "reflection"; at edges "symmetric".
    reflecting = "reflection" if aligned else "symmetric"
    for padding, theirs in [("constant", "zeros"), ("border", "border"), (reflecting, "reflection")]:
        expected = F.grid_sample(torch.from_numpy(x), grid, mode, theirs, align_corners=aligned).numpy()
        options = {"sampling_mode": mode, "padding_mode": padding, "padding_value": 0.0, "align_corners": aligned}
        systems = [("normalized_minus_one_to_one", points), ("normalized_zero_to_one", (points + 1) / 2)]
        if aligned:
            systems.append(("unnormalized", (points + 1) / 2 * np.array([5, 4], np.float32)))
        for system, coordinates in systems:
            cases.append(
                make_case(
                    lambda x, c, o=options, s=system: mb.resample(x=x, coordinates=c, coordinates_mode=s, **o),
                    [x, coordinates],
                    expected,
                    tolerance=1e-4,
                    label=f"resample {padding} {system}",
                )
            )
    check(cases, "iOS16")


def test_affine_of_the_identity_and_of_a_flip(check: Check, make_case: MakeCase) -> None:
    x = normal(24, 1, 2, 5, 6)
    options = {
        "output_height": 5,
        "output_width": 6,
        "sampling_mode": "bilinear",
        "padding_mode": "constant",
        "padding_value": 0.0,
        "coordinates_mode": "normalized_minus_one_to_one",
        "align_corners": True,
    }
    same, flipped = np.array([[1, 0, 0, 0, 1, 0]], np.float32), np.array([[-1, 0, 0, 0, 1, 0]], np.float32)
    check(
        [
            make_case(lambda x, m: mb.affine(x=x, transform_matrix=m, **options), [x, same], x, label="identity"),
            make_case(
                lambda x, m: mb.affine(x=x, transform_matrix=m, **options), [x, flipped], x[..., ::-1], label="flip"
            ),
        ]
    )


@pytest.mark.parametrize("normalized", [False, True])
def test_crop_resize(check: Check, make_case: MakeCase, normalized: bool) -> None:
    """With corners aligned, a box of whole pixels is resized as the crop would be."""
    x = normal(25, 2, 3, 6, 8)
    box = np.array([[1, 2, 4, 6]], np.float32)
    crop = torch.from_numpy(x[:, :, 1:5, 2:7])
    expected = F.interpolate(crop, size=(5, 3), mode="bilinear", align_corners=True).numpy()
    given_box = box / np.array([5, 7, 5, 7], np.float32) if normalized else box
    options = {
        "target_height": 5,
        "target_width": 3,
        "normalized_coordinates": normalized,
        "sampling_mode": "STRICT_ALIGN_CORNERS",
    }
    wide = given_box[:, [1, 0, 3, 2]].reshape(1, 1, 4, 1, 1)
    numbered = np.concatenate([[[1]], given_box], 1).astype(np.float32).reshape(1, 1, 5, 1, 1)
    check(
        [
            make_case(
                lambda x, r: mb.crop_resize(x=x, roi=r, box_coordinate_mode="CORNERS_WIDTH_FIRST", **options),
                [x, wide],
                expected[None],
                label="roi of every image",
            ),
        ],
        "iOS16",
    )
    from mobie_coreml.runtime.mil.node import Node
    from mobie_coreml.runtime.mil.ops_sample import crop_resize

    # coremltools infers N images per box for numbered boxes too, against its documentation: run the kernel itself.
    node = Node("crop_resize", "y", 6, {}, ())
    assert crop_resize(node)(torch.from_numpy(x), torch.from_numpy(numbered), None, None).shape == (1, 1, 3, 1, 1)
    check(
        [
            make_case(
                lambda x, b: mb.crop_resize(x=x, boxes=b, box_indices=np.array([1], np.int32), **options),
                [x, given_box],
                expected[1:2],
                label="box of one image",
            ),
        ],
        "iOS17",
    )


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("whole", [True, False])
def test_lstm(check: Check, make_case: MakeCase, direction: str, whole: bool) -> None:
    ways = 2 if direction == "bidirectional" else 1
    layer = torch.nn.LSTM(3, 4, bidirectional=ways == 2)
    x, h, c = normal(26, 5, 2, 3), normal(27, 2, 4 * ways), normal(28, 2, 4 * ways)
    order = [0, 1, 3, 2]  # torch has input, forget, cell, output; MIL has the cell last.

    def rows(name: str) -> np.ndarray:
        value = getattr(layer, name).detach().numpy()
        return np.concatenate([np.split(value, 4)[i] for i in order])

    weights: dict[str, object] = {}
    for suffix, theirs in [("", ""), ("_back", "_reverse")][:ways]:
        weights[f"weight_ih{suffix}"] = rows(f"weight_ih_l0{theirs}")
        weights[f"weight_hh{suffix}"] = rows(f"weight_hh_l0{theirs}")
        weights[f"bias{suffix}"] = rows(f"bias_ih_l0{theirs}") + rows(f"bias_hh_l0{theirs}")
    sequence = torch.from_numpy(x[::-1].copy() if direction == "reverse" else x)
    states = [torch.from_numpy(np.stack(np.split(s, ways, -1))) for s in (h, c)]
    with torch.no_grad():
        out, (last_h, last_c) = layer(sequence, tuple(states))
    final = [torch.cat(list(s), -1).numpy() for s in (last_h, last_c)]
    series = out.numpy()[::-1] if direction == "reverse" else out.numpy()
    expected = [series if whole else final[0][None], *final]
    case = make_case(
        lambda x, h, c: mb.lstm(x=x, initial_h=h, initial_c=c, direction=direction, output_sequence=whole, **weights),
        [x, h, c],
        expected,
        label=f"lstm {direction}",
    )
    check([case])


def test_gru_and_rnn(check: Check, make_case: MakeCase) -> None:
    x, h = normal(29, 5, 2, 3), normal(30, 2, 4)
    rnn, gru = torch.nn.RNN(3, 4), torch.nn.GRU(3, 4)
    with torch.no_grad():
        rnn_out, rnn_last = rnn(torch.from_numpy(x), torch.from_numpy(h)[None])
        gru_out, gru_last = gru(torch.from_numpy(x), torch.from_numpy(h)[None])
    plain = {name: value.detach().numpy() for name, value in rnn.named_parameters()}

    def rows(name: str) -> np.ndarray:
        reset, update, new = np.split(getattr(gru, name).detach().numpy(), 3)
        return np.concatenate([reset, new, update])

    check(
        [
            make_case(
                lambda x, h: mb.rnn(
                    x=x,
                    initial_h=h,
                    weight_ih=plain["weight_ih_l0"],
                    weight_hh=plain["weight_hh_l0"],
                    bias=plain["bias_ih_l0"] + plain["bias_hh_l0"],
                    output_sequence=True,
                ),
                [x, h],
                [rnn_out.numpy(), rnn_last[0].numpy()],
                label="rnn",
            ),
            make_case(
                lambda x, h: mb.gru(
                    x=x,
                    initial_h=h,
                    weight_ih=rows("weight_ih_l0"),
                    weight_hh=rows("weight_hh_l0"),
                    bias=rows("bias_hh_l0"),
                    input_bias=rows("bias_ih_l0"),
                    reset_after=True,
                    output_sequence=True,
                ),
                [x, h],
                [gru_out.numpy(), gru_last[0].numpy()],
                label="gru",
            ),
        ],
        "iOS18",
    )
