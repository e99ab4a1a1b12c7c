"""`mobie edit` as a user meets it: one clear line, the exit code, nothing written."""

import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from mobie_coreml.cli.main import main
from mobie_coreml.editing.clip_source import ClipSource
from mobie_coreml.editing.editor import Editor

from .conftest import add_tone, picture

Maker = Callable[..., Path]


@pytest.fixture
def clip(clip_maker: Maker, tmp_path: Path) -> Path:
    return clip_maker(tmp_path / "in.mp4", [picture(i) for i in range(6)])


@pytest.fixture
def opened(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> Editor:
    """Every MODEL is the editor whose components are computed by hand."""
    monkeypatch.setattr("mobie_coreml.editing.edit_clip.open_editor", lambda *_, **__: editor)
    return editor


def call(*arguments: object) -> int:
    return main(["edit", *(str(argument) for argument in arguments)])


def test_an_edit_says_where_it_is(opened: Editor, clip: Path, tmp_path: Path, capsys) -> None:
    output = tmp_path / "out.mp4"
    assert call("model", clip, output, "--prompt", "make it snow") == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Edited 6 frames of 64x48 pixels" in captured.err
    assert str(output) in captured.err
    assert len(list(ClipSource(output).frames())) == 6


def test_quiet_says_nothing(opened: Editor, clip: Path, tmp_path: Path, capsys) -> None:
    assert call("model", clip, tmp_path / "out.mp4", "-p", "snow", "--quiet") == 0
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_json_is_alone_on_standard_output(opened: Editor, clip: Path, tmp_path: Path, capsys) -> None:
    assert call("model", clip, tmp_path / "out", "-p", "snow", "-p", "night", "--json", "--limit", 2) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["frames"] == 2
    assert report["outputs"] == [str(tmp_path / "out" / f"in-{name}.mp4") for name in ("snow", "night")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prompt", ""], "prompt is empty"),
        (["--prompt", "snow " * 76], "tokens"),
        (["--limit", "0"], "--limit 0 is out of range"),
        (["--limit", "-3"], "--limit -3 is out of range"),
        (["--limit", "many"], "Invalid value for '--limit'"),
        (["--steps", "0"], "--steps 0 is out of range"),
        (["--steps", "nan"], "Invalid value for '--steps'"),
        (["--steps", "2000"], "--steps 2000 is out of range"),
        (["--text-guidance", "1"], "--text-guidance 1 is out of range"),
        (["--text-guidance", "nan"], "--text-guidance nan is not a finite number"),
        (["--text-guidance", "inf"], "--text-guidance inf is not a finite number"),
        (["--text-guidance", "much"], "Invalid value for '--text-guidance'"),
        (["--image-guidance", "3.5"], "--image-guidance 3.5 is out of range"),
        (["--image-guidance", "nan"], "--image-guidance nan is not a finite number"),
        (["--seed", "-1"], "--seed -1 is out of range"),
        (["--start", "nan"], "--start nan is out of range"),
        (["--start", "60"], "no frame at or after 60 s"),
        (["--fit", "fill"], "Invalid value for '--fit'"),
        (["--prompt", "night"], "2 prompts need 2 outputs"),
    ],
)
def test_bad_options(opened: Editor, clip: Path, tmp_path: Path, capsys, options: list[str], message: str) -> None:
    prompt = ["--prompt", "snow"] if options[0] != "--prompt" or "night" in options else []
    assert call("model", clip, tmp_path / "out.mp4", *prompt, *options) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_no_prompt_at_all(opened: Editor, clip: Path, tmp_path: Path, capsys) -> None:
    assert call("model", clip, tmp_path / "out.mp4") == 2
    assert "--prompt" in capsys.readouterr().err


