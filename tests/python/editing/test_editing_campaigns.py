"""Longer campaigns: damaged files of every kind, and memory that does not grow with the clip."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mobie_coreml.editing.clip_source import ClipSource
from mobie_coreml.editing.images import read_image, write_image
from mobie_coreml.errors import InputError

from .conftest import picture

Maker = Callable[..., Path]


def damage_everywhere(path: Path, read: Callable[[Path], object], cases: int, seed: int) -> int:
    """Cuts and overwrites a file at random places; returns how many damaged files were refused.

    Anything but a result or an InputError fails.
    """
    rng = np.random.default_rng(seed)
    data = path.read_bytes()
    damaged, messages = path.with_name(f"damaged{path.suffix}"), list[str]()
    for case in range(cases):
        changed = bytearray(data)
        if case % 2:
            changed = changed[: int(rng.integers(1, len(changed)))]
        else:
            place, length = int(rng.integers(0, len(changed))), int(rng.integers(1, 400))
            changed[place : place + length] = rng.bytes(len(changed[place : place + length]))
        damaged.write_bytes(bytes(changed))
        try:
            read(damaged)
        except InputError as error:
            messages.append(error.message)
    assert all(str(damaged) in message for message in messages)
    return len(messages)


def read_clip(path: Path) -> int:
    source = ClipSource(path)
    try:
        return sum(1 for _ in source.frames())
    finally:
        source.close()


def check_damage(clip_maker: Maker, tmp_path: Path, suffix: str, cases: int) -> None:
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, 256, (60, 80, 3), np.uint8) for _ in range(30)]
    path = clip_maker(tmp_path / f"in{suffix}", frames, audio="aac")
    assert damage_everywhere(path, read_clip, cases, seed=2) >= cases // (
        12 if suffix == ".ts" else 3
    )  # transport streams state no length


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_damaged_clips_never_crash(clip_maker: Maker, tmp_path: Path, suffix: str) -> None:
    check_damage(clip_maker, tmp_path, suffix, 12)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts", ".avi"])
def test_damaged_clips_never_crash_in_hundreds_of_ways(clip_maker: Maker, tmp_path: Path, suffix: str) -> None:
    check_damage(clip_maker, tmp_path, suffix, 400)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("cases", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_damaged_images_never_crash(tmp_path: Path, suffix: str, cases: int) -> None:
    path = tmp_path / f"in{suffix}"
    write_image(path, picture(0))
    assert damage_everywhere(path, lambda damaged: read_image(damaged, []), cases, seed=3) >= cases // 3


MEMORY = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from conftest import FakeBackend, fake_method, fake_tokenize
from mobie_coreml.editing.edit_media import edit_media, open_source
from mobie_coreml.editing.editor import Editor
from mobie_coreml.editing.options import EditOptions
from mobie_coreml.editing.targets import plan_targets

class Forgetful(FakeBackend):
    def run(self, component, inputs):
        self.calls.clear()
        return super().run(component, inputs)

source, output = Path(sys.argv[1]), Path(sys.argv[2])
options = EditOptions(("snow", "night"), side_by_side=True, limit=int(sys.argv[3]))
editor = Editor(Forgetful(guidance_inputs=True), fake_method(), fake_tokenize)
targets = plan_targets(source, output, options.prompts, side_by_side=True, force=False)
print(edit_media(editor, open_source(source, options), targets, options).frames)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_clip(clip_maker: Maker, tmp_path: Path) -> None:
    size = (640, 480)
    clip = clip_maker(
        tmp_path / "in.mp4", [picture(i % 100, size) for i in range(1200)], audio="aac", options={"preset": "ultrafast"}
    )
    peaks = []
    for limit in (150, 1200):
        script = MEMORY.format(tests=str(Path(__file__).parent))
        command = [sys.executable, "-c", script, str(clip), str(tmp_path / f"{limit}.mp4"), str(limit)]
        frames, peak = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
        assert frames == limit
        peaks.append(peak / 1024)
    assert peaks[1] - peaks[0] < 20  # MiB; 1,050 frames of 0.9 MiB each lie between
