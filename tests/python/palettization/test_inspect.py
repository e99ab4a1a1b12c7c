"""`mobie inspect --against` and the comparison behind it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobie_coreml.cli.main import main
from palettization.compare import compare_weights, total_error
from palettization.errors import PackageError
from palettization.package import Package, summarise
from palettization.palettize import palettize
from palettization.recipe import Choice, Recipe

Write = Callable[..., Path]


@pytest.fixture
def pair(write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path) -> tuple[Path, Path, Any]:
    """A package for iOS18, its palettized form, and the report."""
    source, out = write_package(tmp_path / "in.mlpackage", weights, opset=8), tmp_path / "out.mlpackage"
    choices = {"down_conv_weight": Choice(4, 8, 2, True), "mid_proj_weight": Choice(6)}
    return source, out, palettize(source, out, Recipe(Choice(6), choices))


def test_errors_are_those_that_palettizing_reported(pair: tuple[Path, Path, Any]) -> None:
    source, out, report = pair
    with Package.open(source) as original, Package.open(out) as package:
        errors = compare_weights(package, original)
    for tensor in report.tensors:
        assert errors[tensor.name].squared_error == pytest.approx(tensor.squared_error, rel=1e-12)
        assert errors[tensor.name].elements == tensor.elements
    assert total_error(errors.values()).squared_error == pytest.approx(report.squared_error, rel=1e-12)


def test_granularity_says_what_parts_share(pair: tuple[Path, Path, Any]) -> None:
    with Package.open(pair[1]) as package:
        found = {weight.name: (weight.form, weight.granularity) for weight in summarise(package).weights}
    assert found == {
        "down_conv_weight": ("scaled+palettized", "3 tables, vectors of 2, 24 scales"),
        "mid_proj_weight": ("palettized", "1 table"),
        "out_weight": ("dense", ""),
    }


def test_the_command_shows_errors(
    pair: tuple[Path, Path, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    source, out, report = pair
    assert main(["inspect", str(out), "--against", str(source), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    found = {weight["name"]: weight["snr"] for weight in content["weights"]}
    assert found == {
        tensor.name: pytest.approx(tensor.snr) if tensor.squared_error else None for tensor in report.tensors
    }
    assert content["bits_per_weight"] == pytest.approx(8 * content["weight_bytes"] / content["elements"])
    assert main(["inspect", str(out), "--against", str(source)]) == 0
    printed = capsys.readouterr().out
    assert f"{report.tensors[0].snr:.2f}" in printed
    assert "3 tables, vectors of 2, 24 scales" in printed
    assert "exact" in printed
    assert main(["inspect", str(out)]) == 0
    assert "SNR" not in capsys.readouterr().out


def test_coremltools_names_are_known(ct: Any, pair: tuple[Path, Path, Any], tmp_path: Path) -> None:
    from coremltools.optimize.coreml import OpPalettizerConfig, OptimizationConfig, palettize_weights

    model = ct.models.MLModel(str(pair[0]), skip_model_load=True)
    config = OptimizationConfig(OpPalettizerConfig(mode="uniform", nbits=4, weight_threshold=2000))
    palettize_weights(model, config).save(str(tmp_path / "theirs.mlpackage"))
    with Package.open(pair[0]) as original, Package.open(tmp_path / "theirs.mlpackage") as package:
        errors = compare_weights(package, original)
    assert sum(error.squared_error > 0 for error in errors.values()) == 2


def test_packages_of_different_networks_are_refused(
    pair: tuple[Path, Path, Any], write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    other = {f"x_{name}": array for name, array in weights.items()}
    sizes = {name: array[:, :, :1, :1] for name, array in weights.items()}
    cases = (
        (write_package(tmp_path / "other.mlpackage", other), "no weight in common"),
        (write_package(tmp_path / "sizes.mlpackage", sizes), "has the shape"),
    )
    for path, named in cases:
        with (
            Package.open(pair[1]) as package,
            Package.open(path) as original,
            pytest.raises(PackageError, match=named),
        ):
            compare_weights(package, original)
