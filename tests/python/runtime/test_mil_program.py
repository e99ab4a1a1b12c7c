"""Arithmetic modes, observation, control flow, states, classifiers, functions, images and flexible shapes."""

from __future__ import annotations

import contextlib
import io
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder

from mobie_coreml.errors import InputError
from mobie_coreml.runtime import open_runner
from mobie_coreml.runtime.mil.program import MilProgram

mb = Builder
Execute = Callable[..., list[np.ndarray]]


def quiet(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


def from_torch(module: torch.nn.Module, example: torch.Tensor, path: Path, **options: Any) -> Path:
    traced = quiet(torch.jit.trace, module.eval(), example)
    options = {"minimum_deployment_target": ct.target.iOS17, "skip_model_load": True} | options
    quiet(ct.convert, traced, convert_to="mlprogram", **options).save(str(path))
    return path


def test_fp16_mode_rounds_results_and_keeps_fp32_values(execute: Execute) -> None:
    x = np.array([[1.0, 1 / 3, 300.0, 65000.0]], np.float32)

    def network(x: Any) -> Any:
        half = mb.cast(x=x, dtype="fp16")
        square = mb.cast(x=mb.square(x=half), dtype="fp32")
        third = mb.cast(x=mb.mul(x=half, y=np.float16(1 / 3)), dtype="fp32")
        return mb.mul(x=x, y=np.float32(1 / 3)), square, third

    whole, square, third = execute(network, {"x": x}, precision="fp32")
    np.testing.assert_allclose(square, x * x, rtol=1e-6)
    plain, rounded, product = execute(network, {"x": x}, precision="fp16")
    np.testing.assert_array_equal(plain, whole)
    half = x.astype(np.float16)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(rounded, (half * half).astype(np.float32))
        np.testing.assert_array_equal(product, (half * np.float16(1 / 3)).astype(np.float32))
    assert np.isinf(rounded[0, 2:]).all()
    assert not np.array_equal(third, product)


def test_fp16_mode_adds_up_in_fp32(execute: Execute) -> None:
    """4096 ones and 4096 times 0.1: a float16 sum would stop at 2048."""
    x = np.concatenate([np.ones(4096), np.full(4096, 0.1)]).astype(np.float32)[None]
    function = lambda x: mb.cast(x=mb.reduce_mean(x=mb.cast(x=x, dtype="fp16"), axes=[1]), dtype="fp32")  # noqa: E731
    (mean,) = execute(function, {"x": x}, precision="fp16")
    expected = x.astype(np.float16).astype(np.float32).mean().astype(np.float16)
    np.testing.assert_array_equal(mean, [np.float32(expected)])


def branches(x: Any, n: Any) -> Any:
    many = mb.greater(x=mb.squeeze(x=n), y=np.int32(3))
    start = mb.cond(
        pred=many,
        _true_fn=lambda: mb.add(x=x, y=np.float32(1)),
        _false_fn=lambda: mb.mul(x=x, y=np.float32(2)),
    )
    _, total = mb.while_loop(
        _cond=lambda i, total: mb.less(x=i, y=np.int32(5)),
        _body=lambda i, total: (mb.add(x=i, y=np.int32(1)), mb.add(x=total, y=x)),
        loop_vars=(np.int32(0), start),
    )
    return total


@pytest.mark.parametrize("count", [2, 4])
def test_branches_and_loops(execute: Execute, count: int) -> None:
    x = np.array([[1.0, -2.0, 0.5]], np.float32)
    (total,) = execute(branches, {"x": x, "n": np.array([count], np.int32)})
    np.testing.assert_allclose(total, (x + 1 if count > 3 else 2 * x) + 5 * x)


def test_every_value_is_observed_and_may_be_replaced(build: Callable[..., Path]) -> None:
    x = np.array([[1.0, -2.0, 3.0]], np.float32)

    def network(x: Any) -> Any:
        low, high = mb.split(x=mb.relu(x=x, name="positive"), split_sizes=[1, 2], axis=1, name="parts")
        return mb.add(x=mb.reduce_sum(x=high, axes=[1], keep_dims=True), y=low, name="total")

    program = MilProgram.load(build(network, {"x": x}))
    seen: list[tuple[int, str, str]] = []
    values: dict[str, np.ndarray] = {}

    def watch(index: int, kind: str, name: str, value: torch.Tensor) -> None:
        seen.append((index, kind, name))
        values[name] = value.numpy().copy()

    (plain,) = program.run({"x": x}, watch).values()
    assert seen == [(info.index, info.type, name) for info in program.operations for name in info.outputs]
    assert [info.type for info in program.operations] == ["relu", "split", "reduce_sum", "add"]
    assert program.operations[0].inputs["x"] == ("x",)
    np.testing.assert_array_equal(values["positive"], np.maximum(x, 0))
    np.testing.assert_array_equal(plain, [[4.0]])
    (changed,) = program.run({"x": x}, lambda i, k, name, v: v * 10 if name == "positive" else None).values()
    np.testing.assert_array_equal(changed, [[40.0]])
    (again,) = program.run({"x": x}).values()
    np.testing.assert_array_equal(again, plain)


def test_values_are_freed_after_their_last_use(build: Callable[..., Path]) -> None:
    def network(x: Any) -> Any:
        early = mb.exp(x=x, name="early")
        late = mb.relu(x=x, name="late")
        for _ in range(3):
            early = mb.sin(x=early)
        return mb.add(x=early, y=late, name="sum")

    x = np.ones((4, 4), np.float32)
    program = MilProgram.load(build(network, {"x": x}))
    alive: list[tuple[str, weakref.ref[torch.Tensor]]] = []
    held: dict[str, set[str]] = {}

    def watch(index: int, kind: str, name: str, value: torch.Tensor) -> None:
        held[name] = {other for other, reference in alive if reference() is not None}
        alive.append((name, weakref.ref(value)))

    program.run({"x": x}, watch)
    names = [name for name, _ in alive]
    assert names[:2] == ["early", "late"]
    # While a step runs, its arguments are there, and whatever a later step needs.
    assert held["sum"] == {"late", names[4]}
    assert held[names[4]] == {"late", names[3]}


def test_outputs_and_inputs_share_no_memory(build: Callable[..., Path]) -> None:
    x = np.zeros((2, 3), np.float32)
    (output,) = MilProgram.load(build(lambda x: mb.identity(x=x), {"x": x})).run({"x": x}).values()
    output += 1
    assert not x.any()


class Counter(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(3, dtype=torch.float16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.total.add_(x)
        return self.total * 2


def test_states_live_from_run_to_run(tmp_path: Path) -> None:
    path = from_torch(
        Counter(),
        torch.zeros(3, dtype=torch.float16),
        tmp_path / "counter.mlpackage",
        inputs=[ct.TensorType("x", shape=(3,), dtype=np.float16)],
        outputs=[ct.TensorType("y", dtype=np.float16)],
        states=[ct.StateType(ct.TensorType(shape=(3,), dtype=np.float16), name="total")],
        minimum_deployment_target=ct.target.iOS18,
    )
    program = MilProgram.load(path)
    x = {"x": np.array([1, 2, 3], np.float16)}
    np.testing.assert_array_equal(program.run(x)["y"], [2, 4, 6])
    np.testing.assert_array_equal(program.run(x)["y"], [4, 8, 12])
    mine = program.new_state()
    np.testing.assert_array_equal(program.run(x, state=mine)["y"], [2, 4, 6])
    np.testing.assert_array_equal(mine["total"], [1, 2, 3])
    program.reset_state()
    np.testing.assert_array_equal(program.run(x)["y"], [2, 4, 6])


@pytest.mark.parametrize("labels", [["cat", "dog", "owl"], [7, 8, 9]])
def test_a_classifier_names_its_class(tmp_path: Path, labels: list[Any]) -> None:
    path = from_torch(
        torch.nn.Softmax(-1),
        torch.zeros(1, 3),
        tmp_path / "classifier.mlpackage",
        inputs=[ct.TensorType("x", shape=(1, 3))],
        classifier_config=ct.ClassifierConfig(labels),
    )
    runner = open_runner(path)
    outputs = runner.run({"x": np.array([[0.0, 2.0, 1.0]], np.float32)})
    assert set(outputs) == set(runner.outputs)
    assert outputs["classLabel"].item() == labels[1]
    (probabilities,) = (array for name, array in outputs.items() if name != "classLabel")
    np.testing.assert_allclose(probabilities.sum(), 1, atol=1e-3)


def test_functions_of_a_package(build: Callable[..., Path], tmp_path: Path) -> None:
    x = np.array([[1.0, -2.0]], np.float32)
    one, other = (build(lambda x, n=name: getattr(mb, n)(x=x, name="y"), {"x": x}, "iOS18") for name in ("relu", "abs"))
    description = ct.utils.MultiFunctionDescriptor()
    description.add_function(str(one), src_function_name="main", target_function_name="clip")
    description.add_function(str(other), src_function_name="main", target_function_name="mirror")
    description.default_function_name = "clip"
    path = tmp_path / "both.mlpackage"
    quiet(ct.utils.save_multifunction, description, str(path))
    np.testing.assert_array_equal(open_runner(path).run({"x": x})["y"], [[1, 0]])
    np.testing.assert_array_equal(open_runner(path, function="mirror").run({"x": x})["y"], [[1, 2]])


@pytest.mark.parametrize("layout", ["RGB", "BGR", "GRAYSCALE"])
def test_images(tmp_path: Path, layout: str) -> None:
    """Arrays hold R, G, B whatever the pixel buffer's layout; the network halves its first channel."""

    class Half(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([x[:, :1] / 2, x[:, 1:]], 1) if x.shape[1] > 1 else x / 2

    channels = 1 if layout == "GRAYSCALE" else 3
    color = getattr(ct.colorlayout, layout)
    path = from_torch(
        Half(),
        torch.zeros(1, channels, 4, 6),
        tmp_path / "half.mlpackage",
        inputs=[ct.ImageType("frame", shape=(1, channels, 4, 6), color_layout=color)],
        outputs=[ct.ImageType("edited", color_layout=color)],
    )
    runner = open_runner(path)
    info = runner.inputs["frame"]
    assert (info.is_image, info.shape) == (True, (1, channels, 4, 6))
    frame = np.random.default_rng(60).uniform(0, 255, info.shape).astype(np.float32)
    expected = frame.copy()
    expected[:, 2 if layout == "BGR" else 0] /= 2
    np.testing.assert_allclose(runner.run({"frame": frame})["edited"], expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["enumerated", "range"])
def test_flexible_shapes(tmp_path: Path, kind: str) -> None:
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, stride=2, padding=1), torch.nn.ReLU(), torch.nn.Upsample(scale_factor=2)
    )
    if kind == "enumerated":
        shape = ct.EnumeratedShapes([(1, 3, 8, 8), (1, 3, 12, 16)], default=(1, 3, 8, 8))
    else:
        shape = ct.Shape((1, 3, ct.RangeDim(4, 20, 8), ct.RangeDim(4, 20, 8)))
    path = from_torch(
        module,
        torch.zeros(1, 3, 8, 8),
        tmp_path / f"{kind}.mlpackage",
        inputs=[ct.TensorType("x", shape=shape)],
        outputs=[ct.TensorType("y")],
        compute_precision=ct.precision.FLOAT32,
    )
    runner = open_runner(path)
    for size in [(8, 8), (12, 16)]:
        x = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            np.testing.assert_allclose(runner.run({"x": x.numpy()})["y"], module(x).numpy(), atol=1e-5)
    with pytest.raises(InputError, match="doesn't take"):
        runner.run({"x": np.zeros((1, 3, 24, 24), np.float32)})


def test_a_missing_optional_input_has_its_default(tmp_path: Path) -> None:
    class Sum(torch.nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return x + y

    traced = quiet(torch.jit.trace, Sum(), (torch.zeros(1, 2), torch.zeros(1, 2)))
    model = quiet(
        ct.convert,
        traced,
        inputs=[
            ct.TensorType("x", shape=(1, 2)),
            ct.TensorType("y", shape=(1, 2), default_value=np.full((1, 2), 3.0, np.float32)),
        ],
        outputs=[ct.TensorType("z")],
        convert_to="mlprogram",
        minimum_deployment_target=ct.target.iOS17,
        skip_model_load=True,
    )
    model.save(str(tmp_path / "sum.mlpackage"))
    runner = open_runner(tmp_path / "sum.mlpackage")
    np.testing.assert_array_equal(runner.run({"x": np.ones((1, 2), np.float32)})["z"], [[4, 4]])


def test_programs_name_what_doesnt_fit(build: Callable[..., Path]) -> None:
    program = MilProgram.load(build(lambda x: mb.relu(x=x), {"x": np.zeros((2, 3), np.float32)}))
    with pytest.raises(InputError, match="missing: x"):
        program.run({})
    with pytest.raises(InputError, match=r"has shape \[3, 2\]"):
        program.run({"x": np.zeros((3, 2), np.float32)})
