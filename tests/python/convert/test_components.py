"""Whole components: valid packages, the same numbers as PyTorch, the same bytes every time."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mobie_coreml.ane import norms
from mobie_coreml.ane.attention import ATTENTION_FORMS
from mobie_coreml.ane.components import COMPONENTS, Component, build_component
from mobie_coreml.convert.component import component_graph, convert_component
from mobie_coreml.convert.features import SPECIFICATION_VERSIONS, TARGETS, Metadata, new_spec
from mobie_coreml.errors import InputError, WorkError
from mobie_coreml.models.checkpoint import Checkpoint
from mobie_coreml.runtime.base import open_runner
from palettization.package import Package, constants_of, proto


def inputs_of(component: Component, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs in the ranges that the component documents."""
    rng = np.random.default_rng(seed)
    made: dict[str, np.ndarray] = {}
    for spec in component.inputs:
        if spec.dtype == "int32":
            made[spec.name] = rng.integers(0, int(spec.maximum or 1), spec.shape, dtype=np.int32)
        elif spec.maximum is not None:
            low, high = float(spec.minimum or 0), float(spec.maximum)
            made[spec.name] = np.floor(rng.uniform(low, high, spec.shape)).astype(np.float32)
        else:
            made[spec.name] = rng.standard_normal(spec.shape).astype(np.float16).astype(np.float32)
    return made


def psnr(reference: np.ndarray, result: np.ndarray) -> float:
    """In dB, peak = max |reference|."""
    error = float(np.mean((reference.astype(np.float64) - result.astype(np.float64)) ** 2))
    return float(10 * np.log10(np.abs(reference).max() ** 2 / error)) if error else np.inf


# Components without attention are the same in every form; of the others, one form meets each target.
CASES = [
    *[(name, target, "original") for name in COMPONENTS for target in TARGETS],
    *[(name, "iOS17", form) for name in ("TextEncoder", "Denoiser") for form in ATTENTION_FORMS[1:]],
]


@pytest.mark.parametrize(("name", "target", "attention"), CASES)
def test_packages_are_valid_and_agree_with_pytorch(
    small_checkpoint: Checkpoint,
    strict_check: Callable[[Path], Any],
    tmp_path: Path,
    name: str,
    target: str,
    attention: str,
) -> None:
    component = build_component(name, small_checkpoint, attention=attention, materialise=False)
    path = tmp_path / f"{name}.mlpackage"
    convert_component(component, path, target)
    strict_check(path)

    reference = build_component(name, small_checkpoint, attention="original", materialise=True)
    inputs = inputs_of(component)
    arguments = [torch.from_numpy(inputs[spec.name]) for spec in component.inputs]
    with torch.no_grad():
        expected = reference.module(*arguments)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for precision, least in (("fp32", 60.0), ("fp16", 45.0)):
        results = open_runner(path, "mil", precision).run(inputs)
        for spec, tensor in zip(component.outputs, expected, strict=True):
            assert results[spec.name].shape == spec.shape
            assert psnr(tensor.numpy(), results[spec.name]) > least, f"{spec.name} in {precision}"


def kinds(operations: Iterable[Any]) -> Counter[str]:
    """Operations by kind; those that say the same thing in two ways count as one kind."""
    same = {"real_div": "mul", "inverse": "mul", "clip": "maximum", "expand_dims": "reshape", "squeeze": "reshape"}
    return Counter(same.get(item.type, item.type) for item in operations if item.type != "const")


