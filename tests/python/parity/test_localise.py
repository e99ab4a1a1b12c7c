"""Planted faults are found: within one operation against a package, in the right module against PyTorch."""

from __future__ import annotations

import dataclasses
import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planting import KINDS, Place, Planter

from mobie_coreml.ane.components import Component, build_component
from mobie_coreml.convert.component import convert_component
from mobie_coreml.models.checkpoint import load_checkpoint
from mobie_coreml.models.presets import PRESETS, Preset
from mobie_coreml.models.random_checkpoint import new_checkpoint
from mobie_coreml.parity.localise import localise, localise_against_package, package_values
from mobie_coreml.parity.reference_values import reference_values
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
    """A Denoiser (of "nano" as trained, or of a preset with random weights), its package, and inputs as of an edit."""
    if isinstance(preset, Preset):
        new_checkpoint(folder / "checkpoint", preset, seed=3)
    checkpoint = load_checkpoint(folder / "checkpoint" if isinstance(preset, Preset) else preset)
    component = build_component("Denoiser", checkpoint, size=size)
    convert_component(component, folder / "Denoiser.mlpackage", TARGET)
    random_numbers = np.random.default_rng(0)
    inputs: dict[str, np.ndarray[Any, Any]] = {
        spec.name: random_numbers.normal(size=spec.shape).astype(np.float16) for spec in component.inputs
    }
    inputs["shifts"][:, -2:] = np.array([0.5, -0.8], np.float16)[None, :, None, None]
    return component, Planter(folder / "Denoiser.mlpackage", inputs, folder)


def missed_faults(component: Component, planter: Planter, count: int, seed: int) -> tuple[list[Place], list[Place]]:
    """Plants `count` faults at random places, one at a time and all kinds in turn, and looks for each.

    Returns:
        Places not found within one operation by comparison with the sound package, and places whose module was not
        found by comparison with PyTorch.
    """
    choice = random.Random(seed)
    places = {kind: planter.places(kind) for kind in KINDS}
    for of_kind in places.values():
        choice.shuffle(of_kind)
    indices = {name: operation.index for operation in planter.sound.operations for name in operation.outputs}
    right_package = package_values(planter.sound, planter.inputs)
    right_module = reference_values(component, TARGET, planter.inputs)
    planted = 0
    by_package: list[Place] = []
    by_module: list[Place] = []
    kinds = itertools.cycle(KINDS)
    while planted < count:
        assert any(places.values()), f"only {planted} places can be given a fault of the wanted size"
        kind, program = next(kinds), None
        while program is None and places[kind]:
            place = places[kind].pop()
            program = planter.plant_sized(place, GATE, choice)
        if program is None:
            continue
        planted += 1
        package = localise(right_package, program, planter.inputs).culprit
        if package is None or abs(indices[package.value] - indices[place.value]) > 1:
            by_package.append(place)
        module = localise(right_module, program, planter.inputs).culprit
        if module is None or module.value.split("__")[0] != place.value.split("__")[0]:
            by_module.append(place)
    return by_package, by_module


def test_faults_in_a_nano_denoiser_are_found(tmp_path: Path) -> None:
    component, planter = denoiser(tmp_path, PRESETS["nano"], (64, 64))
    assert missed_faults(component, planter, 4, seed=1) == ([], [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "size"), [("nano", (128, 96)), (narrow_mobile(), (128, 64))], ids=["nano", "mobile"]
)
def test_95_of_100_faults_are_found(tmp_path: Path, preset: str | Preset, size: tuple[int, int]) -> None:
    component, planter = denoiser(tmp_path, preset, size)
    by_package, by_module = missed_faults(component, planter, 100, seed=2)
    assert len(by_package) <= 5, by_package
    assert len(by_module) <= 5, by_module


def test_equal_packages_have_no_suspect(tmp_path: Path) -> None:
    _, planter = denoiser(tmp_path, narrow_mobile(), (128, 64))
    found = localise_against_package(planter.sound, MilProgram.load(planter.path), planter.inputs)
    assert found.compared > 100
    assert found.culprit is None
