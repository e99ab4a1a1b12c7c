"""Planted faults are found: within one operation against a package, in the right module against PyTorch."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planting import KINDS, Planter

from mobie_coreml.ane.components import Component, build_component
from mobie_coreml.convert.component import convert_component
from mobie_coreml.models.checkpoint import load_checkpoint
from mobie_coreml.models.presets import PRESETS, Preset
from mobie_coreml.models.random_checkpoint import new_checkpoint
from mobie_coreml.parity.localise import localise_against_module, localise_against_package
from mobie_coreml.runtime.mil.program import MilProgram

GATE = 50.0
TARGET = "iOS17"


def narrow_mobile() -> Preset:
    """Mobile-Pix2Pix with four levels and few channels."""
    mobile = PRESETS["mobile"]
    unet = dataclasses.replace(
        mobile.unet,
        block_out_channels=(32, 64, 96, 96),
        num_attention_heads=(4, 4, 4, 4),
        cross_attention_dim=64,
        norm_num_groups=16,
    )
    text = dataclasses.replace(
        mobile.text_encoder, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4
    )
    return dataclasses.replace(mobile, unet=unet, text_encoder=text)


def denoiser(folder: Path, preset: str | Preset, size: tuple[int, int]) -> tuple[Component, Planter]:
    """A Denoiser with random weights, its package, and inputs like those of an edit."""
    new_checkpoint(folder / "checkpoint", preset, seed=3)
    component = build_component("Denoiser", load_checkpoint(folder / "checkpoint"), size=size)
    convert_component(component, folder / "Denoiser.mlpackage", TARGET)
    random_numbers = np.random.default_rng(0)
    inputs: dict[str, np.ndarray[Any, Any]] = {
        spec.name: random_numbers.normal(size=spec.shape).astype(np.float16) for spec in component.inputs
    }
    inputs["shifts"][:, -2:] = np.array([0.5, -0.8], np.float16)[None, :, None, None]
    return component, Planter(folder / "Denoiser.mlpackage", inputs, folder)


def found_faults(component: Component, planter: Planter, count: int, seed: int) -> tuple[int, int, int]:
    """(planted, found within one operation by package, right module by PyTorch) over `count` random places."""
    choice = random.Random(seed)
    places = {kind: planter.places(kind) for kind in KINDS}
    indices = {name: operation.index for operation in planter.sound.operations for name in operation.outputs}
    planted = by_package = by_module = 0
    while planted < count:
        place = choice.choice(places[KINDS[planted % len(KINDS)]])
        program = planter.plant_sized(place, GATE, choice)
        if program is None:
            continue
        planted += 1
        package = localise_against_package(planter.sound, program, planter.inputs).culprit
        module = localise_against_module(component, TARGET, program, planter.inputs)
        by_package += package is not None and abs(indices[package.value] - indices[place.value]) <= 1
        expected = place.value.split("__")[0]
        by_module += module.culprit is not None and module.culprit.value.split("__")[0] == expected
    return planted, by_package, by_module


def test_faults_in_a_nano_denoiser_are_found(tmp_path: Path) -> None:
    component, planter = denoiser(tmp_path, "nano", (64, 64))
    assert found_faults(component, planter, 4, seed=1) == (4, 4, 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "size"), [("nano", (256, 192)), (narrow_mobile(), (128, 64))], ids=["nano", "mobile"]
)
def test_95_of_100_faults_are_found(tmp_path: Path, preset: str | Preset, size: tuple[int, int]) -> None:
    component, planter = denoiser(tmp_path, preset, size)
    planted, by_package, by_module = found_faults(component, planter, 100, seed=2)
    assert planted == 100
    assert by_package >= 95
    assert by_module >= 95


def test_equal_packages_have_no_suspect(tmp_path: Path) -> None:
    _, planter = denoiser(tmp_path, narrow_mobile(), (128, 64))
    found = localise_against_package(planter.sound, MilProgram.load(planter.path), planter.inputs)
    assert found.compared > 100
    assert found.culprit is None
