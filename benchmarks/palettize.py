"""k-means of a package's weights: coremltools.optimize.coreml.palettize_weights beside ours.

    python benchmarks/palettize.py [--package PACKAGE | --shapes 1280x2560x3x3,... | --preset mobile] [--bits 6]
        [--threads N] [--json]

Both sides read the same fp16 package and write a palettized one, each in a process of its own, one after the other. The
package is one that is given, or convolutions of random normal weights in the shapes given (one 1280x2560x3x3 unless
told otherwise), or the Denoiser of a random checkpoint of a preset ("mobile": 846.8 million weights; takes minutes).
Ours reads back and compares every tensor it has written, as it does by default; theirs does not.

Seconds are those of the work without imports. Peak RSS is the process's maximum resident set, and beside it is what
the process had after importing what it needs. CPU seconds stand beside elapsed ones, since other work on the machine
stretches the latter. Sums of squared errors are computed from the two packages written, tensor by tensor.

Exit code 1 if ours has a larger sum of squares on any tensor, or takes more than 1/8 of their time or 1/4 of their peak
RSS where the package has more than 100 million weights (small ones measure the start of the program).
"""

from __future__ import annotations

import argparse
import contextlib
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

TIME_GOAL, MEMORY_GOAL = 1 / 8, 1 / 4
LARGE = 100_000_000


def peak_bytes() -> int:
    """The process's maximum resident set so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def theirs(package: Path, out: Path, bits: int) -> dict[str, float]:
    """coremltools, as its documentation has it."""
    import coremltools as ct
    from coremltools.optimize.coreml import OpPalettizerConfig, OptimizationConfig, palettize_weights

    started, cpu, imported = time.perf_counter(), time.process_time(), peak_bytes()
    model = ct.models.MLModel(str(package), skip_model_load=True)
    config = OptimizationConfig(global_config=OpPalettizerConfig(mode="kmeans", nbits=bits))
    palettize_weights(model, config).save(str(out))
    return {"s": time.perf_counter() - started, "cpu_s": time.process_time() - cpu, "import_rss_bytes": imported}


def ours(package: Path, out: Path, bits: int, threads: int) -> dict[str, float]:
    """Our palettizer with its defaults."""
    from palettization.palettize import palettize

    started, cpu, imported = time.perf_counter(), time.process_time(), peak_bytes()
    palettize(package, out, bits, threads=threads)
    return {"s": time.perf_counter() - started, "cpu_s": time.process_time() - cpu, "import_rss_bytes": imported}


def make_package(path: Path, shapes: str, preset: str | None) -> None:
    """An fp16 package for iOS17 with random weights."""
    if preset:
        from mobie_coreml.ane.components import build_component
        from mobie_coreml.convert.component import convert_component
        from mobie_coreml.models.checkpoint import load_checkpoint, new_checkpoint

        new_checkpoint(path.parent / "checkpoint", preset, seed=0)
        checkpoint = load_checkpoint(path.parent / "checkpoint")
        convert_component(build_component("Denoiser", checkpoint, size=(512, 384), materialise=False), path, "iOS17")
        return
    import coremltools as ct
    import numpy as np
    from coremltools.converters.mil import Builder
    from coremltools.converters.mil.mil import types

    sizes = [tuple(map(int, shape.split("x"))) for shape in shapes.split(",")]
    rng = np.random.default_rng(0)

    @Builder.program(
        input_specs=[Builder.TensorSpec(shape=(1, 1, 8, 8), dtype=types.fp16)], opset_version=ct.target.iOS17
    )
    def program(x: Any) -> Any:
        outputs = []
        for number, size in enumerate(sizes):
            weight = (rng.standard_normal(size, np.float32) * 0.02).astype(np.float16)
            channels = Builder.tile(x=x, reps=(1, size[1], 1, 1))
            constant = Builder.const(val=weight, name=f"weight_{number}")
            outputs.append(Builder.conv(x=channels, weight=constant, pad_type="same"))
        return tuple(outputs)

    ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=ct.target.iOS17,
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
    ).save(str(path))


def squares(source: Path, one: Path, two: Path) -> dict[str, tuple[float, float]]:
    """The sums of squared errors of two palettized packages, by tensor; only tensors that both palettized count."""
    from palettization.compare import compare_weights
    from palettization.package import Package, summarise

    with Package.open(source) as plain, Package.open(one) as first, Package.open(two) as second:
        theirs = {name.removesuffix("_palettized"): error for name, error in compare_weights(first, plain).items()}
        ours = compare_weights(second, plain)
        palettized = {weight.name for weight in summarise(second).weights if weight.form == "palettized"}
    both = palettized & set(theirs) & set(ours)
    return {name: (theirs[name].squared_error, ours[name].squared_error) for name in ours if name in both}


def in_process(arguments: list[str]) -> Any:
    """Runs this file again; what it prints last is JSON."""
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def side(options: argparse.Namespace) -> Any:
    """What one process does."""
    with contextlib.redirect_stdout(sys.stderr):
        if options.side == "make":
            make_package(options.package, options.shapes, options.preset)
            return {}
        if options.side == "squares":
            return squares(options.package, options.out / "theirs.mlpackage", options.out / "ours.mlpackage")
        out = options.out / f"{options.side}.mlpackage"
        if options.side == "theirs":
            result = theirs(options.package, out, options.bits)
        else:
            result = ours(options.package, out, options.bits, options.threads)
    size = sum(item.stat().st_size for item in out.rglob("*") if item.is_file())
    return {**result, "peak_rss_bytes": peak_bytes(), "package_bytes": size}


def compare(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All figures."""
    package = options.package
    common = ["--bits", str(options.bits), "--threads", str(options.threads)]
    if package is None:
        package = folder / "fp16.mlpackage"
        made = ["--preset", options.preset] if options.preset else ["--shapes", options.shapes]
        in_process(["--side", "make", "--package", str(package), *made])
    places = ["--package", str(package), "--out", str(folder), *common]
    found = {name: in_process(["--side", name, *places]) for name in ("theirs", "ours")}
    sums = in_process(["--side", "squares", *places])
    worse = {name: pair for name, pair in sums.items() if pair[1] > pair[0]}
    return {
        "versions": {name: metadata.version(name) for name in ("coremltools", "numpy")},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "bits": options.bits,
        "tensors": len(sums),
        "fp16_bytes": sum(item.stat().st_size for item in package.rglob("*") if item.is_file()),
        **found,
        "ratio_time": found["ours"]["s"] / found["theirs"]["s"],
        "ratio_cpu": found["ours"]["cpu_s"] / found["theirs"]["cpu_s"],
        "ratio_peak_rss": found["ours"]["peak_rss_bytes"] / found["theirs"]["peak_rss_bytes"],
        "squared_error": [sum(pair[which] for pair in sums.values()) for which in (0, 1)],
        "worse_tensors": worse,
    }


