"""Reading and writing weights tensor by tensor."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from safetensors.torch import save_file

from mobie_coreml.errors import InputError, WorkError
from mobie_coreml.models.weights import TensorEntry, TensorFiles, check_names, find_weight_files, write_safetensors


def entry(name: str, values: np.ndarray) -> TensorEntry:
    return TensorEntry(name, values.shape, lambda: values)


@settings(max_examples=30, deadline=None)
@given(
    shapes=st.lists(st.lists(st.integers(0, 5), max_size=4).map(tuple), max_size=5),
    dtype=st.sampled_from(["float16", "float32"]),
)
def test_what_is_written_is_what_safetensors_reads(
    tmp_path_factory: pytest.TempPathFactory, shapes: list[tuple[int, ...]], dtype: str
) -> None:
    path = tmp_path_factory.mktemp("written") / "x.safetensors"
    rng = np.random.default_rng(0)
    tensors = {f"layer.{index}": np.asarray(rng.standard_normal(shape)) for index, shape in enumerate(shapes)}
    written: list[int] = []
    write_safetensors(path, [entry(*item) for item in tensors.items()], dtype, written.append)
    loaded = load_file(path)
    assert loaded.keys() == tensors.keys()
    for name, values in tensors.items():
        assert loaded[name].dtype == dtype
        assert np.array_equal(loaded[name], values.astype(dtype))
    assert sum(written) == sum(values.nbytes for values in loaded.values())
    ours = TensorFiles([path])
    assert {name: values.shape for name, values in tensors.items()} == dict(ours.shapes)
    assert all(np.array_equal(ours.numpy(name), loaded[name]) for name in tensors)


def test_only_one_tensor_is_made_at_a_time(tmp_path: Path) -> None:
    alive = 0
    most = 0

    class Counted(np.ndarray):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def make() -> np.ndarray:
        nonlocal alive, most
        alive += 1
        most = max(most, alive)
        return np.zeros(4, np.float32).view(Counted)

    write_safetensors(tmp_path / "x.safetensors", [TensorEntry(f"t{i}", (4,), make) for i in range(20)], "float16")
    assert most == 1


@pytest.mark.parametrize(
    ("values", "dtype", "hint"),
    [
        (np.array([7e4]), "float16", "--dtype float32"),
        (np.array([np.nan]), "float16", "broken"),
        (np.array([np.inf]), "float32", "broken"),
    ],
)
def test_values_that_are_not_finite_are_refused(tmp_path: Path, values: np.ndarray, dtype: str, hint: str) -> None:
    with pytest.raises(InputError, match="not finite") as caught:
        write_safetensors(tmp_path / "x.safetensors", [entry("a.weight", values)], dtype)
    assert hint in caught.value.hint


def test_a_shape_that_was_not_announced_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="announced"):
        write_safetensors(tmp_path / "x.safetensors", [TensorEntry("a", (2,), lambda: np.zeros(3))], "float16")


def test_bfloat16_is_read_exactly(tmp_path: Path) -> None:
    values = torch.randn(5, generator=torch.Generator().manual_seed(0)).bfloat16()
    save_file({"a": values}, tmp_path / "x.safetensors")
    read = TensorFiles([tmp_path / "x.safetensors"]).numpy("a")
    assert read.dtype == np.float32
    assert np.array_equal(read, values.float().numpy())


def test_renaming_leaving_out_and_merging(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1), "b": torch.ones(2)}, tmp_path / "x.safetensors")
    save_file({"c": torch.ones(3)}, tmp_path / "y.safetensors")
    files = TensorFiles([tmp_path / "x.safetensors"], {"a": "z", "b": None}.get)
    assert dict(files.shapes) == {"z": (1,)}
    files.merge(TensorFiles([tmp_path / "y.safetensors"]))
    assert files.numpy("c").tolist() == [1, 1, 1]
    assert files.digests().keys() == {"x.safetensors", "y.safetensors"}
    with pytest.raises(InputError, match="same tensors: c"):
        files.merge(TensorFiles([tmp_path / "y.safetensors"]))
    with pytest.raises(InputError, match="both hold the tensor c"):
        TensorFiles([tmp_path / "y.safetensors", tmp_path / "y.safetensors"])
    with pytest.raises(InputError, match="no tensor q"):
        files.numpy("q")


def damaged(kind: str) -> bytes:
    header = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    text = json.dumps(header).encode()
    whole = struct.pack("<Q", len(text)) + text + bytes(8)
    return {
        "empty": b"",
        "short header": whole[:20],
        "short data": whole[:-3],
        "huge header": struct.pack("<Q", 2**40) + text,
        "not JSON": struct.pack("<Q", 4) + b"nope",
        "strange dtype": whole.replace(b'"F32"', b'"U32"'),
    }[kind]


@pytest.mark.parametrize("kind", ["empty", "short header", "short data", "huge header", "not JSON", "strange dtype"])
def test_damaged_files_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(damaged(kind))
    with pytest.raises(InputError, match=r"x\.safetensors"):
        TensorFiles([path])


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is missing"):
        TensorFiles([tmp_path / "x.safetensors"])


class Payload:
    """Would run code when unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("unpickled",))


