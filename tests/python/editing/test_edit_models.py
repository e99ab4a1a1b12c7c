"""Real components: converted packages and PyTorch edit alike, and models that cannot run say why."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from two_levels import two_level_preset

from mobie_coreml.cli.main import main
from mobie_coreml.convert.model import convert_model
from mobie_coreml.convert.options import ConvertOptions
from mobie_coreml.editing.images import read_image, write_image
from mobie_coreml.editing.open_model import open_editor
from mobie_coreml.errors import InputError
from mobie_coreml.models.checkpoint import load_checkpoint, new_checkpoint

from .conftest import picture

NARROW = two_level_preset((64, 48))


@pytest.fixture(scope="module", params=[False, True], ids=["three-pass", "embedded"])
def models(request, tmp_path_factory) -> tuple[Path, Path]:
    """A narrow random checkpoint and its model folder, with and without guidance inputs."""
    folder = tmp_path_factory.mktemp("models")
    new_checkpoint(folder / "checkpoint", NARROW, 5, guidance_embedding=request.param)
    convert_model(load_checkpoint(folder / "checkpoint"), folder / "model", ConvertOptions(weight_bits=16))
    return folder / "checkpoint", folder / "model"


def edited(*arguments: object, output: Path) -> np.ndarray:
    assert main(["edit", *(str(value) for value in arguments), str(output), "-p", "make it snow", "--quiet"]) == 0
    return read_image(output, [])


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    error = np.mean((first.astype(float) - second) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


@pytest.mark.integration
def test_packages_and_pytorch_edit_alike(models: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, model = models
    write_image(tmp_path / "in.png", picture(1, (64, 48)))
    steps = ("--steps", 2)
    reference = edited(checkpoint, tmp_path / "in.png", *steps, output=tmp_path / "torch.png")
    packages = edited(model, tmp_path / "in.png", *steps, output=tmp_path / "mil.png")
    again = edited(model, tmp_path / "in.png", *steps, "--precision", "fp16", output=tmp_path / "fp16.png")
    named = edited(
        model,
        tmp_path / "in.png",
        *steps,
        "--runtime",
        "torch",
        "--checkpoint",
        checkpoint,
        output=tmp_path / "named.png",
    )
    assert np.ptp(reference) > 20
    assert psnr(reference, packages) > 40
    assert psnr(reference, again) > 30
    assert np.array_equal(reference, named)


@pytest.mark.integration
def test_schedule_and_guidance_come_from_the_manifest(models: tuple[Path, Path]) -> None:
    checkpoint, model = models
    converted, reference = open_editor(str(model)).method, open_editor(str(checkpoint)).method
    assert replace(converted, passes=None, schedule=None) == replace(reference, passes=None, schedule=None)
    assert converted.passes(7.5, 1.5) == reference.passes(7.5, 1.5)
    assert len(converted.passes(7.5, 1.5)) == (1 if converted.guidance_inputs else 3)
    assert converted.schedule.to_json() == reference.schedule.to_json()


@pytest.mark.integration
def test_the_real_tokenizer_refuses_what_does_not_fit(models: tuple[Path, Path]) -> None:
    editor = open_editor(str(models[1]))
    with pytest.raises(InputError, match="tokens, and 77 fit"):
        editor.condition("snow " * 80)


@pytest.mark.integration
def test_models_that_cannot_run_say_why(models: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, model = (str(path) for path in models)
    new_checkpoint(tmp_path / "other", NARROW, 6)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("hello")
    shutil.copytree(model, tmp_path / "partial")
    manifest = json.loads((tmp_path / "partial" / "mobie.json").read_text())
    del manifest["components"]["Decoder"], manifest["gates"]["components"]["Decoder"]
    (tmp_path / "partial" / "mobie.json").write_text(json.dumps(manifest))
    for message, arguments in {
        "does not exist": {"model": str(tmp_path / "none")},
        "default does not exist": {"model": "default"},
        "holds neither": {"model": str(tmp_path / "empty")},
        "file holds neither": {"model": str(tmp_path / "file")},
        "lacks Decoder": {"model": str(tmp_path / "partial")},
        "is a checkpoint, which --runtime mil cannot run": {"model": checkpoint, "runtime": "mil"},
        "is a checkpoint already": {"model": checkpoint, "checkpoint": checkpoint},
        "--runtime torch runs a checkpoint": {"model": model, "runtime": "torch"},
        "--checkpoint is for --runtime torch only": {"model": model, "checkpoint": checkpoint},
        "was not converted from": {"model": model, "runtime": "torch", "checkpoint": str(tmp_path / "other")},
        "runs checkpoints in fp32": {"model": checkpoint, "precision": "fp16"},
        "--runtime gpu is unknown": {"model": model, "runtime": "gpu"},
    }.items():
        with pytest.raises(InputError, match=message):
            open_editor(**arguments)


@pytest.mark.integration
def test_the_checkpoint_inside_the_package_edits(tmp_path: Path) -> None:
    write_image(tmp_path / "in.png", picture(0))
    image = edited("nano", tmp_path / "in.png", "--steps", 1, output=tmp_path / "out.png")
    assert image.shape == (192, 256, 3)
    assert np.ptp(image) > 20
