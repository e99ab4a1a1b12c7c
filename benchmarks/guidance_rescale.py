"""What guidance scales do to a teacher's one-step edit: the plain sum of three passes, and the rescaled ones.

    python benchmarks/guidance_rescale.py --clip CLIP [--checkpoint TEACHER] [--frames 8] [--json]

The teacher answers from pure noise, in three passes. For each pair of frame and instruction, one scale goes over the
checkpoint's range while the other stays at 1. Prints Spearman's rank correlation of text guidance with the share of
the edit that is made, and of image guidance with the PSNR to the source: means over the pairs, and the medians of what
is correlated at the ends of the range. The baseline is InstructPix2Pix's sum (Brooks et al. 2022, arXiv 2211.09800,
eq. 3); ours is what `mobie train guidance` distils into nano (`rescale`).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

POINTS = 5
FORMS = {"plain": (0.0, 0.0), "rescaled, 0.7 each": (0.7, 0.7), "rescaled, 1 each": (1.0, 1.0), "nano's": (0.7, 1.0)}
"""Fractions for text and for image guidance."""


def controls(checkpoint: str, clip: Path, frames: int) -> dict[str, dict[str, Any]]:
    """Figures by "FORM, SCALE guidance"."""
    import numpy as np
    import torch

    from mobie_coreml.evaluation.frames import clip_frames
    from mobie_coreml.evaluation.metrics import edit_fraction, psnr
    from mobie_coreml.evaluation.pairs import draw_pairs
    from mobie_coreml.metrics import rank_correlation
    from mobie_coreml.models.checkpoint import load_checkpoint
    from mobie_coreml.training.guidance import check_teacher, rescaled_guidance
    from mobie_coreml.training.stage_config import RescaleTraining

    opened = load_checkpoint(checkpoint)
    check_teacher(opened)
    unet, autoencoder, text_encoder = opened.unet(), opened.autoencoder(), opened.text_encoder()
    schedule = opened.schedule
    found, _ = clip_frames(clip, frames, opened.frame_size)
    ranges = {name: opened.info["guidance"][name] for name in ("text", "image")}
    grids = {name: np.linspace(one["minimum"], one["maximum"], POINTS) for name, one in ranges.items()}
    curves: dict[str, list[list[float]]] = {}

    @torch.no_grad()
    def passes(image: np.ndarray, phrase: str) -> torch.Tensor:
        latents = autoencoder.encode(torch.from_numpy(image).permute(2, 0, 1)[None] * 2 - 1)
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
        ids = [opened.tokenizer.encode(text).ids for text in ("", "", phrase)]
        images = torch.cat([torch.zeros_like(latents), latents, latents])
        last = torch.full((3,), schedule.num_train_timesteps - 1)
        sample = torch.cat([noise.repeat(3, 1, 1, 1), images], dim=1)
        output = unet(sample, last, text_encoder(torch.tensor(ids)))
        x0: torch.Tensor = schedule.x0_from_output(noise.repeat(3, 1, 1, 1), output, last)
        return x0

    @torch.no_grad()
    def decoded(latents: torch.Tensor) -> np.ndarray:
        picture = autoencoder.decode(latents).add(1).div(2).clamp(0, 1)[0].permute(1, 2, 0)
        return np.asarray(picture.numpy(), np.float32)

    for pair in draw_pairs(found, per_instruction=1):
        source, truth = pair.frame.image, pair.edit.apply(pair.frame.image)
        x0 = passes(source, pair.phrase)
        for name, grid in grids.items():
            values: dict[str, list[float]] = {form: [] for form in FORMS}
            for scale in grid:
                text, image = (scale, 1.0) if name == "text" else (1.0, scale)
                scales = torch.tensor([text]).float(), torch.tensor([image]).float()
                for form, fractions in FORMS.items():
                    result = decoded(rescaled_guidance(x0, *scales, RescaleTraining(*fractions)))
                    measured = edit_fraction(source, truth, result) if name == "text" else psnr(source, result)
                    values[form].append(measured)
            for form, measured_values in values.items():
                curves.setdefault(f"{form}, {name} guidance", []).append(measured_values)
    return {
        name: {
            "pairs": len(each),
            "spearman": float(np.mean([rank_correlation(range(POINTS), curve) for curve in each])),
            "first": float(np.median([curve[0] for curve in each])),
            "last": float(np.median([curve[-1] for curve in each])),
        }
        for name, each in curves.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="checkpoints/teacher", help="one without guidance inputs")
    parser.add_argument("--clip", type=Path, required=True, help="where frames come from")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args()
    found = controls(options.checkpoint, options.clip, options.frames)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, one in found.items():
        ends = f"{one['first']:6.2f} to {one['last']:6.2f}"
        print(f"{name:40} Spearman {one['spearman']:5.2f}   {ends}   {one['pairs']} pairs")


if __name__ == "__main__":
    main()
