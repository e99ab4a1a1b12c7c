"""Execution of packages: PyTorch eager in fp32 beside our executor on the converted packages.

    python benchmarks/execute.py [--preset nano|mobile] [--checkpoint DIR] [--model DIR] [--size WxH] [--runs N]
                                 [--precision fp32|fp16] [--weight-bits 16] [--threads N] [--json]

nano: a whole frame. Eager encodes, denoises and decodes with the reference networks; ours runs Encoder, Denoiser and
Decoder. mobile: the full-size Denoiser alone against the reference UNet at 512x384. The reference computes its time
embedding and the cross-attention keys and values at each run, which a converted model leaves to the Conditioner.

Each side lives in a process of its own; runs alternate, so that other work on the machine meets both. Times, elapsed
and CPU, are medians of the runs after a first one, ratios medians over pairs of runs. Peak RSS is the process's largest
resident set, mapped files included. A random checkpoint is made and converted unless given.

Exit code 1 if ours takes more time than 1.2x (nano: 1.1x), or at full size more than 2.5 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

TIME_LIMITS = {"nano": 1.1, "mobile": 1.2}
MEMORY_LIMIT_GB = {"mobile": 2.5}
LATENT_FACTOR = 8


def peak_gb() -> float:
    """Largest resident set of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e9
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9


def eager(options: argparse.Namespace) -> Callable[[], None]:
    """The reference networks on a frame of noise."""
    import torch

    from mobie_coreml.models.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(options.checkpoint)
    width, height = options.size
    networks = checkpoint.networks
    unet = checkpoint.unet()
    latents = (1, networks.autoencoder.latent_channels, height // LATENT_FACTOR, width // LATENT_FACTOR)
    noise = torch.randn(latents, generator=torch.Generator().manual_seed(0))
    text = torch.randn((1, 77, networks.text_encoder.hidden_size), generator=torch.Generator().manual_seed(1))
    embedded = networks.unet.guidance_embedding
    scales = [torch.tensor([7.0]), torch.tensor([1.5])] if embedded else [None, None]
    timestep = torch.tensor([999.0])

    def denoise(image: torch.Tensor) -> torch.Tensor:
        return unet(torch.cat([noise, image], 1), timestep, text, *scales)

    if options.preset == "mobile":
        return lambda: denoise(noise)
    autoencoder = checkpoint.autoencoder()
    frame = torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(2)) * 2 - 1
    return lambda: autoencoder.decode(denoise(autoencoder.encode(frame)))


def ours(options: argparse.Namespace) -> Callable[[], None]:
    """The converted packages on arrays of noise."""
    from mobie_coreml.manifest import ModelFolder
    from mobie_coreml.runtime import open_runner
    from mobie_coreml.runtime.features import random_inputs

    folder = ModelFolder.open(options.model)
    names = ("Denoiser",) if options.preset == "mobile" else ("Encoder", "Denoiser", "Decoder")
    runners = {name: open_runner(folder.package_path(name), "mil", options.precision) for name in names}
    inputs = {name: random_inputs(runner.inputs, 0) for name, runner in runners.items()}

    def run() -> None:
        made: dict[str, Any] = {}
        for name, runner in runners.items():
            given = {key: made.get(key, array) for key, array in inputs[name].items()}
            made |= runner.run(given)

    return run


def work(options: argparse.Namespace) -> None:
    """A worker: loads, then runs once for every line on its standard input and prints what that took."""
    import torch

    torch.set_num_threads(options.threads)
    started = time.perf_counter()
    with torch.inference_mode():
        run = (eager if options.worker == "eager" else ours)(options)
        print(json.dumps({"load": time.perf_counter() - started}), flush=True)
        for _ in sys.stdin:
            started, cpu = time.perf_counter(), time.process_time()
            run()
            elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
            print(json.dumps({"elapsed": elapsed, "cpu": cpu, "peak_gb": peak_gb()}), flush=True)