def test_an_output_that_exists_needs_force(opened: Editor, clip: Path, tmp_path: Path, capsys) -> None:
    output = tmp_path / "out.mp4"
    output.write_bytes(b"mine")
    assert call("model", clip, output, "-p", "snow") == 2
    assert "exists already" in capsys.readouterr().err
    assert output.read_bytes() == b"mine"
    assert call("model", clip, output, "-p", "snow", "--force") == 0
    assert len(list(ClipSource(output).frames())) == 6


@pytest.mark.parametrize(
    ("source", "output", "message"),
    [
        ("none.mp4", "out.mp4", "does not exist"),
        ("in.mp4", "in.mp4", "would replace the input"),
        ("in.mp4", "out.avi", "suffix .avi is unknown"),
        ("text.mp4", "out.mp4", "cannot be read as a clip"),
        ("empty.mp4", "out.mp4", "is empty"),
        ("cut.mp4", "out.mp4", "cut short"),
        ("sound.mp4", "out.mp4", "has no video stream"),
        ("list.mp4", "out.mp4", "a playlist or of another kind"),
        ("folder", "out", "holds no image"),
    ],
)
def test_bad_files(opened: Editor, clip: Path, tmp_path: Path, capsys, source: str, output: str, message: str) -> None:
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile in.mp4\n")
    (tmp_path / "folder").mkdir()
    with av.open(str(tmp_path / "sound.mp4"), "w") as out:
        add_tone(out, out.add_stream("aac", rate=16000, layout="mono"), 1024)
    # The index moved to the front, then the end cut off.
    with av.open(str(clip)) as whole, av.open(str(tmp_path / "cut.mp4"), "w", options={"movflags": "faststart"}) as out:
        stream = out.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "cut.mp4").read_bytes()[:-200])
    before = sorted(tmp_path.iterdir())
    assert call("model", tmp_path / source, tmp_path / output, "-p", "snow", "--force") == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_a_missing_model(clip: Path, tmp_path: Path, capsys) -> None:
    assert call(tmp_path / "model", clip, tmp_path / "out.mp4", "-p", "snow") == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "model") in error
    assert len(error.strip().splitlines()) <= 2
    assert not (tmp_path / "out.mp4").exists()


# A process started in the background of a script inherits an ignored SIGINT, hence the handler.
SLOW_EDIT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, {tests!r})
from conftest import FakeBackend, fake_method, fake_tokenize
from mobie_coreml.cli.main import main
from mobie_coreml.editing import edit_clip
from mobie_coreml.editing.editor import Editor

class Slow(FakeBackend):
    def _decoder(self, denoised_latents):
        time.sleep(0.05)
        print("frame", flush=True)
        return super()._decoder(denoised_latents)

edit_clip.open_editor = lambda *_, **__: Editor(Slow(guidance_inputs=True), fake_method(), fake_tokenize)
sys.exit(main(["edit", "model", *sys.argv[1:], "--prompt", "snow"]))
"""


@pytest.mark.parametrize(
    ("output", "number", "code"),
    [("out.mp4", signal.SIGINT, 130), ("out", signal.SIGINT, 130), ("out.mp4", signal.SIGTERM, 143)],
)
def test_an_edit_that_is_stopped_leaves_no_half_written_clip(
    clip_maker: Maker, tmp_path: Path, output: str, number: signal.Signals, code: int
) -> None:
    clip = clip_maker(tmp_path / "in.mp4", [picture(i % 10) for i in range(200)], audio="aac")
    script = textwrap.dedent(SLOW_EDIT.format(tests=str(Path(__file__).parent)))
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(clip), str(tmp_path / output)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for _ in range(4):
        assert process.stdout.readline() == "frame\n"
    hidden = [path for path in tmp_path.rglob(".*") if path.is_file()]
    assert hidden, "the clip is written beside its place"
    process.send_signal(number)
    _, error = process.communicate(timeout=120)
    assert process.returncode == code, error
    assert "Traceback" not in error
    assert [path.name for path in tmp_path.rglob("*")] == ["in.mp4"]
