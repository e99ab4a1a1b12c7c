"""Whole packages: what palettizing changes and what it leaves, through our reader, coremltools and the executor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palettization.clustering import palette_of
from palettization.decompress import decompress
from palettization.package import Constants, Package, package_digest, summarise
from palettization.package import write_package as write
from palettization.palettize import palettize
from palettization.recipe import Choice, Recipe
from palettization.rules import SkipRules

Write = Callable[..., Path]
ALL = SkipRules(elements=0, axes=1, depthwise=False)


def decoded(path: Path) -> dict[str, np.ndarray]:
    with Package.open(path) as package:
        constants = Constants(package)
        return {name: np.array(constants.value(name)) for name in constants}


def intended(array: np.ndarray, bits: int, dtype: Any = np.float16) -> np.ndarray:
    palette = palette_of(array, bits, table_dtype=dtype)
    return palette.table[palette.indices(array)].reshape(array.shape)


@pytest.mark.parametrize(("opset", "bits"), [(6, 1), (7, 2), (7, 4), (7, 6), (7, 8), (8, 3), (8, 6), (8, 8)])
def test_weights_become_their_palettes_and_nothing_else_changes(
    write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path, opset: int, bits: int
) -> None:
    source = write_package(tmp_path / "in.mlpackage", weights, opset=opset)
    report = palettize(source, tmp_path / "out.mlpackage", bits)
    values = decoded(tmp_path / "out.mlpackage")
    for name, array in weights.items():
        small = name == "out_weight"
        assert values[name].tobytes() == (array if small else intended(array, bits)).tobytes()
    assert [tensor.name for tensor in report.palettized] == ["down_conv_weight", "mid_proj_weight"]
    assert report.checked == 2
    assert report.tensors[2].reason == "fewer than 2,049 elements"
    before, after = Package.open(source), Package.open(tmp_path / "out.mlpackage")
    assert after.metadata == before.metadata == {"author": "The test", "kept": "yes"}
    kept = [(item.operation.type, item.operation.outputs[0]) for item in before.walk()]
    for (kind, output), item in zip(kept, after.walk(), strict=True):
        assert item.operation.outputs[0] == output
        assert item.operation.type in (kind, "constexpr_lut_to_dense" if kind == "const" else kind)
    assert before.spec.description == after.spec.description
    forms = {weight.name: (weight.form, weight.bits) for weight in summarise(after).weights}
    assert forms["down_conv_weight"] == ("palettized", bits)
    assert bool(report.warnings) == (opset == 8)


def test_reported_errors_and_sizes_are_those_on_disk(
    write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    source = write_package(tmp_path / "in.mlpackage", weights)
    report = palettize(source, tmp_path / "out.mlpackage", 4)
    values = decoded(tmp_path / "out.mlpackage")
    for tensor in report.tensors:
        given = weights[tensor.name].astype(np.float64)
        assert tensor.squared_error == pytest.approx(((values[tensor.name] - given) ** 2).sum(), rel=1e-9)
        if tensor.palettized:
            assert tensor.energy == pytest.approx((given**2).sum(), rel=1e-9)
            assert tensor.bytes_after == given.size // 2 + 32
    files = [item for item in (tmp_path / "out.mlpackage").rglob("*") if item.is_file()]
    assert report.bytes_after == sum(item.stat().st_size for item in files)
    assert report.modelled_bytes == pytest.approx(report.bytes_after, rel=0.01)
    with Package.open(tmp_path / "out.mlpackage") as package:
        stored = sum(weight.bytes for weight in summarise(package).weights if "weight" in weight.name)
    shape_operands = 2 * 4 * 4
    assert report.bits_per_weight == pytest.approx(8 * (stored - shape_operands) / report.elements)


def test_the_same_package_gives_the_same_bytes_on_any_number_of_threads(
    write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    source = write_package(tmp_path / "in.mlpackage", weights)
    digests = set()
    for threads in (1, 2, 5):
        palettize(source, tmp_path / "out.mlpackage", 6, threads=threads, force=True)
        digests.add(package_digest(tmp_path / "out.mlpackage"))
    assert len(digests) == 1


@pytest.mark.parametrize(("opset", "bits", "group"), [(7, 4, 0), (8, 3, 0), (8, 2, 8)])
def test_decompressing_and_palettizing_again_gives_the_same_package(
    write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path, opset: int, bits: int, group: int
) -> None:
    recipe = Recipe(Choice(bits, group))
    source = write_package(tmp_path / "in.mlpackage", weights, opset=opset)
    first = palettize(source, tmp_path / "first.mlpackage", recipe)
    plain = decompress(tmp_path / "first.mlpackage", tmp_path / "plain.mlpackage")
    assert plain.tensors == ("down_conv_weight", "mid_proj_weight")
    values, palettes = decoded(tmp_path / "plain.mlpackage"), decoded(tmp_path / "first.mlpackage")
    assert all(values[name].tobytes() == palettes[name].tobytes() for name in weights)
    again = palettize(tmp_path / "plain.mlpackage", tmp_path / "again.mlpackage", recipe)
    assert again.digests == first.digests
    assert again.squared_error == 0


def test_what_is_compressed_already_is_left(
    write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    source = write_package(tmp_path / "in.mlpackage", weights)
    first = palettize(source, tmp_path / "first.mlpackage", 6)
    second = palettize(tmp_path / "first.mlpackage", tmp_path / "second.mlpackage", 4)
    assert [tensor.reason for tensor in second.tensors[:2]] == ["compressed already"] * 2
    assert [tensor.bytes_before for tensor in second.tensors[:2]] == [
        tensor.bytes_after + 16 for tensor in first.tensors[:2]
    ]
    (warning,) = second.warnings
    assert "2 are compressed already" in warning
    assert "mobie decompress" in warning
    one, two = decoded(tmp_path / "first.mlpackage"), decoded(tmp_path / "second.mlpackage")
    assert all(one[name].tobytes() == two[name].tobytes() for name in weights)


@pytest.mark.parametrize("opset", [7, 8])
def test_weights_computed_with_in_fp32_get_fp32_tables(
    write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path, opset: int
) -> None:
    source = write_package(tmp_path / "in.mlpackage", weights, casts=tuple(weights), opset=opset)
    report = palettize(source, tmp_path / "out.mlpackage", Recipe(Choice(6), skip=ALL))
    values = decoded(tmp_path / "out.mlpackage")
    for name, array in weights.items():
        assert values[name].dtype == np.float32
        assert values[name].tobytes() == intended(array, 6, np.float32).tobytes()
    assert len(report.palettized) == 3
    decompress(tmp_path / "out.mlpackage", tmp_path / "plain.mlpackage")
    assert decoded(tmp_path / "plain.mlpackage")["mid_proj_weight"].tobytes() == values["mid_proj_weight"].tobytes()


def test_fp32_weights_are_left(write_package: Write, tmp_path: Path) -> None:
    array = np.random.default_rng(0).standard_normal((64, 64, 1, 1)).astype(np.float32)
    source = write_package(tmp_path / "in.mlpackage", {"w": array})
    report = palettize(source, tmp_path / "out.mlpackage", 4)
    assert report.tensors[0].reason == "stored as float32"
    assert decoded(tmp_path / "out.mlpackage")["w"].tobytes() == array.tobytes()


def test_integers_are_left(write_package: Write, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.standard_normal((64, 64, 1, 1)).astype(np.float16),
        "i": rng.integers(-128, 128, (64, 64, 1, 1), np.int8),
    }
    source = write_package(tmp_path / "in.mlpackage", weights)
    report = palettize(source, tmp_path / "out.mlpackage", 4)
    assert [tensor.name for tensor in report.tensors] == ["w"]
    assert decoded(tmp_path / "out.mlpackage")["i"].tobytes() == weights["i"].tobytes()


def test_functions_of_one_package_share_palettes(
    write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    plain = Package.open(write_package(tmp_path / "plain.mlpackage", weights))
    for name in ("main", "second"):
        plain.spec.description.functions.add().name = name
    plain.spec.description.defaultFunctionName = "main"
    plain.spec.mlProgram.functions["second"].CopyFrom(plain.spec.mlProgram.functions["main"])
    write(tmp_path / "two.mlpackage", plain.spec, plain.blob.path)
    report = palettize(tmp_path / "two.mlpackage", tmp_path / "out.mlpackage", 6)
    assert [tensor.name for tensor in report.tensors] == list(weights)
    with Package.open(tmp_path / "out.mlpackage") as package:
        # Indices and a table for each of two, and the one left.
        assert package.blob.count == 5
        for function in package.functions.values():
            value = Constants(package, function).value("mid_proj_weight")
            assert value.tobytes() == intended(weights["mid_proj_weight"], 6).tobytes()
    decompress(tmp_path / "out.mlpackage", tmp_path / "again.mlpackage")
    with Package.open(tmp_path / "again.mlpackage") as package:
        assert package.blob.count == 3


def test_shared_weights_are_stored_once(write_package: Write, tmp_path: Path) -> None:
    array = np.random.default_rng(0).standard_normal((64, 64, 1, 1)).astype(np.float16)
    source = write_package(tmp_path / "in.mlpackage", {"one": array, "two": array})
    report = palettize(source, tmp_path / "out.mlpackage", 4)
    assert [tensor.name for tensor in report.tensors] == ["one"]
    values = decoded(tmp_path / "out.mlpackage")
    assert values["one"].tobytes() == values["two"].tobytes() == intended(array, 4).tobytes()
    with Package.open(tmp_path / "out.mlpackage") as package:
        assert package.blob.count == 2


def test_few_distinct_values_take_fewer_bits_and_are_exact(write_package: Write, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = {
        "four": rng.integers(-1, 3, (64, 64, 1, 1)).astype(np.float16),
        "constant": np.full((64, 64, 1, 1), 0.1, np.float16),
        "eight": rng.integers(-3, 5, (64, 64, 1, 1)).astype(np.float16),
    }
    for opset, eight in ((7, 4), (8, 3)):
        source = write_package(tmp_path / "in.mlpackage", weights, opset=opset, force=True)
        report = palettize(source, tmp_path / "out.mlpackage", 6, force=True)
        assert {tensor.name: tensor.bits for tensor in report.tensors} == {"four": 2, "constant": 1, "eight": eight}
        values = decoded(tmp_path / "out.mlpackage")
        assert all(values[name].tobytes() == array.tobytes() for name, array in weights.items())


def test_groups_of_channels_have_their_own_tables(
    write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    source = write_package(tmp_path / "in.mlpackage", weights, opset=8)
    report = palettize(source, tmp_path / "out.mlpackage", Recipe(Choice(3, 8)))
    array = weights["down_conv_weight"]
    expected = np.concatenate([intended(part, 3) for part in np.split(array, 3)])
    values = decoded(tmp_path / "out.mlpackage")
    assert values["down_conv_weight"].tobytes() == expected.tobytes()
    # 101 channels are no multiple of 8.
    assert values["mid_proj_weight"].tobytes() == intended(weights["mid_proj_weight"], 3).tobytes()
    assert [tensor.tables for tensor in report.palettized] == [3, 1]


def test_importance_moves_tables(write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path) -> None:
    source = write_package(tmp_path / "in.mlpackage", weights)
    importance = np.random.default_rng(1).uniform(0, 3, (24, 1, 1, 1))
    palettize(source, tmp_path / "out.mlpackage", 4, importance={"down_conv_weight": importance})
    array = weights["down_conv_weight"]
    palette = palette_of(array, 4, importance=importance)
    expected = palette.table[palette.indices(array)]
    values = decoded(tmp_path / "out.mlpackage")
    assert values["down_conv_weight"].reshape(-1).tobytes() == expected.tobytes()
    assert values["mid_proj_weight"].tobytes() == intended(weights["mid_proj_weight"], 4).tobytes()


@pytest.mark.parametrize(("opset", "bits", "group"), [(7, 6, 0), (8, 3, 8)])
def test_coremltools_decompresses_to_the_same_values(
    ct: Any, write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path, opset: int, bits: int, group: int
) -> None:
    source = write_package(tmp_path / "in.mlpackage", weights, opset=opset)
    palettize(source, tmp_path / "out.mlpackage", Recipe(Choice(bits, group)))
    model = ct.models.MLModel(str(tmp_path / "out.mlpackage"), skip_model_load=True)
    from coremltools.converters.mil.frontend.milproto.load import load

    program = load(model.get_spec(), opset + 1, model.weights_dir)
    values = decoded(tmp_path / "out.mlpackage")
    found = {
        operation.outputs[0].name: operation.materialized_val_inference()
        for operation in program.functions["main"].operations
        if operation.op_type == "constexpr_lut_to_dense"
    }
    assert set(found) == {"down_conv_weight", "mid_proj_weight"}
    for name, array in found.items():
        assert np.asarray(array).tobytes() == values[name].tobytes()


def test_the_executor_runs_it(write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path) -> None:
    from mobie_coreml.runtime import open_runner

    source = write_package(tmp_path / "in.mlpackage", weights)
    palettize(source, tmp_path / "out.mlpackage", 6)
    decompress(tmp_path / "out.mlpackage", tmp_path / "plain.mlpackage")
    frame = np.random.default_rng(0).standard_normal((1, 16, 8, 8)).astype(np.float32)
    outputs = [
        open_runner(tmp_path / name, runtime="mil").run({"x": frame})["out_weight_out"]
        for name in ("out.mlpackage", "plain.mlpackage", "in.mlpackage")
    ]
    assert np.array_equal(outputs[0], outputs[1])
    noise = np.abs(outputs[0] - outputs[2]).max() / np.abs(outputs[2]).max()
    assert 0 < noise < 0.1


def test_memory_stays_far_below_the_size_of_a_tensor(write_package: Write, tmp_path: Path) -> None:
    import tracemalloc

    array = np.random.default_rng(0).integers(0, 0x3800, (4096, 4096, 1, 1), np.uint16).view(np.float16)
    size = array.nbytes
    source = write_package(tmp_path / "in.mlpackage", {"w": array})
    del array
    tracemalloc.start()
    palettize(source, tmp_path / "out.mlpackage", 6, threads=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < size / 3
