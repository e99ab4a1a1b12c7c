"""Every compressed weight form against coremltools' own decompression, over random shapes, groups and axes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palettization.package import Constants, Package, WeightFormError, decode_constexpr, decode_outputs
from palettization.package.bits import pack_bits

FLOATS = st.sampled_from([np.float16, np.float32])
TABLES = st.sampled_from([np.float16, np.float32, np.int8, np.uint8])


def values(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max + 1, shape, dtype=dtype)


@st.composite
def grouped_shapes(draw: Callable[[Any], Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A shape, and how many blocks each axis is cut into."""
    blocks = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    sizes = [count * draw(st.integers(1, 3)) for count in blocks]
    return tuple(sizes), tuple(blocks)


def same(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    bits=st.sampled_from([1, 2, 4, 6, 8]),
    dtype=TABLES,
    seed=st.integers(0, 1 << 16),
)
def test_palettes_of_ios16(ct: Any, shape: list[int], bits: int, dtype: Any, seed: int) -> None:
    from coremltools.converters.mil.mil.ops.defs.iOS16.constexpr_ops import constexpr_lut_to_dense

    rng = np.random.default_rng(seed)
    lut = values(rng, (1 << bits,), dtype)
    packed = pack_bits(rng.integers(0, 1 << bits, shape, dtype=np.uint8), bits)
    sizes = np.array(shape, np.uint32)
    ours = decode_constexpr("constexpr_lut_to_dense", {"lut": lut, "indices": packed, "shape": sizes})
    same(ours, constexpr_lut_to_dense.decompress(lut, packed, sizes))


@settings(max_examples=120, deadline=None)
@given(
    grouped=grouped_shapes(),
    bits=st.sampled_from([1, 2, 3, 4, 6, 8]),
    vector=st.integers(1, 3),
    dtype=TABLES,
    data=st.data(),
)
def test_palettes_of_ios18(ct: Any, grouped: Any, bits: int, vector: int, dtype: Any, data: st.DataObject) -> None:
    from coremltools.converters.mil.mil.ops.defs.iOS18.compression import (
        constexpr_lut_to_dense,
        constexpr_lut_to_sparse,
    )

    shape, groups = grouped
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 16)))
    indices = rng.integers(0, 1 << bits, shape, dtype=np.uint8)
    lut = values(rng, (*groups, 1 << bits, vector), dtype)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    if vector == 1:
        axis = data.draw(st.sampled_from([None, axis]))
    operands = {"indices": indices, "lut": lut}
    if axis is not None:
        operands["vector_axis"] = np.array(axis, np.int32)
    same(decode_constexpr("constexpr_lut_to_dense", operands), constexpr_lut_to_dense.decompress(indices, lut, axis))

    mask = rng.integers(0, 2, shape, dtype=np.uint8)
    sparse = {
        **{name: value for name, value in operands.items() if name != "indices"},
        "indices_mask": mask,
        "indices_nonzero_data": indices[mask != 0],
    }
    ours = decode_outputs("constexpr_lut_to_sparse", sparse)
    theirs = constexpr_lut_to_sparse.decompress(mask, indices[mask != 0], lut, axis)
    for mine, other in zip(ours, theirs, strict=True):
        same(mine, other)
    dense = decode_constexpr("constexpr_sparse_to_dense", {"mask": ours[0], "nonzero_data": ours[1]})
    assert dense.shape == ours[0].shape


