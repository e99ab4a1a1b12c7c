"""A server over pipes in this process, and a host that talks to it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pytest

from mobie_coreml.editing.editor import Editor
from mobie_coreml.serving.message import Kind, Message, encode_message
from mobie_coreml.serving.pipe import read_message
from mobie_coreml.serving.server import serve


class FakeComponents:
    """Components that say what they were given: sums."""

    def inputs(self, component: str) -> tuple[str, ...]:
        return {
            "TextEncoder": ("input_ids",),
            "Conditioner": ("text_states", "timestep"),
            "Encoder": ("frame",),
            "Denoiser": ("image_latents", "noisy_latents"),
            "Decoder": ("denoised_latents",),
        }[component]

    def release(self, component: str) -> None:
        raise AssertionError(component)

    def run(self, component: str, inputs: Any) -> dict[str, np.ndarray]:
        total = np.float32(sum(float(value.sum()) for value in inputs.values()))
        if component == "Decoder":
            return {"edited_frame": np.full((1, 3, 2, 4), total, np.float32)}
        if component == "Encoder":
            assert inputs["frame"].shape == (1, 3, 2, 4)
            return {"image_latents": np.full((1, 1, 1, 2), total, np.float32)}
        return {"made": np.full((1, 2), total, np.float32)}


class Method:
    """Of the fake components: what `Editor.encode` asks."""

    frame_size = (4, 2)


class Host:
    """The other end of the server's pipes."""

    def __init__(self, calls: BinaryIO, answers: BinaryIO) -> None:
        self._calls, self.answers = calls, answers
        self._last = 0

    def send(self, content: bytes) -> None:
        self._calls.write(content)
        self._calls.flush()

    def call(self, name: str, **values: Any) -> Message:
        self._last += 1
        self.send(encode_message(Message(Kind.CALL, self._last, name, values)))
        answer = read_message(self.answers)
        assert answer is not None
        assert (answer.id, answer.name) == (self._last, name)
        return answer

    def result(self, name: str, **values: Any) -> dict[str, Any]:
        answer = self.call(name, **values)
        assert answer.kind is Kind.RESULT, answer.values
        return dict(answer.values)

    def failure(self, name: str, **values: Any) -> dict[str, Any]:
        answer = self.call(name, **values)
        assert answer.kind is Kind.FAILURE
        assert answer.values["message"]
        return dict(answer.values)

    def hang_up(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._calls.close()


class Served:
    """A server that runs, its host, and what ended it."""

    def __init__(self, host: Host, thread: threading.Thread) -> None:
        self.host = host
        self.error: BaseException | None = None
        self._thread = thread

    def end(self) -> None:
        """Hangs up and raises what ended the server."""
        self.host.hang_up()
        self._thread.join(60)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error


@pytest.fixture
def served() -> Iterator[Served]:
    calls_out, calls_in = os.pipe()
    answers_out, answers_in = os.pipe()
    editor = Editor(FakeComponents(), Method(), lambda prompt: [])  # type: ignore[arg-type]

    def work() -> None:
        with open(calls_out, "rb") as calls, open(answers_in, "wb", buffering=0) as answers:
            try:
                serve(editor, "0" * 64, calls, answers)
            except BaseException as error:
                made.error = error

    thread = threading.Thread(target=work, daemon=True)
    with open(calls_in, "wb") as outgoing, open(answers_out, "rb") as incoming:
        made = Served(Host(outgoing, incoming), thread)
        thread.start()
        yield made
        made.host.hang_up()
        thread.join(60)
