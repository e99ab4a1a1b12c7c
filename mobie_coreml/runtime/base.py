"""One interface for every way of running a component: Core ML, our own executor, the PyTorch reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from mobie_coreml.errors import InputError

Precision = Literal["fp32", "fp16"]
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output of a component.

    Attributes:
        name: The name that hosts use.
        shape: Sizes; the default ones where they may vary. Images are (1, channels, height, width).
        dtype: "float16", "float32", "int32" and so on, as declared.
        is_image: Whether Core ML takes or gives a pixel buffer here.
        color: "RGB", "BGR" or "GRAY" of an image's pixel buffer, else "". Arrays hold R, G, B in this order whatever
            the pixel buffer's layout: a BGR package's channels are swapped on the way in and out.
        shapes: Every allowed shape where a package enumerates them, else empty.
        ranges: (least, most) per axis where sizes may vary freely (most is None without a limit), else empty.
        optional: Whether the input may be left out.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    is_image: bool = False
    color: str = ""
    shapes: tuple[tuple[int, ...], ...] = ()
    ranges: tuple[tuple[int, int | None], ...] = ()
    optional: bool = False

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of `shape` may be given."""
        if self.ranges:
            return len(shape) == len(self.ranges) and all(
                size >= low and (high is None or size <= high)
                for size, (low, high) in zip(shape, self.ranges, strict=True)
            )
        if self.shapes:
            return shape in self.shapes
        return shape == self.shape


class Runner(Protocol):
    """Runs one component.

    Floating-point outputs are float32 arrays as computed: images are (1, 3, H, W) around 0 to 255, neither rounded nor
    clipped beyond what the graph does.
    """

    @property
    def inputs(self) -> dict[str, TensorInfo]:
        """Inputs by name, in declared order."""

    @property
    def outputs(self) -> dict[str, TensorInfo]:
        """Outputs by name, in declared order."""

    def run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Runs once.

        Raises:
            InputError: a missing or unknown name, a wrong shape or element type.
        """


COMPUTE_UNITS = {
    "cpuOnly": "CPU_ONLY",
    "cpuAndGPU": "CPU_AND_GPU",
    "cpuAndNeuralEngine": "CPU_AND_NE",
    "all": "ALL",
}
"""What Core ML may use, and coremltools' names of it."""


def open_runner(
    package_path: Path,
    runtime: str = "mil",
    precision: str = "fp32",
    function: str | None = None,
    compute_units: str = "cpuOnly",
) -> Runner:
    """Opens a .mlpackage to run it.

    Args:
        package_path: The package.
        runtime: "mil", our executor, anywhere; or "coreml", Core ML itself, on macOS.
        precision: "fp32" arithmetic on the stored weights, or "fp16": every result rounded to float16. Core ML decides
            for itself and ignores it.
        function: Function of a multifunction package; None is its default.
        compute_units: Of Core ML: "cpuOnly", "cpuAndGPU", "cpuAndNeuralEngine" or "all".

    Raises:
        InputError: an unknown runtime, precision or compute units, or Core ML elsewhere than on macOS.
        PackageError: the package cannot be read, or uses operations that the executor doesn't know.
    """
    if precision not in ("fp32", "fp16"):
        raise InputError(f"{precision!r} is no precision.", "Choose fp32 or fp16.")
    if compute_units not in COMPUTE_UNITS:
        raise InputError(f"{compute_units!r} are no compute units.", f"Choose one of {', '.join(COMPUTE_UNITS)}.")
    if runtime == "mil":
        from mobie_coreml.runtime.mil.runner import MilRunner

        return MilRunner(Path(package_path), precision="fp16" if precision == "fp16" else "fp32", function=function)
    if runtime == "coreml":
        from mobie_coreml.runtime.coreml_runner import CoreMLRunner

        return CoreMLRunner(Path(package_path), compute_units=compute_units, function=function)
    raise InputError(f"{runtime!r} is no runtime for packages.", "Choose mil or coreml.")
