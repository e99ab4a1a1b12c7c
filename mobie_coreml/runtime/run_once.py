"""What `mobie run` does: one run of one package, arrays from and to .npz files."""

from __future__ import annotations

import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mobie_coreml.errors import InputError
from mobie_coreml.files import atomic_file, check_output
from mobie_coreml.manifest import ModelFolder
from mobie_coreml.runtime.base import Arrays, open_runner
from mobie_coreml.runtime.features import random_inputs


@dataclass(frozen=True, slots=True)
class OutputSummary:
    """An output in a few numbers; the last four are None where it holds no numbers.

    Attributes:
        name: Its name.
        shape: Its shape.
        dtype: Element type of the array.
        minimum: Smallest finite value.
        mean: Mean of the finite values.
        maximum: Largest finite value.
        not_finite: How many values are infinite or not a number.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    minimum: float | None
    mean: float | None
    maximum: float | None
    not_finite: int | None


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run.

    Attributes:
        package: What was run.
        runtime: With what.
        precision: In what arithmetic.
        load_seconds: Time to open the package.
        run_seconds: Time of the run.
        outputs: What came out.
    """

    package: Path
    runtime: str
    precision: str
    load_seconds: float
    run_seconds: float
    outputs: tuple[OutputSummary, ...]


def find_package(model: Path, component: str | None) -> Path:
    """The package that MODEL and COMPONENT name: MODEL itself, or a component of a model folder.

    Raises:
        InputError: there is no such package, or a component is missing or given without need.
    """
    if not model.exists():
        raise InputError(f"{model} does not exist.", "Give a .mlpackage or a model folder made by `mobie convert`.")
    if (model / "Manifest.json").exists() or model.suffix in (".mlpackage", ".mlmodel"):
        if component is not None:
            raise InputError(f"{model} is a package by itself.", f"Leave out {component!r}.")
        return model
    folder = ModelFolder.open(model)
    if component is None:
        raise InputError(f"{model} holds several packages.", f"Choose one: {', '.join(folder.manifest.components)}.")
    return folder.package_path(component)


def read_arrays(path: Path) -> Arrays:
    """The arrays of an .npz file by name.

    Raises:
        InputError: not a readable .npz file of plain arrays.
    """
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise InputError(f"{path} holds one array without a name.", "Save it with numpy.savez(path, name=array).")
        with archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        if isinstance(error, FileNotFoundError):
            raise InputError(f"{path} does not exist.", "Give an .npz file.") from error
        raise InputError(f"{path} cannot be read as .npz: {error}.", "Save arrays with numpy.savez.") from error


def run_once(
    model: Path,
    component: str | None = None,
    *,
    inputs: Path | None = None,
    seed: int | None = None,
    output: Path | None = None,
    runtime: str = "mil",
    precision: str = "fp32",
    function: str | None = None,
    compute_units: str = "cpuOnly",
    force: bool = False,
) -> RunReport:
    """Runs a package once.

    Args:
        model: A .mlpackage, or a model folder.
        component: Which one of a model folder.
        inputs: .npz file with an array per input.
        seed: Makes the inputs instead (see `random_inputs`).
        output: .npz file for the outputs; None keeps only the summary.
        runtime: "mil" or "coreml".
        precision: "fp32" or "fp16".
        function: Function of a multifunction package.
        compute_units: Of Core ML.
        force: Replace an output that exists.

    Raises:
        InputError: something is missing or doesn't fit; nothing was written.
        PackageError: the package cannot be run.
    """
    if (inputs is None) == (seed is None):
        raise InputError("A run needs inputs.", "Pass either --input x.npz or --random SEED.")
    if seed is not None and seed < 0:
        raise InputError(f"The seed {seed} is negative.", "Seeds are numbers from 0 up.")
    package = find_package(model, component)
    if output is not None:
        if output.suffix != ".npz":
            raise InputError(f"{output} does not end in .npz.", "Outputs are written as .npz.")
        check_output(output, force=force)
    arrays = None if inputs is None else read_arrays(inputs)
    started = time.perf_counter()
    runner = open_runner(package, runtime, precision, function, compute_units)
    loaded = time.perf_counter()
    results = runner.run(random_inputs(runner.inputs, seed or 0) if arrays is None else arrays)
    finished = time.perf_counter()
    if output is not None:
        with atomic_file(output) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **results)
    summaries = tuple(_summary(name, array) for name, array in results.items())
    return RunReport(package, runtime, precision, loaded - started, finished - loaded, summaries)


def _summary(name: str, array: np.ndarray) -> OutputSummary:
    if array.dtype.kind not in "fiub":
        return OutputSummary(name, array.shape, str(array.dtype), None, None, None, None)
    finite = array[np.isfinite(array)].astype(np.float64)
    bad = array.size - finite.size
    if not finite.size:
        return OutputSummary(name, array.shape, str(array.dtype), None, None, None, bad)
    return OutputSummary(
        name, array.shape, str(array.dtype), float(finite.min()), float(finite.mean()), float(finite.max()), bad
    )
