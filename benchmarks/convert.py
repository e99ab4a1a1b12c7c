"""Conversion: plain torch.export and coremltools beside ours.

    python benchmarks/convert.py [--weight-bits 16|6|...] [--two-steps] [--checkpoint DIR] [--size WxH]
        [--preset mobile] [--json]

16: the UNet in fp16. Theirs is diffusers' unmodified network as one package; ours is the Denoiser and the Conditioner,
which together hold the UNet's weights.

Fewer: a whole checkpoint to palettized packages. Theirs are that UNet, the text encoder and both halves of the
autoencoder (the reference networks, which are plain PyTorch), each converted to fp16 and then given to coremltools'
`palettize_weights`; ours is `mobie convert`, all five components, which clusters two tensors at a time, reads every
palette back and compares it, and gives the Encoder 8 bits where 6 are asked for. coremltools needs scikit-learn for
tensors under 10,000 elements: without it they stay fp16 on that side. `--two-steps` adds a third side: ours with fp16
packages written and then palettized, which is what clustering weights on the way saves.

Both sides read the same checkpoint (a random one is made unless given) and write packages for iOS17, each in a process
of its own, `OMP_NUM_THREADS=1`, one after the other. Time includes importing libraries and loading the checkpoint; the
latter is printed apart for theirs, since ours loads each weight as it writes it. Peak RSS is the process's maximum
resident set, memory-mapped files included. CPU seconds stand beside elapsed ones, since other work on the machine
stretches the latter.

Exit code 1 if ours takes more than the limits below of their time or memory.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

PLAIN, PALETTIZED = {"time": 1.0, "memory": 0.75}, {"time": 0.35, "memory": 0.6}
"""Limits of the ratios, without and with palettes."""

SKLEARN_ELEMENTS = 10_000


class Stages:
    """Seconds spent in each stage of the work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds what the block takes to stage `name`."""
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


def theirs(checkpoint: Path, size: tuple[int, int], out: Path, bits: int) -> dict[str, float]:
    """torch.export, coremltools, and with fewer than 16 bits coremltools' palettizer."""
    import coremltools as ct
    import numpy as np
    from coremltools.optimize.coreml import OpPalettizerConfig, OptimizationConfig, palettize_weights

    stages = Stages()
    smallest = 2048 if importlib.util.find_spec("sklearn") else SKLEARN_ELEMENTS
    clustering = OpPalettizerConfig(mode="kmeans", nbits=min(bits, 8), weight_threshold=smallest)
    for name, load in networks(checkpoint, size).items():
        if bits == 16 and name != "UNet":
            continue
        with stages.stage("load"):
            module, examples = load()
        with stages.stage("export"):
            exported = export(module, examples)
        with stages.stage("convert"):
            model = ct.convert(
                exported,
                inputs=[
                    ct.TensorType(key, shape=value.shape, dtype=np.float16 if value.is_floating_point() else np.int32)
                    for key, value in examples.items()
                ],
                outputs=[ct.TensorType("output", dtype=np.float16)],
                minimum_deployment_target=ct.target.iOS17,
                compute_precision=ct.precision.FLOAT16,
                skip_model_load=True,
            )
        del module, exported
        if bits < 16:
            with stages.stage("palettize"):
                model = palettize_weights(model, OptimizationConfig(global_config=clustering))
        with stages.stage("save"):
            model.save(str(out / f"{name}.mlpackage"))
        del model
    return stages.seconds