@settings(max_examples=80, deadline=None)
@given(
    grouped=grouped_shapes(),
    source=st.sampled_from([np.int8, np.uint8, np.float16, np.float32]),
    scale_type=FLOATS,
    offset_type=st.sampled_from([None, "source", np.float16, np.float32]),
    seed=st.integers(0, 1 << 16),
)
def test_blockwise_quantization(
    ct: Any, grouped: Any, source: Any, scale_type: Any, offset_type: Any, seed: int
) -> None:
    from coremltools.converters.mil.mil.ops.defs.iOS18.compression import (
        constexpr_blockwise_shift_scale,
        constexpr_sparse_blockwise_shift_scale,
    )

    shape, groups = grouped
    rng = np.random.default_rng(seed)
    data, scale = values(rng, shape, source), values(rng, groups, scale_type)
    offset = None if offset_type is None else values(rng, groups, source if offset_type == "source" else offset_type)
    operands = {"data": data, "scale": scale} | ({} if offset is None else {"offset": offset})
    theirs = constexpr_blockwise_shift_scale.decompress(data, scale, offset)
    same(decode_constexpr("constexpr_blockwise_shift_scale", operands), theirs.astype(scale_type))

    mask = rng.integers(0, 2, shape, dtype=np.uint8)
    operands = {name: value for name, value in operands.items() if name != "data"} | {
        "data_mask": mask,
        "nonzero_data": data[mask != 0],
    }
    ours = decode_outputs("constexpr_sparse_blockwise_shift_scale", operands)
    both = constexpr_sparse_blockwise_shift_scale.decompress(mask, data[mask != 0], scale, offset)
    same(ours[0], both[0])
    same(ours[1], both[1].astype(scale_type))


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple),
    source=st.sampled_from([np.int8, np.uint8]),
    zero_type=st.sampled_from(["source", np.float32]),
    scale_type=FLOATS,
    per_channel=st.tuples(st.booleans(), st.booleans()),
    data=st.data(),
)
def test_affine_quantization_of_ios16(
    ct: Any, shape: Any, source: Any, zero_type: Any, scale_type: Any, per_channel: Any, data: st.DataObject
) -> None:
    from coremltools.converters.mil.mil.ops.defs.iOS16.constexpr_ops import constexpr_affine_dequantize

    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 16)))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    channels = (shape[axis],)
    quantized = values(rng, shape, source)
    zero = values(rng, channels if per_channel[0] else (), source if zero_type == "source" else zero_type)
    scale = values(rng, channels if per_channel[1] else (), scale_type)
    operands = {"quantized_data": quantized, "zero_point": zero, "scale": scale, "axis": np.array(axis, np.int32)}
    theirs = constexpr_affine_dequantize.decompress(quantized, np.asarray(zero), np.asarray(scale), axis)
    same(decode_constexpr("constexpr_affine_dequantize", operands), theirs)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple),
    dtype=TABLES,
    seed=st.integers(0, 1 << 16),
)
def test_sparse_weights(ct: Any, shape: Any, dtype: Any, seed: int) -> None:
    from coremltools.converters.mil.mil.ops.defs.iOS16 import constexpr_ops as ios16
    from coremltools.converters.mil.mil.ops.defs.iOS18 import compression as ios18

    rng = np.random.default_rng(seed)
    mask = rng.integers(0, 2, shape, dtype=np.uint8)
    nonzero = values(rng, (int(mask.sum()),), dtype)
    packed, sizes = pack_bits(mask, 1), np.array(shape, np.uint32)
    ours = decode_constexpr("constexpr_sparse_to_dense", {"nonzero_data": nonzero, "mask": packed, "shape": sizes})
    same(ours, ios16.constexpr_sparse_to_dense.decompress(nonzero, packed, sizes))
    ours = decode_constexpr("constexpr_sparse_to_dense", {"nonzero_data": nonzero, "mask": mask})
    same(ours, ios18.constexpr_sparse_to_dense.decompress(nonzero, mask))


def test_cast() -> None:
    source = np.array([0.1, -65504, np.inf], np.float16)
    same(
        decode_constexpr("constexpr_cast", {"source_val": source, "output_dtype": np.array("fp32")}),
        source.astype(np.float32),
    )


GOOD_LUT = {"indices": np.zeros((4, 2), np.uint8), "lut": np.zeros((2, 1, 4, 1), np.float16)}
GOOD_AFFINE = {
    "quantized_data": np.zeros((4, 2), np.int8),
    "zero_point": np.zeros((), np.int8),
    "scale": np.ones(4, np.float16),
    "axis": np.array(0, np.int32),
}


