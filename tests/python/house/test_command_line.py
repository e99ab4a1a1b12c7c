"""The command line as a whole: quick help, exit codes, one message an error."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mobie_coreml.cli.main import app, main
from mobie_coreml.files import atomic_folder


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    names = [str(part.name or part.callback.__name__) for part in (*app.registered_commands, *app.registered_groups)]
    assert {"checkpoint", "convert", "verify", "run", "parity", "edit", "train", "evaluate", "doctor"} <= set(names)
    for name in names:
        assert main([name, "--help"]) == 0
        assert f"Usage: mobie {name}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("mobie ")


@pytest.mark.parametrize("command", [["nonsense"], ["convert"], ["edit", "--frames"]])
def test_wrong_use_is_2(command: list[str]) -> None:
    assert main(command) == 2


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from mobie_coreml.cli.main import main\n"
        "main(['--help'])\n"
        "heavy = {'torch', 'coremltools', 'diffusers', 'transformers', 'matplotlib', 'cv2', 'av', 'numpy', 'PIL'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    "command",
    [
        ["verify", "x" * 300],
        ["checkpoint", "show", "x" * 300],
        ["checkpoint", "new", "x" * 300, "--preset", "nano"],
        ["inspect", "x" * 300],
        ["edit", "model", "x" * 300, "out.mp4", "--prompt", "snow"],
        ["edit", "model", __file__, "x" * 300 + ".mp4", "--prompt", "snow"],
    ],
)
def test_what_the_system_refuses_is_one_message(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    captured = capsys.readouterr()
    assert "Error: " in captured.err
    assert "name too long" in captured.err
    assert captured.out == ""


def test_an_empty_argument_is_not_the_current_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edit", "model", "", "out.mp4", "--prompt", "snow"]) == 2
    assert "argument is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"), [(PermissionError(13, "Permission denied", "f"), 2), (OSError(28, "No space left", "f"), 3)]
)
def test_exit_codes_of_system_errors(
    error: OSError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: object) -> None:
        raise error

    monkeypatch.setattr("mobie_coreml.manifest.verify_model", refuse)
    assert main(["verify", "anything"]) == code
    assert capsys.readouterr().err.startswith(f"Error: f: {error.strerror}.")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_command_that_is_stopped_cleans_up(
    number: signal.Signals,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work(*_: object, **__: object) -> None:
        with atomic_folder(tmp_path / "model") as folder:
            (folder / "weights").touch()
            os.kill(os.getpid(), number)
            pytest.fail("the signal was not noticed")

    monkeypatch.setattr("mobie_coreml.models.checkpoint.new_checkpoint", work)
    before = signal.getsignal(number)
    assert main(["checkpoint", "new", str(tmp_path / "model"), "--preset", "nano"]) == code
    assert signal.getsignal(number) is before
    assert "nothing half-written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_signal_that_is_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """As nohup does with SIGHUP."""

    def hang_up(_: object) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        raise OSError(28, "No space left")

    monkeypatch.setattr("mobie_coreml.manifest.verify_model", hang_up)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert main(["verify", "anything"]) == 3
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_reader_that_stops_early_is_no_error() -> None:
    command = f"{sys.executable} -m mobie_coreml doctor --json | head -c 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout == "{"


def test_a_missing_model_is_one_clear_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mobie_coreml", "verify", "no-such-model"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no-such-model" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
