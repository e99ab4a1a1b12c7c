"""One clip edited twice with the same packages: by `mobie edit`, and by the Swift pipeline on `mobie serve`.

    python scripts/compare_process_edit.py [--clip build/clips/bikes.mp4] [--frames 60] [--model FOLDER]
                                           [--prompt TEXT] [--json]

Everything between the components (tokens, noise, schedule, geometry, gating) is Swift's in the second one. The frames
before they are encoded must be equal to the pixel, and the files to the byte. Without a model folder the checkpoint
inside the package is converted to fp16 in build/process; the Swift program is built in build/swift.

Both run with the same number of threads, which decides the last bits of sums. Exit code 1 where anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

from mobie_coreml.editing.clip_sink import ClipSink
from mobie_coreml.editing.edit_clip import edit_clip
from mobie_coreml.editing.media import SourceFrame
from mobie_coreml.editing.options import EditOptions
from mobie_coreml.editing.resample import Pixels

ROOT = Path(__file__).resolve().parents[1]
CLIP = ROOT / "build/clips/bikes.mp4"
THREADS = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}


def edit_with_digests(model: Path, clip: Path, output: Path, options: EditOptions) -> list[str]:
    """Does what `mobie edit` does.

    Returns:
        SHA-256 of every edited frame's RGB bytes, before they are encoded.
    """
    digests: list[str] = []

    class WatchedSink(ClipSink):
        def write(self, pixels: Pixels, frame: SourceFrame) -> None:
            digests.append(hashlib.sha256(pixels.tobytes()).hexdigest())
            super().write(pixels, frame)

    with mock.patch("mobie_coreml.editing.edit_media.ClipSink", WatchedSink):
        edit_clip(str(model), clip, output, options, runtime="mil")
    return digests


def build_bench() -> Path:
    """Builds mobie-bench, optimised."""
    build = ["swift", "build", "-c", "release", "--product", "mobie-bench", "--scratch-path", "build/swift", "-j", "1"]
    subprocess.run(build, cwd=ROOT, check=True, stdout=sys.stderr)
    shown = subprocess.run([*build, "--show-bin-path"], cwd=ROOT, check=True, capture_output=True, text=True)
    return Path(shown.stdout.strip()) / "mobie-bench"


def convert_embedded(model: Path) -> Path:
    """The checkpoint inside the package as fp16 packages; converted again only where something changed."""
    command = [sys.executable, "-m", "mobie_coreml", "convert", "nano", str(model), "--weight-bits", "16", "--quiet"]
    subprocess.run(command, check=True, stdout=sys.stderr)
    return model


def compare(model: Path, clip: Path, frames: int, prompt: str) -> dict[str, Any]:
    """Edits the first frames both ways.

    Returns:
        frames, whether frames and files are equal, seconds of both, and the Swift pipeline's statistics.
    """
    bench = build_bench()
    with tempfile.TemporaryDirectory() as folder:
        theirs, ours, report = (Path(folder) / name for name in ("python.mp4", "swift.mp4", "report.json"))
        started = time.monotonic()
        digests = edit_with_digests(model, clip, theirs, EditOptions(prompts=(prompt,), limit=frames))
        python_seconds = time.monotonic() - started
        mobie = shutil.which("mobie", path=str(Path(sys.executable).parent)) or "mobie"
        command = [str(bench), "--process", "--model", str(model), "--clip", str(clip), "--out", str(ours)]
        command += ["--prompt", prompt, "--frames", str(frames), "--statistics", str(report), "--server", mobie]
        started = time.monotonic()
        subprocess.run(command, check=True, env={**os.environ, **THREADS})
        swift_seconds = time.monotonic() - started
        made = json.loads(report.read_text(encoding="utf-8"))
        pairs = enumerate(zip(digests, made["frameDigests"], strict=True))
        return {
            "frames": len(digests),
            "differing_frames": [number for number, (theirs_one, ours_one) in pairs if theirs_one != ours_one],
            "files_equal": theirs.read_bytes() == ours.read_bytes(),
            "python_seconds": round(python_seconds, 1),
            "swift_seconds": round(swift_seconds, 1),
            "statistics": made["statistics"],
        }


def main() -> int:
    """Prints the comparison; 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, default=CLIP)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--model", type=Path, help="a model folder")
    parser.add_argument("--prompt", default="make it snow")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.clip.is_file():
        parser.error(f"{options.clip} is not there: `make demo` downloads it.")
    model = options.model or convert_embedded(ROOT / "build/process/model")
    found = compare(model, options.clip, options.frames, options.prompt)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        equal = found["frames"] - len(found["differing_frames"])
        print(f"{equal} of {found['frames']} frames are equal to the pixel; the files are", end=" ")
        print("equal." if found["files_equal"] else "not equal.")
        print(f"mobie edit: {found['python_seconds']} s; Swift on mobie serve: {found['swift_seconds']} s.")
    return 0 if found["files_equal"] and not found["differing_frames"] else 1


if __name__ == "__main__":
    os.environ.update(THREADS)
    sys.exit(main())