@pytest.mark.parametrize("name", ["Encoder", "Decoder", pytest.param("Denoiser", marks=pytest.mark.slow)])
def test_coremltools_own_conversion_has_the_same_operations(
    small_checkpoint: Checkpoint, coremltools: ModuleType, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What coremltools makes of the same module, known differences aside: ours has fewer transposes (norms stay where
    they are), and keeps the scale of attention's queries as an operation, which theirs folds into the projection."""

    def layer_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> torch.Tensor:
        # coremltools does not know our operator.
        return F.layer_norm(x.movedim(1, -1), weight.shape, weight, bias, eps).movedim(-1, 1)

    monkeypatch.setattr(norms, "channel_layer_norm", layer_norm)
    component = build_component(name, small_checkpoint, attention="split-einsum")
    ours = kinds(component_graph(component, "iOS17").operations)
    program = torch.export.export(component.module, component.example_inputs()).run_decompositions({})

    def described(spec: Any, *, is_input: bool) -> Any:
        shape = {"shape": spec.shape} if is_input else {}
        if spec.dtype == "image":
            return coremltools.ImageType(name=spec.name, color_layout=coremltools.colorlayout.RGB, **shape)
        return coremltools.TensorType(name=spec.name, dtype=np.float16, **shape)

    model = coremltools.convert(
        program,
        inputs=[described(spec, is_input=True) for spec in component.inputs],
        outputs=[described(spec, is_input=False) for spec in component.outputs],
        minimum_deployment_target=coremltools.target.iOS17,
        skip_model_load=True,
    )
    spec = model.get_spec()
    block = spec.mlProgram.functions["main"].block_specializations["CoreML7"]
    theirs = kinds(block.operations)
    assert ours.pop("transpose", 0) <= theirs.pop("transpose", 0)
    attentions = sum(path.endswith(("attn1", "attn2")) for path, _ in component.module.named_modules())
    assert ours.pop("mul", 0) - theirs.pop("mul", 0) == attentions
    assert ours == theirs

    # The description of inputs and outputs is theirs, texts aside.
    mine = new_spec(component.inputs, component.outputs, Metadata(), "iOS17").description
    for side in ("input", "output"):
        for own, other in zip(getattr(mine, side), getattr(spec.description, side), strict=True):
            own.shortDescription = ""
            assert own == other
    assert spec.specificationVersion == SPECIFICATION_VERSIONS["iOS17"]


def test_image_ports_are_coremltools(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Images enter as fp32 and are cast to fp16, and leave as fp32: as coremltools writes `ImageType`."""
    convert_component(build_component("Encoder", small_checkpoint, materialise=False), tmp_path / "e.mlpackage")
    convert_component(build_component("Decoder", small_checkpoint, materialise=False), tmp_path / "d.mlpackage")
    with Package.open(tmp_path / "e.mlpackage") as encoder, Package.open(tmp_path / "d.mlpackage") as decoder:
        first = next(item.operation for item in encoder.walk() if item.operation.type == "cast")
        last = [item.operation for item in decoder.walk()][-1]
    fp32 = proto().MIL_pb2.FLOAT32
    assert [binding.name for binding in first.inputs["x"].arguments] == ["frame"]
    assert encoder.program.functions["main"].inputs[0].type.tensorType.dataType == fp32
    assert last.type == "cast"
    assert (last.outputs[0].name, last.outputs[0].type.tensorType.dataType) == ("edited_frame", fp32)


def test_the_conditioner_keeps_its_tables_in_fp32_and_its_weights_in_fp16(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    convert_component(build_component("Conditioner", small_checkpoint, materialise=False), tmp_path / "c.mlpackage")
    with Package.open(tmp_path / "c.mlpackage") as package:
        stored = {
            item.operation.outputs[0].name: (item.operation.type, value.type.tensorType)
            for item in package.walk()
            for _, value in constants_of(item.operation)
            if value.WhichOneof("value") == "blobFileValue"
        }
    mil = proto().MIL_pb2
    tables = {"frequencies", "x0_scales"}
    assert tables < stored.keys()
    for name, (kind, tensor) in stored.items():
        plain = tensor.rank < 2 or name in tables  # biases are plain constants too
        assert (kind, tensor.dataType) == (("const", mil.FLOAT32) if plain else ("constexpr_cast", mil.FLOAT16)), name
    assert any(kind == "constexpr_cast" for kind, _ in stored.values())


def test_values_are_named_by_the_modules_that_make_them(small_checkpoint: Checkpoint) -> None:
    component = build_component("Denoiser", small_checkpoint, attention="original", materialise=False)
    graph = component_graph(component, "iOS17")
    modules = {path.replace(".", "_"): path for path, _ in component.module.named_modules()}
    for item in graph.operations:
        for value in item.outputs:
            if value in graph.outputs:
                continue
            path, _, operation = value.name.partition("__")
            assert operation.startswith(item.type), value.name
            assert modules.get(path, "" if path == "main" else None) == item.path, value.name
    names = {value.name for item in graph.operations for value in item.outputs}
    assert {"down_blocks_0_resnets_0_conv1__conv", "conv_out__conv"} <= names


class Strange(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 1), torch.nn.LogSigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fft.fft(self.inner(self.inner(x))).real + x.cumsum(1) + x.cumsum(2)


def test_one_error_lists_everything_that_cannot_be_converted(toy: Callable[..., Any], tmp_path: Path) -> None:
    component = toy(Strange(), torch.randn(1, 4, 8, 8))
    with pytest.raises(WorkError) as caught:
        convert_component(component, tmp_path / "a.mlpackage")
    message = caught.value.message
    assert "aten.log_sigmoid.default: no rule (2x, first in inner.1)" in message
    assert "aten.cumsum.default: no rule (2x, first in the outermost module)" in message
    assert "fft" in message
    assert list(tmp_path.iterdir()) == []


class Branching(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def test_control_flow_on_values_is_refused(toy: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="Branching cannot be traced"):
        convert_component(toy(Branching(), torch.ones(1, 4)), tmp_path / "a.mlpackage")


@pytest.mark.parametrize(
    ("value", "message"),
    [(7e4, "weight has values beyond the range of fp16"), (np.nan, "holds NaN"), (np.inf, "holds NaN or infinity")],
)
def test_weights_that_fp16_cannot_hold_are_refused(
    toy: Callable[..., Any], tmp_path: Path, value: float, message: str
) -> None:
    module = torch.nn.Conv2d(4, 4, 1)
    with torch.no_grad():
        module.weight[1, 2] = value
    with pytest.raises(InputError, match=message):
        convert_component(toy(module, torch.ones(1, 4, 2, 2)), tmp_path / "a.mlpackage")
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_shape_are_refused(toy: Callable[..., Any], tmp_path: Path) -> None:
    component = toy(torch.nn.Conv2d(4, 4, 1), torch.ones(1, 4, 2, 2))
    component.load_weight = lambda name: np.zeros((2, 2), np.float32)
    with pytest.raises(InputError, match=r"weight has shape \(2, 2\) where the network needs \(4, 4, 1, 1\)"):
        convert_component(component, tmp_path / "a.mlpackage")


def test_an_unknown_target_is_refused(toy: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Targets are iOS17, iOS18"):
        convert_component(toy(torch.nn.Conv2d(4, 4, 1), torch.ones(1, 4, 2, 2)), tmp_path / "a.mlpackage", "iOS15")


def test_an_output_that_is_constant_is_refused(toy: Callable[..., Any], tmp_path: Path) -> None:
    class Constant(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.arange(4, device=x.device) * 2.0

    with pytest.raises(WorkError, match="Output out_0 is a constant"):
        convert_component(toy(Constant(), torch.ones(1, 4)), tmp_path / "a.mlpackage")


def test_an_input_may_be_an_output(
    toy: Callable[..., Any], strict_check: Callable[[Path], Any], tmp_path: Path
) -> None:
    class Passing(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            y = x.relu()
            return x, y, y

    component = toy(Passing(), torch.randn(2, 3))
    convert_component(component, tmp_path / "a.mlpackage")
    strict_check(tmp_path / "a.mlpackage")
    x = np.array([[-1, 2, -3], [4, -5, 6]], np.float32)
    results = open_runner(tmp_path / "a.mlpackage").run({"in_0": x})
    assert np.array_equal(results["out_0"], x)
    assert np.array_equal(results["out_1"], np.maximum(x, 0))
    assert np.array_equal(results["out_2"], np.maximum(x, 0))


def test_weights_are_loaded_one_at_a_time(toy: Callable[..., Any], tmp_path: Path) -> None:
    """At most one array that the checkpoint gave is alive."""
    module = torch.nn.Sequential(*(torch.nn.Conv2d(16, 16, 3) for _ in range(6)))
    component = toy(module, torch.ones(1, 16, 20, 20))
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def load(name: str) -> np.ndarray:
        nonlocal most
        array = np.array(module.state_dict()[name].numpy())
        alive.append(weakref.ref(array))
        most = max(most, sum(reference() is not None for reference in alive))
        return array

    component.load_weight = load
    convert_component(component, tmp_path / "a.mlpackage")
    assert len(alive) == 12
    assert most == 1


def test_progress_ends_at_the_whole(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    component = build_component("Conditioner", small_checkpoint, materialise=False)
    convert_component(component, tmp_path / "c.mlpackage", progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert {total for _, total in seen} == {seen[-1][0]}
