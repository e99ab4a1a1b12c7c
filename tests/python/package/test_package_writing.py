"""Packages we write: the same bytes every time, whole or not at all, and read by coremltools."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from full_disk import full_disk

from palettization.package import (
    BlobWriter,
    Constants,
    Package,
    PackageExistsError,
    PackageLayoutError,
    PackageWriteError,
    PackageWriter,
    SpecError,
    package_digest,
    proto,
    tree_digests,
    write_package,
)

FILES = {
    "Data/com.apple.CoreML/model.mlmodel",
    "Data/com.apple.CoreML/weights/weight.bin",
    "Manifest.json",
}


def test_the_same_inputs_give_the_same_bytes(build: Callable[..., Path], tmp_path: Path) -> None:
    first, second = build(tmp_path / "a.mlpackage"), build(tmp_path / "b.mlpackage")
    assert tree_digests(first) == tree_digests(second)
    with Package.open(first) as package:
        shuffled = proto().Model_pb2.Model()
        shuffled.CopyFrom(package.spec)
        block = shuffled.mlProgram.functions["main"].block_specializations["CoreML8"]
        for operation in block.operations:
            entries = [(key, value.SerializeToString()) for key, value in operation.inputs.items()]
            operation.inputs.clear()
            for key, data in reversed(entries):
                operation.inputs[key].ParseFromString(data)
        third = write_package(tmp_path / "c.mlpackage", shuffled, package.blob.path)
    assert third.digests == tree_digests(first)


def test_identifiers_follow_content_and_no_date_is_written(build: Callable[..., Path], tmp_path: Path) -> None:
    first = build(tmp_path / "a.mlpackage")
    with Package.open(first) as package:
        package.spec.description.metadata.author = "Someone else"
        second = write_package(tmp_path / "b.mlpackage", package.spec, package.blob.path).path
    manifests = [json.loads((path / "Manifest.json").read_text()) for path in (first, second)]
    names = [{item["name"]: key for key, item in manifest["itemInfoEntries"].items()} for manifest in manifests]
    assert names[0]["weights"] == names[1]["weights"]
    assert names[0]["model.mlmodel"] != names[1]["model.mlmodel"]
    for manifest, ids in zip(manifests, names, strict=True):
        assert manifest["rootModelIdentifier"] == ids["model.mlmodel"]
        assert manifest["fileFormatVersion"] == "1.0.0"


def test_digests_are_plain_sha256(tiny: Path) -> None:
    digests = tree_digests(tiny)
    assert set(digests) == FILES
    lines = b""
    for relative in sorted(FILES):
        digest = hashlib.sha256((tiny / relative).read_bytes()).hexdigest()
        assert digests[relative] == digest
        lines += f"{digest}  {relative}\n".encode()
    assert package_digest(tiny) == hashlib.sha256(lines).hexdigest()
    (tiny / "link").symlink_to("/etc/passwd")
    with pytest.raises(PackageLayoutError, match="link"):
        package_digest(tiny)
    with pytest.raises(PackageLayoutError, match="not a folder"):
        tree_digests(tiny / "Manifest.json")


def test_coremltools_opens_them(ct: Any, tiny: Path) -> None:
    from coremltools.converters.mil.frontend.milproto.load import load

    model = ct.models.MLModel(str(tiny), skip_model_load=True)
    spec = model.get_spec()
    assert spec.description.metadata.author == "The test"
    with contextlib.redirect_stderr(io.StringIO()):
        program = load(spec, spec.specificationVersion, model.weights_dir)
    kinds = [op.op_type for op in program.functions["main"].operations]
    assert [kind for kind in kinds if kind != "const"] == ["conv", "constexpr_lut_to_dense", "mul"]
    palette = program.functions["main"].find_ops(op_type="constexpr_lut_to_dense")[0]
    np.testing.assert_array_equal(palette.materialized_val_inference(), Constants(Package.open(tiny)).value("s"))
    kernel = program.functions["main"].find_ops(op_type="conv")[0].weight.val
    np.testing.assert_array_equal(kernel, Constants(Package.open(tiny)).value("w"))


def test_coremltools_opens_multifunction_ones_and_saves_them_equal(
    ct: Any, build: Callable[..., Path], tmp_path: Path
) -> None:
    path = build(tmp_path / "two.mlpackage", ("one", "two"))
    assert len(list(Package.open(path).blob.records())) == 3, "both functions share their weights"
    model = ct.models.MLModel(str(path), skip_model_load=True, function_name="two")
    model.save(str(tmp_path / "saved.mlpackage"))
    saved = Package.open(tmp_path / "saved.mlpackage")
    assert saved.spec == Package.open(path).spec
    assert saved.default_function == "one"


def test_outputs_that_exist_are_refused_unless_forced(tiny: Path, tmp_path: Path, build: Callable[..., Path]) -> None:
    before = package_digest(tiny)
    with pytest.raises(PackageExistsError, match="exists already"):
        build(tiny)
    assert package_digest(tiny) == before
    spec = Package.open(tiny).spec
    spec.description.metadata.author = "New"
    blob = tmp_path / "weights.bin"
    blob.write_bytes((tiny / "Data/com.apple.CoreML/weights/weight.bin").read_bytes())
    write_package(tiny, spec, blob, force=True)
    assert Package.open(tiny).metadata["author"] == "New"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["tiny.mlpackage", "weights.bin"]


def test_force_replaces_packages_only(tmp_path: Path, program_tools: Any) -> None:
    precious = tmp_path / "photos"
    precious.mkdir()
    (precious / "cat.jpg").write_text("meow")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(precious)
    for name in ("photos", "file", "link"):
        with pytest.raises(PackageExistsError, match="not a package"):
            PackageWriter(tmp_path / name, force=True)
    assert (precious / "cat.jpg").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_an_interruption_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), PackageWriter(tmp_path / "out.mlpackage") as writer:
        writer.blob.add(np.zeros(100, np.float32))
        raise error
    assert list(tmp_path.iterdir()) == []


def test_forgetting_to_finish_leaves_nothing(tmp_path: Path) -> None:
    with PackageWriter(tmp_path / "out.mlpackage") as writer:
        writer.blob.add(np.zeros(100, np.float32))
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_no_package(tmp_path: Path) -> None:
    code = """