def networks(checkpoint: Path, size: tuple[int, int]) -> dict[str, Any]:
    """By name, a function that loads a network and gives it with example inputs by name."""
    import torch
    from diffusers import UNet2DConditionModel

    from mobie_coreml.models.checkpoint import load_checkpoint

    opened = load_checkpoint(checkpoint)
    sizes = opened.networks
    latents = (sizes.autoencoder.latent_channels, size[1] // 8, size[0] // 8)
    text = (1, 77, sizes.text_encoder.hidden_size)

    class Wrapped(torch.nn.Module):
        """A network whose forward is `call`."""

        def __init__(self, network: torch.nn.Module, call: Any) -> None:
            super().__init__()
            self.network, self.call = network, call

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            return self.call(self.network, *inputs)

    def unet() -> Any:
        network = UNet2DConditionModel.from_pretrained(checkpoint / "unet", torch_dtype=torch.float32)
        sample = torch.randn(1, network.config.in_channels, *latents[1:])
        examples = {"sample": sample, "timestep": torch.tensor([999.0]), "text": torch.randn(text)}
        return Wrapped(network, lambda network, *inputs: network(*inputs, return_dict=False)[0]), examples

    def half(name: str, shape: tuple[int, ...]) -> Any:
        network = opened.autoencoder()
        return Wrapped(getattr(network, name), lambda network, x: network(x)), {"x": torch.randn(1, *shape)}

    def encoder() -> Any:
        network = Wrapped(opened.text_encoder(), lambda network, ids: network(ids))
        return network, {"input_ids": torch.zeros((1, 77), dtype=torch.int32)}

    return {
        "UNet": unet,
        "TextEncoder": encoder,
        "Encoder": lambda: half("encoder", (3, size[1], size[0])),
        "Decoder": lambda: half("decoder", latents),
    }


def export(module: Any, examples: dict[str, Any]) -> Any:
    """The module through torch.export."""
    import torch

    with torch.no_grad():
        return torch.export.export(module.eval(), tuple(examples.values())).run_decompositions({})


def ours(checkpoint: Path, size: tuple[int, int], out: Path, bits: int) -> dict[str, float]:
    """Through our lowering."""
    from mobie_coreml.ane.components import build_component
    from mobie_coreml.convert.component import convert_component
    from mobie_coreml.convert.model import convert_model
    from mobie_coreml.convert.options import ConvertOptions
    from mobie_coreml.models.checkpoint import load_checkpoint

    stages = Stages()
    opened = load_checkpoint(checkpoint)
    if bits < 16:
        with stages.stage("convert"):
            convert_model(opened, out / "model", ConvertOptions(size=size, weight_bits=bits))
        return stages.seconds
    for name in ("Denoiser", "Conditioner"):
        with stages.stage(name):
            component = build_component(name, opened, size=size, materialise=False)
            convert_component(component, out / f"{name}.mlpackage", "iOS17")
    return stages.seconds


def two_steps(checkpoint: Path, size: tuple[int, int], out: Path, bits: int) -> dict[str, float]:
    """Ours again, but fp16 packages are written and then palettized: the same bytes but for metadata."""
    from mobie_coreml.convert.model import convert_model
    from mobie_coreml.convert.options import ConvertOptions
    from mobie_coreml.convert.weights import weight_recipes
    from mobie_coreml.models.checkpoint import load_checkpoint
    from palettization.palettize import palettize

    stages = Stages()
    with stages.stage("convert"):
        convert_model(load_checkpoint(checkpoint), out / "model", ConvertOptions(size=size, weight_bits=16))
    with stages.stage("palettize"):
        for name, weights in weight_recipes(ConvertOptions(weight_bits=bits)).items():
            if weights:
                palettize(out / "model" / f"{name}.mlpackage", out / f"{name}.mlpackage", weights.recipe)
    return stages.seconds


SIDES = {"theirs": theirs, "ours": ours, "two steps": two_steps}


def run_side(side: str, checkpoint: Path, size: tuple[int, int], bits: int) -> dict[str, Any]:
    """One side in a process of its own."""
    arguments = [
        "--side",
        side,
        "--checkpoint",
        str(checkpoint),
        "--size",
        f"{size[0]}x{size[1]}",
        "--weight-bits",
        str(bits),
    ]
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


def measure(side: str, checkpoint: Path, size: tuple[int, int], bits: int) -> dict[str, Any]:
    """Runs one side in this process and measures it."""
    with tempfile.TemporaryDirectory(dir=checkpoint.parent) as folder, contextlib.redirect_stdout(sys.stderr):
        before, cpu_before = time.perf_counter(), time.process_time()
        seconds = SIDES[side](checkpoint, size, Path(folder), bits)
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
    parser.add_argument("--weight-bits", type=int, default=16, choices=(16, 8, 6, 4, 2, 1))
    parser.add_argument("--checkpoint", type=Path, help="a checkpoint of the preset; a random one is made otherwise")
    parser.add_argument("--preset", default="mobile", help="of the random checkpoint: base, mobile or nano")
    parser.add_argument("--size", default="512x384", help="frame size in pixels")
    parser.add_argument("--two-steps", action="store_true", help="also ours with fp16 packages written in between")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--side", choices=tuple(SIDES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    width, height = (int(side) for side in options.size.split("x"))
    if options.side:
        print(json.dumps(measure(options.side, options.checkpoint, (width, height), options.weight_bits)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = options.checkpoint
        if checkpoint is None:
            from mobie_coreml.models.checkpoint import new_checkpoint

            checkpoint = Path(folder) / "checkpoint"
            new_checkpoint(checkpoint, options.preset, seed=0)
        sides = {
            side: run_side(side, checkpoint.absolute(), (width, height), options.weight_bits)
            for side in (SIDES if options.two_steps and options.weight_bits < 16 else ("theirs", "ours"))
        }
    ratios = {
        key: sides["ours"][key] / sides["theirs"][key]
        for key in ("total_s", "cpu_s", "peak_rss_bytes", "package_bytes")
    }
    ratios["without_their_load"] = sides["ours"]["total_s"] / (
        sides["theirs"]["total_s"] - sides["theirs"]["seconds"]["load"]
    )
    asked = {"size": options.size, "preset": options.preset, "weight_bits": options.weight_bits}
    result = {"environment": environment(), **asked, **sides, "ratios": ratios}
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        show(result)
    limits = PLAIN if options.weight_bits == 16 else PALETTIZED
    time_ratio = ratios["without_their_load" if options.weight_bits == 16 else "total_s"]
    return int(time_ratio > limits["time"] or ratios["peak_rss_bytes"] > limits["memory"])


def show(result: dict[str, Any]) -> None:
    """Prints the comparison."""
    print(" ".join(f"{name} {value}" for name, value in result["environment"].items()))
    print(f"{'':10}{'seconds':>10}{'CPU s':>8}{'peak RSS':>12}{'packages':>12}")
    for side in (side for side in SIDES if side in result):
        row = result[side]
        parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in row["seconds"].items())
        memory, size = row["peak_rss_bytes"] / 1e9, row["package_bytes"] / 1e9
        print(f"{side:10}{row['total_s']:10.1f}{row['cpu_s']:8.1f}{memory:9.2f} GB{size:9.2f} GB   ({parts})")
    ratios = result["ratios"]
    print(
        f"{'ratio':10}{ratios['total_s']:10.2f}{ratios['cpu_s']:8.2f}{ratios['peak_rss_bytes']:12.2f}{ratios['package_bytes']:12.2f}"
        f"   (time without their loading: {ratios['without_their_load']:.2f})"
    )


if __name__ == "__main__":
    sys.exit(main())
