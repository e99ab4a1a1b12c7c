"""Which parts of a denoiser its output rests on: every residual branch taken away alone.

    python benchmarks/block_use.py [--checkpoint nano] [--clip CLIP] [--frames 4] [--json]

Runs the denoiser once a frame on noise at the last timestep, the frame's latents and an instruction, then again with
one branch set to zero: what a ResNet block, a self-attention, a cross-attention, a feed-forward network or the input
skip adds to what it is given. Prints the energy of the output's change over the output's own, in dB: 0 dB, as large as
the output itself; below -40 dB, a part that hardly matters.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

BRANCHES = ("conv2", "attn1", "attn2", "ff", "input_skip")


def changes(checkpoint: str, clip: Path | None, frames: int) -> dict[str, float]:
    """dB by module path, in the order of the network."""
    import numpy as np
    import torch

    from mobie_coreml.edits import EDITS
    from mobie_coreml.models.checkpoint import load_checkpoint
    from mobie_coreml.parity.frames import parity_frames

    opened = load_checkpoint(checkpoint)
    unet, autoencoder, text_encoder = opened.unet(), opened.autoencoder(), opened.text_encoder()
    pictures = parity_frames(clip, opened.info["frame_size"], frames)
    prompts = [edit.phrases[0] for edit in EDITS.values()]
    every = max(1, len(prompts) // len(pictures))
    ranges = [opened.info["guidance"][scale] for scale in ("text", "image")]
    scales = [torch.tensor([one["default"]]) for one in ranges] if unet.config.guidance_embedding else []

    @torch.no_grad()
    def output() -> torch.Tensor:
        outputs = []
        for index, picture in enumerate(pictures):
            image = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None] / 127.5 - 1
            latents = autoencoder.encode(image)
            noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(index))
            states = text_encoder(torch.tensor([opened.tokenizer.encode(prompts[index * every]).ids]))
            last = torch.tensor([opened.schedule.num_train_timesteps - 1])
            outputs.append(unet(torch.cat([noise, latents], dim=1), last, states, *scales))
        return torch.cat(outputs)

    whole, found = output(), {}
    for name, module in unet.named_modules():
        if name.rpartition(".")[2] in BRANCHES:
            handle = module.register_forward_hook(lambda _module, _inputs, result: torch.zeros_like(result))
            share = float((output() - whole).square().mean() / whole.square().mean())
            handle.remove()
            found[name] = 10 * math.log10(max(share, 1e-12))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="nano")
    parser.add_argument("--clip", type=Path, help="where frames come from; drawings otherwise")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args()
    found: dict[str, Any] = changes(options.checkpoint, options.clip, options.frames)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, change in found.items():
        print(f"{name:70} {change:7.1f} dB")


if __name__ == "__main__":
    main()