import os, signal, sys
import numpy as np
from palettization.package import PackageWriter
writer = PackageWriter(sys.argv[1])
writer.blob.add(np.zeros(1000, np.float32))
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / "out.mlpackage"
    subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=60)
    assert not path.exists()


@pytest.mark.parametrize("limit", [0, 300, 700, 1000])
def test_a_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path: Path, program_tools: Any, limit: int) -> None:
    spec = program_tools.spec()
    with (
        full_disk(limit),
        pytest.raises(PackageWriteError, match="cannot be written") as caught,
        PackageWriter(tmp_path / "out.mlpackage") as writer,
    ):
        program_tools.function(spec.mlProgram, "main", writer.blob)
        writer.finish(spec)
    assert caught.value.exit_code == 3
    assert "space" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_the_package_that_was_there(tiny: Path) -> None:
    before = package_digest(tiny)
    with Package.open(tiny) as package, full_disk(500), pytest.raises(PackageWriteError):
        write_package(tiny, package.spec, package.blob.path, force=True)
    assert package_digest(tiny) == before


def test_a_blob_writer_is_moved_in(tmp_path: Path, program_tools: Any) -> None:
    spec = program_tools.spec()
    blob = BlobWriter(tmp_path / "weights.bin")
    program_tools.function(spec.mlProgram, "main", blob)
    written = write_package(tmp_path / "out.mlpackage", spec, blob)
    assert set(written.digests) == FILES
    assert not (tmp_path / "weights.bin").exists()
    Package.open(written.path).check_weights()


def test_without_weights_there_is_no_weight_file(tmp_path: Path, program_tools: Any) -> None:
    spec = program_tools.spec()
    spec.mlProgram.functions["main"].block_specializations["CoreML8"].SetInParent()
    written = write_package(tmp_path / "out.mlpackage", spec)
    assert set(written.digests) == FILES - {"Data/com.apple.CoreML/weights/weight.bin"}
    assert len(json.loads((written.path / "Manifest.json").read_text())["itemInfoEntries"]) == 1


def test_other_specifications_are_refused(tmp_path: Path) -> None:
    spec = proto().Model_pb2.Model()
    spec.neuralNetwork.SetInParent()
    with pytest.raises(SpecError, match="not an ML Program"):
        write_package(tmp_path / "out.mlpackage", spec)
    assert list(tmp_path.iterdir()) == []


def test_streaming_needs_the_memory_of_one_tensor(tmp_path: Path, program_tools: Any) -> None:
    spec = program_tools.spec()
    spec.mlProgram.functions["main"].block_specializations["CoreML8"].SetInParent()
    size = 4 << 20
    tracemalloc.start()
    try:
        with PackageWriter(tmp_path / "out.mlpackage", deduplicate=True) as writer:
            for number in range(12):
                writer.blob.add(np.full(size // 4, number, np.float32))
            writer.finish(spec)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * size, "2 tensors: the one being written and the next one, made before it is freed"


def test_a_folder_in_the_way_and_a_parent_that_is_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(PackageWriteError, match="cannot be written"):
        PackageWriter(tmp_path / "file" / "out.mlpackage")
