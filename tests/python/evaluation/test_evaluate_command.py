"""`mobie evaluate` as users type it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mobie_coreml.cli.main import main
from mobie_coreml.files import sha256_file
from mobie_coreml.models.checkpoint import new_checkpoint
from mobie_coreml.models.presets import narrowed


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "random"
    new_checkpoint(path, replace(narrowed("nano"), frame_size=(96, 64)), 1)
    return str(path)


def test_json_alone_on_standard_output_and_every_file(checkpoint, clip, photo_folder, tmp_path, capsys):
    files = {name: tmp_path / f"report.{name}" for name in ("html", "md", "json", "png")}
    status = main(
        [
            "evaluate", f"{checkpoint}@steps=2,name=slow", checkpoint, "--clips", str(clip),
            "--photos", str(photo_folder), "--held-out-every", "2",
            "--frames", "3", "--instructions", "snow,red_to_blue,night", "--pairs-per-instruction", "1",
            "--frames-in-row", "3", "--edits-per-clip", "1", "--guidance-pairs", "1", "--guidance-points", "2",
            "--rounds", "1", "--html", str(files["html"]), "--markdown", str(files["md"]),
            "--json-file", str(files["json"]), "--sheet", str(files["png"]), "--sheet-source", "numbers",
            "--page-source", "numbers", "--json",
        ]
    )  # fmt: skip
    captured = capsys.readouterr()
    assert status == 0, captured.err
    report = json.loads(captured.out)
    assert report == json.loads(files["json"].read_text(encoding="utf-8"))
    slow, one = report["models"]
    assert {row["instruction"] for row in one["pairs"]} == {"snow", "red_to_blue", "night"}
    assert (slow["model"], slow["steps"], one["model"], one["steps"]) == ("slow", 2, "random", 1)
    assert slow["cost"]["operations"]["denoiser"] == 2 * one["cost"]["operations"]["denoiser"]
    assert [len(one["clips"]), len(one["guidance"]), one["clips"][0]["frames"]] == [1, 2, 3]
    assert one["unseen"]["pairs"] == len(one["pairs"])
    assert report["inputs"]["clips"]["numbers.mp4"] == sha256_file(clip)
    assert [grid["title"].partition(":")[0] for grid in report["stages"]] == ["Stages"] * 6
    assert any(goal["name"] == "denoising faster than slow" for goal in one["goals"])
    for what in ("pairs edited", "clips edited", "guidance tried", "frames timed", "page frames edited"):
        assert what in captured.err
    assert 'data-guided="snow-frames"' in files["html"].read_text(encoding="utf-8")
    assert files["md"].read_text(encoding="utf-8").startswith("# Evaluation")
    assert files["png"].read_bytes().startswith(b"\x89PNG")


def test_a_random_checkpoint_fails_the_check(checkpoint, photo_folder, capsys):
    arguments = ["evaluate", checkpoint, "--photos", str(photo_folder), "--held-out-every", "3", "--steps", "1"]
    arguments += ["--instructions", "snow,night", "--pairs-per-instruction", "1", "--quiet"]
    (photo_folder / "0009.jpg").write_bytes(b"no image")
    assert main([*arguments, "--skip", "unseen,temporal,guidance,speed", "--check"]) == 1
    captured = capsys.readouterr()
    assert "goals are not met: random: right beats" in captured.err
    assert captured.out.startswith("1 photographs were left out: unreadable.")
    assert "Edits by group" in captured.out
    assert "not measured" in " ".join(captured.out.split())
    assert "Control by guidance" not in captured.out


def test_the_same_command_gives_the_same_figures(checkpoint, clip, capsys):
    arguments = ["evaluate", checkpoint, "--clips", str(clip), "--frames", "2", "--instructions", "snow,night"]
    arguments += ["--pairs-per-instruction", "1", "--frames-in-row", "2", "--edits-per-clip", "1", "--quiet", "--json"]
    arguments += ["--guidance-pairs", "1", "--guidance-points", "2", "--skip", "speed"]
    reports = []
    for _ in range(2):
        assert main(arguments) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["models"][0].pop("seconds") >= 0
        reports.append(report)
    assert reports[0] == reports[1]


def test_clip_scores_appear_where_a_model_is_given(checkpoint, photo_folder, tmp_path, monkeypatch, capsys):
    """In the report; what the scores are is tested on their own."""

    class Scorer:
        def __init__(self, model):
            assert model == "somewhere"

        def images(self, frames):
            flat = frames.reshape(len(frames), -1)[:, :64].astype(float) + 1
            return flat / np.linalg.norm(flat, axis=1, keepdims=True)

        def texts(self, texts):
            return np.eye(64)[: len(texts)]

    monkeypatch.setattr("mobie_coreml.evaluation.run.ClipScorer", Scorer)
    arguments = ["evaluate", checkpoint, "--photos", str(photo_folder), "--held-out-every", "3", "--quiet", "--json"]
    arguments += ["--instructions", "snow", "--pairs-per-instruction", "1", "--skip", "unseen,guidance,speed"]
    assert main([*arguments, "--clip-model", "somewhere"]) == 0
    report = json.loads(capsys.readouterr().out)
    row = report["models"][0]["pairs"][0]
    assert row["perceptual"]["clip"].keys() >= {"text", "direction", "image"}
    table = report["stages"][-1]
    assert table["rows"][0][1] == "not measured", "LPIPS has no weights"
    assert float(table["rows"][0][2]) == pytest.approx(row["perceptual"]["clip"]["text"], abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to evaluate on"),
        (["--photos", "{photos}", "--frames", "0"], "--frames 0"),
        (["--photos", "{photos}", "--limit", "0"], "--limit 0"),
        (["--photos", "{photos}", "--steps", "0"], "--steps 0"),
        (["--photos", "{photos}", "--seed", "-1"], "--seed -1"),
        (["--photos", "{photos}", "--skip", "speed,quality"], "--skip quality"),
        (["--photos", "{photos}", "--guidance-points", "1"], "--guidance-points 1"),
        (["--photos", "{photos}", "--frames-in-row", "1"], "--frames-in-row 1"),
        (["--photos", "{photos}", "--page-source", "bikes"], "no source 'bikes'"),
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
