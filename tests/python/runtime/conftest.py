"""Builds small programs with coremltools and runs them with our executor."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, settings

with contextlib.redirect_stderr(io.StringIO()):
    import coremltools as ct
    from coremltools.converters.mil import Builder
    from coremltools.converters.mil.mil import types

mb = Builder
logging.getLogger("coremltools").setLevel(logging.ERROR)
# coremltools collects garbage at every conversion; what is imported stays and need not be searched each time.
gc.freeze()

# An example takes a conversion: searching for a smaller one that fails too would take minutes.
settings.register_profile("programs", phases=[Phase.explicit, Phase.generate], deadline=None, derandomize=True)
settings.load_profile("programs")

OPSETS = {"iOS15": ct.target.iOS15, "iOS16": ct.target.iOS16, "iOS17": ct.target.iOS17, "iOS18": ct.target.iOS18}
_TYPES = {
    np.dtype("float32"): types.fp32,
    np.dtype("float16"): types.fp16,
    np.dtype("int32"): types.int32,
    np.dtype("bool"): types.bool,
}


def convert(program: Any, opset: str, **options: Any) -> Any:
    """An MLModel of a pymil program as it stands: nothing folded, nothing cast."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        return ct.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target=OPSETS[opset],
            compute_precision=ct.precision.FLOAT32,
            pass_pipeline=options.pop("pass_pipeline", ct.PassPipeline.EMPTY),
            skip_model_load=True,
            **options,
        )


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`build(function, inputs, opset)` saves a package of a function of pymil values; inputs give shapes and types."""
    folder = tmp_path_factory.mktemp("packages")
    count = 0

    def make(
        function: Callable[..., Any], inputs: Mapping[str, np.ndarray], opset: str = "iOS17", **options: Any
    ) -> Path:
        nonlocal count
        specs = [mb.TensorSpec(array.shape, _TYPES[array.dtype]) for array in inputs.values()]
        # coremltools reads the names of the arguments.
        named = eval(f"lambda {', '.join(inputs)}: function({', '.join(inputs)})", {"function": function})
        program = mb.program(input_specs=specs, opset_version=OPSETS[opset])(named)
        count += 1
        path = folder / f"{count}.mlpackage"
        convert(program, opset, **options).save(str(path))
        return path

    return make


@pytest.fixture(scope="session")
def execute(build: Callable[..., Path]) -> Callable[..., list[np.ndarray]]:
    """Builds a program, runs it with our executor and gives its outputs in order."""
    from mobie_coreml.runtime.mil.program import MilProgram

    def run(
        function: Callable[..., Any],
        inputs: Mapping[str, np.ndarray],
        opset: str = "iOS17",
        precision: str = "fp32",
        **options: Any,
    ) -> list[np.ndarray]:
        program = MilProgram.load(build(function, inputs, opset, **options), precision=precision)
        return list(program.run(inputs).values())

    return run


@dataclass
class Case:
    """One operation on example inputs; `expected` None means what coremltools' own value inference gives.

    Inputs are made from `seed` where only shapes are given.
    """

    function: Callable[..., Any]
    inputs: Sequence[np.ndarray]
    expected: Any = None
    tolerance: float = 1e-5
    label: str = ""


def inferred(cases: Sequence[Case], opset: str) -> list[list[np.ndarray]]:
    """What coremltools computes for the cases while it builds a program of constants."""
    values: list[list[np.ndarray]] = []

    @mb.program(input_specs=[mb.TensorSpec((1,), types.fp32)], opset_version=OPSETS[opset])
    def program(unused: Any) -> Any:
        for case in cases:
            results = case.function(*(mb.const(val=array) for array in case.inputs))
            results = results if isinstance(results, tuple | list) else (results,)
            assert all(result.val is not None for result in results), f"{case.label}: coremltools infers no value"
            values.append([np.asarray(result.val) for result in results])
        return mb.identity(x=unused)

    return values


@pytest.fixture(scope="session")
def check(execute: Callable[..., list[np.ndarray]]) -> Callable[..., None]:
    """`check(cases, opset)` runs all cases in one program and compares each with what is expected of it."""

    def run(cases: Sequence[Case], opset: str = "iOS17", precision: str = "fp32") -> None:
        flat = {f"c{i}_{j}": array for i, case in enumerate(cases) for j, array in enumerate(case.inputs)}
        counts: list[int] = []

        def everything(*values: Any) -> tuple[Any, ...]:
            outputs: list[Any] = []
            counts.clear()
            rest = list(values)
            for case in cases:
                taken, rest = rest[: len(case.inputs)], rest[len(case.inputs) :]
                results = case.function(*taken)
                results = list(results) if isinstance(results, tuple | list) else [results]
                outputs += results
                counts.append(len(results))
            return tuple(outputs)

        outputs = execute(everything, flat, opset, precision)
        missing = [case for case in cases if case.expected is None]
        reference = iter(inferred(missing, opset) if missing else [])
        for case, count in zip(cases, counts, strict=True):
            computed, outputs = outputs[:count], outputs[count:]
            expected = next(reference) if case.expected is None else case.expected
            expected = expected if isinstance(expected, list | tuple) else [expected]
            assert len(computed) == len(expected)
            for mine, theirs in zip(computed, expected, strict=True):
                # Core ML has no boolean outputs: coremltools adds a cast to fp32.
                theirs = np.asarray(theirs)
                theirs = theirs.astype(np.float32) if theirs.dtype == bool else theirs
                assert mine.shape == theirs.shape, f"{case.label}: shape {mine.shape} instead of {theirs.shape}"
                assert (mine.dtype.kind == "f") == (theirs.dtype.kind == "f"), f"{case.label}: {mine.dtype}"
                scale = max(1.0, float(np.nanmax(np.abs(np.where(np.isfinite(theirs), theirs, 0)), initial=0)))
                np.testing.assert_allclose(
                    mine, theirs, rtol=case.tolerance, atol=case.tolerance * scale, err_msg=case.label
                )

    return run


@pytest.fixture(scope="session")
def make_case() -> type[Case]:
    """The class of cases, for `check`."""
    return Case
