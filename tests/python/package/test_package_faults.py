"""Damaged packages: whatever bytes change, a typed error or a result, never a crash, a hang or a huge allocation."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palettization.errors import PackageError
from palettization.package import Constants, Package, constants_of, summarise

FILES = (
    "Data/com.apple.CoreML/model.mlmodel",
    "Data/com.apple.CoreML/weights/weight.bin",
    "Manifest.json",
)
SECONDS = 10.0
MEGABYTES = 300

MUTATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 1 << 16), st.binary(min_size=1, max_size=8)),
        st.tuples(st.just("flip"), st.integers(0, 1 << 16), st.integers(0, 7)),
        st.tuples(st.just("insert"), st.integers(0, 1 << 16), st.binary(min_size=1, max_size=8)),
        st.tuples(st.just("cut"), st.integers(0, 1 << 16), st.integers(1, 64)),
        st.tuples(st.just("truncate"), st.integers(0, 1 << 16), st.none()),
    ),
    min_size=1,
    max_size=4,
)


def mutate(data: bytes, changes: list[tuple[str, int, Any]]) -> bytes:
    raw = bytearray(data)
    for kind, position, content in changes:
        if not raw:
            break
        at = position % len(raw)
        if kind == "set":
            raw[at : at + len(content)] = content
        elif kind == "flip":
            raw[at] ^= 1 << content
        elif kind == "insert":
            raw[at:at] = content
        elif kind == "cut":
            del raw[at : at + content]
        else:
            del raw[at:]
    return bytes(raw)


def read_everything(path: Path) -> None:
    """All that a reader can be asked: every constant and weight decoded, checks and summary."""
    with Package.open(path) as package:
        for action in (package.check_weights, lambda: summarise(package)):
            with contextlib.suppress(PackageError):
                action()
        for function in package.functions.values():
            constants = Constants(package, function)
            for name in constants:
                with contextlib.suppress(PackageError):
                    constants.value(name)
            for located in function.walk():
                for parameter, value in constants_of(located.operation):
                    with contextlib.suppress(PackageError):
                        package.constant(value, parameter)


def survives(
    source: Path, target: Path, file: str, changes: list[tuple[str, int, Any]], peak_megabytes: Callable[[], float]
) -> None:
    for name in FILES:
        data = (source / name).read_bytes()
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(mutate(data, changes) if name == file else data)
    before = peak_megabytes()
    start = time.process_time()
    with contextlib.suppress(PackageError):
        read_everything(target)
    assert time.process_time() - start < SECONDS
    assert peak_megabytes() - before < MEGABYTES


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "damaged.mlpackage"


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=st.sampled_from(FILES), changes=MUTATIONS)
def test_damage_is_an_error_or_a_result(
    tiny: Path, target: Path, peak_megabytes: Callable[[], float], file: str, changes: Any
) -> None:
    survives(tiny, target, file, changes, peak_megabytes)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=st.sampled_from(FILES[:2]), changes=MUTATIONS)
def test_much_damage_is_an_error_or_a_result(
    tiny: Path, target: Path, peak_megabytes: Callable[[], float], file: str, changes: Any
) -> None:
    survives(tiny, target, file, changes, peak_megabytes)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_single_byte_of_the_specification(tiny: Path, target: Path, peak_megabytes: Callable[[], float]) -> None:
    length = (tiny / FILES[0]).stat().st_size
    for position in range(length):
        for value in (0x00, 0x01, 0x7F, 0x80, 0xFF):
            survives(tiny, target, FILES[0], [("set", position, bytes([value]))], peak_megabytes)


def test_messages_swapped_between_places(tiny: Path, target: Path, build: Callable[..., Path]) -> None:
    """Whole parts in the wrong place: every pair of operations exchanges one operand."""
    original = Package.open(tiny)
    count = len(original.function().block.operations)
    for first in range(count):
        for second in range(count):
            package = Package.open(tiny)
            left, right = (package.function().block.operations[index] for index in (first, second))
            for parameter in sorted(left.attributes):
                if parameter in right.attributes:
                    left.attributes[parameter].CopyFrom(
                        original.function().block.operations[second].attributes[parameter]
                    )
            right.outputs[0].type.CopyFrom(original.function().block.operations[first].outputs[0].type)
            (target / FILES[0]).parent.mkdir(parents=True, exist_ok=True)
            for name in FILES[1:]:
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                (target / name).write_bytes((tiny / name).read_bytes())
            (target / FILES[0]).write_bytes(package.spec.SerializeToString())
            read_everything(target)
