"""Bad input and interruptions: one clear error, nothing half-written; and the commands around it all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from full_disk import full_disk

import palettization.palettize as module
from mobie_coreml.cli.main import main
from palettization.decompress import decompress
from palettization.errors import PackageError
from palettization.histogram import NonFiniteWeightError
from palettization.package import (
    BlobError,
    BlobWriter,
    PackageExistsError,
    PackageWriteError,
    SpecError,
    proto,
    tree_digests,
)
from palettization.palettize import palettize
from palettization.recipe import Choice, Recipe

Write = Callable[..., Path]


@pytest.fixture
def source(write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path) -> Path:
    """A package for iOS17 with three convolutions, alone in its folder."""
    return write_package(tmp_path / "in.mlpackage", weights)


def alone(source: Path) -> bool:
    return [item.name for item in source.parent.iterdir()] == [source.name]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(
    write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path, value: float
) -> None:
    weights["mid_proj_weight"][3, 4] = value
    source = write_package(tmp_path / "in.mlpackage", weights)
    with pytest.raises(NonFiniteWeightError, match="mid_proj_weight"):
        palettize(source, tmp_path / "out.mlpackage", 6)
    assert alone(source)


@pytest.mark.parametrize("out", ["in.mlpackage", "in.mlpackage/Data/out.mlpackage", "."])
@pytest.mark.parametrize(
    "run", [lambda a, b: palettize(a, b, 6, force=True), lambda a, b: decompress(a, b, force=True)]
)
def test_the_input_is_never_overwritten(source: Path, run: Any, out: str) -> None:
    before = tree_digests(source)
    with pytest.raises(PackageExistsError, match="overwrite the input"):
        run(source, source.parent / out)
    assert tree_digests(source) == before
    assert alone(source)


def test_an_existing_output_needs_force(source: Path, write_package: Write, weights: dict[str, np.ndarray]) -> None:
    out = write_package(source.parent / "out.mlpackage", weights)
    with pytest.raises(PackageExistsError, match="exists already"):
        palettize(source, out, 6)
    palettize(source, out, 6, force=True)
    with pytest.raises(PackageExistsError, match="exists already"):
        decompress(out, source)


def test_a_target_before_palettes_is_refused(
    write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    source = write_package(tmp_path / "in.mlpackage", weights, opset=5)
    with pytest.raises(SpecError, match="CoreML5") as caught:
        palettize(source, tmp_path / "out.mlpackage", 6)
    assert "iOS16" in caught.value.hint
    assert alone(source)


def test_nothing_to_decompress_is_an_error(source: Path) -> None:
    with pytest.raises(PackageError, match="no compressed weights"):
        decompress(source, source.parent / "out.mlpackage")
    assert alone(source)


def test_a_truncated_weight_file_is_refused(source: Path) -> None:
    file = next(source.rglob("weight.bin"))
    file.write_bytes(file.read_bytes()[:3000])
    with pytest.raises(BlobError):
        palettize(source, source.parent / "out.mlpackage", 6)
    assert alone(source)


@pytest.mark.parametrize("choice", [Choice(8), Choice(8, 8), Choice(8, 0, 2, True)], ids=str)
def test_a_full_disk_leaves_nothing(
    write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path, choice: Choice
) -> None:
    source = write_package(tmp_path / "in.mlpackage", weights, opset=8)
    recipe = Recipe(Choice(16), {"down_conv_weight": choice})
    with full_disk(1500), pytest.raises(PackageWriteError, match="cannot be written"):
        palettize(source, tmp_path / "out.mlpackage", recipe)
    assert alone(source)


def test_a_full_disk_leaves_nothing_decompressed(source: Path) -> None:
    out = source.parent / "out.mlpackage"
    palettize(source, out, 4)
    with full_disk(2500), pytest.raises(PackageWriteError, match="cannot be written"):
        decompress(out, source.parent / "plain.mlpackage")
    assert sorted(item.name for item in source.parent.iterdir()) == ["in.mlpackage", "out.mlpackage"]


@pytest.mark.parametrize("where", ["clustering", "checking"])
def test_an_interruption_leaves_nothing(source: Path, where: str) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == where:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        palettize(source, source.parent / "out.mlpackage", 6, progress=interrupt)
    assert alone(source)


def test_ctrl_c_ends_the_command_with_130(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While tensors are being clustered in threads."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "code", interrupt)
    assert main(["palettize", str(source), str(source.parent / "out.mlpackage")]) == 130
    assert alone(source)


@pytest.mark.parametrize("command", ["palettize", "decompress", "inspect"])
def test_what_is_no_ml_program_is_refused(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    network = tmp_path / "network.mlmodel"
    spec = proto().Model_pb2.Model()
    spec.specificationVersion = 4
    spec.neuralNetwork.SetInParent()
    network.write_bytes(spec.SerializeToString())
    (tmp_path / "empty.mlpackage").mkdir()
    (tmp_path / "text.mlpackage").write_text("no package")
    before = sorted(item.name for item in tmp_path.iterdir())
    for name, said in (
        ("network.mlmodel", "not an ML Program"),
        ("empty.mlpackage", "empty.mlpackage"),
        ("text.mlpackage", "text.mlpackage"),
        ("missing.mlpackage", "missing.mlpackage"),
    ):
        arguments = [command, str(tmp_path / name)]
        if command != "inspect":
            arguments.append(str(tmp_path / "out.mlpackage"))
        assert main(arguments) == 2
        error = " ".join(capsys.readouterr().err.split())
        assert said in error
        assert "Traceback" not in error
    assert sorted(item.name for item in tmp_path.iterdir()) == before


@pytest.mark.parametrize("choice", [Choice(4, 8), Choice(4, 0, 2), Choice(4, per_channel_scale=True)], ids=str)
def test_weights_that_are_not_finite_are_named_in_every_form(
    write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path, choice: Choice
) -> None:
    weights["down_conv_weight"][3, 4] = np.inf
    source = write_package(tmp_path / "in.mlpackage", weights, opset=8)
    with pytest.raises(NonFiniteWeightError, match=r"down_conv_weight holds 0 NaN and 9 infinite"):
        palettize(source, tmp_path / "out.mlpackage", Recipe(choice))
    assert alone(source)


@pytest.mark.parametrize("opset", [7, 8])
@pytest.mark.parametrize("what", ["index", "table"])
def test_a_write_that_went_wrong_is_noticed(
    write_package: Write,
    weights: dict[str, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    opset: int,
    what: str,
) -> None:
    source = write_package(tmp_path / "in.mlpackage", weights, opset=opset)
    close = BlobWriter.close

    def damaged(self: BlobWriter) -> Path:
        path = close(self)
        data = bytearray(path.read_bytes())
        # Records: 64 bytes of header, 64 of record, then 3,456 indices of 4 bits, then 64 of record and the table.
        data[64 + 64 + 1000 if what == "index" else 64 + 64 + 1728 + 64 + 2] ^= 1
        path.write_bytes(bytes(data))
        return path

    monkeypatch.setattr(BlobWriter, "close", damaged)
    with pytest.raises(PackageWriteError, match="down_conv_weight reads back as something else"):
        palettize(source, tmp_path / "out.mlpackage", 4)
    assert alone(source)


def test_without_the_check_nothing_is_read_back(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(module, "check_written", fail)
    assert palettize(source, source.parent / "out.mlpackage", 6, check=False).checked == 0


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal in which no cell of a table is folded."""
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.usefixtures("wide")
def test_the_command_says_what_it_did(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = source.parent / "out.mlpackage"
    assert main(["palettize", str(source), str(out), "--bits", "4"]) == 0
    printed = capsys.readouterr()
    assert "2 of 3 tensors palettized" in printed.out
    assert "fewer than 2,049 elements" in printed.out
    assert printed.err == ""
    assert main(["palettize", str(source), str(out), "--force", "--json", "--skip", "mid*"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [tensor["bits"] for tensor in content["tensors"]] == [6, 0, 0]
    assert content["tensors"][1]["reason"] == "named mid*"
    assert content["tensors"][1]["snr"] is None
    assert main(["decompress", str(out), str(source.parent / "plain.mlpackage"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tensors"] == ["down_conv_weight"]
    assert main(["decompress", str(out), str(source.parent / "plain.mlpackage"), "--force"]) == 0
    assert "1 tensors decompressed" in capsys.readouterr().out


def test_the_command_takes_recipes(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = source.parent / "recipe.json"
    recipe.write_text('{"version": 1, "components": {"Net": {"default": 2, "tensors": {"out.weight": 8}}}}')
    out = str(source.parent / "out.mlpackage")
    assert main(["palettize", str(source), out, "--recipe", str(recipe), "--json"]) == 0
    assert [tensor["bits"] for tensor in json.loads(capsys.readouterr().out)["tensors"]] == [2, 2, 8]
    assert main(["palettize", str(source), out, "--recipe", str(recipe), "--bits", "4", "--force"]) == 2
    assert "either a recipe or those" in capsys.readouterr().err
    assert main(["palettize", str(source), out, "--component", "Net", "--force"]) == 2
    assert main(["palettize", str(source), out, "--bits", "5", "--force"]) == 2
    assert "5 is no number of bits" in capsys.readouterr().err


def test_the_command_takes_shipped_recipes_by_name(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = source.parent / "out.mlpackage"
    arguments = ["palettize", str(source), str(out), "--quiet", "--recipe"]
    assert main([*arguments, "4bit", "--component", "Denoiser", "--json"]) == 0
    tensors = json.loads(capsys.readouterr().out)["tensors"]
    assert [tensor["bits"] for tensor in tensors] == [4, 4, 0]
    assert main([*arguments, "4bit", "--force"]) == 2
    assert "It has: Conditioner, Decoder" in capsys.readouterr().err
    assert main([*arguments, "5bit", "--force"]) == 2
    assert "nano-4bit" in capsys.readouterr().err
    # Made tensor by tensor for another network.
    assert main([*arguments, "nano-4bit", "--component", "Denoiser", "--force"]) == 2
    assert "Is it for another model?" in capsys.readouterr().err
    assert main(["inspect", str(out), "--json"]) == 0


@pytest.mark.usefixtures("wide")
def test_the_command_warns_of_ios18(
    write_package: Write, weights: dict[str, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_package(tmp_path / "in.mlpackage", weights, opset=8)
    arguments = ["palettize", str(source), str(tmp_path / "out.mlpackage"), "--bits", "3", "--group-size", "8"]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "3 bits, 3 tables" in printed.out
    assert "needs iOS 18" in printed.err
