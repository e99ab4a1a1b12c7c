"""`mobie evaluate` as users type it."""

import json
from dataclasses import replace

import pytest

from mobie_coreml.cli.main import main
from mobie_coreml.models.checkpoint import new_checkpoint
from mobie_coreml.models.presets import narrowed


@pytest.fixture
def checkpoint(tmp_path):
    new_checkpoint(tmp_path / "random", replace(narrowed("nano"), frame_size=(96, 64)), 1)
    return str(tmp_path / "random")


def test_json_alone_on_standard_output_and_every_file(checkpoint, clip, photo_folder, tmp_path, capsys):
    files = {name: tmp_path / f"report.{name}" for name in ("html", "md", "json", "png")}
    status = main(
        [
            "evaluate", checkpoint, "--clips", str(clip), "--photos", str(photo_folder), "--held-out-every", "2",
            "--frames", "3", "--instructions", "snow,red_to_blue,night", "--pairs-per-instruction", "1", "--steps", "1",
            "--html", str(files["html"]), "--markdown", str(files["md"]), "--json-file", str(files["json"]),
            "--sheet", str(files["png"]), "--sheet-source", "numbers", "--json",
        ]
    )  # fmt: skip
    captured = capsys.readouterr()
    assert status == 0, captured.err
    report = json.loads(captured.out)
    assert report == json.loads(files["json"].read_text(encoding="utf-8"))
    assert {row["instruction"] for row in report["models"][0]["pairs"]} == {"snow", "red_to_blue", "night"}
    assert "pairs edited" in captured.err
    assert "<table>" in files["html"].read_text(encoding="utf-8")
    assert files["md"].read_text(encoding="utf-8").startswith("# Evaluation")
    assert files["png"].read_bytes().startswith(b"\x89PNG")


def test_a_random_checkpoint_fails_the_check(checkpoint, photo_folder, capsys):
    arguments = ["evaluate", checkpoint, "--photos", str(photo_folder), "--held-out-every", "3", "--steps", "1"]
    arguments += ["--instructions", "snow,night", "--pairs-per-instruction", "1", "--quiet"]
    assert main([*arguments, "--check"]) == 1
    captured = capsys.readouterr()
    assert "targets are not met" in captured.err
    assert "Edits by group" in captured.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to evaluate on"),
        (["--photos", "{photos}", "--frames", "0"], "--frames 0"),
        (["--photos", "{photos}", "--limit", "0"], "--limit 0"),
        (["--photos", "{photos}", "--steps", "0"], "--steps 0"),
        (["--photos", "{photos}", "--seed", "-1"], "--seed -1"),
        (["--photos", "{photos}", "--batch", "1"], "--batch 1"),
        (["--photos", "{photos}", "--held-out-every", "0"], "--held-out-every 0"),
        (["--photos", "{photos}", "--pairs-per-instruction", "0"], "--pairs-per-instruction 0"),
        (["--photos", "{photos}", "--instructions", "rainbow"], "no edit named 'rainbow'"),
        (["--photos", "{photos}", "--sheet-source", "bikes"], "no source 'bikes'"),
        (["--photos", "{photos}", "--html", "{photos}/0000.png"], "exists already"),
        (["--photos", "{photos}/0000.png"], "is not a folder"),
        (["--clips", "{clip}", "--clips", "{clip}"], "same name"),
        (["--clips", "{clip}", "--json-file", "{clip}", "--force"], "is an input or named twice"),
        (["--clips", "{clip}", "--html", "out", "--sheet", "./out"], "is an input or named twice"),
        (["--clips", "{clip}", "--sheet", "{photos}", "--force"], "is a folder"),
        (["--photos", "{photos}", "--text-guidance", "nan"], "--text-guidance nan"),
        (["--photos", "{photos}", "--image-guidance", "99"], "--image-guidance 99"),
        (["--clips", "missing.mp4"], "missing.mp4"),
        (["--photos", "{photos}", "--runtime", "mil"], "torch alone"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(arguments, message, checkpoint, photo_folder, clip, tmp_path, capsys):
    filled = [value.format(photos=photo_folder, clip=clip) for value in arguments]
    before = sorted(tmp_path.rglob("*"))
    assert main(["evaluate", checkpoint, "--quiet", *filled]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_two_models_of_one_name_are_refused(checkpoint, photo_folder, capsys):
    assert main(["evaluate", checkpoint, checkpoint, "--photos", str(photo_folder), "--quiet"]) == 2
    assert "same name" in capsys.readouterr().err


def test_a_clip_called_like_the_photographs_is_refused(checkpoint, clip, photo_folder, capsys):
    namesake = clip.rename(clip.with_name("photos.mp4"))
    assert main(["evaluate", checkpoint, "--photos", str(photo_folder), "--clips", str(namesake), "--quiet"]) == 2
    assert "same name" in capsys.readouterr().err


def test_a_missing_model_is_one_line_and_exit_code_2(photo_folder, capsys):
    assert main(["evaluate", "nowhere", "--photos", str(photo_folder), "--held-out-every", "3"]) == 2
    assert "nowhere" in capsys.readouterr().err
