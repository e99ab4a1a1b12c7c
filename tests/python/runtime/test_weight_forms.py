"""Compressed weights: a package computes what coremltools' own decompression of it computes."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools as ct
import coremltools.optimize.coreml as cto
import numpy as np
import pytest
from coremltools.converters.mil import Builder

from mobie_coreml.runtime.mil import constants
from mobie_coreml.runtime.mil.program import MilProgram
from palettization.package import Package

mb = Builder


def palettize(**options: Any) -> Callable[[Any], Any]:
    config = cto.OptimizationConfig(cto.OpPalettizerConfig(mode="uniform", weight_threshold=100, **options))
    return lambda model: cto.palettize_weights(model, config)


def quantize(**options: Any) -> Callable[[Any], Any]:
    config = cto.OptimizationConfig(cto.OpLinearQuantizerConfig(weight_threshold=100, **options))
    return lambda model: cto.linear_quantize_weights(model, config)


def prune(model: Any) -> Any:
    config = cto.OpMagnitudePrunerConfig(target_sparsity=0.6, weight_threshold=100)
    return cto.prune_weights(model, cto.OptimizationConfig(config))


def pruned_then(after: str, **options: Any) -> Callable[[Any], Any]:
    def compress(model: Any) -> Any:
        if after == "palettize":
            config = cto.OpPalettizerConfig(mode="uniform", weight_threshold=100, **options)
            return cto.palettize_weights(prune(model), cto.OptimizationConfig(config), joint_compression=True)
        linear = cto.OpLinearQuantizerConfig(weight_threshold=100, **options)
        return cto.linear_quantize_weights(prune(model), cto.OptimizationConfig(linear), joint_compression=True)

    return compress


GROUPED = {"granularity": "per_grouped_channel", "group_size": 4}
FORMS: list[tuple[str, str, set[str], Callable[[Any], Any]]] = [
    ("palette of 6 bits", "iOS16", {"constexpr_lut_to_dense"}, palettize(nbits=6)),
    ("palette of 4 bits", "iOS17", {"constexpr_lut_to_dense"}, palettize(nbits=4)),
    ("palette of 1 bit", "iOS17", {"constexpr_lut_to_dense"}, palettize(nbits=1)),
    ("affine", "iOS17", {"constexpr_affine_dequantize"}, quantize(mode="linear")),
    ("sparse", "iOS17", {"constexpr_sparse_to_dense"}, prune),
    ("palette of 3 bits", "iOS18", {"constexpr_lut_to_dense"}, palettize(nbits=3)),
    ("grouped palettes", "iOS18", {"constexpr_lut_to_dense"}, palettize(nbits=4, **GROUPED)),
    (
        "scaled palettes",
        "iOS18",
        {"constexpr_lut_to_dense", "constexpr_blockwise_shift_scale"},
        palettize(nbits=4, enable_per_channel_scale=True, **GROUPED),
    ),
    (
        "blocks of 4 bits",
        "iOS18",
        {"constexpr_blockwise_shift_scale"},
        quantize(mode="linear_symmetric", dtype="int4", granularity="per_block", block_size=8),
    ),
    (
        "sparse palette",
        "iOS18",
        {"constexpr_lut_to_sparse", "constexpr_sparse_to_dense"},
        pruned_then("palettize", nbits=4),
    ),
    (
        "sparse and quantized",
        "iOS18",
        {"constexpr_sparse_blockwise_shift_scale", "constexpr_sparse_to_dense"},
        pruned_then("quantize", mode="linear_symmetric"),
    ),
]

GENERATOR = np.random.default_rng(40)
KERNEL = GENERATOR.standard_normal((16, 8, 3, 3)).astype(np.float32)
MATRIX = GENERATOR.standard_normal((24, 16)).astype(np.float32)
X = {"x": GENERATOR.standard_normal((1, 8, 6, 5)).astype(np.float32)}


def network(x: Any) -> Any:
    hidden = mb.relu(x=mb.conv(x=x, weight=KERNEL, pad_type="same"))
    return mb.linear(x=mb.reduce_mean(x=hidden, axes=[2, 3]), weight=MATRIX)


def half_precision(build: Callable[..., Path], opset: str) -> Any:
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        path = build(network, X, opset, pass_pipeline=ct.PassPipeline.DEFAULT)
        return ct.models.MLModel(str(path), skip_model_load=True)


@pytest.mark.parametrize(("name", "opset", "operations", "compress"), FORMS, ids=[form[0] for form in FORMS])
@pytest.mark.parametrize("streamed", [False, True], ids=["kept", "streamed"])
def test_weight_form(
    build: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    opset: str,
    operations: set[str],
    compress: Callable[[Any], Any],
    streamed: bool,
) -> None:
    if streamed:
        monkeypatch.setattr(constants, "CACHE_BYTES", 0)
        monkeypatch.setattr(constants, "ALWAYS_KEPT_BYTES", 0)
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        model = compress(half_precision(build, opset))
        model.save(str(tmp_path / "compressed.mlpackage"))
        cto.decompress_weights(model).save(str(tmp_path / "dense.mlpackage"))
    package = Package.open(tmp_path / "compressed.mlpackage")
    assert operations <= {located.operation.type for located in package.walk()}
    dense = MilProgram.load(tmp_path / "dense.mlpackage").run(X)
    compressed = MilProgram.load(package)
    for _ in range(2):
        for output, reference in zip(compressed.run(X).values(), dense.values(), strict=True):
            np.testing.assert_allclose(output, reference, rtol=1e-5, atol=1e-5)


def test_weights_in_the_file_are_read_where_they_are_used(
    build: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading reads no weight; a run reads a streamed weight once per use and a kept one once for good.

    There are three: the kernel, the matrix and its bias, which coremltools adds.
    """
    path = build(network, X, "iOS17")
    reads: list[str] = []
    original = Package.constant

    def counted(self: Package, value: Any, name: str = "", **options: Any) -> Any:
        if value.WhichOneof("value") == "blobFileValue":
            reads.append(name)
        return original(self, value, name, **options)

    monkeypatch.setattr(Package, "constant", counted)
    program = MilProgram.load(path)
    assert reads == []
    program.run(X)
    assert len(reads) == 3
    program.run(X)
    assert len(reads) == 3
    monkeypatch.setattr(constants, "CACHE_BYTES", 0)
    monkeypatch.setattr(constants, "ALWAYS_KEPT_BYTES", 0)
    reads.clear()
    streaming = MilProgram.load(path)
    assert reads == []
    first, second = streaming.run(X), streaming.run(X)
    assert len(reads) == 6
    for one, other in zip(first.values(), second.values(), strict=True):
        np.testing.assert_array_equal(one, other)
