"""`mobie checkpoint` as a user types it."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from mobie_coreml.cli.main import main
from mobie_coreml.models.checkpoint import load_checkpoint, new_checkpoint
from mobie_coreml.models.presets import narrowed

NANO = narrowed("nano")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    new_checkpoint(tmp_path / "c", NANO, 5)
    return tmp_path / "c"


def test_new_writes_a_checkpoint_and_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoint", "new", str(tmp_path / "n"), "--preset", "nano", "--seed", "7", "--quiet", "--json"]) == 0
    captured = capsys.readouterr()
    summary = json.loads(captured.out)
    assert captured.err == ""
    assert summary["preset"] == "nano"
    assert summary["frame_size"] == [256, 192]
    assert summary["provenance"]["seed"] == 7
    assert summary["digest"] == load_checkpoint(tmp_path / "n").digest
    assert 5e6 < summary["parts"]["unet"]["parameters"] < 11e6


def test_json_is_alone_on_standard_output_with_progress_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoint", "new", str(tmp_path / "n"), "--preset", "nano", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["preset"] == "nano"


def test_show_is_readable_and_complete(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoint", "show", str(checkpoint)]) == 0
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    text_range, image_range = (
        f"{scale.minimum:g} to {scale.maximum:g} (default {scale.default:g})"
        for scale in (NANO.text_guidance, NANO.image_guidance)
    )
    for expected in (
        "preset nano",
        "frame 128x96, 16 latent channels",
        "prediction v_prediction",
        f"three passes: text {text_range}, image {image_range}",
        "licence Apache-2.0",
        "kind random, seed 5",
    ):
        assert expected in text
    assert load_checkpoint(checkpoint).digest in text.replace(" ", "")


def test_import_says_what_was_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], randomise: Callable[[nn.Module], nn.Module]
) -> None:
    """A base checkpoint is a diffusers folder with a tiny autoencoder, and so can be imported as mobile."""
    new_checkpoint(tmp_path / "base", narrowed("base"), 0)
    assert main(["checkpoint", "import", str(tmp_path / "base"), str(tmp_path / "m"), "--quiet"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"dropped\s+down_blocks\.0\.attentions\.0\.", text)
    assert "up_blocks.3.attentions.2." in text
    assert load_checkpoint(tmp_path / "m").preset == "mobile"
    assert (
        main(["checkpoint", "import", str(tmp_path / "base"), str(tmp_path / "b"), "--preset", "base", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["dropped"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "nowhere"], "no checkpoint at nowhere"),
        (["new", "{out}", "--preset", "huge"], "Presets are base, mobile, nano"),
        (["new", "{out}"], "--preset"),
        (["new", "{out}", "--preset", "nano", "--seed", "-1"], "--seed"),
        (["new", "{out}", "--preset", "nano", "--seed", "x"], "--seed"),
        (["new", "{out}", "--preset", "nano", "--dtype", "int8"], "float16, float32"),
        (["new", "{made}", "--preset", "nano"], "--force"),
        (["new", "{others}", "--preset", "nano", "--force"], "is not replaced"),
        (["new", "{others}/dear.txt", "--preset", "nano", "--force"], "is not replaced"),
        (["import", "{made}", "{made}", "--force"], "overlap"),
        (["import", "{made}", "{made}/inside"], "overlap"),
        (["import", "{made}", "{out}", "--taesd-revision", "main"], "Give both"),
        (["import", "{made}", "{out}", "--revision", "main"], "has no revision"),
        (["import", "{made}", "{out}", "--image-latents-scale", "nan"], "must be positive"),
        (["import", "nowhere", "{out}", "--taesd", "t"], "no folder nowhere"),
        (["import", "{made}", "{out}", "--preset", "nano"], "Choose mobile or base"),
    ],
)
def test_mistakes_are_one_message_and_exit_code_2(
    arguments: list[str], message: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "dear.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    places = {"out": str(tmp_path / "o"), "made": str(checkpoint), "others": str(tmp_path / "others")}
    assert main(["checkpoint", *(argument.format(**places) for argument in arguments)]) == 2
    captured = capsys.readouterr()
    assert message in re.sub(r"\x1b\[[0-9;]*m", "", captured.err)
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "others" / "dear.txt").read_text() == "mine"


def test_text_of_a_checkpoint_is_shown_as_it_is(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not as markup of the terminal's tables, which would fail on an odd licence."""
    info = json.loads((checkpoint / "mobie_checkpoint.json").read_text(encoding="utf-8"))
    info.update(licence="[/b] mine", provenance={"kind": "[red]odd"})
    (checkpoint / "mobie_checkpoint.json").write_text(json.dumps(info), encoding="utf-8")
    assert main(["checkpoint", "show", str(checkpoint)]) == 0
    text = capsys.readouterr().out
    assert "[/b] mine" in text
    assert "kind [red]odd" in text


def test_force_replaces(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoint", "new", str(checkpoint), "--preset", "nano", "--force", "--quiet"]) == 0
    assert load_checkpoint(checkpoint).frame_size == (256, 192)
    capsys.readouterr()
