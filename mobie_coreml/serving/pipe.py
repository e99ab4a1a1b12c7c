"""Messages on the two ends of a pipe."""

from __future__ import annotations

from typing import BinaryIO

from mobie_coreml.errors import WorkError
from mobie_coreml.serving.message import HEADER, MAGIC, Fault, Message, MessageError, decode_body, decode_header

_PIECE_BYTES = 1 << 20


def read_message(stream: BinaryIO) -> Message | None:
    """The next message; None where the stream ends before one starts.

    No more memory is taken than bytes came, whatever a header says.

    Raises:
        MessageError: what came is no message, or ends inside of one.
    """
    header = stream.read(HEADER.size)
    if not header:
        return None
    if len(header) < HEADER.size:
        if not MAGIC.startswith(header[: len(MAGIC)]):
            raise MessageError(Fault.GARBAGE, f"it starts with {header[:4].hex(' ')}")
        raise MessageError(Fault.TRUNCATED, f"the stream ends after {len(header)} bytes of a header")
    kind, number, length = decode_header(header)
    body = bytearray()
    while len(body) < length:
        piece = stream.read(min(_PIECE_BYTES, length - len(body)))
        if not piece:
            raise MessageError(Fault.TRUNCATED, f"the stream ends after {len(body)} of a body's {length} bytes")
        body += piece
    return decode_body(kind, number, body)


def write_bytes(stream: BinaryIO, content: bytes) -> None:
    """Writes all of an encoded message.

    Raises:
        WorkError: nobody reads the other end any more.
    """
    rest = memoryview(content)
    try:
        while rest:
            rest = rest[stream.write(rest) :]
    except BrokenPipeError as error:
        raise WorkError("The host closed the pipe before it had its answer.", "See what the host said.") from error
