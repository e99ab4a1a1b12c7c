"""`mobie verify`: whatever is done to a model folder is found, and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mobie_coreml.errors import InputError
from mobie_coreml.files import sha256_file
from mobie_coreml.manifest import verify_model
from palettization.package import package_digest, proto

SPEC = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"


def edit_manifest(model: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = model / "mobie.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def restate(model: Path, relative: str) -> None:
    """Makes the manifest say what a changed file now is, so that only the change itself can be found."""

    def change(content: dict[str, Any]) -> None:
        lists = [component["files"] for component in content["components"].values()]
        for file in (item for files in (*lists, content["tokenizer"]["files"]) for item in files):
            if file["path"] == relative:
                file["sha256"] = sha256_file(model / relative)
                file["bytes"] = (model / relative).stat().st_size
        for component in content["components"].values():
            component["sha256"] = package_digest(model / component["file"])

    edit_manifest(model, change)


def edit_spec(model: Path, name: str, change: Callable[[Any], None]) -> None:
    path = model / f"{name}.mlpackage" / SPEC
    spec = proto().Model_pb2.Model.FromString(path.read_bytes())
    change(spec)
    path.write_bytes(spec.SerializeToString(deterministic=True))
    restate(model, f"{name}.mlpackage/{SPEC}")


def found(model: Path) -> list[str]:
    return [str(problem) for problem in verify_model(model).problems]


def test_a_changed_byte(model: Path) -> None:
    path = model / "Encoder.mlpackage" / WEIGHTS
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)
    assert found(model) == [f"Encoder.mlpackage/{WEIGHTS}: its content was changed (SHA-256 differs)."]


def test_a_truncated_file(model: Path) -> None:
    path = model / "Encoder.mlpackage" / WEIGHTS
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-5])
    assert found(model) == [f"Encoder.mlpackage/{WEIGHTS}: {size - 5} bytes instead of {size}."]


def test_missing_files_and_packages(model: Path) -> None:
    (model / "tokenizer/merges.txt").unlink()
    (model / "Decoder.mlpackage/Manifest.json").unlink()
    assert found(model) == ["Decoder.mlpackage/Manifest.json: missing.", "tokenizer/merges.txt: missing."]


def test_strangers_but_not_finders_own(model: Path) -> None:
    (model / ".DS_Store").write_text("Finder")
    (model / "notes.txt").write_text("x")
    (model / "Extra.mlpackage").mkdir()
    (model / "Extra.mlpackage/a").write_text("x")
    assert found(model) == ["Extra.mlpackage/a: not in the manifest.", "notes.txt: not in the manifest."]


def test_links(model: Path, tmp_path: Path) -> None:
    path = model / "tokenizer/vocab.json"
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    assert found(model) == ["tokenizer/vocab.json: a link; a model folder holds plain files."]


def test_inputs_that_are_not_the_packages(model: Path) -> None:
    def rename(content: dict[str, Any]) -> None:
        content["components"]["Conditioner"]["inputs"][1]["name"] = "time"
        content["components"]["TextEncoder"]["inputs"][0]["shape"] = [1, 76]

    edit_manifest(model, rename)
    assert found(model) == [
        "components.TextEncoder.inputs[0]: input_ids is int32 [1, 77] in the package.",
        "components.Conditioner.inputs: the package has text_states, timestep, text_guidance, image_guidance.",
    ]


def test_a_package_for_another_system(model: Path) -> None:
    edit_spec(model, "Decoder", lambda spec: setattr(spec, "specificationVersion", 9))
    problem = "components.Decoder.deployment_target: iOS17, but the package has specification version 9."
    assert found(model) == [problem]


def test_an_image_of_another_kind(model: Path) -> None:
    def change(spec: Any) -> None:
        spec.description.output[0].type.imageType.colorSpace = proto().FeatureTypes_pb2.ImageFeatureType.BGR

    edit_spec(model, "Decoder", change)
    shape = "[1, 3, 64, 128]"
    assert found(model) == [f"components.Decoder.outputs[0]: edited_frame is another image {shape} in the package."]


def test_weights_outside_their_file(model: Path) -> None:
    path = model / "Encoder.mlpackage" / WEIGHTS
    path.write_bytes(path.read_bytes()[:2000])
    restate(model, f"Encoder.mlpackage/{WEIGHTS}")
    (problem,) = found(model)
    assert problem.startswith("Encoder.mlpackage: ")


def test_a_specification_that_is_none(model: Path) -> None:
    path = model / "Encoder.mlpackage" / SPEC
    path.write_bytes(b"not a protobuf at all")
    restate(model, f"Encoder.mlpackage/{SPEC}")
    (problem,) = found(model)
    assert problem.startswith("Encoder.mlpackage: ")
    assert "is not a Core ML specification" in problem


def test_a_digest_of_the_package_that_is_not_its_own(model: Path) -> None:
    edit_manifest(model, lambda content: content["components"]["Encoder"].update(sha256="0" * 64))
    assert found(model) == ["components.Encoder.sha256: not the digest of the package's files."]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("vocab.json", "{", "not valid JSON"),
        ("vocab.json", "[1, 2]", "not a map of"),
        ("vocab.json", '{"a": 0, "b": 2}', "not a map of"),
        ("vocab.json", '{"a": "0"}', "not a map of"),
        ("merges.txt", "#version: 0.2\nno pair here\n", "line 2 is not two tokens that make a third"),
        ("merges.txt", "zzzq qqqz\n", "line 1 is not two tokens that make a third"),
    ],
)
def test_a_damaged_tokenizer(model: Path, name: str, content: str, problem: str) -> None:
    (model / "tokenizer" / name).write_text(content)
    restate(model, f"tokenizer/{name}")
    (result,) = found(model)
    assert result.startswith(f"tokenizer/{name}: ")
    assert problem in result


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda content: content.update(schema_version=99), "schema_version is 99"),
        (lambda content: content.update(surprise=1), "'surprise' was unexpected"),
        (
            lambda content: content["tokenizer"]["files"][0].update(path="../../etc/passwd"),
            "tokenizer.files: ../../etc/passwd",
        ),
    ],
)
def test_a_manifest_that_cannot_be_used(model: Path, change: Callable[[dict[str, Any]], None], problem: str) -> None:
    edit_manifest(model, change)
    (result,) = found(model)
    assert result.startswith("mobie.json: ")
    assert problem in result


def test_a_manifest_that_is_not_json(model: Path) -> None:
    (model / "mobie.json").write_text('{"schema_version": NaN}')
    (result,) = found(model)
    assert result.endswith("mobie.json is not valid JSON: NaN is not a JSON number.")


def test_what_is_no_model_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no model folder"):
        verify_model(tmp_path / "none")
    with pytest.raises(InputError, match="is not a model folder"):
        verify_model(tmp_path)
