"""Messages between a host and `mobie serve`, and their bytes; docs/process-backend.md describes both.

    message   magic "MOB", version, kind, 3 zeros, id, length of the body; then the body
    body      name of the call, number of values, values in ascending order of their names
    value     name, type, number of axes, sizes; then the elements in row-major order

Numbers are little-endian; names are a length in one byte and ASCII.
"""

from __future__ import annotations

import enum
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mobie_coreml.errors import InputError

MAGIC = b"MOB"
VERSION = 1
HEADER = struct.Struct("<3sBB3sII")
MOST_BODY_BYTES = 1 << 28
MOST_VALUES = 64
MOST_AXES = 8

_NAME = re.compile(r"[A-Za-z0-9_.]{1,128}", re.ASCII)
_TEXT_CODE = 1
_DTYPES = {code: np.dtype(name) for code, name in enumerate(("<u1", "<i4", "<i8", "<f2", "<f4"), _TEXT_CODE + 1)}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}

Value: TypeAlias = "str | npt.NDArray[Any]"
"""Text, or an array of uint8, int32, int64, float16 or float32."""


class Kind(enum.IntEnum):
    """What a message is."""

    CALL = 1
    RESULT = 2
    FAILURE = 3


class Fault(enum.StrEnum):
    """Why bytes are no message."""

    GARBAGE = "garbage"
    VERSION = "version"
    KIND = "kind"
    TOO_LARGE = "tooLarge"
    TRUNCATED = "truncated"
    FORM = "form"


_HINTS = {
    Fault.GARBAGE: "Nothing but the protocol may be written to this pipe.",
    Fault.VERSION: "Use the same version of mobie on both sides.",
    Fault.KIND: "Use the same version of mobie on both sides.",
    Fault.TOO_LARGE: f"Messages hold at most {MOST_BODY_BYTES >> 20} MiB: use smaller frames.",
    Fault.TRUNCATED: "The other side ended early: see what it said.",
    Fault.FORM: "Use the same version of mobie on both sides.",
}


class MessageError(InputError):
    """Bytes are no message of this protocol; there is no way to find the next one.

    Args:
        fault: What kind of mistake it is.
        problem: What is wrong, a clause.
    """

    def __init__(self, fault: Fault, problem: str) -> None:
        super().__init__(f"This is no message of the protocol: {problem}.", _HINTS[fault])
        self.fault = fault


@dataclass(frozen=True)
class Message:
    """A call of the host, or the server's answer to it.

    Attributes:
        kind: What it is.
        id: Of the call; the answer has the same. Not 0, and larger than that of the call before.
        name: What is called; the answer has the same.
        values: By name.
    """

    kind: Kind
    id: int
    name: str
    values: Mapping[str, Value] = field(default_factory=dict)


def encode_message(message: Message) -> bytes:
    """The bytes of a message.

    Raises:
        MessageError: it is larger than a message may be, or has a name or type that none may have.
    """
    body = [_encode_name(message.name), struct.pack("<B", _within(len(message.values), MOST_VALUES, "values"))]
    for name in sorted(message.values):
        body += [_encode_name(name), *_encode_value(message.values[name])]
    length = sum(map(len, body))
    if length > MOST_BODY_BYTES:
        raise MessageError(Fault.TOO_LARGE, f"its body has {length} bytes")
    header = HEADER.pack(MAGIC, VERSION, message.kind, bytes(3), message.id, length)
    return b"".join((header, *body))


def decode_header(header: bytes) -> tuple[Kind, int, int]:
    """(kind, id, bytes of the body) in the first 16 bytes of a message.

    Raises:
        MessageError: they do not start one.
    """
    magic, version, kind, zeros, number, length = HEADER.unpack(header)
    if magic != MAGIC:
        raise MessageError(Fault.GARBAGE, f"it starts with {header[:4].hex(' ')}")
    if version != VERSION:
        raise MessageError(Fault.VERSION, f"it has version {version} of the protocol instead of {VERSION}")
    if kind not in set(Kind) or zeros != bytes(3):
        raise MessageError(Fault.KIND, f"its kind is {kind}")
    if length > MOST_BODY_BYTES:
        raise MessageError(Fault.TOO_LARGE, f"its body has {length} bytes")
    if number == 0:
        raise MessageError(Fault.FORM, "its id is 0")
    return Kind(kind), number, length


def decode_body(kind: Kind, number: int, body: bytes | bytearray) -> Message:
    """A message of its kind, id and body. Arrays share the body's memory.

    Raises:
        MessageError: the body has not the form of one.
    """
    cursor = _Cursor(memoryview(body))
    name = cursor.name()
    values: dict[str, Value] = {}
    before = ""
    for _ in range(_within(cursor.byte(), MOST_VALUES, "values")):
        key = cursor.name()
        if key <= before:
            raise MessageError(Fault.FORM, f"value {key} follows {before or 'nothing'}")
        values[key], before = cursor.value(key), key
    cursor.end()
    return Message(kind, number, name, values)


def _encode_name(name: str) -> bytes:
    if _NAME.fullmatch(name) is None:
        raise MessageError(Fault.FORM, f"{name[:40]!r} is no name")
    return struct.pack("<B", len(name)) + name.encode("ascii")


def _encode_value(value: Value) -> tuple[bytes, bytes]:
    if isinstance(value, str):
        text = value.encode("utf-8", errors="replace")
        return struct.pack("<BBI", _TEXT_CODE, 1, len(text)), text
    array = np.asarray(value)
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    if array.dtype not in _CODES:
        raise MessageError(Fault.FORM, f"arrays of {array.dtype} are not sent")
    if array.size == 0:
        raise MessageError(Fault.FORM, "empty arrays are not sent")
    axes = _within(array.ndim, MOST_AXES, "axes")
    header = struct.pack(f"<BB{axes}I", _CODES[array.dtype], axes, *array.shape)
    return header, array.tobytes()


def _within(count: int, most: int, what: str) -> int:
    if count > most:
        raise MessageError(Fault.FORM, f"it has {count} {what}, and {most} are the most")
    return count


class _Cursor:
    """Takes a body apart from the front."""

    def __init__(self, body: memoryview) -> None:
        self._rest = body

    def take(self, count: int) -> memoryview:
        if count > len(self._rest):
            raise MessageError(Fault.FORM, f"its body lacks {count - len(self._rest)} bytes")
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def name(self) -> str:
        text = bytes(self.take(self.byte())).decode("latin-1")
        if _NAME.fullmatch(text) is None:
            raise MessageError(Fault.FORM, f"{text[:40]!r} is no name")
        return text

    def value(self, name: str) -> Value:
        code, axes = self.byte(), _within(self.byte(), MOST_AXES, "axes")
        if code != _TEXT_CODE and code not in _DTYPES:
            raise MessageError(Fault.FORM, f"value {name} is of the unknown type {code}")
        shape = struct.unpack(f"<{axes}I", self.take(4 * axes))
        if code != _TEXT_CODE:
            dtype = _DTYPES[code]
            if 0 in shape:
                raise MessageError(Fault.FORM, f"array {name} has an axis of size 0")
            return np.frombuffer(self.take(dtype.itemsize * math.prod(shape)), dtype).reshape(shape)
        if axes != 1:
            raise MessageError(Fault.FORM, f"text {name} has {axes} axes")
        try:
            return bytes(self.take(shape[0])).decode("utf-8")
        except UnicodeDecodeError as error:
            raise MessageError(Fault.FORM, f"text {name} is not UTF-8") from error

    def end(self) -> None:
        if self._rest:
            raise MessageError(Fault.FORM, f"{len(self._rest)} bytes follow its last value")
