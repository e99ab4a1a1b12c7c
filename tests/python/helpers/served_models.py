"""Models, a clip, and what `mobie edit` makes of it, for the Swift tests of the process backend:

python tests/python/helpers/served_models.py FOLDER
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from compare_process_edit import edit_with_digests
from two_levels import two_level_preset

from mobie_coreml.convert.model import convert_model
from mobie_coreml.convert.options import ConvertOptions
from mobie_coreml.diffusion.samplers import sampler_steps
from mobie_coreml.editing.options import EditOptions
from mobie_coreml.files import write_json
from mobie_coreml.models.checkpoint import load_checkpoint, new_checkpoint

FRAMES = 4


def make_model(path: Path) -> None:
    """A narrow random model of 64x48 pixels that takes one step of three passes."""
    new_checkpoint(path.with_name("checkpoint"), two_level_preset((64, 48)), 5)
    convert_model(load_checkpoint(path.with_name("checkpoint")), path, ConvertOptions(weight_bits=16))


def make_steps(model: Path, path: Path) -> None:
    """The same packages with two steps, of which the first adds fresh noise."""
    shutil.copytree(model, path)
    manifest = json.loads((path / "mobie.json").read_text())
    noise = load_checkpoint(model.with_name("checkpoint")).schedule
    manifest["schedule"] = {"sampler": "lcm", "steps": [asdict(step) for step in sampler_steps(noise, "lcm", 2)]}
    write_json(path / "mobie.json", manifest)


def make_clip(path: Path) -> None:
    """Noise that moves, of odd timestamps, with a tone: 90x58 pixels."""
    generator = np.random.default_rng(3)
    field = generator.integers(0, 256, (58, 90 + FRAMES, 3), np.uint8)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "12"})
        video.width, video.height, video.pix_fmt = 90, 58, "yuv420p"
        video.codec_context.time_base = Fraction(1, 90000)
        sound: Any = container.add_stream("aac", rate=16000, layout="mono")
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(field[:, number : number + 90]), format="rgb24")
            frame.pts, frame.time_base = 3003 * number + number % 2, Fraction(1, 90000)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        tone = (9000 * np.sin(np.arange(2048) / 12)).astype(np.int16)[None]
        block = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
        block.sample_rate, block.pts = 16000, 0
        container.mux(sound.encode(block))
        container.mux(sound.encode())


def main(folder: Path) -> None:
    """Writes everything, and edits.json that lists the edits."""
    make_model(folder / "model")
    make_steps(folder / "model", folder / "steps")
    make_clip(folder / "clip.mp4")
    edits = []
    one_pass = {"text_guidance": 1.0, "image_guidance": 1.0}
    for name, model, prompt, seed, options in (
        ("steps", "steps", "make it an oil painting", 2**64 - 1, {"fit": "contain"}),
        ("one-pass", "model", "make it snow", 0, {"limit": 3, **one_pass}),
    ):
        chosen = EditOptions(prompts=(prompt,), seed=seed, **options)  # type: ignore[arg-type]
        output = f"python-{name}.mp4"
        digests = edit_with_digests(folder / model, folder / "clip.mp4", folder / output, chosen)
        edit = {"name": name, "model": model, "output": output, "prompt": prompt, "seed": seed, "fit": chosen.fit}
        edit |= {"limit": chosen.limit, "guidance": chosen.text_guidance, "frames": len(digests), "digests": digests}
        edits.append(edit)
    write_json(folder / "edits.json", edits)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