class Worker:
    """A process that runs one side on demand."""

    def __init__(self, side: str, arguments: list[str], threads: int) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        command = [sys.executable, __file__, *arguments, "--worker", side]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.load = self._read()["load"]
        self.runs: list[dict[str, float]] = []

    def run(self) -> None:
        """One run, recorded."""
        assert self._process.stdin is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        self.runs.append(self._read())

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def summary(self) -> dict[str, float]:
        """Medians after the first run."""
        later = self.runs[1:] or self.runs
        return {
            "load": self.load,
            "first": self.runs[0]["elapsed"],
            "elapsed": statistics.median(run["elapsed"] for run in later),
            "cpu": statistics.median(run["cpu"] for run in later),
            "peak_gb": self.runs[-1]["peak_gb"],
        }

    def _read(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("A worker ended without an answer; its error is above.")
        answer: dict[str, float] = json.loads(line)
        return answer


def paired(workers: dict[str, Worker], figure: str) -> float:
    """Median of ours / eager over runs that followed each other, the first left out."""
    pairs = zip(workers["ours"].runs[1:], workers["eager"].runs[1:], strict=True)
    return statistics.median(mine[figure] / theirs[figure] for mine, theirs in pairs)


def prepare(options: argparse.Namespace, folder: Path) -> None:
    """Makes the checkpoint and the model folder that weren't given."""
    from mobie_coreml.convert.model import convert_model
    from mobie_coreml.convert.options import ConvertOptions
    from mobie_coreml.models.checkpoint import load_checkpoint
    from mobie_coreml.models.random_checkpoint import new_checkpoint

    if options.checkpoint is None:
        options.checkpoint = str(folder / "checkpoint")
        new_checkpoint(Path(options.checkpoint), options.preset, seed=0)
    if options.model is None:
        names = ("Denoiser",) if options.preset == "mobile" else ("Encoder", "Denoiser", "Decoder")
        options.model = str(folder / "model")
        convert_model(
            load_checkpoint(options.checkpoint),
            Path(options.model),
            ConvertOptions(
                components=names,
                size=options.size,
                attention=options.attention,
                target=options.target,
                weight_bits=options.weight_bits,
            ),
        )


def show(report: dict[str, Any]) -> None:
    """Prints the report for people."""
    print(f"{report['preset']}, {report['size'][0]}x{report['size'][1]}, ours in {report['precision']}")
    print(f"{'':10}{'load':>9}{'first run':>11}{'run':>9}{'CPU':>9}{'peak RSS':>11}")
    for side in ("eager", "ours"):
        figures = report[side]
        print(
            f"{side:10}{figures['load']:8.2f}s{figures['first']:10.3f}s{figures['elapsed']:8.3f}s"
            f"{figures['cpu']:8.3f}s{figures['peak_gb']:9.2f}GB"
        )
    print(f"ratio: {report['time_ratio']:.2f} of eager's time ({report['cpu_ratio']:.2f} in CPU), ", end="")
    print(f"{report['memory_ratio']:.2f} of its memory")
    print(f"{report['machine']}, {report['threads']} threads; {report['versions']}")


def main() -> int:
    """Runs the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--preset", choices=("nano", "mobile"), default="nano")
    parser.add_argument("--checkpoint")
    parser.add_argument("--model")
    parser.add_argument("--size", type=lambda text: tuple(int(side) for side in text.split("x")))
    parser.add_argument("--attention", default="split-einsum")
    parser.add_argument("--target", default="iOS17")
    parser.add_argument("--weight-bits", type=int, default=16, help="of the model that is made")
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", choices=("eager", "ours"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.size = options.size or ((512, 384) if options.preset == "mobile" else (256, 192))
    options.runs = options.runs or (5 if options.preset == "mobile" else 15)
    if options.worker:
        work(options)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        prepare(options, Path(folder))
        arguments = [
            f"--preset={options.preset}",
            f"--checkpoint={options.checkpoint}",
            f"--model={options.model}",
            f"--size={options.size[0]}x{options.size[1]}",
            f"--precision={options.precision}",
            f"--threads={options.threads}",
        ]
        workers = {side: Worker(side, arguments, options.threads) for side in ("eager", "ours")}
        for _ in range(options.runs + 1):
            for worker in workers.values():
                worker.run()
        for worker in workers.values():
            worker.close()
    theirs, mine = (workers[side].summary() for side in ("eager", "ours"))
    report: dict[str, Any] = {
        "preset": options.preset,
        "size": options.size,
        "precision": options.precision,
        "eager": theirs,
        "ours": mine,
        "time_ratio": paired(workers, "elapsed"),
        "cpu_ratio": paired(workers, "cpu"),
        "memory_ratio": mine["peak_gb"] / theirs["peak_gb"],
        "threads": options.threads,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "coremltools", "mobie-coreml")),
    }
    print(json.dumps(report, indent=2)) if options.json else show(report)
    heavy = mine["peak_gb"] > MEMORY_LIMIT_GB.get(options.preset, float("inf"))
    return int(heavy or report["time_ratio"] > TIME_LIMITS[options.preset])


if __name__ == "__main__":
    sys.exit(main())
