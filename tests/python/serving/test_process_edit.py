"""The Swift pipeline on `mobie serve` and `mobie edit` make the same clip of bikes.mp4."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from apple_check.compiler import has_swift
from compare_process_edit import CLIP, ROOT, build_bench, convert_embedded

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not has_swift(), reason="The Swift compiler was not found: mobie-bench cannot be built."),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert_embedded(tmp_path_factory.mktemp("served") / "model")


def test_sixty_frames_are_equal_to_the_pixel(model: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts/compare_process_edit.py"), "--model", str(model)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("60 of 60 frames are equal to the pixel; the files are equal.")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_both_programs_and_leaves_nothing(number: signal.Signals, model: Path, tmp_path: Path) -> None:
    command = [build_bench(), "--process", "--model", model, "--clip", CLIP, "--prompt", "make it snow"]
    command += ["--out", tmp_path / "out.mp4", "--server", Path(sys.executable).with_name("mobie")]
    with subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, text=True) as bench:
        while bench.poll() is None and not list(tmp_path.iterdir()):
            time.sleep(0.1)
        children = subprocess.run(["pgrep", "-P", str(bench.pid)], capture_output=True, text=True, check=True)
        bench.send_signal(number)
        _, said = bench.communicate(timeout=120)
    assert bench.returncode == 130
    assert said.splitlines()[-1] == "Interrupted; nothing half-written was left behind."
    assert list(tmp_path.iterdir()) == []
    for child in map(int, children.stdout.split()):
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
