"""`mobie parity` on a small model: sound packages pass, a faulty one fails and is localised, wrong use is refused."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from mobie_coreml.cli.main import main
from mobie_coreml.convert.model import convert_model
from mobie_coreml.convert.options import ConvertOptions
from mobie_coreml.models.checkpoint import load_checkpoint
from mobie_coreml.models.presets import narrowed
from mobie_coreml.models.random_checkpoint import new_checkpoint
from palettization.package import Package

QUICK = ["--frames", "1", "--steps", "1", "--cases", "2", "--quiet"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(model folder, checkpoint) of a narrowed nano."""
    folder = tmp_path_factory.mktemp("parity")
    new_checkpoint(folder / "checkpoint", narrowed("nano"), seed=5)
    convert_model(load_checkpoint(folder / "checkpoint"), folder / "model", ConvertOptions(weight_bits=16))
    return folder / "model", folder / "checkpoint"


def damaged(model: Path, out: Path, weight: str, factor: float) -> Path:
    """A copy of the model folder with one weight of its Denoiser scaled in the weight file."""
    shutil.copytree(model, out)
    path = out / "Denoiser.mlpackage"
    with Package.open(path) as package:
        constant = next(op for op in package.function().block.operations if op.outputs[0].name == weight)
        value = constant.attributes["val"]
        record, _ = package.record(value, weight)
        scaled = np.array(package.constant(value, weight), np.float32) * factor
    with (path / "Data/com.apple.CoreML/weights/weight.bin").open("r+b") as file:
        file.seek(record.data_offset)
        file.write(scaled.astype(np.float16).tobytes())
    return out


def test_sound_packages_pass_in_every_form(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, checkpoint = made
    junit, markdown = tmp_path / "deep" / "parity.xml", tmp_path / "summary.md"
    arguments = [
        "parity",
        str(model),
        str(checkpoint),
        *QUICK,
        "--json",
        "--junit",
        str(junit),
        "--markdown",
        str(markdown),
    ]
    assert main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"] is True
    assert {row["component"] for row in report["results"]} == {
        "TextEncoder", "Conditioner", "Encoder", "Denoiser", "Decoder", "edit",
    }  # fmt: skip
    root = ElementTree.parse(junit).getroot()
    assert root.get("failures") == "0"
    assert int(root.get("tests") or 0) == len(report["results"])
    assert "Parity holds" in markdown.read_text(encoding="utf-8")


def test_a_scaled_weight_fails_and_is_named(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, checkpoint = made
    faulty = damaged(model, tmp_path / "faulty", "mid_block_resnets_0_conv1_weight", 1.5)
    assert main(["parity", str(faulty), str(checkpoint), *QUICK, "--localise", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    failed = {row["component"] for row in report["results"] if not row["passed"]}
    assert "Denoiser" in failed
    assert not failed & {"TextEncoder", "Conditioner", "Encoder", "Decoder"}
    (suspect, *_) = report["localisations"]["Denoiser"]["suspects"]
    assert suspect["module"] == "mid_block.resnets.0.conv1"

    assert main(["parity", str(faulty), str(checkpoint), *QUICK, "--localise", "--against", str(model)]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "value mid_block_resnets_0_conv1__conv" in shown
    assert "Decoder: all" in shown


def test_a_lowered_gate_repeats_its_reason(made: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    model, checkpoint = made
    gate = "Encoder=20:a rough model will do"
    assert main(["parity", str(model), str(checkpoint), *QUICK, "--gate", gate, "--precision", "fp16"]) == 0
    assert "a rough model will do" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gate", "Encoder=20"], "gives no reason"),
        (["--runtime", "tpu"], "--runtime tpu is unknown"),
        (["--frames", "0"], "--frames 0 is out of range"),
        (["--against", "model"], "--against is for --localise"),
        (["--clip", "no-such-clip.mp4"], "no-such-clip.mp4 does not exist"),
        (["--precision", "int8"], "int8"),
        (["--steps", "0"], "0 steps are out of range"),
    ],
)
def test_wrong_options(
    made: tuple[Path, Path], arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model, checkpoint = made
    assert main(["parity", str(model), str(checkpoint), "--quiet", *arguments]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""


def test_another_checkpoint_is_refused(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, _ = made
    new_checkpoint(tmp_path / "other", narrowed("nano"), seed=6)
    assert main(["parity", str(model), str(tmp_path / "other"), *QUICK]) == 2
    assert "was not converted from" in capsys.readouterr().err


def test_a_missing_model_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parity", "no-such-model", "nano"]) == 2
    assert "no-such-model" in capsys.readouterr().err
