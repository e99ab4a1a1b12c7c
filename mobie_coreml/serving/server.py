"""Answers calls one after the other until the host closes its end of the pipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import BinaryIO

import numpy as np

from mobie_coreml import __version__
from mobie_coreml.editing.editor import Editor
from mobie_coreml.errors import MobieError
from mobie_coreml.manifest.content import COMPONENT_NAMES
from mobie_coreml.serving.clips import Clips
from mobie_coreml.serving.components import call_component
from mobie_coreml.serving.message import Fault, Kind, Message, MessageError, Value, encode_message
from mobie_coreml.serving.pipe import read_message, write_bytes
from palettization.errors import PackageError

Call = Callable[[Mapping[str, Value]], dict[str, Value]]


def serve(editor: Editor, manifest_sha256: str, calls: BinaryIO, answers: BinaryIO) -> None:
    """Answers every call in its order.

    A call that cannot be answered gets a failure (message, hint and exit code of the error), and the next call is read.
    What is no message, or no call, ends the server: whatever follows could mean anything.

    Args:
        editor: Of the model that is served.
        manifest_sha256: Of the model's mobie.json, which `hello` tells, so that a host can see that it has the same.
        calls: Messages of the host.
        answers: Messages to it.

    Raises:
        MessageError: what came is no call.
        WorkError: the host does not read its answers any more.
    """
    with Clips() as clips:
        known = {**_component_calls(editor), **_clip_calls(clips)}
        known["hello"] = lambda _: {"program": f"mobie {__version__}", "manifest_sha256": manifest_sha256}
        last = 0
        while (message := read_message(calls)) is not None:
            if message.kind is not Kind.CALL:
                raise MessageError(Fault.KIND, f"it is a {message.kind.name.lower()}, and a host sends calls")
            if message.id <= last:
                raise MessageError(Fault.FORM, f"its id {message.id} follows {last}, and ids grow")
            last = message.id
            write_bytes(answers, _answer(known, message))


def _answer(known: Mapping[str, Call], call: Message) -> bytes:
    """The bytes of the answer to a call."""

    def failure(message: str, hint: str, code: int) -> bytes:
        values: dict[str, Value] = {"message": message, "hint": hint, "code": np.array(code, np.int64)}
        return encode_message(Message(Kind.FAILURE, call.id, call.name, values))

    if call.name not in known:
        return failure(f"There is no call {call.name}.", f"Calls are {', '.join(sorted(known))}.", 2)
    try:
        return encode_message(Message(Kind.RESULT, call.id, call.name, known[call.name](call.values)))
    except (MobieError, PackageError) as error:
        return failure(error.message, error.hint, error.exit_code)
    except OSError as error:
        return failure(f"{error.filename or call.name}: {error.strerror or error}.", "Check the file's name.", 3)


def _component_calls(editor: Editor) -> dict[str, Call]:
    def call(component: str) -> Call:
        return lambda values: call_component(editor, component, values)

    return {component: call(component) for component in COMPONENT_NAMES}


def _clip_calls(clips: Clips) -> dict[str, Call]:
    return {
        "clip.open": clips.open,
        "clip.read": clips.read,
        "clip.create": clips.create,
        "clip.write": clips.write,
        "clip.finish": clips.finish,
        "clip.discard": clips.discard,
    }
