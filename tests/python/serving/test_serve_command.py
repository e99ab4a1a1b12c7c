"""`mobie serve` as a process."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mobie_coreml.cli.main import main
from mobie_coreml.models.checkpoint_files import VOCABULARY
from mobie_coreml.serving.message import Kind, Message, encode_message
from mobie_coreml.serving.pipe import read_message

ROOT = Path(__file__).resolve().parents[3]
HELLO = encode_message(Message(Kind.CALL, 1, "hello"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that has everything but its packages."""
    folder = tmp_path_factory.mktemp("model")
    corpus = json.loads((ROOT / "tests/vectors/manifests.json").read_text(encoding="utf-8"))
    (folder / "mobie.json").write_text(corpus["bases"]["embedded"], encoding="utf-8")
    (folder / "tokenizer").mkdir()
    for name in ("vocab.json", "merges.txt"):
        (folder / "tokenizer" / name).write_bytes((VOCABULARY / name).read_bytes())
    return folder


def start(model: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "mobie_coreml", "serve", str(model)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_calls_are_answered_until_the_input_ends(model: Path) -> None:
    run = encode_message(Message(Kind.CALL, 2, "Denoiser"))
    with start(model) as server:
        out, error = server.communicate(HELLO + run, timeout=120)
    assert (server.returncode, error) == (0, b"")
    stream = io.BytesIO(out)
    first, second = read_message(stream), read_message(stream)
    assert first is not None
    assert first.kind is Kind.RESULT
    assert second is not None
    assert second.kind is Kind.FAILURE
    assert "Denoiser.mlpackage" in str(second.values["message"])
    assert read_message(stream) is None


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"\x00" * 40, "This is no message of the protocol: it starts with 00 00 00 00."),
        (HELLO[:20], "This is no message of the protocol: the stream ends after 4 of a body's 7 bytes."),
    ],
)
def test_what_is_no_message_is_one_error(model: Path, sent: bytes, said: str) -> None:
    with start(model) as server:
        out, error = server.communicate(sent, timeout=120)
    assert (server.returncode, out) == (2, b"")
    first, hint = error.decode().splitlines()
    assert first == f"Error: {said}"
    assert hint.strip()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_in_good_order(model: Path, number: signal.Signals, code: int) -> None:
    with start(model) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(HELLO)
        server.stdin.flush()
        assert read_message(server.stdout) is not None
        server.send_signal(number)
        assert server.wait(60) == code
        assert server.stderr is not None
        assert server.stderr.read().decode().strip() == "Interrupted; nothing half-written was left behind."


def test_a_terminal_is_no_host(model: Path) -> None:
    host, terminal = os.openpty()
    try:
        command = [sys.executable, "-m", "mobie_coreml", "serve", str(model)]
        done = subprocess.run(command, stdin=terminal, capture_output=True, text=True, timeout=120, check=False)
    finally:
        os.close(host)
        os.close(terminal)
    assert (done.returncode, done.stdout) == (2, "")
    assert "not to a terminal" in done.stderr
    assert "mobie-bench" in done.stderr


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_closed_stream_is_refused(model: Path, number: int) -> None:
    shell = f'exec "$0" -m mobie_coreml serve "$1" {number}>&-'
    command = ["sh", "-c", shell, sys.executable, str(model)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    # Without standard error, Python prints on what is left.
    assert "standard input, output or error closed" in (done.stdout if number == 2 else done.stderr)


def test_only_model_folders_are_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for model, said in ((tmp_path / "none", "does not exist"), (tmp_path, "holds neither")):
        assert main(["serve", str(model)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert said in captured.err
