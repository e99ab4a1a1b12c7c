"""Calls that read one clip and write another: what stays with Python, because the decoders and encoders are here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from mobie_coreml.editing.clip_sink import ClipSink
from mobie_coreml.editing.clip_source import ClipSource
from mobie_coreml.editing.edit_media import all_or_nothing
from mobie_coreml.editing.media import SourceFrame
from mobie_coreml.editing.targets import plan_targets
from mobie_coreml.errors import InputError, WorkError
from mobie_coreml.files import check_output
from mobie_coreml.serving.message import Value

_LIMITS = np.iinfo(np.int64)
_MOST_SECONDS = 1 << 31
"""Either side of zero: so many seconds are an int64 of ticks in every time base."""


class Clips:
    """One clip that is read and one that is written; what was not finished is discarded when the block ends.

    Every call takes and gives values by name and raises InputError for those that are missing or wrong. Times are
    seconds as (numerator, denominator), int64.
    """

    def __init__(self) -> None:
        self._source: ClipSource | None = None
        self._frames: Iterator[SourceFrame] = iter(())
        self._limit: int | None = None
        self._sink: ClipSink | None = None
        self._output: AbstractContextManager[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.discard({})

    def open(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Opens the clip `path`, of which at most `limit` frames are read if that is given.

        Returns:
            `size` int64 (width, height), and `frames` int64 where their number is known.
        """
        if self._source is not None:
            raise InputError("A clip is open already.", "Call clip.finish or clip.discard first.")
        limit = _whole(values, "limit") if "limit" in values else None
        if limit is not None and limit < 1:
            raise InputError(f"The limit {limit} is out of range.", "Give the number of frames, 1 or more.")
        self._source = ClipSource(Path(_text(values, "path")), limit=limit)
        self._frames, self._limit = self._source.frames(), limit
        info = self._source.info
        opened: dict[str, Value] = {"size": np.array(info.size, np.int64)}
        if info.count is not None:
            opened["frames"] = np.array(info.count, np.int64)
        return opened

    def read(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """The next frame.

        Returns:
            `pixels` uint8 (H, W, 3) RGB, `index` int64, `pts` and `duration`; nothing after the last frame.
        """
        if self._source is None:
            raise InputError("No clip is open.", "Call clip.open first.")
        frame = next(self._frames, None)
        if frame is None:
            return {}
        return {
            "pixels": frame.pixels,
            "index": np.array(frame.index, np.int64),
            "pts": _from_seconds(frame.pts),
            "duration": _from_seconds(frame.duration),
        }

    def create(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Starts the clip `path` (.mp4, .mov, .m4v or .mkv) with the open clip's time base and audio.

        A clip that exists is replaced only where `force` is given and not 0.
        """
        if self._source is None or self._sink is not None:
            raise InputError("An output needs one open clip, and a clip has one output.", "Call clip.open first.")
        force = "force" in values and _whole(values, "force") != 0
        source, path = self._source, Path(_text(values, "path"))
        sink = ClipSink(path, source.info, audio=source.path, whole=self._limit is None)
        check_output(path, force=force, is_file=True)
        plan_targets(source.path, path, ("edit",), side_by_side=False, force=force)
        output = all_or_nothing([sink], [path])
        output.__enter__()
        self._sink, self._output = sink, output
        return {}

    def write(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Adds a frame: `pixels` uint8 (H, W, 3) RGB, and `index`, `pts` and `duration` of the frame it was made of."""
        if self._sink is None:
            raise InputError("No clip is being written.", "Call clip.create first.")
        pixels = values.get("pixels")
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[2:] != (3,):
            raise InputError("There are no pixels to write.", "Frames are uint8 (height, width, 3) RGB.")
        times = (_seconds(values, "pts"), _seconds(values, "duration"))
        self._sink.write(pixels, SourceFrame(pixels, _whole(values, "index"), *times))
        return {}

    def finish(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Completes the output, which appears now, and closes the open clip.

        Returns:
            `notes`: what the user should know, a sentence a line.
        """
        if self._source is None or self._sink is None or self._output is None:
            raise InputError("No clip is being written.", "Call clip.create first.")
        output, source, sink = self._output, self._source, self._sink
        self._output = self._sink = None
        output.__exit__(None, None, None)
        self.discard({})
        return {"notes": "\n".join(dict.fromkeys((*source.notes, *sink.notes)))}

    def discard(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Closes the open clip; what was written of an output that is not finished goes."""
        output, source = self._output, self._source
        self._output = self._sink = self._source = None
        self._frames = iter(())
        if output is not None:
            output.__exit__(InterruptedError, InterruptedError("discarded"), None)
        if source is not None:
            source.close()
        return {}


def _text(values: Mapping[str, Value], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or not value or "\0" in value:
        raise InputError(f"The text {name} is missing.", f"Give {name}.")
    return value


def _whole(values: Mapping[str, Value], name: str) -> int:
    value = values.get(name)
    if not isinstance(value, np.ndarray) or value.dtype != np.int64 or value.shape != ():
        raise InputError(f"The number {name} is missing.", f"Give {name} as one int64 without axes.")
    return int(value)


def _seconds(values: Mapping[str, Value], name: str) -> Fraction:
    value = values.get(name)
    if not isinstance(value, np.ndarray) or value.dtype != np.int64 or value.shape != (2,) or value[1] < 1:
        raise InputError(f"The time {name} is missing.", f"Give {name} as two int64: numerator, denominator over 0.")
    time = Fraction(int(value[0]), int(value[1]))
    if abs(time) > _MOST_SECONDS:
        raise InputError(f"The time {name} of {float(time):g} s is out of range.", "Give what clip.read gave.")
    return time


def _from_seconds(time: Fraction) -> Value:
    if not all(_LIMITS.min <= part <= _LIMITS.max for part in (time.numerator, time.denominator)):
        raise WorkError("The clip has a time that no host can hold.", "Re-encode it.")
    return np.array([time.numerator, time.denominator], np.int64)