@pytest.mark.parametrize(
    ("kind", "operands"),
    [
        ("constexpr_unheard_of", {}),
        ("constexpr_lut_to_dense", {}),
        ("constexpr_lut_to_dense", {**GOOD_LUT, "indices": np.full((4, 2), 4, np.uint8)}),
        ("constexpr_lut_to_dense", {**GOOD_LUT, "indices": np.zeros((3, 2), np.uint8)}),
        ("constexpr_lut_to_dense", {**GOOD_LUT, "indices": np.zeros((4, 2), np.float32)}),
        ("constexpr_lut_to_dense", {**GOOD_LUT, "lut": np.zeros((2, 1, 3, 1), np.float16)}),
        ("constexpr_lut_to_dense", {**GOOD_LUT, "lut": np.zeros((2, 1, 4, 2), np.float16)}),
        ("constexpr_lut_to_dense", {**GOOD_LUT, "lut": np.zeros((0, 1, 4, 1), np.float16)}),
        ("constexpr_lut_to_dense", {**GOOD_LUT, "vector_axis": np.array(2, np.int32)}),
        ("constexpr_lut_to_dense", {**GOOD_LUT, "vector_axis": np.array(0.5)}),
        (
            "constexpr_lut_to_dense",
            {"lut": np.zeros(4), "indices": np.zeros(1, np.uint8), "shape": np.array([1 << 31, 1 << 31], np.uint32)},
        ),
        (
            "constexpr_lut_to_dense",
            {"lut": np.zeros(5), "indices": np.zeros(1, np.uint8), "shape": np.array([2], np.uint32)},
        ),
        ("constexpr_affine_dequantize", {**GOOD_AFFINE, "axis": np.array(2, np.int32)}),
        ("constexpr_affine_dequantize", {**GOOD_AFFINE, "scale": np.ones(3, np.float16)}),
        ("constexpr_affine_dequantize", {**GOOD_AFFINE, "zero_point": np.ones((4, 2), np.int8)}),
        ("constexpr_blockwise_shift_scale", {"data": np.zeros((4, 2), np.int8), "scale": np.ones((3, 1), np.float16)}),
        ("constexpr_blockwise_shift_scale", {"data": np.zeros((4, 2), np.int8), "scale": np.ones((0, 1), np.float16)}),
        ("constexpr_blockwise_shift_scale", {"data": np.zeros((4, 2), np.int8), "scale": np.ones(4, np.float16)}),
        ("constexpr_sparse_to_dense", {"nonzero_data": np.ones(2), "mask": np.ones((3,), np.uint8)}),
        ("constexpr_cast", {"source_val": np.zeros(1, np.float16), "output_dtype": np.array("int8")}),
        ("constexpr_lut_to_sparse", {}),
    ],
)
def test_operands_that_do_not_fit_are_refused(kind: str, operands: dict[str, np.ndarray]) -> None:
    with pytest.raises(WeightFormError, match=kind):
        decode_constexpr(kind, operands)


def test_a_mask_and_data_are_not_one_weight() -> None:
    operands = {"data_mask": np.ones(2, np.uint8), "nonzero_data": np.ones(2, np.int8), "scale": np.ones(1, np.float16)}
    with pytest.raises(WeightFormError, match="2 outputs"):
        decode_constexpr("constexpr_sparse_blockwise_shift_scale", operands)


def test_the_declared_output_is_checked(tiny: Path, program_tools: Any) -> None:
    with Package.open(tiny) as package:
        constants = Constants(package)
        operation = constants.operation("s")
        operation.outputs[0].type.tensorType.dimensions[0].constant.size = 5
        with pytest.raises(WeightFormError, match=r"declares float16 of shape \(5, 8, 8\)"):
            constants.value("s")


