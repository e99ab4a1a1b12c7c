"""Messages between a host and `mobie serve`: their bytes, and bytes that are none and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from mobie_coreml.serving.message import HEADER, Fault, Kind, Message, Value, encode_message

PATH = "tests/vectors/messages.json"


def make() -> Iterator[tuple[str, bytes]]:
    """The file and its content."""
    good = {name: encode_message(message) for name, message in _messages().items()}
    content = {
        "good": [
            {"case": name, "hex": good[name].hex(), "message": _described(message)}
            for name, message in _messages().items()
        ],
        "bad": [{"case": name, "hex": bad.hex(), "fault": fault.value} for name, bad, fault in _bad(good)],
    }
    yield PATH, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def _messages() -> dict[str, Message]:
    numbers = np.arange(6).reshape(1, 2, 3)
    types: dict[str, Value] = {
        "int32": numbers.astype(np.int32) - 3,
        "int64": (numbers - 3) * 2**40,
        "half": (numbers / 3).astype(np.float16),
        "single": np.array([np.pi, -0.0, np.inf, np.nan], np.float32),
        "bytes": numbers.astype(np.uint8).reshape(2, 3, 1),
        "number": np.array(-(2**63), np.int64),
        "axes": np.ones((1, 1, 2, 1, 1, 1, 1, 1), np.float32),
    }
    texts: dict[str, Value] = {"a": "", "b": "Grüße, 雪 ❄️ 👩‍🚀", "c": "\0\n\ufeff", "A": "upper case comes first"}
    many: dict[str, Value] = {f"v{number:02}": np.array([number], np.uint8) for number in range(64)}
    error: dict[str, Value] = {"message": "No.", "hint": "Ask for less.", "code": np.array(2, np.int64)}
    return {
        "a call without values": Message(Kind.CALL, 1, "hello"),
        "every type of numbers": Message(Kind.CALL, 2, "Denoiser", types),
        "texts": Message(Kind.RESULT, 3, "clip.open", texts),
        "as many values as there may be": Message(Kind.RESULT, 4, "x" * 128, many),
        "a failure": Message(Kind.FAILURE, 2**32 - 1, "clip.read", error),
    }


def _described(message: Message) -> dict[str, Any]:
    def value(one: Value) -> dict[str, Any]:
        if isinstance(one, str):
            return {"type": "text", "shape": [len(one.encode())], "hex": one.encode().hex()}
        return {"type": one.dtype.name, "shape": list(one.shape), "hex": one.tobytes().hex()}

    values = {name: value(one) for name, one in message.values.items()}
    return {"kind": int(message.kind), "id": message.id, "name": message.name, "values": values}


def _bad(good: dict[str, bytes]) -> Iterator[tuple[str, bytes, Fault]]:
    hello, types = good["a call without values"], good["every type of numbers"]
    yield "text", b"Traceback (most recent call last):\n", Fault.GARBAGE
    yield "a single wrong byte", b"m", Fault.GARBAGE
    yield "a header's start", hello[:2], Fault.TRUNCATED
    yield "most of a header", hello[:15], Fault.TRUNCATED
    yield "a header without its body", hello[:16], Fault.TRUNCATED
    yield "all but the last byte", types[:-1], Fault.TRUNCATED
    yield "a message and part of another", hello + types[:30], Fault.TRUNCATED
    yield "a message and garbage", hello + b"MOx", Fault.GARBAGE
    for name, at, byte, fault in (
        ("a later version", 3, 2, Fault.VERSION),
        ("kind 0", 4, 0, Fault.KIND),
        ("kind 4", 4, 4, Fault.KIND),
        ("a byte that is not 0", 6, 1, Fault.KIND),
        ("a name that is too long for the body", 16, 200, Fault.FORM),
        ("an empty name", 16, 0, Fault.FORM),
        ("a name with a space", 18, 0x20, Fault.FORM),
        ("a name that is not ASCII", 18, 0xE9, Fault.FORM),
        ("a value that is not there", 22, 1, Fault.FORM),
        ("more values than there may be", 22, 65, Fault.FORM),
    ):
        yield name, hello[:at] + bytes([byte]) + hello[at + 1 :], fault
    yield "id 0", hello[:8] + bytes(4) + hello[12:], Fault.FORM
    yield "a body of 4 GiB", hello[:12] + b"\xff" * 4, Fault.TOO_LARGE
    yield "a body one byte larger than bodies may be", hello[:12] + (2**28 + 1).to_bytes(4, "little"), Fault.TOO_LARGE
    yield "no body", hello[:12] + bytes(4), Fault.FORM
    body = hello[16:-1]
    for name, values in _bad_values().items():
        yield name, _around(body + bytes([len(values)]) + b"".join(values)), Fault.FORM
    yield "bytes after the last value", _around(hello[16:] + b"\0"), Fault.FORM


def _bad_values() -> dict[str, list[bytes]]:
    """Values that none may be, by what is wrong with them."""

    def value(name: str, code: int, shape: tuple[int, ...], content: bytes) -> bytes:
        sizes = b"".join(size.to_bytes(4, "little") for size in shape)
        return bytes([len(name)]) + name.encode() + bytes([code, len(shape)]) + sizes + content

    one = value("a", 2, (1,), b"\1")
    return {
        "a name twice": [one, one],
        "names out of order": [value("b", 2, (1,), b"\1"), one],
        "type 0": [value("a", 0, (1,), b"\1")],
        "type 7": [value("a", 7, (1,), b"\1")],
        "nine axes": [value("a", 2, (1,) * 9, b"\1")],
        "an empty array": [value("a", 2, (0,), b"")],
        "an empty array with a huge axis": [value("a", 6, (2**32 - 1, 0, 2**32 - 1), b"")],
        "more elements than bytes": [value("a", 4, (2,), b"\1" * 15)],
        "sizes whose product has 256 bits": [value("a", 4, (2**32 - 1,) * 8, b"\1")],
        "text with two axes": [value("a", 1, (1, 1), b"x")],
        "text without axes": [value("a", 1, (), b"x")],
        "text that is not UTF-8": [value("a", 1, (2,), b"\xc3\x28")],
        "text that ends inside of a character": [value("a", 1, (2,), b"\xe9\x9b")],
        "text with a surrogate": [value("a", 1, (3,), b"\xed\xa0\x80")],
    }


def _around(body: bytes) -> bytes:
    return HEADER.pack(b"MOB", 1, Kind.CALL, bytes(3), 1, len(body)) + body
