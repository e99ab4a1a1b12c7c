"""What is not a package, or one that means harm: one clear error each."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palettization.errors import PackageError
from palettization.package import (
    BlobError,
    ConstantError,
    Constants,
    Package,
    PackageLayoutError,
    SpecError,
    UnsafePathError,
    WeightFormError,
    file_value,
    immediate_value,
    proto,
    write_package,
)

MODEL = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"


def rewrite_spec(path: Path, change: Callable[[Any], None]) -> None:
    spec = proto().Model_pb2.Model.FromString((path / MODEL).read_bytes())
    change(spec)
    (path / MODEL).write_bytes(spec.SerializeToString())


def rewrite_manifest(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    manifest = json.loads((path / "Manifest.json").read_text())
    changed = change(manifest)
    (path / "Manifest.json").write_text(json.dumps(manifest if changed is None else changed))


def block_of(spec: Any) -> Any:
    return spec.mlProgram.functions["main"].block_specializations["CoreML8"]


def refused(path: Path, kind: type[PackageError], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        Package.open(path).check_weights()
    assert str(path) in str(caught.value) or str(path.name) in str(caught.value)


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.mlpackage").mkdir()
    (tmp_path / "file.mlpackage").write_text("x")
    (tmp_path / "compiled.mlmodelc").mkdir()
    (tmp_path / "renamed.mlpackage").mkdir()
    (tmp_path / "renamed.mlpackage" / "coremldata.bin").write_text("x")
    (tmp_path / "noise.mlmodel").write_bytes(b"\xff\xfe not a protobuf")
    (tmp_path / "none.mlmodel").write_bytes(b"")
    refused(tmp_path / "missing.mlpackage", PackageLayoutError, "does not exist")
    refused(tmp_path / "empty.mlpackage", PackageLayoutError, "no Manifest.json")
    refused(tmp_path / "file.mlpackage", PackageLayoutError, "is a file")
    refused(tmp_path / "compiled.mlmodelc", PackageLayoutError, "compiled model")
    refused(tmp_path / "renamed.mlpackage", PackageLayoutError, "compiled model")
    refused(tmp_path / "noise.mlmodel", SpecError, "not a Core ML specification")
    refused(tmp_path / "none.mlmodel", SpecError, "not a Core ML specification")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable JSON"),
        ("[" * 100_000, "not readable JSON"),
        ("[]", "not a JSON object"),
        ("{}", "which item is the model"),
        ('{"rootModelIdentifier": "a", "itemInfoEntries": {"b": {}}}', "which item is the model"),
        ('{"rootModelIdentifier": "a", "itemInfoEntries": {"a": {}}}', "no path"),
        ('{"rootModelIdentifier": "a", "itemInfoEntries": {"a": {"path": 7}}}', "no path"),
        ('{"rootModelIdentifier": "a", "itemInfoEntries": {"a": {"path": "x/y.mlmodel"}}}', "no specification"),
        ("\x00", "not readable JSON"),
        (" " * (2 << 20), "larger than"),
    ],
)
def test_damaged_manifests_are_refused(tiny: Path, text: str, message: str) -> None:
    (tiny / "Manifest.json").write_text(text)
    refused(tiny, PackageLayoutError, message)


OUTSIDE = ["../secret.bin", "a/../../secret.bin", "/etc/passwd", "", ".", "..", "a//b", "C:/x", "a\\..\\b", "a\0b"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_in_the_manifest_that_leave_the_package_are_refused(tiny: Path, name: str) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"] = name

    rewrite_manifest(tiny, change)
    refused(tiny, UnsafePathError, "plain path inside")


@pytest.mark.parametrize("name", [*OUTSIDE[:3], "weights/../../../../secret.bin"])
def test_weight_file_names_that_leave_the_package_are_refused(tiny: Path, name: str) -> None:
    (tiny.parent / "secret.bin").write_bytes((tiny / WEIGHTS).read_bytes())
    for full in (f"@model_path/{name}", name, f"@elsewhere/{name}"):

        def change(spec: Any, full: str = full) -> None:
            block_of(spec).operations[0].attributes["val"].blobFileValue.fileName = full

        rewrite_spec(tiny, change)
        refused(tiny, UnsafePathError, r"names")


def test_links_that_leave_the_package_are_refused(tiny: Path) -> None:
    outside = tiny.parent / "outside.bin"
    shutil.move(tiny / WEIGHTS, outside)
    (tiny / WEIGHTS).symlink_to(outside)
    refused(tiny, UnsafePathError, "outside the package")
    (tiny / WEIGHTS).unlink()
    (tiny / WEIGHTS).symlink_to(tiny / WEIGHTS)
    refused(tiny, PackageError, "weight")
    (tiny / WEIGHTS).unlink()
    inside = tiny / "Data/other.bin"
    shutil.move(outside, inside)
    (tiny / WEIGHTS).symlink_to(inside)
    Package.open(tiny).check_weights()


def test_a_pipe_as_weight_file_does_not_hang(tiny: Path) -> None:
    (tiny / WEIGHTS).unlink()
    os.mkfifo(tiny / WEIGHTS)
    refused(tiny, UnsafePathError, "not a regular file")


def test_a_missing_weight_file_is_refused(tiny: Path) -> None:
    (tiny / WEIGHTS).unlink()
    refused(tiny, BlobError, "no weight file")


def test_other_model_types_are_refused(tiny: Path) -> None:
    rewrite_spec(tiny, lambda spec: spec.neuralNetwork.SetInParent())
    refused(tiny, SpecError, "neuralNetwork, not an ML Program")
    rewrite_spec(tiny, lambda spec: spec.pipeline.SetInParent())
    refused(tiny, SpecError, "pipeline, not an ML Program")


def field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""

    def varint(value: int) -> bytes:
        out = bytearray()
        while value > 127:
            out.append(value & 127 | 128)
            value >>= 7
        return bytes([*out, value])

    return varint(number << 3 | 2) + varint(len(content)) + content


@pytest.mark.parametrize("depth", [10, 5_000])
def test_deeply_nested_specifications_are_refused(tiny: Path, depth: int) -> None:
    block = b""
    for _ in range(depth):
        block = field(3, field(1, b"cond") + field(4, block))
    function = field(2, b"CoreML8") + field(3, field(1, b"CoreML8") + field(2, block))
    program = field(2, field(1, b"main") + field(2, function))
    (tiny / MODEL).write_bytes(b"\x08\x09" + field(502, program))
    if depth > 100:
        refused(tiny, SpecError, "not a Core ML specification")
    else:
        assert len(list(Package.open(tiny).walk())) == depth


def test_programs_without_functions_or_blocks_are_refused(tiny: Path) -> None:
    rewrite_spec(tiny, lambda spec: setattr(spec.mlProgram.functions["main"], "opset", "CoreML7"))
    assert Package.open(tiny).function().outputs == ("y",), "the only block is taken whatever its name"
    rewrite_spec(tiny, lambda spec: spec.mlProgram.functions["main"].block_specializations["CoreML5"].SetInParent())
    refused(tiny, SpecError, "no block for its opset 'CoreML7'")
    rewrite_spec(tiny, lambda spec: spec.mlProgram.functions.clear())
    refused(tiny, SpecError, "without functions")


def test_weights_that_do_not_match_the_specification_are_refused(tiny: Path) -> None:
    rewrite_spec(tiny, lambda spec: block_of(spec).operations[0].attributes["val"].type.tensorType.dimensions.pop())
    refused(tiny, ConstantError, "w.val says rank 4")


@pytest.mark.parametrize(
    ("element", "shape", "offset"),
    [("float32", (4, 3, 3, 3), 64), ("float16", (4, 3, 3, 2), 64), ("float16", (4, 3, 3, 3), 128)],
)
def test_records_of_another_type_or_size_are_refused(
    tiny: Path, element: str, shape: tuple[int, ...], offset: int
) -> None:
    value = file_value(element, shape, offset)
    rewrite_spec(tiny, lambda spec: block_of(spec).operations[0].attributes["val"].CopyFrom(value))
    refused(tiny, BlobError, r"w\.val")


def test_records_that_overlap_are_refused(tiny: Path) -> None:
    raw = bytearray((tiny / WEIGHTS).read_bytes())
    with Package.open(tiny) as package:
        records = list(package.blob.records())
    raw[records[1].offset + 16 : records[1].offset + 24] = (records[0].data_offset + 64).to_bytes(8, "little")
    (tiny / WEIGHTS).write_bytes(raw)
    refused(tiny, BlobError, "overlap")


def test_constants_in_a_circle_are_refused(tiny: Path) -> None:
    def change(spec: Any) -> None:
        operation = next(op for op in block_of(spec).operations if op.type == "constexpr_lut_to_dense")
        operation.inputs["lut"].arguments[0].name = "s"

    rewrite_spec(tiny, change)
    with pytest.raises(ConstantError, match="s <- s"):
        Constants(Package.open(tiny)).value("s")


def test_dangling_and_missing_operands_are_refused(tiny: Path) -> None:
    def dangle(spec: Any) -> None:
        operation = next(op for op in block_of(spec).operations if op.type == "constexpr_lut_to_dense")
        operation.inputs["lut"].arguments[0].name = "nowhere"

    original = (tiny / MODEL).read_bytes()
    rewrite_spec(tiny, dangle)
    with pytest.raises(ConstantError, match="no constant 'nowhere'"):
        Constants(Package.open(tiny)).value("s")
    (tiny / MODEL).write_bytes(original)
    rewrite_spec(tiny, lambda spec: block_of(spec).operations[-2].inputs.pop("lut"))
    with pytest.raises(WeightFormError, match="no operand 'lut'"):
        Constants(Package.open(tiny)).value("s")


def test_impossible_shapes_are_refused(tiny: Path) -> None:
    value = immediate_value(np.zeros((0, 2), np.float16))
    value.type.tensorType.dimensions[1].constant.size = (1 << 64) - 1
    package = Package.open(tiny)
    with pytest.raises(ConstantError, match="impossible shape"):
        package.constant(value, "odd")


def test_unknown_functions_are_refused(tiny: Path) -> None:
    package = Package.open(tiny)
    with pytest.raises(SpecError, match="It has: main"):
        package.function("other")


def test_multifunction_packages_describe_each_function(build: Callable[..., Path], tmp_path: Path) -> None:
    package = Package.open(build(tmp_path / "two.mlpackage", ("second", "first")))
    assert list(package.functions) == ["first", "second"]
    assert package.default_function == "second"
    for name in (None, "first", "second"):
        assert [feature.name for feature in package.description(name).input] == ["x"]


def test_a_plain_mlmodel_without_weight_file_can_be_read(tiny: Path, tmp_path: Path, program_tools: Any) -> None:
    spec = program_tools.spec()
    function = spec.mlProgram.functions["main"]
    function.opset = "CoreML8"
    program_tools.const(function.block_specializations["CoreML8"], "k", immediate_value(np.arange(3, dtype=np.float32)))
    path = tmp_path / "plain.mlmodel"
    path.write_bytes(spec.SerializeToString())
    package = Package.open(path)
    np.testing.assert_array_equal(Constants(package).value("k"), [0, 1, 2])
    with pytest.raises(BlobError, match=r"plain \.mlmodel has none"):
        package.blob  # noqa: B018


def test_nested_blocks_are_walked(tiny: Path, program_tools: Any, tmp_path: Path) -> None:
    def nest(spec: Any) -> None:
        operation = block_of(spec).operations.add()
        operation.type = "cond"
        for name in ("yes", "no"):
            program_tools.const(operation.blocks.add(), name, immediate_value(1.5))

    rewrite_spec(tiny, nest)
    package = Package.open(tiny)
    nested = [located for located in package.walk() if located.path]
    assert [located.path for located in nested] == [((10, 0),), ((10, 1),)]
    assert {"yes", "no", "w", "s"} <= set(Constants(package))
    copy = write_package(tmp_path / "copy.mlpackage", package.spec, package.blob.path)
    assert Constants(Package.open(copy.path)).value("no") == 1.5
