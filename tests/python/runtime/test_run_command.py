"""`mobie run`, `mobie doctor`, checked inputs, and the other two runners."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder
from PIL import Image

from mobie_coreml.cli.main import main
from mobie_coreml.errors import InputError, WorkError
from mobie_coreml.runtime import TensorInfo, coreml_runner, doctor, open_runner
from mobie_coreml.runtime.features import check_inputs, random_inputs
from mobie_coreml.runtime.run_once import read_arrays, run_once
from mobie_coreml.runtime.torch_runner import TorchRunner
from palettization.errors import PackageError

mb = Builder
X = np.array([[1.0, -2.0, 3.0]], np.float32)


@pytest.fixture(scope="module")
def package(build: Callable[..., Path]) -> Path:
    return build(lambda x: mb.relu(x=x, name="y"), {"x": X})


def test_run_writes_what_comes_out(package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "x.npz", x=X)
    arguments = ["run", str(package), "--input", str(tmp_path / "x.npz"), "--output", str(tmp_path / "y.npz")]
    assert main(arguments) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "y.npz")["y"], np.maximum(X, 0))
    shown = capsys.readouterr()
    assert "1 x 3" in shown.out
    assert main(arguments) == 2
    assert "--force" in capsys.readouterr().err
    assert main([*arguments, "--force"]) == 0


def test_run_prints_json_alone(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(package), "--random", "3", "--precision", "fp16", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["precision"] == "fp16"
    (output,) = report["outputs"]
    assert (output["name"], output["shape"], output["not_finite"]) == ("y", [1, 3], 0)
    assert output["minimum"] >= 0


@pytest.mark.parametrize(
    ("model", "component", "options", "message"),
    [
        ("{package}", None, {}, "needs inputs"),
        ("{package}", None, {"seed": 1, "inputs": "{folder}/x.npz"}, "needs inputs"),
        ("{package}", None, {"seed": -1}, "negative"),
        ("{package}", "Denoiser", {"seed": 1}, "is a package by itself"),
        ("{package}", None, {"seed": 1, "precision": "fp8"}, "no precision"),
        ("{package}", None, {"seed": 1, "runtime": "onnx"}, "no runtime"),
        ("{package}", None, {"seed": 1, "compute_units": "gpu"}, "no compute units"),
        ("{package}", None, {"seed": 1, "function": "other"}, "no function 'other'"),
        ("{package}", None, {"seed": 1, "output": "{folder}/y.txt"}, "does not end in .npz"),
        ("{package}", None, {"seed": 1, "output": "{folder}/x.npz"}, "exists already"),
        ("{package}", None, {"inputs": "{folder}/none.npz"}, "does not exist"),
        ("{package}", None, {"inputs": "{folder}/text.npz"}, "cannot be read"),
        ("{package}", None, {"inputs": "{folder}/wrong.npz"}, "unknown: z"),
        ("{folder}/none", None, {"seed": 1}, "does not exist"),
        ("{folder}", "Denoiser", {"seed": 1}, "mobie.json"),
    ],
)
def test_run_refuses(
    package: Path, tmp_path: Path, model: str, component: str | None, options: dict[str, Any], message: str
) -> None:
    np.savez(tmp_path / "x.npz", x=X)
    np.savez(tmp_path / "wrong.npz", z=X)
    (tmp_path / "text.npz").write_text("hello")
    before = sorted(tmp_path.iterdir())

    def place(text: str) -> Path:
        return Path(text.format(package=package, folder=tmp_path))

    options = {name: place(value) if name in ("inputs", "output") else value for name, value in options.items()}
    with pytest.raises((InputError, PackageError), match=message) as caught:
        run_once(place(model), component, **options)
    assert caught.value.exit_code == 2
    assert caught.value.hint
    assert sorted(tmp_path.iterdir()) == before


def test_arrays_are_plain(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", X)
    with pytest.raises(InputError, match="without a name"):
        read_arrays(tmp_path / "one.npy")
    np.savez(tmp_path / "objects.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="cannot be read"):
        read_arrays(tmp_path / "objects.npz")


FLOATS = TensorInfo("x", (1, 3), "float16")
INTEGERS = TensorInfo("i", (2,), "int32")
IMAGE = TensorInfo("frame", (1, 3, 4, 5), "float32", True, "RGB")


def test_inputs_of_any_width_are_taken() -> None:
    for dtype in (np.float16, np.float32, np.float64, np.int64, np.uint8):
        array = check_inputs({"x": FLOATS}, {"x": np.ones((1, 3), dtype)})["x"]
        assert (array.dtype, array.sum()) == (np.float32, 3)
    assert check_inputs({"i": INTEGERS}, {"i": [1, 2]})["i"].dtype == np.int32


@pytest.mark.parametrize(
    ("info", "value", "message"),
    [
        (FLOATS, np.zeros((3, 1), np.float32), "shape"),
        (FLOATS, np.array([["a", "b", "c"]]), "holds <U1"),
        (FLOATS, np.zeros((1, 3), np.complex64), "holds complex64"),
        (INTEGERS, np.zeros(2, np.float32), "holds float32"),
        (INTEGERS, np.array([1, 1 << 40]), "don't fit into int32"),
        (IMAGE, np.zeros((1, 4, 5, 3), np.float32), r"takes \[1, 3, 4, 5\]|shape"),
    ],
)
def test_inputs_that_dont_fit(info: TensorInfo, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_inputs({info.name: info}, {info.name: value})


def test_random_inputs_follow_their_seed() -> None:
    infos = {info.name: info for info in (FLOATS, INTEGERS, IMAGE)}
    first, second, other = (random_inputs(infos, seed) for seed in (1, 1, 2))
    for name, info in infos.items():
        np.testing.assert_array_equal(first[name], second[name])
        assert first[name].shape == info.shape
    assert not np.array_equal(first["frame"], other["frame"])
    assert first["frame"].min() >= 0
    assert first["frame"].max() <= 255
    check_inputs(infos, first)


class FakeModel:
    """Stands in for coremltools' MLModel: adds 1 to arrays and passes pictures through."""

    def __init__(self, path: str, compute_units: str, **options: Any) -> None:
        if "broken" in path:
            raise RuntimeError("no such model")
        self.units = compute_units
        self.given: dict[str, Any] = {}

    def predict(self, inputs: dict[str, Any]) -> dict[str, Any]:
        self.given = inputs
        if "x" in inputs and np.isnan(inputs["x"]).any():
            raise RuntimeError("not a number")
        return {"y": inputs["x"] + 1} if "x" in inputs else {"edited": inputs["frame"]}


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = types.SimpleNamespace(
        ComputeUnit=types.SimpleNamespace(CPU_ONLY="cpu", CPU_AND_NE="ne", CPU_AND_GPU="gpu", ALL="all"),
        models=types.SimpleNamespace(MLModel=FakeModel),
    )
    monkeypatch.setitem(sys.modules, "coremltools", fake)
    monkeypatch.setattr(coreml_runner.platform, "system", lambda: "Darwin")


