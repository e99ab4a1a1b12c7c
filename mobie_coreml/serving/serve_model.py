"""What `mobie serve` does: opens a model folder and talks over this process's standard input and output."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mobie_coreml.editing.open_model import open_editor, package_runtime
from mobie_coreml.errors import InputError
from mobie_coreml.files import sha256_file
from mobie_coreml.manifest.content import FILE_NAME
from mobie_coreml.serving.server import serve

_BUFFER_BYTES = 1 << 20


def serve_model(model: Path, *, runtime: str | None = None, precision: str = "fp32") -> None:
    """Serves a model folder until standard input ends.

    Args:
        model: The folder.
        runtime: "coreml" (macOS) or "mil" (anywhere); None chooses by the system.
        precision: "fp32" or "fp16" arithmetic of the mil runtime.

    Raises:
        InputError: it is no model folder, lacks components, standard input is a terminal, a standard stream is
            closed, or what came is no call.
        WorkError: the host does not read its answers any more.
    """
    if None in (sys.stdin, sys.stdout, sys.stderr):
        raise InputError(
            "mobie serve was started with its standard input, output or error closed.",
            "Start it with pipes, or /dev/null for the error.",
        )
    if sys.stdin.isatty():
        raise InputError(
            "mobie serve talks to a program over pipes, not to a terminal.",
            "mobie-bench starts it by itself; see docs/process-backend.md.",
        )
    editor = open_editor(str(model), runtime=runtime or package_runtime(), precision=precision)
    digest = sha256_file(model / FILE_NAME)
    # What libraries print must not get between messages: it goes where errors go.
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with (
        open(sys.stdin.fileno(), "rb", buffering=_BUFFER_BYTES, closefd=False) as incoming,
        open(answers, "wb", buffering=0) as outgoing,
    ):
        serve(editor, digest, incoming, outgoing)
