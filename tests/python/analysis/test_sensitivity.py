"""Sensitivity: estimates against measurements, seeds, files, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from narrow_model import Narrow, narrow_preset
from PIL import Image
from torch import nn

from mobie_coreml.analysis.calibration import Calibration
from mobie_coreml.analysis.cases import Cases, psnr_db
from mobie_coreml.analysis.second_order import estimate
from mobie_coreml.analysis.sensitivity import SensitivityOptions, take_sensitivity
from mobie_coreml.analysis.sensitivity_file import load_sensitivity, save_sensitivity
from mobie_coreml.analysis.tensors import Palettes
from mobie_coreml.ane.components import Component
from mobie_coreml.ane.tensors import TensorSpec
from mobie_coreml.errors import InputError, WorkError
from mobie_coreml.models.checkpoint import new_checkpoint
from mobie_coreml.parity.record import Record
from palettization.clustering import BITS, palette_of


def test_estimates_rank_tensors_as_measurements_do(narrow: Narrow) -> None:
    for name, one in narrow.sensitivity.components.items():
        assert one.check is not None
        assert one.check.tensors >= 6
        assert one.check.rank_correlation >= 0.9, name


def test_passes_are_few(narrow: Narrow, options: SensitivityOptions) -> None:
    one = narrow.sensitivity.components["Denoiser"]
    frames = options.calibration.frames
    assert (one.forwards, one.backwards) == (frames, frames * options.probes)


def test_errors_fall_with_the_width(narrow: Narrow) -> None:
    for one in narrow.sensitivity.components.values():
        for tensor in one.tensors.values():
            assert list(tensor.squared_error) == list(BITS)
            errors = list(tensor.squared_error.values())
            assert errors == sorted(errors, reverse=True)
            assert all((tensor.output_error[bits] == 0) >= (tensor.squared_error[bits] == 0) for bits in BITS)


def test_constants_that_a_table_holds_cost_nothing(narrow: Narrow) -> None:
    mask = narrow.sensitivity.components["TextEncoder"].tensors["causal_mask"]
    assert mask.distinct == 2
    assert set(mask.output_error.values()) == {0.0}


def linear(weight: np.ndarray[Any, Any]) -> tuple[Component, Palettes]:
    """A matrix as a component, and its palettes."""
    module = nn.Linear(*weight.shape[::-1], bias=False)
    module.load_state_dict({"weight": torch.from_numpy(weight.astype(np.float32))})
    module.requires_grad_(False)
    specs = [
        TensorSpec(name, (1, size), "float32", "", "") for name, size in zip("xy", weight.shape[::-1], strict=True)
    ]
    component = Component("Denoiser", module, (specs[0],), (specs[1],), "fp32", "unet", lambda _: weight)
    by_bits = {bits: palette_of(weight, bits) for bits in BITS}
    return component, Palettes("weight", weight.shape, len(np.unique(weight)), float(np.square(weight).sum()), by_bits)


def records(weight: np.ndarray[Any, Any], count: int) -> list[Record]:
    rng = np.random.default_rng(1)
    inputs = rng.standard_normal((count, 1, weight.shape[1])).astype(np.float32) + 1
    return [Record(str(index), {"x": x}, {"y": x @ weight.T.astype(np.float32)}) for index, x in enumerate(inputs)]


def test_estimates_converge_to_what_is_measured_where_outputs_are_linear() -> None:
    weight = np.random.default_rng(0).laplace(size=(24, 40)).astype(np.float16)
    component, palettes = linear(weight)
    given = records(weight, 8)
    cases = Cases(component, given)
    (found,) = estimate(cases, [palettes], 64, 0, lambda _: None)
    for bits in (2, 4, 8):
        measured = cases.error([palettes], {"weight": bits})
        assert abs(psnr_db(found[bits]) - psnr_db(measured)) < 0.8
        # By the definition: squared error over the squared peak, a mean over outputs and cases.
        palette = palettes.by_bits[bits]
        change = palette.table[palette.indices(weight)].reshape(weight.shape).astype(np.float64) - weight
        errors = [
            np.mean(np.square(one.inputs["x"] @ change.T)) / np.max(np.abs(one.outputs["y"])) ** 2 for one in given
        ]
        assert measured == pytest.approx(np.mean(errors), rel=1e-3)


def test_the_seed_decides() -> None:
    weight = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float16)
    component, palettes = linear(weight)

    def take(seed: int) -> list[dict[int, float]]:
        return estimate(Cases(component, records(weight, 2)), [palettes], 2, seed, lambda _: None)

    assert take(0) == take(0)
    assert take(0) != take(1)


def test_weights_are_as_before_and_want_no_gradients_afterwards() -> None:
    weight = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float16)
    component, palettes = linear(weight)
    cases = Cases(component, records(weight, 1))
    estimate(cases, [palettes], 1, 0, lambda _: None)
    cases.error([palettes], {"weight": 1})
    parameter = component.module.get_parameter("weight")
    assert not parameter.requires_grad
    assert parameter.grad is None
    assert np.array_equal(parameter.numpy(), weight.astype(np.float32))


@pytest.mark.parametrize("value", [0.0, math.inf])
def test_outputs_that_say_nothing_are_refused(value: float) -> None:
    component, _ = linear(np.ones((2, 2), np.float16))
    with pytest.raises(WorkError, match="y that is"):
        Cases(component, [Record("", {"x": np.ones((1, 2), np.float32)}, {"y": np.full((1, 2), value, np.float32)})])


def test_files_give_back_what_was_written(narrow: Narrow, tmp_path: Path) -> None:
    save_sensitivity(tmp_path / "s.json", narrow.sensitivity)
    found = load_sensitivity(tmp_path / "s.json")
    again = tmp_path / "again.json"
    save_sensitivity(again, found)
    assert again.read_bytes() == (tmp_path / "s.json").read_bytes()
    assert found.checkpoint == narrow.sensitivity.checkpoint
    for name, one in narrow.sensitivity.components.items():
        assert found.components[name].architecture == one.architecture
        for key, tensor in one.tensors.items():
            assert found.components[name].tensors[key].shape == tensor.shape
            assert found.components[name].tensors[key].output_error == pytest.approx(tensor.output_error, rel=1e-5)


BAD_FIGURES = (
    r"s.json, Denoiser, \S+, output_error is damaged: it needs a finite number, not negative, for each of 1, 2"
)


def _errors(content: Any) -> Any:
    return next(iter(content["components"]["Denoiser"]["tensors"].values()))["output_error"]


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda content: content.update(version=2), "no sensitivity of version 1"),
        (lambda content: content.update(kind="recipe"), "no sensitivity"),
        (lambda content: content.pop("checkpoint"), "damaged"),
        (lambda content: content.update(components=[]), "damaged"),
        (lambda content: content["components"]["Denoiser"].pop("check"), "damaged"),
        (lambda content: _errors(content).pop("3"), BAD_FIGURES),
        (lambda content: _errors(content).update({"3": math.nan}), BAD_FIGURES),
        (lambda content: _errors(content).update({"3": -1}), BAD_FIGURES),
    ],
)
def test_files_that_are_none_are_refused(
    narrow: Narrow, tmp_path: Path, damage: Callable[[Any], Any], named: str
) -> None:
    path = tmp_path / "s.json"
    save_sensitivity(path, narrow.sensitivity)
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=named):
        load_sensitivity(path)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: SensitivityOptions(("Unet",)), "no component 'Unet'"),
        (lambda: SensitivityOptions(probes=0), "--probes 0"),
        (lambda: SensitivityOptions(check=1), "--check 1"),
        (lambda: SensitivityOptions(check=-1), "--check -1"),
        (lambda: Calibration(frames=0), "--frames 0"),
        (lambda: Calibration(seed=-1), "--seed -1"),
        (lambda: Calibration(clip=Path("a"), images=Path("b")), "exclude each other"),
    ],
)
def test_options_out_of_range_are_refused(make: Callable[[], object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        make()


def test_images_are_all_taken(tmp_path: Path) -> None:
    for index in range(3):
        Image.new("RGB", (30, 20), (80 * index, 0, 0)).save(tmp_path / f"{index}.png")
    pictures = Calibration(frames=8, images=tmp_path).pictures((16, 8))
    assert [picture.shape for picture in pictures] == [(8, 16, 3)] * 3
    assert [int(picture[0, 0, 0]) for picture in pictures] == [0, 80, 160]
    with pytest.raises(InputError, match="not a folder"):
        Calibration(images=tmp_path / "0.png").pictures((16, 8))


def test_prompts_are_the_users_or_spread_over_the_edits() -> None:
    assert Calibration(prompts=("a", "b")).instructions() == ("a", "b")
    spread = Calibration(frames=6).instructions()
    assert len(set(spread)) == 6


def test_another_checkpoint_is_refused(narrow: Narrow, tmp_path: Path, options: SensitivityOptions) -> None:
    new_checkpoint(tmp_path / "other", narrow_preset(), seed=6)
    with pytest.raises(InputError, match="was not converted from"):
        take_sensitivity(narrow.model, str(tmp_path / "other"), options)
    with pytest.raises(InputError, match="has no Encoder"):
        take_sensitivity(narrow.model, narrow.checkpoint, dataclasses.replace(options, components=("Encoder",)))