def test_core_ml_elsewhere_says_what_to_do(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coreml_runner.platform, "system", lambda: "Linux")
    with pytest.raises(InputError, match="macOS only") as caught:
        open_runner(package, "coreml")
    assert "mil" in caught.value.hint


@pytest.mark.usefixtures("mac")
def test_core_ml_runner(package: Path) -> None:
    runner = open_runner(package, "coreml", compute_units="cpuAndNeuralEngine")
    assert list(runner.inputs) == ["x"]
    np.testing.assert_array_equal(runner.run({"x": X})["y"], X + 1)
    with pytest.raises(InputError, match="missing: x"):
        runner.run({})
    with pytest.raises(WorkError, match="not a number"):
        runner.run({"x": X * np.nan})
    with pytest.raises(InputError, match="no compute units"):
        open_runner(package, "coreml", compute_units="quantum")


@pytest.mark.usefixtures("mac")
def test_core_ml_gives_pictures_as_pixels(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = coreml_runner.CoreMLRunner(package)
    monkeypatch.setattr(runner, "_inputs", {"frame": IMAGE})
    monkeypatch.setattr(runner, "_outputs", {"edited": TensorInfo("edited", IMAGE.shape, "float32", True, "RGB")})
    frame = np.random.default_rng(70).uniform(-20, 280, IMAGE.shape).astype(np.float32)
    edited = runner.run({"frame": frame})["edited"]
    np.testing.assert_array_equal(edited, np.clip(np.rint(frame), 0, 255))
    picture = coreml_runner.to_picture(frame)
    assert (picture.size, picture.mode) == ((5, 4), "RGB")
    assert picture.getpixel((4, 0)) == tuple(edited[0, :, 0, 4])
    gray = coreml_runner.to_picture(frame[:, :1])
    np.testing.assert_array_equal(coreml_runner.from_picture(gray), edited[:, :1])
    transparent = Image.new("RGBA", (2, 1), (1, 2, 3, 0))
    assert coreml_runner.from_picture(transparent)[0, :, 0, 0].tolist() == [1, 2, 3]


def test_torch_runner_passes_arrays_in_order() -> None:
    class Module(torch.nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return a - b, a * 2

    spec = lambda name, dtype: types.SimpleNamespace(name=name, shape=(1, 2), dtype=dtype)  # noqa: E731
    component: Any = types.SimpleNamespace(
        name="Pair",
        module=Module(),
        inputs=(spec("a", "float16"), spec("b", "float32")),
        outputs=(spec("difference", "float16"), spec("double", "float16")),
    )
    runner = TorchRunner(component)
    outputs = runner.run({"b": np.array([[1, 1]], np.float32), "a": np.array([[5, 7]], np.float16)})
    np.testing.assert_array_equal(outputs["difference"], [[4, 6]])
    np.testing.assert_array_equal(outputs["double"], [[10, 14]])
    with pytest.raises(InputError, match="unknown: c"):
        runner.run({"a": X[:, :2], "b": X[:, :2], "c": X})
    component.outputs = component.outputs[:1]
    with pytest.raises(WorkError, match="gives 2 outputs but declares 1"):
        TorchRunner(component).run({"a": X[:, :2], "b": X[:, :2]})


def test_doctor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "torch" in shown
    assert "Core ML" in shown
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["healthy"]
    assert report["versions"]["torch"] == torch.__version__
    versions = dict(doctor.diagnose().versions)
    monkeypatch.setattr(doctor, "_version", lambda name: None if name in ("torch", "accelerate") else versions[name])
    assert main(["doctor", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    training = next(ability for ability in report["abilities"] if ability["name"] == "train")
    assert not training["available"]
    assert "mobie-coreml[train]" in training["remedy"]