def test_pickles_hold_weights_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.bin"
    torch.save({"state_dict": {"a": torch.ones(2, dtype=torch.float16)}}, path)
    assert TensorFiles([path]).numpy("a").tolist() == [1, 1]
    torch.save({"a": torch.ones(3)}, path, _use_new_zipfile_serialization=False)
    assert TensorFiles([path]).shapes == {"a": (3,)}
    torch.save({"a": Payload()}, path)
    with pytest.raises(InputError, match="cannot be loaded as weights alone"):
        TensorFiles([path])
    torch.save({"a": 3}, path)
    with pytest.raises(InputError, match="not hold a state dict"):
        TensorFiles([path])
    path.write_bytes(b"")
    with pytest.raises(InputError, match="cannot be loaded"):
        TensorFiles([path])
    assert "unpickled" not in capsys.readouterr().out


INDEX = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})
SHARDS = ["model-1.safetensors", "model-2.safetensors"]


@pytest.mark.parametrize(
    ("names", "variant", "pickle", "chosen"),
    [
        ([], None, False, []),
        (["model.safetensors", "model.fp16.safetensors", "pytorch_model.bin"], None, True, ["model.safetensors"]),
        (["model.safetensors", "model.fp16.safetensors"], "fp16", False, ["model.fp16.safetensors"]),
        (["model.fp16.safetensors"], None, False, ["model.fp16.safetensors"]),
        (["model.safetensors"], "fp16", False, []),
        (["model.safetensors.index.json", *SHARDS], None, False, SHARDS),
        (["model.safetensors.index.fp16.json", *SHARDS], None, False, SHARDS),
        (["pytorch_model.bin"], None, True, ["pytorch_model.bin"]),
        (["pytorch_model.fp16.bin"], None, True, ["pytorch_model.fp16.bin"]),
    ],
)
def test_weight_files_are_found(names: list[str], variant: str | None, pickle: bool, chosen: list[str]) -> None:
    assert find_weight_files(names, "model", variant=variant, pickle=pickle, read=lambda _: INDEX) == chosen


@pytest.mark.parametrize(
    ("names", "index", "message"),
    [
        (["pytorch_model.bin"], "", "pickles only"),
        (["model.safetensors.index.json", SHARDS[0]], INDEX, "missing files: model-2.safetensors"),
        (["model.safetensors.index.json"], "{}", "cannot be read"),
        (["model.safetensors.index.json"], "nope", "cannot be read"),
        (["model.safetensors.index.json"], '{"weight_map": []}', "cannot be read"),
        (["model.safetensors.index.json"], '{"weight_map": {}}', "none at all"),
    ],
)
def test_unusable_weight_files_are_refused(names: list[str], index: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_weight_files(names, "model", read=lambda _: index)


def test_names_that_do_not_fit_are_listed() -> None:
    expected = {"a": (1,), "b": (2,), "c": (3,)}
    check_names("here", expected, expected)
    with pytest.raises(InputError) as caught:
        check_names("here", {"b": (2,), "c": (4,), "d": (1,)}, expected)
    assert "1 missing: a; 1 unexpected: d; 1 of another shape: c [4] instead of [3]" in caught.value.message
    with pytest.raises(InputError, match=r"9 missing: .* and 1 more"):
        check_names("here", {}, {f"t{index}": (1,) for index in range(9)})
