"""Packages that contradict themselves give typed errors: no crash, no hang, no giant allocation."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coremltools.converters.mil import Builder

from mobie_coreml.errors import InputError
from mobie_coreml.runtime.mil import ops_control
from mobie_coreml.runtime.mil.errors import ProgramError, UnsupportedOperationError
from mobie_coreml.runtime.mil.program import MilProgram
from mobie_coreml.runtime.mil.runner import MilRunner
from palettization.errors import PackageError
from palettization.package import Package

mb = Builder
X = {"x": np.random.default_rng(50).standard_normal((1, 4, 6, 5)).astype(np.float32)}
Mutation = Callable[[Any], None]


def network(x: Any) -> Any:
    kernel = np.random.default_rng(51).standard_normal((8, 4, 3, 3)).astype(np.float32)
    hidden = mb.relu(x=mb.conv(x=x, weight=kernel, pad_type="same", name="convolved"), name="positive")
    wide = mb.tile(x=mb.pad(x=hidden, pad=[0, 0, 1, 1], name="padded"), reps=[1, 1, 1, 2], name="wide")
    return mb.softmax(x=mb.reshape(x=wide, shape=[1, 8, -1], name="flat"), axis=-1, name="shares")


@pytest.fixture(scope="module")
def sound(build: Callable[..., Path]) -> Path:
    return build(network, X, "iOS17")


@pytest.fixture
def mutated(sound: Path, tmp_path: Path) -> Callable[[Mutation], Path]:
    """Applies a change to the program's block and writes the package again."""

    def write(change: Mutation) -> Path:
        path = tmp_path / "mutated.mlpackage"
        shutil.copytree(sound, path)
        package = Package.open(path)
        change(package.function().block)
        package.layout.model.write_bytes(package.spec.SerializeToString())
        return path

    return write


def find(block: Any, name: str) -> Any:
    return next(operation for operation in block.operations if operation.outputs[0].name == name)


def constant_of(block: Any, operation: str, parameter: str) -> Any:
    name = find(block, operation).inputs[parameter].arguments[0].name
    return find(block, name).attributes["val"].immediateValue.tensor


def rename(block: Any, name: str, to: str) -> None:
    find(block, name).outputs[0].name = to


def rewire(block: Any, name: str, to: str) -> None:
    find(block, name).inputs["x"].arguments[0].name = to


def swap(block: Any, first: str, second: str) -> None:
    one, other = find(block, first), find(block, second)
    kept = type(one)()
    kept.CopyFrom(one)
    one.CopyFrom(other)
    other.CopyFrom(kept)


def resize(block: Any, name: str, axis: int, size: int) -> None:
    find(block, name).outputs[0].type.tensorType.dimensions[axis].constant.size = size


def retype(block: Any, name: str, code: int) -> None:
    find(block, name).outputs[0].type.tensorType.dataType = code


def set_ints(block: Any, operation: str, parameter: str, values: list[int]) -> None:
    constant_of(block, operation, parameter).ints.values[:] = values


def move_weight(block: Any, offset: int) -> None:
    weight = find(block, find(block, "convolved").inputs["weight"].arguments[0].name)
    weight.attributes["val"].blobFileValue.offset = offset


def point_weight(block: Any, name: str) -> None:
    weight = find(block, find(block, "convolved").inputs["weight"].arguments[0].name)
    weight.attributes["val"].blobFileValue.fileName = name


INT32, BOOL, FLOAT64 = 23, 1, 12
CASES: list[tuple[str, Mutation, str]] = [
    ("a name that nobody defines", lambda b: rewire(b, "positive", "nowhere"), "'nowhere'.*is never computed"),
    ("a cycle", lambda b: rewire(b, "convolved", "positive"), "'positive'.*is used before it is computed"),
    (
        "operations out of order",
        lambda b: swap(b, "convolved", "positive"),
        "'convolved'.*is used before it is computed",
    ),
    ("a name defined twice", lambda b: rename(b, "positive", "convolved"), "Two values are called 'convolved'"),
    ("a name of an input again", lambda b: rename(b, "positive", "x"), "Two values are called 'x'"),
    ("a value without a name", lambda b: rename(b, "positive", ""), "no name"),
    ("an output that nobody computes", lambda b: rename(b, "shares", "other"), "'shares'.*is never computed"),
    (
        "a wrong declared shape",
        lambda b: resize(b, "convolved", 1, 9),
        r"declared as fp32 \[1, 9, 6, 5\] but has shape",
    ),
    (
        "a wrong declared rank",
        lambda b: find(b, "flat").outputs[0].type.tensorType.ClearField("rank"),
        "declares rank 0",
    ),
    ("a wrong declared type", lambda b: retype(b, "positive", INT32), "declared as int32.*but holds torch.float32"),
    ("a truth value declared", lambda b: retype(b, "positive", BOOL), "declared as bool"),
    ("an unknown element type", lambda b: retype(b, "positive", 99), "element type 99"),
    ("a value of terabytes", lambda b: resize(b, "wide", 3, 1 << 40), "'wide' cannot be held.*GB"),
    ("a negative size", lambda b: resize(b, "wide", 3, (1 << 64) - 5), "'wide' cannot be held"),
    ("repetition into terabytes", lambda b: set_ints(b, "wide", "reps", [1, 1, 1, 1 << 30]), "'wide'.*needs.*GB"),
    ("padding into terabytes", lambda b: set_ints(b, "padded", "pad", [0, 0, 1 << 30, 1 << 30]), "'padded'.*GB"),
    ("negative padding", lambda b: set_ints(b, "padded", "pad", [0, 0, -1, 1]), "'padded'.*doesn't fit"),
    (
        "a reshape that loses values",
        lambda b: set_ints(b, "flat", "shape", [1, 11, -1]),
        "'flat'.*invalid for input of size",
    ),
    ("another reshape", lambda b: set_ints(b, "flat", "shape", [1, 7, -1]), "'flat'.*declared as"),
    ("an axis outside", lambda b: set_ints(b, "shares", "axis", [9]), "'shares'.*[Dd]imension out of range"),
    (
        "an input left out",
        lambda b: find(b, "convolved").inputs["x"].ClearField("arguments"),
        "'convolved'.*'x' must be bound",
    ),
    (
        "a computed value where a constant must be",
        lambda b: setattr(find(b, "shares").inputs["axis"].arguments[0], "name", "flat"),
        "'shares'.*'axis' must be a constant",
    ),
    (
        "an unknown mode",
        lambda b: constant_of(b, "convolved", "pad_type").strings.values.__setitem__(0, "wavy"),
        "'convolved'.*'wavy', not one of",
    ),
    ("a weight outside its file", lambda b: move_weight(b, 1 << 40), "offset"),
    ("a weight that isn't there", lambda b: move_weight(b, 128), "weight.bin"),
    ("a weight outside the package", lambda b: point_weight(b, "@model_path/../../../secret.bin"), "secret.bin"),
    ("a weight at an absolute place", lambda b: point_weight(b, "/etc/passwd"), "passwd"),
]


