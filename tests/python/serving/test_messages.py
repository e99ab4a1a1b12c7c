"""The protocol's bytes: golden messages, bytes that are none, and changed streams."""

from __future__ import annotations

import io
import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobie_coreml.errors import WorkError
from mobie_coreml.serving.message import Fault, Kind, Message, MessageError, encode_message
from mobie_coreml.serving.pipe import read_message, write_bytes

GOLDEN = json.loads((Path(__file__).resolve().parents[3] / "tests/vectors/messages.json").read_text(encoding="utf-8"))


def read_all(content: bytes) -> list[Message]:
    """Every message of a stream; raises MessageError where one is none."""
    stream, messages = io.BytesIO(content), []
    while (message := read_message(stream)) is not None:
        messages.append(message)
    return messages


def described(message: Message) -> dict[str, Any]:
    values = {
        name: {"type": "text", "shape": [len(value.encode())], "hex": value.encode().hex()}
        if isinstance(value, str)
        else {"type": value.dtype.name, "shape": list(value.shape), "hex": value.tobytes().hex()}
        for name, value in message.values.items()
    }
    return {"kind": int(message.kind), "id": message.id, "name": message.name, "values": values}


@pytest.mark.parametrize("case", GOLDEN["good"], ids=lambda case: case["case"])
def test_golden_messages_are_read_and_written(case: dict[str, Any]) -> None:
    content = bytes.fromhex(case["hex"])
    (message,) = read_all(content)
    assert described(message) == case["message"]
    assert encode_message(message) == content


@pytest.mark.parametrize("case", GOLDEN["bad"], ids=lambda case: case["case"])
def test_what_is_no_message_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(MessageError) as caught:
        read_all(bytes.fromhex(case["hex"]))
    assert caught.value.fault == case["fault"]
    assert caught.value.hint
    assert caught.value.exit_code == 2


names = st.text("abcXYZ019_.", min_size=1, max_size=20)
arrays = st.builds(
    lambda kind, shape, seed: np.random.default_rng(seed).integers(0, 99, shape).astype(kind),
    st.sampled_from(["uint8", "int32", "int64", "float16", "float32", ">f4", ">i8"]),
    st.lists(st.integers(1, 3), max_size=8),
    st.integers(0, 9),
)


@given(st.sampled_from(Kind), st.integers(1, 2**32 - 1), names, st.dictionaries(names, st.text() | arrays, max_size=8))
@settings(deadline=None, max_examples=60)
def test_what_was_written_is_read(kind: Kind, number: int, name: str, values: dict[str, Any]) -> None:
    (message,) = read_all(encode_message(Message(kind, number, name, values)))
    assert (message.kind, message.id, message.name, list(message.values)) == (kind, number, name, sorted(values))
    for key, value in message.values.items():
        if isinstance(value, str):
            assert value == values[key]
        else:
            assert value.dtype == values[key].dtype.newbyteorder("<")
            assert np.array_equal(value, values[key])


@pytest.mark.parametrize(
    ("name", "values", "fault"),
    [
        ("", {}, Fault.FORM),
        ("two words", {}, Fault.FORM),
        ("x" * 129, {}, Fault.FORM),
        ("ok", {"é": "x"}, Fault.FORM),
        ("ok", {f"v{number}": "x" for number in range(65)}, Fault.FORM),
        ("ok", {"a": np.ones((1,) * 9, np.uint8)}, Fault.FORM),
        ("ok", {"a": np.zeros((2, 0), np.uint8)}, Fault.FORM),
        ("ok", {"a": np.ones(1, np.float64)}, Fault.FORM),
        ("ok", {"a": np.array(["x"])}, Fault.FORM),
        ("ok", {"a": np.broadcast_to(np.uint8(0), (1 << 14, 1 << 14)), "b": "x"}, Fault.TOO_LARGE),
    ],
)
def test_what_may_not_be_sent_is_refused(name: str, values: dict[str, Any], fault: Fault) -> None:
    with pytest.raises(MessageError) as caught:
        encode_message(Message(Kind.CALL, 1, name, values))
    assert caught.value.fault is fault


def test_no_more_memory_is_taken_than_bytes_came() -> None:
    class Counted(io.BytesIO):
        most = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.most = max(self.most, size or 0)
            return super().read(size)

    stream = Counted(bytes.fromhex(GOLDEN["good"][0]["hex"])[:12] + (2**28).to_bytes(4, "little") + bytes(100))
    with pytest.raises(MessageError, match="ends after 100 of a body's 268435456 bytes"):
        read_message(stream)
    assert stream.most <= 1 << 20


def test_messages_go_out_whole_or_the_reader_is_gone() -> None:
    class Slow(io.BytesIO):
        def write(self, content: Any, /) -> int:
            return super().write(content[:7])

    stream = Slow()
    write_bytes(stream, bytes(range(100)))
    assert stream.getvalue() == bytes(range(100))
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb", buffering=0) as pipe, pytest.raises(WorkError, match="closed the pipe"):
        write_bytes(pipe, b"x")


def mutate(content: bytearray, chance: random.Random) -> None:
    if not content:
        return
    at = chance.randrange(min(48, len(content)) if chance.random() < 0.5 else len(content))
    match chance.randrange(6):
        case 0:
            content[at] = chance.randrange(256)
        case 1:
            content[at] ^= 1 << chance.randrange(8)
        case 2:
            del content[at]
        case 3:
            content.insert(at, chance.randrange(256))
        case 4:
            del content[at:]
        case _:
            content[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))


@pytest.mark.parametrize(
    "rounds", [pytest.param(3000, id="some"), pytest.param(100_000, id="many", marks=pytest.mark.slow)]
)
def test_changed_streams_are_read_or_refused(rounds: int) -> None:
    """Messages have the bytes that they were read from; what is none is a MessageError and nothing else."""
    seed = int(os.environ.get("MOBIE_SEED", random.randrange(10_000)))
    print(f"MOBIE_SEED={seed}")
    chance = random.Random(seed)
    corpus = [bytes.fromhex(case["hex"]) for case in (*GOLDEN["good"], *GOLDEN["bad"])]
    seen = set()
    for _ in range(rounds):
        content = bytearray(chance.choice(corpus))
        if chance.random() < 0.5:
            content += chance.choice(corpus[:5])
        for _ in range(chance.randrange(5)):
            mutate(content, chance)
        stream, messages = io.BytesIO(content), []
        try:
            while (message := read_message(stream)) is not None:
                messages.append(message)
            seen.add("none")
        except MessageError as error:
            seen.add(error.fault)
        assert content.startswith(b"".join(encode_message(message) for message in messages)), seed
    assert seen == {"none", *Fault}
