"""Groups, vectors and scales of iOS18: against coremltools' own decompression, in the executor, and back again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobie_coreml.cli.main import main
from palettization.decompress import decompress
from palettization.package import BlobWriter, Constants, Package, PackageWriteError, summarise
from palettization.palettize import palettize
from palettization.recipe import Choice, Recipe
from palettization.rules import RecipeError

Write = Callable[..., Path]
FORMS = [
    Choice(4, 8),
    Choice(4, per_channel_scale=True),
    Choice(3, 8, per_channel_scale=True),
    Choice(4, cluster_dim=2),
    Choice(6, 8, 4),
    Choice(8, 0, 4, True),
    Choice(4, 8, 2, True),
]


@pytest.fixture
def source(write_package: Write, tmp_path: Path) -> Path:
    """A package for iOS18 with two convolutions of channels that differ in size, and one of zeros."""
    rng = np.random.default_rng(5)
    first = rng.standard_normal((24, 16, 3, 3)) * np.geomspace(0.001, 1, 24)[:, None, None, None]
    first[3] = 0
    second = rng.laplace(size=(120, 24, 1, 1)) * rng.uniform(0.01, 0.3, (120, 1, 1, 1))
    weights = {"one": first.astype(np.float16), "two": second.astype(np.float16)}
    return write_package(tmp_path / "in.mlpackage", weights, opset=8)


def decoded(path: Path) -> dict[str, np.ndarray]:
    with Package.open(path) as package:
        constants = Constants(package)
        return {name: np.array(constants.value(name)) for name in ("one", "two")}


@pytest.mark.parametrize("choice", FORMS, ids=str)
def test_coremltools_and_the_report_agree(ct: Any, source: Path, tmp_path: Path, choice: Choice) -> None:
    from coremltools.converters.mil.frontend.milproto.load import load

    out = tmp_path / "out.mlpackage"
    report = palettize(source, out, Recipe(Choice(16), {"one": choice, "two": choice}))
    assert report.checked == 2
    assert report.modelled_bytes == report.bytes_after
    model = ct.models.MLModel(str(out), skip_model_load=True)
    program = load(model.get_spec(), 9, model.weights_dir)
    theirs = {
        operation.outputs[0].name: np.asarray(operation.materialized_val_inference())
        for operation in program.functions["main"].operations
        if operation.op_type.startswith("constexpr_")
    }
    given, found = decoded(source), decoded(out)
    for tensor in report.tensors:
        assert theirs[tensor.name].astype(np.float16).tobytes() == found[tensor.name].tobytes()
        error = ((given[tensor.name].astype(np.float64) - found[tensor.name]) ** 2).sum()
        assert tensor.squared_error == pytest.approx(error, rel=1e-12)
        assert (tensor.bits, tensor.cluster_dim, tensor.scaled) == (
            choice.bits,
            choice.cluster_dim,
            choice.per_channel_scale,
        )
    with Package.open(out) as package:
        sizes = {weight.name: weight.bytes for weight in summarise(package).weights}
    # The axis of vectors lies in the specification.
    axis = 4 if choice.cluster_dim > 1 else 0
    assert sizes == {tensor.name: tensor.bytes_after + axis for tensor in report.tensors}


@pytest.mark.parametrize("choice", [FORMS[2], FORMS[3], FORMS[6]], ids=str)
def test_the_executor_runs_them_and_they_decompress(source: Path, tmp_path: Path, choice: Choice) -> None:
    from mobie_coreml.runtime import open_runner

    out, plain = tmp_path / "out.mlpackage", tmp_path / "plain.mlpackage"
    palettize(source, out, Recipe(choice))
    assert decompress(out, plain).tensors == ("one", "two")
    frame = np.random.default_rng(0).standard_normal((1, 16, 8, 8)).astype(np.float32)
    outputs = [open_runner(path, runtime="mil").run({"x": frame})["two_out"] for path in (out, plain, source)]
    assert np.array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[0], outputs[2])


def test_scales_help_channels_of_different_size(source: Path, tmp_path: Path) -> None:
    errors = []
    for scaled in (False, True):
        recipe = Recipe(Choice(4, per_channel_scale=scaled))
        report = palettize(source, tmp_path / "out.mlpackage", recipe, force=True)
        errors.append(report.tensors[0].squared_error)
        assert any("macOS 26 (" in warning for warning in report.warnings) == scaled
    assert errors[1] < errors[0] / 2


def test_functions_of_one_package_may_share_scaled_weights(write_package: Write, tmp_path: Path) -> None:
    """Two names of one place in the weight file: both get the scale, stored once."""
    array = np.random.default_rng(0).standard_normal((16, 16, 3, 3)).astype(np.float16)
    source = write_package(tmp_path / "in.mlpackage", {"one": array, "two": array}, opset=8)
    palettize(source, tmp_path / "out.mlpackage", Recipe(Choice(4, per_channel_scale=True)))
    values = decoded(tmp_path / "out.mlpackage")
    assert values["one"].tobytes() == values["two"].tobytes()


def test_weights_computed_with_in_fp32_are_scaled_in_fp32(write_package: Write, tmp_path: Path) -> None:
    array = np.random.default_rng(0).standard_normal((16, 16, 3, 3)).astype(np.float16)
    source = write_package(tmp_path / "in.mlpackage", {"one": array, "two": array}, opset=8, casts=("one", "two"))
    report = palettize(source, tmp_path / "out.mlpackage", Recipe(Choice(6, 0, 2, True)))
    values = decoded(tmp_path / "out.mlpackage")["one"]
    assert values.dtype == np.float32
    assert report.tensors[0].squared_error == pytest.approx(((values - array.astype(np.float64)) ** 2).sum())


@pytest.mark.parametrize("choice", [Choice(6, per_channel_scale=True), Choice(6, 0, 2), Choice(6, 8, 2, True)], ids=str)
def test_few_values_are_exact_and_smaller(write_package: Write, tmp_path: Path, choice: Choice) -> None:
    weights = {
        "one": np.full((64, 64, 1, 1), 0.1, np.float16),
        "two": np.random.default_rng(0).choice(np.array([0.1, 0.3], np.float16), (64, 64, 1, 1)),
    }
    source = write_package(tmp_path / "in.mlpackage", weights, opset=8)
    report = palettize(source, tmp_path / "out.mlpackage", Recipe(Choice(16), dict.fromkeys(weights, choice)))
    assert [tensor.bits for tensor in report.tensors] == [1, choice.cluster_dim]
    assert not report.squared_error
    for name, values in decoded(tmp_path / "out.mlpackage").items():
        assert values.tobytes() == weights[name].tobytes()


def test_defaults_fall_back_to_numbers_where_vectors_do_not_pay(write_package: Write, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = {"large": (64, 32, 3, 3), "small": (64, 64, 1, 1), "odd": (101, 64, 1, 1)}
    weights = {name: rng.standard_normal(size).astype(np.float16) for name, size in sizes.items()}
    source = write_package(tmp_path / "in.mlpackage", weights, opset=8)
    report = palettize(source, tmp_path / "out.mlpackage", Recipe(Choice(6, 0, 2)))
    found = {tensor.name: (tensor.bits, tensor.cluster_dim) for tensor in report.tensors}
    assert found == {"large": (6, 2), "small": (3, 1), "odd": (3, 1)}
    with pytest.raises(RecipeError, match="vectors of 2 channels, but it has 101"):
        palettize(source, tmp_path / "two.mlpackage", Recipe(Choice(8), {"odd": Choice(8, 0, 2)}))


@pytest.mark.parametrize("choice", [Choice(4, 0, 2), Choice(4, per_channel_scale=True)], ids=str)
def test_earlier_targets_have_no_vectors_and_scales(
    write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path, choice: Choice
) -> None:
    source = write_package(tmp_path / "in.mlpackage", weights)
    with pytest.raises(RecipeError, match="without vectors and scales"):
        palettize(source, tmp_path / "out.mlpackage", Recipe(choice))


def test_names_that_are_taken_are_avoided(write_package: Write, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = ("one", "one_unscaled", "two")
    weights = {name: rng.standard_normal((16, 16, 3, 3)).astype(np.float16) for name in names}
    source = write_package(tmp_path / "in.mlpackage", weights, opset=8)
    palettize(source, tmp_path / "out.mlpackage", Recipe(Choice(4, per_channel_scale=True)))
    with Package.open(tmp_path / "out.mlpackage") as package:
        outputs = [output.name for located in package.walk() for output in located.operation.outputs]
    assert len(set(outputs)) == len(outputs)


@pytest.mark.parametrize("choice", [Choice(4, 8), Choice(4, 0, 2), Choice(4, per_channel_scale=True)], ids=str)
def test_a_write_that_went_wrong_is_noticed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choice: Choice
) -> None:
    close = BlobWriter.close
    # The last byte belongs to the last table or scale; the other place to the first tensor's indices.
    places = [64 + 64 + 700, -1]

    def damaged(self: BlobWriter) -> Path:
        path = close(self)
        data = bytearray(path.read_bytes())
        data[places[0]] ^= 8
        path.write_bytes(bytes(data))
        return path

    monkeypatch.setattr(BlobWriter, "close", damaged)
    while places:
        with pytest.raises(PackageWriteError, match="reads back as something else"):
            palettize(source, tmp_path / "out.mlpackage", Recipe(choice))
        assert not (tmp_path / "out.mlpackage").exists()
        places.pop(0)


def test_the_command_has_options_for_them(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    out = source.parent / "out.mlpackage"
    arguments = ["palettize", str(source), str(out), "--bits", "2", "--cluster-dim", "2", "--per-channel-scale"]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "2 bits, vectors of 2, scaled" in printed.out
    assert "known to crash Core ML on macOS 26" in printed.err
