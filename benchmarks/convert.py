"""Conversion of the full-size UNet: plain torch.export and coremltools on diffusers' unmodified network beside ours.

    python benchmarks/convert.py [--checkpoint DIR] [--size WxH] [--preset mobile] [--json]

Both sides read the same checkpoint (a random one is made unless given) and write fp16 packages for iOS17, each in a
process of its own, one thread, one after the other. Theirs is the whole UNet as one package; ours is the Denoiser and
the Conditioner, which together hold the UNet's weights. Time includes importing libraries and loading the checkpoint;
the latter is printed apart for theirs, since ours loads each weight as it writes it. Peak RSS is the process's
maximum resident set, memory-mapped files included. CPU seconds stand beside elapsed ones, since other work on the
machine stretches the latter.

Exit code 1 if ours takes more than 0.75 of their memory or more time.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

MEMORY_LIMIT, TIME_LIMIT = 0.75, 1.0


def theirs(checkpoint: Path, size: tuple[int, int], out: Path) -> dict[str, float]:
    """Diffusers' UNet through torch.export and coremltools."""
    import coremltools as ct
    import numpy as np
    import torch
    from diffusers import UNet2DConditionModel

    marks = [time.perf_counter()]
    unet = UNet2DConditionModel.from_pretrained(checkpoint / "unet", torch_dtype=torch.float32).eval()
    marks.append(time.perf_counter())

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unet = unet

        def forward(self, sample: torch.Tensor, timestep: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
            return self.unet(sample, timestep, text, return_dict=False)[0]

    latents = (1, unet.config.in_channels, size[1] // 8, size[0] // 8)
    examples = (torch.randn(latents), torch.tensor([999.0]), torch.randn(1, 77, unet.config.cross_attention_dim))
    with torch.no_grad():
        exported = torch.export.export(Plain().eval(), examples).run_decompositions({})
    marks.append(time.perf_counter())
    model = ct.convert(
        exported,
        inputs=[
            ct.TensorType("sample", shape=latents, dtype=np.float16),
            ct.TensorType("timestep", shape=(1,), dtype=np.float16),
            ct.TensorType("text", shape=examples[2].shape, dtype=np.float16),
        ],
        outputs=[ct.TensorType("prediction", dtype=np.float16)],
        minimum_deployment_target=ct.target.iOS17,
        compute_precision=ct.precision.FLOAT16,
        skip_model_load=True,
    )
    marks.append(time.perf_counter())
    model.save(str(out / "UNet.mlpackage"))
    marks.append(time.perf_counter())
    return dict(zip(("load", "export", "convert", "save"), (b - a for a, b in itertools.pairwise(marks)), strict=True))


def ours(checkpoint: Path, size: tuple[int, int], out: Path) -> dict[str, float]:
    """The Denoiser and the Conditioner through our lowering."""
    from mobie_coreml.ane.components import build_component
    from mobie_coreml.convert.component import convert_component
    from mobie_coreml.models.checkpoint import load_checkpoint

    seconds: dict[str, float] = {}
    opened = load_checkpoint(checkpoint)
    for name in ("Denoiser", "Conditioner"):
        started = time.perf_counter()
        component = build_component(name, opened, size=size, materialise=False)
        convert_component(component, out / f"{name}.mlpackage", "iOS17")
        seconds[name] = time.perf_counter() - started
    return seconds


def run_side(side: str, checkpoint: Path, size: tuple[int, int]) -> dict[str, Any]:
    """One side in a process of its own."""
    arguments = ["--side", side, "--checkpoint", str(checkpoint), "--size", f"{size[0]}x{size[1]}"]
    # torch and coremltools print to standard output; the figures come on the last line.
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"The {side} side failed:\n{done.stderr[-4000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(side: str, checkpoint: Path, size: tuple[int, int]) -> dict[str, Any]:
    """Runs one side in this process and measures it."""
    with tempfile.TemporaryDirectory(dir=checkpoint.parent) as folder, contextlib.redirect_stdout(sys.stderr):
        before, cpu_before = time.perf_counter(), time.process_time()
        seconds = {"theirs": theirs, "ours": ours}[side](checkpoint, size, Path(folder))
        total, cpu = time.perf_counter() - before, time.process_time() - cpu_before
        written = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"seconds": seconds, "total_s": total, "cpu_s": cpu, "peak_rss_bytes": peak, "package_bytes": written}


def environment() -> dict[str, str]:
    """What the figures depend on."""
    versions = {name: metadata.version(name) for name in ("torch", "coremltools", "diffusers")}
    return {
        "machine": platform.machine(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        **versions,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="a checkpoint of the preset; a random one is made otherwise")
    parser.add_argument("--preset", default="mobile", help="of the random checkpoint: base, mobile or nano")
    parser.add_argument("--size", default="512x384", help="frame size in pixels")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--side", choices=("theirs", "ours"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    width, height = (int(side) for side in options.size.split("x"))
    if options.side:
        print(json.dumps(measure(options.side, options.checkpoint, (width, height))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = options.checkpoint
        if checkpoint is None:
            from mobie_coreml.models.checkpoint import new_checkpoint

            checkpoint = Path(folder) / "checkpoint"
            new_checkpoint(checkpoint, options.preset, seed=0)
        sides = {side: run_side(side, checkpoint.absolute(), (width, height)) for side in ("theirs", "ours")}
    ratios = {
        key: sides["ours"][key] / sides["theirs"][key]
        for key in ("total_s", "cpu_s", "peak_rss_bytes", "package_bytes")
    }
    ratios["without_their_load"] = sides["ours"]["total_s"] / (
        sides["theirs"]["total_s"] - sides["theirs"]["seconds"]["load"]
    )
    result = {"environment": environment(), "size": options.size, "preset": options.preset, **sides, "ratios": ratios}
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        show(result)
    return int(ratios["without_their_load"] > TIME_LIMIT or ratios["peak_rss_bytes"] > MEMORY_LIMIT)


def show(result: dict[str, Any]) -> None:
    """Prints the comparison."""
    print(" ".join(f"{name} {value}" for name, value in result["environment"].items()))
    print(f"{'':8}{'seconds':>10}{'CPU s':>8}{'peak RSS':>12}{'packages':>12}")
    for side in ("theirs", "ours"):
        row = result[side]
        parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in row["seconds"].items())
        memory, size = row["peak_rss_bytes"] / 1e9, row["package_bytes"] / 1e9
        print(f"{side:8}{row['total_s']:10.1f}{row['cpu_s']:8.1f}{memory:9.2f} GB{size:9.2f} GB   ({parts})")
    ratios = result["ratios"]
    print(
        f"{'ratio':8}{ratios['total_s']:10.2f}{ratios['cpu_s']:8.2f}{ratios['peak_rss_bytes']:12.2f}{ratios['package_bytes']:12.2f}"
        f"   (time without their loading: {ratios['without_their_load']:.2f})"
    )


if __name__ == "__main__":
    sys.exit(main())