def _compressors(ct: Any) -> dict[str, tuple[str, Callable[[Any], Any]]]:
    """How coremltools compresses: target and what to apply."""
    opt = ct.optimize.coreml

    def palettes(**options: Any) -> Callable[[Any], Any]:
        config = opt.OptimizationConfig(opt.OpPalettizerConfig(weight_threshold=0, **options))
        return lambda model: opt.palettize_weights(model, config)

    def linear(**options: Any) -> Callable[[Any], Any]:
        config = opt.OptimizationConfig(opt.OpLinearQuantizerConfig(weight_threshold=0, **options))
        return lambda model: opt.linear_quantize_weights(model, config)

    def pruned(**options: Any) -> Callable[[Any], Any]:
        config = opt.OptimizationConfig(opt.OpMagnitudePrunerConfig(weight_threshold=0, **options))
        return lambda model: opt.prune_weights(model, config)

    def jointly_palettized(model: Any) -> Any:
        config = opt.OptimizationConfig(opt.OpPalettizerConfig(weight_threshold=0, mode="uniform", nbits=4))
        return opt.palettize_weights(opt.prune_weights(model, _half(opt)), config, joint_compression=True)

    def jointly_quantized(model: Any) -> Any:
        config = opt.OptimizationConfig(opt.OpLinearQuantizerConfig(weight_threshold=0, mode="linear_symmetric"))
        return opt.linear_quantize_weights(opt.prune_weights(model, _half(opt)), config, joint_compression=True)

    return {
        "ios16 palette 4": ("iOS16", palettes(mode="uniform", nbits=4)),
        "ios16 palette 6": ("iOS16", palettes(mode="uniform", nbits=6)),
        "ios16 palette 2": ("iOS16", palettes(mode="uniform", nbits=2)),
        "ios16 affine": ("iOS16", linear(mode="linear")),
        "ios16 sparse": ("iOS16", pruned(target_sparsity=0.5)),
        "ios18 palette 3": ("iOS18", palettes(mode="uniform", nbits=3)),
        "ios18 grouped": (
            "iOS18",
            palettes(mode="uniform", nbits=4, granularity="per_grouped_channel", group_size=4),
        ),
        "ios18 scaled": ("iOS18", palettes(mode="uniform", nbits=4, enable_per_channel_scale=True)),
        "ios18 blockwise": (
            "iOS18",
            linear(mode="linear", dtype="uint4", granularity="per_block", block_size=4),
        ),
        "ios18 sparse": ("iOS18", pruned(target_sparsity=0.5)),
        "ios18 sparse palette": ("iOS18", jointly_palettized),
        "ios18 sparse int8": ("iOS18", jointly_quantized),
    }


def _half(opt: Any) -> Any:
    return opt.OptimizationConfig(opt.OpMagnitudePrunerConfig(weight_threshold=0, target_sparsity=0.5))


@pytest.fixture(scope="module")
def small_model(ct: Any) -> Callable[[str], Any]:
    """A convolution and a linear layer with random weights as an ML Program for a target."""
    from coremltools.converters.mil import Builder

    made: dict[str, Any] = {}

    def make(target: str) -> Any:
        if target in made:
            return made[target]
        rng = np.random.default_rng(11)
        kernel = rng.standard_normal((8, 4, 3, 3)).astype(np.float32)
        matrix = rng.standard_normal((12, 8)).astype(np.float32)

        @Builder.program(input_specs=[Builder.TensorSpec((1, 4, 6, 6))], opset_version=getattr(ct.target, target))
        def program(x: Any) -> Any:
            x = Builder.conv(x=x, weight=kernel, pad_type="same", name="kernel")
            x = Builder.reduce_mean(x=x, axes=[2, 3], keep_dims=False)
            return Builder.linear(x=x, weight=matrix, name="matrix")

        with contextlib.redirect_stderr(io.StringIO()):
            made[target] = ct.convert(program, minimum_deployment_target=getattr(ct.target, target))
        return made[target]

    return make


def test_packages_compressed_by_coremltools_decode_as_it_does(
    ct: Any, small_model: Callable[[str], Any], tmp_path: Path
) -> None:
    forms = set()
    for name, (target, compress) in _compressors(ct).items():
        with contextlib.redirect_stderr(io.StringIO()):
            model = compress(small_model(target))
            dense = ct.optimize.coreml.decompress_weights(model)
        ours, theirs = tmp_path / f"{name}.mlpackage", tmp_path / f"{name} dense.mlpackage"
        model.save(str(ours))
        dense.save(str(theirs))
        weights = []
        for path in (ours, theirs):
            with Package.open(path) as package:
                package.check_weights()
                constants = Constants(package)
                found = {}
                for located in package.walk():
                    if located.operation.type in ("conv", "linear"):
                        binding = located.operation.inputs["weight"].arguments[0].name
                        found[located.operation.type] = constants.value(binding)
                        forms.add((target, constants.operation(binding).type))
                weights.append(found)
        assert set(weights[0]) == set(weights[1]) == {"conv", "linear"}
        for kind in weights[0]:
            same(weights[0][kind], weights[1][kind])
    assert forms >= {
        ("iOS16", "constexpr_lut_to_dense"),
        ("iOS16", "constexpr_affine_dequantize"),
        ("iOS16", "constexpr_sparse_to_dense"),
        ("iOS18", "constexpr_lut_to_dense"),
        ("iOS18", "constexpr_blockwise_shift_scale"),
        ("iOS18", "constexpr_sparse_to_dense"),
    }