def render(figures: dict[str, Any]) -> None:
    """A table for people."""
    versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    print(f"{versions}, Python {figures['python']}, {figures['machine']}, {figures['cores']} cores")
    print(f"{figures['tensors']} tensors, {figures['fp16_bytes'] / 1e6:.1f} MB in fp16, {figures['bits']} bits")
    print(f"{'':24}{'coremltools':>14}{'ours':>14}{'ratio':>9}")
    for title, key, unit, ratio in (
        ("seconds", "s", 1, "ratio_time"),
        ("CPU seconds", "cpu_s", 1, "ratio_cpu"),
        ("peak RSS, MB", "peak_rss_bytes", 1e6, "ratio_peak_rss"),
        ("of it imports, MB", "import_rss_bytes", 1e6, ""),
        ("package, MB", "package_bytes", 1e6, ""),
    ):
        pair = [figures[name][key] / unit for name in ("theirs", "ours")]
        shown = f"{figures[ratio]:9.3f}" if ratio else ""
        print(f"{title:24}{pair[0]:14.2f}{pair[1]:14.2f}{shown}")
    one, two = figures["squared_error"]
    print(f"{'sum of squares':24}{one:14.6g}{two:14.6g}{two / one:9.6f}")
    print(f"tensors with a larger sum of squares than theirs: {len(figures['worse_tensors'])}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, help="an fp16 package for iOS16 or iOS17")
    parser.add_argument("--shapes", default="1280x2560x3x3", help="of random convolutions, comma-separated")
    parser.add_argument("--preset", help="Denoiser of a random checkpoint: base, mobile or nano")
    parser.add_argument("--bits", type=int, default=6, choices=(1, 2, 4, 6, 8))
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--side", choices=("make", "theirs", "ours", "squares"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(side(options)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        figures = compare(options, Path(folder))
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        render(figures)
    large = figures["fp16_bytes"] > 2 * LARGE
    missed = large and (figures["ratio_time"] > TIME_GOAL or figures["ratio_peak_rss"] > MEMORY_GOAL)
    return 1 if missed or figures["worse_tensors"] else 0


if __name__ == "__main__":
    sys.exit(main())
