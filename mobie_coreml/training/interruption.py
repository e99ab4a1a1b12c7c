"""Stopping a run from outside without losing it."""

from __future__ import annotations

import signal
import threading
from typing import Any


class RunStopped(KeyboardInterrupt):
    """A run was interrupted and is saved; the message says how to go on."""


class Interruption:
    """Turns the first SIGINT or SIGTERM into a request to stop after the step; the second acts as usual."""

    asked = False

    def __enter__(self) -> Interruption:
        self._previous: dict[signal.Signals, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _ask(self, *_: object) -> None:
        self.asked = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