@pytest.mark.parametrize(("change", "message"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_contradiction(mutated: Callable[[Mutation], Path], change: Mutation, message: str) -> None:
    path = mutated(change)
    with pytest.raises(PackageError, match=message) as caught:
        MilProgram.load(path).run(X)
    assert "\n" not in caught.value.message


def test_every_unknown_operation_is_listed_with_its_places(mutated: Callable[[Mutation], Path]) -> None:
    def change(block: Any) -> None:
        for name, kind in (
            ("convolved", "conv_of_tomorrow"),
            ("positive", "relu_of_tomorrow"),
            ("wide", "relu_of_tomorrow"),
        ):
            find(block, name).type = kind

    with pytest.raises(UnsupportedOperationError) as caught:
        MilProgram.load(mutated(change))
    assert caught.value.operations == ("conv_of_tomorrow", "relu_of_tomorrow")
    assert "conv_of_tomorrow (1x: convolved)" in caught.value.message
    assert "relu_of_tomorrow (2x: positive, wide)" in caught.value.message
    assert "coreml" in caught.value.hint


def test_truncated_weights(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "truncated.mlpackage"
    shutil.copytree(sound, path)
    weights = next(path.rglob("weight.bin"))
    weights.write_bytes(weights.read_bytes()[:-700])
    with pytest.raises(PackageError, match=r"weight\.bin"):
        MilProgram.load(path).run(X)


def test_what_is_no_package(tmp_path: Path) -> None:
    (tmp_path / "empty.mlpackage").mkdir()
    (tmp_path / "text.mlpackage").write_text("hello")
    for name in ("empty.mlpackage", "text.mlpackage", "missing.mlpackage"):
        with pytest.raises(PackageError):
            MilRunner(tmp_path / name)


def test_an_endless_loop_ends(build: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(x: Any) -> Any:
        start = mb.reduce_sum(x=x, axes=[0, 1, 2, 3])
        return mb.while_loop(
            _cond=lambda total: mb.less_equal(x=mb.mul(x=total, y=0.0), y=1.0),
            _body=lambda total: (mb.add(x=total, y=0.0),),
            loop_vars=(start,),
        )

    monkeypatch.setattr(ops_control, "MAX_ITERATIONS", 20)
    with pytest.raises(ProgramError, match="doesn't end within 20"):
        MilProgram.load(build(endless, X, "iOS17")).run(X)


def test_description_and_program_that_disagree(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "described.mlpackage"
    shutil.copytree(sound, path)
    package = Package.open(path)
    package.spec.description.input[0].name = "y"
    package.layout.model.write_bytes(package.spec.SerializeToString())
    with pytest.raises(ProgramError, match="describes the inputs"):
        MilRunner(path)


def flip_bytes(sound: Path, folder: Path, seeds: range) -> None:
    """Damages the specification at random; whatever is left either runs or gives a typed error."""
    whole = Package.open(sound).layout.model.read_bytes()
    path = folder / "damaged.mlpackage"
    shutil.copytree(sound, path)
    model = Package.open(path).layout.model
    for seed in seeds:
        generator = random.Random(seed)
        damaged = bytearray(whole)
        for _ in range(generator.choice([1, 1, 2, 8])):
            place = generator.randrange(len(damaged))
            damaged[place] = generator.randrange(256)
        if generator.random() < 0.1:
            del damaged[generator.randrange(len(damaged)) :]
        model.write_bytes(bytes(damaged))
        try:
            MilRunner(path).run(X)
        except (PackageError, InputError):
            continue


def test_damaged_specifications(sound: Path, tmp_path: Path) -> None:
    flip_bytes(sound, tmp_path, range(150))


@pytest.mark.slow
def test_damaged_specifications_many(sound: Path, tmp_path: Path) -> None:
    flip_bytes(sound, tmp_path, range(1000, 6000))
