"""Frames to compare on: those of a clip or image, or two drawings where none is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mobie_coreml.editing.edit_media import open_source
from mobie_coreml.editing.geometry import plan_frame
from mobie_coreml.editing.media import check_input
from mobie_coreml.editing.options import EditOptions
from mobie_coreml.editing.resample import Pixels
from mobie_coreml.errors import InputError


def drawing(width: int, height: int, index: int) -> Pixels:
    """A drawn scene (height, width, 3) uint8: sky, ground, a sun and trees; `index` moves and recolours things."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    x, y = x / width, y / height
    horizon = 0.55 + 0.05 * np.sin(6.0 * x + index)
    sky = np.stack([0.35 + 0.4 * y, 0.55 + 0.3 * y, 0.95 - 0.1 * y], axis=-1)
    ground = np.stack([0.25 + 0.2 * y, 0.55 - 0.2 * y, 0.15 + 0.1 * np.sin(40 * x) * y], axis=-1)
    scene = np.where((y < horizon)[..., None], sky, ground)
    sun = np.hypot((x - 0.7 + 0.1 * index) * width / height, y - 0.2) < 0.09
    scene[sun] = (1.0, 0.9, 0.5)
    for tree in range(4):
        center = (0.12 + 0.25 * tree + 0.07 * index) % 1.0
        crown = np.hypot((x - center) * width / height, y - 0.5) < 0.07 + 0.02 * tree
        trunk = (np.abs(x - center) < 0.01) & (y > 0.5) & (y < 0.75)
        scene[trunk] = (0.35, 0.2, 0.1)
        scene[crown] = (0.7 - 0.15 * tree, 0.25 + 0.1 * index, 0.1 + 0.15 * tree)
    grain = np.random.default_rng(index).normal(0.0, 0.02, scene.shape)
    levels: Pixels = np.clip(np.round((scene + grain) * 255), 0, 255).astype(np.uint8)
    return levels


def parity_frames(clip: Path | None, size: tuple[int, int], count: int) -> list[Pixels]:
    """`count` frames (H, W, 3) uint8 of the model's size.

    Args:
        clip: A clip, image or folder of images, every tenth frame of which is taken; None for drawings.
        size: (width, height) of the model.
        count: How many.

    Raises:
        InputError: the clip cannot be read or has no frame.
    """
    width, height = size
    if clip is None:
        return [drawing(width, height, index) for index in range(count)]
    check_input(clip)
    source = open_source(clip, EditOptions(prompts=("parity",), limit=10 * count))
    frames: list[Pixels] = []
    try:
        for frame in source.frames():
            if frame.index % 10 == 0 and len(frames) < count:
                shown = frame.pixels.shape[1], frame.pixels.shape[0]
                frames.append(plan_frame(shown, size, "cover").prepare(frame.pixels))
    finally:
        source.close()
    if not frames:
        raise InputError(f"{clip} has no frame.", "Give a clip or an image, or leave --clip out.")
    return frames
