"""Sensitivity of a model's components: what compressing each tensor to each width does to the component's output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mobie_coreml.analysis.calibration import Calibration, Told, record_inputs
from mobie_coreml.analysis.cases import Cases
from mobie_coreml.analysis.second_order import estimate
from mobie_coreml.analysis.tensors import Palettes, palettes_of, read_layout
from mobie_coreml.ane.components import COMPONENTS, ComponentName, build_component
from mobie_coreml.errors import InputError
from mobie_coreml.manifest import ModelFolder
from mobie_coreml.metrics import rank_correlation
from mobie_coreml.models.checkpoint import Checkpoint, load_checkpoint
from mobie_coreml.parity.record import Record

CHECK_BITS = 4
"""Width at which estimates are compared with measurements."""
_PASSES = 16
"""Of so many backward passes an estimate has a relative standard deviation of a third."""
ROUGH = (
    f"Fewer than {_PASSES} backward passes leave estimates rough, and recipes choose the tensors that look best by "
    "chance: predicted PSNR is too high. Take more --frames or --probes."
)
"""What to say of such estimates."""


@dataclass(frozen=True)
class TensorSensitivity:
    """One tensor.

    Attributes:
        shape: In the checkpoint.
        distinct: Different values it has: a table that holds them all is exact.
        squared_error: By bits, the sum of squared differences of its own values.
        output_error: By bits, what it adds to the component's mean squared error over the squared peak.
    """

    shape: tuple[int, ...]
    distinct: int
    squared_error: Mapping[int, float]
    output_error: Mapping[int, float]


@dataclass(frozen=True)
class Check:
    """Estimates against measurements of single tensors.

    Attributes:
        tensors: How many were measured, at 4 bits.
        rank_correlation: Spearman's, of estimated and measured errors.
    """

    tensors: int
    rank_correlation: float


@dataclass(frozen=True)
class ComponentSensitivity:
    """One component.

    Attributes:
        architecture: Digest of its package's tensors.
        forwards: Forward passes that the estimate took.
        backwards: Backward passes that it took; one costs about as much as two forward passes.
        tensors: By the checkpoint's parameter.
        check: Where one was asked for.
    """

    architecture: str
    forwards: int
    backwards: int
    tensors: Mapping[str, TensorSensitivity]
    check: Check | None = None

    @property
    def rough(self) -> bool:
        """Whether it rests on few backward passes."""
        return self.backwards < _PASSES


@dataclass(frozen=True)
class Sensitivity:
    """A model's.

    Attributes:
        checkpoint: Digest of the checkpoint.
        components: By name.
    """

    checkpoint: str
    components: Mapping[str, ComponentSensitivity]


@dataclass(frozen=True)
class SensitivityOptions:
    """What to take.

    Attributes:
        components: Which.
        calibration: Frames and prompts.
        probes: Random vectors a frame.
        check: Tensors of each component whose error is measured too; 0 for none.
    """

    components: tuple[str, ...] = COMPONENTS
    calibration: Calibration = field(default_factory=Calibration)
    probes: int = 4
    check: int = 0

    def __post_init__(self) -> None:
        unknown = [name for name in self.components if name not in COMPONENTS]
        if unknown:
            raise InputError(f"There is no component {unknown[0]!r}.", f"Components are {', '.join(COMPONENTS)}.")
        if self.probes < 1:
            raise InputError(f"--probes {self.probes} is out of range.", "Give 1 or more.")
        if self.check < 0 or self.check == 1:
            raise InputError(f"--check {self.check} says nothing.", "Give 2 tensors or more, or 0.")

    @property
    def names(self) -> tuple[ComponentName, ...]:
        """The components in running order, each once."""
        return tuple(name for name in COMPONENTS if name in self.components)


def take_sensitivity(
    model: Path, checkpoint: str, options: SensitivityOptions | None = None, *, progress: Told | None = None
) -> Sensitivity:
    """Takes the sensitivity of a model's components.

    Args:
        model: Model folder made by `mobie convert`, palettized or not.
        checkpoint: What it was converted from.
        options: See `SensitivityOptions`.
        progress: Told what is being done.

    Raises:
        InputError: model, checkpoint, frames or prompts are wrong or do not belong together.
        WorkError: a component's output is zero everywhere or not finite.
        PackageError: a package cannot be read, or a weight holds NaN or infinity.
    """
    options = options or SensitivityOptions()
    told = progress or (lambda _: None)
    folder, loaded = ModelFolder.open(model), load_checkpoint(checkpoint)
    packages = {name: folder.package_path(name) for name in options.names}
    records = record_inputs(model, checkpoint, options.names, options.calibration, told)
    components: dict[str, ComponentSensitivity] = {
        name: _component(name, packages[name], loaded, folder.manifest.frame_size, records.pop(name), options, told)
        for name in options.names
    }
    return Sensitivity(loaded.digest, components)


def _component(
    name: ComponentName,
    package: Path,
    checkpoint: Checkpoint,
    size: tuple[int, int],
    records: Sequence[Record],
    options: SensitivityOptions,
    told: Told,
) -> ComponentSensitivity:
    component = build_component(name, checkpoint, size=size, attention="original")
    layout = read_layout(package, component)
    tensors = palettes_of(component, layout, told)
    cases = Cases(component, records)
    errors = estimate(cases, tensors, options.probes, options.calibration.seed, told)
    forwards, backwards = cases.forwards, cases.backwards
    return ComponentSensitivity(
        architecture=layout.architecture,
        forwards=forwards,
        backwards=backwards,
        tensors={
            tensor.parameter: TensorSensitivity(
                shape=tensor.shape,
                distinct=tensor.distinct,
                squared_error={bits: palette.squared_error for bits, palette in tensor.by_bits.items()},
                output_error=found,
            )
            for tensor, found in zip(tensors, errors, strict=True)
        },
        check=_check(cases, tensors, errors, options, told) if options.check else None,
    )


def _check(
    cases: Cases,
    tensors: Sequence[Palettes],
    errors: Sequence[Mapping[int, float]],
    options: SensitivityOptions,
    told: Told,
) -> Check | None:
    """Measures some of the tensors that palettes change, drawn at random; None where there are fewer than two."""
    changed = [index for index, tensor in enumerate(tensors) if tensor.by_bits[CHECK_BITS].squared_error]
    drawn = np.random.default_rng(options.calibration.seed).permutation(changed)[: options.check]
    if len(drawn) < 2:
        return None
    measured: list[float] = []
    for index in drawn:
        told(f"{cases.component.name}: measuring tensor {len(measured) + 1} of {len(drawn)}")
        measured.append(cases.error(tensors, {tensors[index].parameter: CHECK_BITS}))
    return Check(len(drawn), rank_correlation([errors[index][CHECK_BITS] for index in drawn], measured))
