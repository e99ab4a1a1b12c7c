"""Model folders: whole or not at all, the same bytes twice, unchanged components reused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mobie_coreml.ane.components import COMPONENTS, build_component
from mobie_coreml.cli.main import main
from mobie_coreml.convert import model as model_module
from mobie_coreml.convert.component import ComponentPackage
from mobie_coreml.convert.describe import method_of
from mobie_coreml.convert.model import Conversion, convert_model
from mobie_coreml.convert.options import ConvertOptions
from mobie_coreml.convert.program import _Writer
from mobie_coreml.diffusion.guidance import guidance_passes
from mobie_coreml.errors import InputError, WorkError
from mobie_coreml.manifest import ModelFolder, verify_model
from mobie_coreml.models.checkpoint import Checkpoint, load_checkpoint
from mobie_coreml.models.presets import Preset
from mobie_coreml.models.random_checkpoint import new_checkpoint
from palettization import palettize as palettize_module
from palettization.package import Package, PackageWriter, package_digest, tree_digests

SMALL = ("Encoder", "Decoder")
"""Two components that are quick to convert."""


def test_a_converted_folder_is_whole(converted: Conversion, small_checkpoint: Checkpoint) -> None:
    assert converted.converted == COMPONENTS
    assert converted.reused == ()
    assert verify_model(converted.folder).problems == ()
    names = {path.name for path in converted.folder.iterdir()}
    assert names == {"mobie.json", "tokenizer", *(f"{name}.mlpackage" for name in COMPONENTS)}
    manifest = ModelFolder.open(converted.folder).manifest
    assert manifest == converted.manifest
    assert manifest.missing == ()
    assert manifest.frame_size == small_checkpoint.frame_size
    assert manifest.latents.shape == (1, 4, 8, 16)
    assert manifest.method.guidance.kind == "embedded"
    assert (manifest.method.guidance.text.minimum, manifest.method.guidance.text.maximum) == (2.0, 14.0)
    assert (manifest.method.guidance.image.minimum, manifest.method.guidance.image.maximum) == (1.0, 3.0)
    assert manifest.provenance.checkpoint_sha256 == small_checkpoint.digest
    assert manifest.components["Conditioner"].compute_units == "cpuOnly"
    assert manifest.components["Denoiser"].compute_units == "cpuAndNeuralEngine"
    assert manifest.gates.components["Denoiser"].fp32 == 50.0
    assert manifest.gates.components["Denoiser"].fp16 == 40.0
    assert manifest.gates.edit.fp16 == 35.0


def test_every_input_says_where_it_comes_from(converted: Conversion) -> None:
    made = {tensor.name for component in converted.manifest.components.values() for tensor in component.outputs}
    for name, component in converted.manifest.components.items():
        for tensor in component.inputs:
            assert tensor.meaning
            if tensor.source in ("conditioner", "text_encoder"):
                assert tensor.name in made, f"{name} reads {tensor.name}"


def test_packages_carry_metadata(converted: Conversion, small_checkpoint: Checkpoint) -> None:
    for name in COMPONENTS:
        with Package.open(ModelFolder.open(converted.folder).package_path(name)) as package:
            texts = package.metadata
            assert texts["license"] == small_checkpoint.info["licence"]
            assert texts["mobie.preset"] == small_checkpoint.preset
            assert texts["mobie.text_guidance"] == "2 to 14, default 7.5"
            assert texts["version"]
            assert texts["author"]
            assert not any("date" in key for key in texts)
            described = package.description()
            assert all(feature.shortDescription for feature in (*described.input, *described.output))


def test_three_pass_schedule_is_linear_in_the_scales(tmp_path: Path, small_preset: Preset) -> None:
    new_checkpoint(tmp_path / "three", small_preset, 1)
    guidance = method_of(load_checkpoint(tmp_path / "three")).guidance
    assert guidance.kind == "three-pass"
    for text, image in ((7.5, 1.5), (2.0, 3.0), (14.0, 1.25)):
        found = [(one.text, one.image, one.weight.value(text, image)) for one in guidance.passes]
        assert found == [(one.text, one.image, one.weight) for one in guidance_passes(text, image)]


def test_the_same_inputs_give_the_same_bytes(
    converted: Conversion, small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    again = convert_model(load_checkpoint(small_checkpoint.path), tmp_path / "again")
    assert tree_digests(again.folder) == tree_digests(converted.folder)


def test_unchanged_components_are_reused(small_checkpoint: Checkpoint, model: Path) -> None:
    before = tree_digests(model)
    inode = (model / "Denoiser.mlpackage/Manifest.json").stat().st_ino
    assert convert_model(small_checkpoint, model).reused == COMPONENTS
    assert tree_digests(model) == before
    assert (model / "Denoiser.mlpackage/Manifest.json").stat().st_ino == inode  # shared, not copied
    changed = convert_model(small_checkpoint, model, ConvertOptions(attention="original"))
    assert changed.converted == ("TextEncoder", "Denoiser")
    assert changed.manifest.components["Denoiser"].compute_units == "cpuAndGPU"
    assert verify_model(model).ok


def test_force_converts_again(small_checkpoint: Checkpoint, model: Path) -> None:
    result = convert_model(small_checkpoint, model, ConvertOptions(components=SMALL, force=True))
    assert result.converted == SMALL
    assert set(result.manifest.components) == set(COMPONENTS)
    assert verify_model(model).ok


def test_a_damaged_package_is_not_reused(small_checkpoint: Checkpoint, model: Path) -> None:
    weights = model / "Decoder.mlpackage/Data/com.apple.CoreML/weights/weight.bin"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(data)
    (model / "Encoder.mlpackage/stranger").write_text("x")
    result = convert_model(small_checkpoint, model)
    assert result.converted == SMALL
    assert verify_model(model).ok


def test_some_components_alone(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    result = convert_model(small_checkpoint, tmp_path / "some", ConvertOptions(components=("Decoder",)))
    assert set(result.manifest.components) == {"Decoder"}
    assert result.manifest.missing == ("TextEncoder", "Conditioner", "Encoder", "Denoiser")
    assert verify_model(tmp_path / "some").ok
    folder = ModelFolder.open(tmp_path / "some")
    with pytest.raises(InputError, match="lacks TextEncoder, Conditioner, Encoder, Denoiser"):
        folder.require_all()
    with pytest.raises(InputError, match="has no Encoder"):
        folder.package_path("Encoder")
    more = convert_model(small_checkpoint, tmp_path / "some", ConvertOptions(components=("Encoder",)))
    assert set(more.manifest.components) == {"Encoder", "Decoder"}
    with pytest.raises(InputError, match="has Encoder for 128x64 frames"):
        convert_model(small_checkpoint, tmp_path / "some", ConvertOptions(components=("Decoder",), size=(64, 64)))


def stages() -> Iterator[tuple[str, Callable[[pytest.MonkeyPatch, BaseException], None]]]:
    """Every stage of a conversion, with what makes it fail there."""

    def at(owner: Any, name: str, after: int = 0) -> Callable[[pytest.MonkeyPatch, BaseException], None]:
        def patch(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
            original = getattr(owner, name)
            calls = {"left": after}

            def fail(*arguments: Any, **keywords: Any) -> Any:
                if calls["left"] == 0:
                    raise error
                calls["left"] -= 1
                return original(*arguments, **keywords)

            monkeypatch.setattr(owner, name, fail)

        return patch

    yield "tracing", at(model_module, "convert_component")
    yield "second component", at(model_module, "convert_component", after=1)
    yield "a weight", at(_Writer, "_array", after=5)
    yield "clustering a weight", at(palettize_module, "code", after=5)
    yield "writing the program", at(_Writer, "program")
    yield "finishing a package", at(PackageWriter, "finish", after=1)
    yield "tokenizer", at(model_module.shutil, "copyfile")
    yield "manifest", at(model_module, "save_manifest")
    yield "renaming", at(Path, "rename", after=2)


STAGES = [name for name, _ in stages()]
FAILURES: list[tuple[str, BaseException, bool]] = [
    *[(stage, KeyboardInterrupt(), exists) for stage in STAGES for exists in (False, True)],
    *[(stage, OSError(28, "No space left on device"), True) for stage in STAGES],
    ("a weight", RuntimeError("bug"), True),
]


@pytest.mark.parametrize(("stage", "error", "exists"), FAILURES)
def test_a_failure_leaves_everything_as_it_was(
    small_checkpoint: Checkpoint,
    converted: Conversion,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    error: BaseException,
    exists: bool,
) -> None:
    out = tmp_path / "model"
    if exists:
        shutil.copytree(converted.folder, out)
    before = tree_digests(tmp_path)
    with monkeypatch.context() as patched:
        dict(stages())[stage](patched, error)
        with pytest.raises((type(error), WorkError)):
            convert_model(small_checkpoint, out, ConvertOptions(components=SMALL, force=True))
    assert tree_digests(tmp_path) == before
    assert out.exists() is exists


@pytest.mark.parametrize("content", ["file", "folder", "link"])
@pytest.mark.parametrize("force", [False, True])
def test_what_is_not_a_model_folder_is_not_replaced(
    small_checkpoint: Checkpoint, tmp_path: Path, content: str, force: bool
) -> None:
    out = tmp_path / "out"
    if content == "file":
        out.write_text("precious")
    elif content == "link":
        out.symlink_to(tmp_path)
    else:
        out.mkdir()
        (out / "precious").write_text("precious")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="is not a"):
        convert_model(small_checkpoint, out, ConvertOptions(components=SMALL, force=force))
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_folder_is_filled(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    convert_model(small_checkpoint, tmp_path / "out", ConvertOptions(components=("Decoder",)))
    assert verify_model(tmp_path / "out").ok


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "512"], "is not a size"),
        (["--size", "-8x64"], "is not a size"),
        (["--size", "100x64"], "multiples of 8"),
        (["--size", "0x64"], "multiples of 8"),
        (["--size", "99992x64"], "up to 4096"),
        (["--component", "UNet"], "Choose one of TextEncoder"),
        (["--attention", "flash"], "Choose one of original"),
        (["--target", "iOS16"], "Choose one of iOS17"),
        (["--compute-units", "gpu"], "Choose one of all"),
    ],
)
def test_wrong_options_are_refused(
    small_checkpoint: Checkpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    code = main(["convert", str(small_checkpoint.path), str(tmp_path / "out"), "--quiet", *arguments])
    printed = capsys.readouterr()
    assert code == 2
    assert message in printed.err
    assert printed.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_missing_checkpoint_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(tmp_path / "none"), str(tmp_path / "out")]) == 2
    assert "no checkpoint" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_commands_speak_json(model: Path, small_checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(small_checkpoint.path), str(model), "--json", "--quiet"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["reused"] == list(COMPONENTS)
    assert result["manifest"] == json.loads((model / "mobie.json").read_text())
    assert main(["verify", str(model), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    (model / "tokenizer/vocab.json").unlink()
    assert main(["verify", str(model), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["problems"] == [{"where": "tokenizer/vocab.json", "what": "missing."}]


def test_the_commands_speak_to_people(
    model: Path, small_checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(small_checkpoint.path), str(model)]) == 0
    assert "reused" in capsys.readouterr().out
    assert main(["verify", str(model)]) == 0
    assert "is whole: 5 components" in capsys.readouterr().out
    (model / "Decoder.mlpackage/more").write_text("x")
    assert main(["verify", str(model)]) == 1
    assert "Decoder.mlpackage/more: not in the manifest." in capsys.readouterr().out
    assert main(["verify", str(model / "tokenizer")]) == 2


@pytest.mark.parametrize(
    ("name", "limit", "bits", "macos"),
    [
        ("Denoiser", 1000, 1.0, True),
        ("Denoiser", 10**9, 1.0, False),
        ("Denoiser", 1000, 15.9, False),
        ("Decoder", 1000, 1.0, False),
    ],
)
def test_large_denoisers_are_for_macos(
    converted: Conversion,
    small_checkpoint: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    limit: int,
    bits: float,
    macos: bool,
) -> None:
    monkeypatch.setattr(model_module, "MACOS_ONLY_BYTES", limit)
    monkeypatch.setattr(model_module, "MACOS_ONLY_BITS", bits)
    path = converted.folder / f"{name}.mlpackage"
    component = build_component(name, small_checkpoint, materialise=False)
    job = model_module._Job(component, small_checkpoint, ConvertOptions(), small_checkpoint.frame_size, None)
    info = job.info(ComponentPackage(path, tree_digests(path)))
    assert info.macos_only is macos
    assert info.sha256 == package_digest(path)
