"""Clips in: upright RGB frames one at a time, with the timestamps they were stored with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from mobie_coreml.editing import hdr
from mobie_coreml.editing.colour import BT709, UNSPECIFIED, ToRGB
from mobie_coreml.editing.media import CLIP_INPUTS, SourceFrame, SourceInfo, check_input
from mobie_coreml.editing.orientation import UPRIGHT, Orientation, from_display_matrix
from mobie_coreml.editing.resample import Pixels, resize
from mobie_coreml.errors import InputError

_DEFAULT_RATE = Fraction(25)
_DAMAGED_HINT = "Copy or download the clip again, or edit the frames before it with --limit."
# Transport and program streams count from an arbitrary moment.
_CLOCKS_WITHOUT_ZERO = ("mpegts", "mpeg")
# libav's formats that hold pictures themselves. Others, such as playlists, would read further files that they name.
_FORMATS = (
    "mov", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo", "asf", "gif", "apng", "flv", "ogg", "mxf",
    "nut", "ivf", "dv", "rm", "h264", "hevc", "vvc", "av1", "obu", "m4v", "yuv4mpegpipe",
)  # fmt: skip


def open_input(path: Path) -> Any:
    """Opens a clip for reading. It is data: whatever it says, libav opens no other file and no connection for it.

    Raises:
        InputError: it is not a clip that libav can read, or of a kind that refers to other files.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(_FORMATS)}
    try:
        # Absolute, because libav would take the "12:" of "12:30.mp4" for a protocol.
        return av.open(str(path.absolute()), metadata_errors="replace", options=options)
    except av.error.ArgumentError as error:  # what libav says of a format that is not in the list
        raise InputError(
            f"{path} cannot be read as a clip: it is damaged, a playlist or of another kind that is not read.",
            f"Give a video file of its own, such as {', '.join(CLIP_INPUTS[:4])}.",
        ) from error
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise InputError(
            f"{path} cannot be read as a clip: {_reason(error)}.", "Check that it is a complete video file."
        ) from error


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error).strip().rstrip(".") or type(error).__name__


def clock_zero(container: Any) -> Fraction:
    """Seconds to subtract from a container's timestamps, where its format's clock does not start at zero."""
    if container.start_time and container.format.name in _CLOCKS_WITHOUT_ZERO:
        return Fraction(int(container.start_time), 1_000_000)
    return Fraction(0)


class ClipSource:
    """A clip that is decoded once, from the first frame on.

    Args:
        path: The clip.
        start: Frames shown before this second are skipped.
        limit: At most this many frames are read.

    Raises:
        InputError: it cannot be read, has no video stream, or ends before its first frame.
    """

    def __init__(self, path: Path, *, start: Fraction = Fraction(0), limit: int | None = None) -> None:
        check_input(path)
        self.path = path
        self.notes: list[str] = []
        self._start = start
        self._limit = limit
        self._container = open_input(path)
        try:
            self._stream = self._video_stream()
            context = self._stream.codec_context
            self._to_rgb = ToRGB(int(context.color_trc), int(context.color_primaries))
            self._last_pts: Fraction | None = None
            self._first_dts: int | None = None
            self._decoded = self._decode()
            self._first = next(self._decoded, None)
            if self._first is None:
                where = f" at or after {float(start):g} s" if start else ""
                raise InputError(f"{path} has no frame{where}.", "Check that it is a complete video file.")
            self.info = self._describe(self._first)
        except BaseException:
            self.close()
            raise

    def _video_stream(self) -> Any:
        streams = [s for s in self._container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not streams:
            raise InputError(f"{self.path} has no video stream.", "Give a clip with pictures, or an image.")
        stream = streams[0]
        stream.thread_type = "AUTO"
        if stream.codec_context is None:
            raise InputError(f"{self.path}: no decoder is available for its video stream.", "Re-encode it as H.264.")
        stream.codec_context.options = {"err_detect": "explode"}
        return stream

    def _describe(self, first: SourceFrame) -> SourceInfo:
        stream = self._stream
        rate = stream.average_rate or stream.guessed_rate or _DEFAULT_RATE
        count: int | None = int(stream.frames) or None
        if count is None and stream.duration and stream.time_base:
            count = max(1, round(stream.duration * stream.time_base * rate))
        if count is not None and self._start:
            count = max(1, round(count - self._start * rate))
        if self._limit is not None:
            count = self._limit if count is None else min(count, self._limit)
        context = stream.codec_context
        primaries, transfer = int(context.color_primaries), int(context.color_trc)
        if transfer in hdr.TRANSFERS:
            name = hdr.TRANSFERS[transfer]
            self.notes.append(f"The clip is HDR ({name}); its colours were brought to the standard range.")
            primaries = transfer = BT709
        height, width = first.pixels.shape[:2]
        return SourceInfo(
            size=(width, height),
            count=count,
            time_base=Fraction(stream.time_base),
            rate=Fraction(rate),
            primaries=primaries or UNSPECIFIED,
            transfer=transfer or UNSPECIFIED,
        )

    def frames(self) -> Iterator[SourceFrame]:
        """Yields the frames in order of presentation, timestamps as stored.

        Raises:
            InputError: a frame cannot be decoded or the clip ends before it should; the message names the frame.
        """
        first, self._first = self._first, None
        if first is not None:
            yield first
            del first
        yield from self._decoded

    def close(self) -> None:
        """Closes the file."""
        self._container.close()

    def _decode(self) -> Iterator[SourceFrame]:
        shown = index = packets = 0
        end = Fraction(0)
        zero = clock_zero(self._container)
        self._refuse_cut_index()
        try:
            for packet in self._container.demux(self._stream):
                if packet.is_corrupt:
                    raise self._damaged(shown, end)
                packets += 1 if packet.size else 0
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise self._damaged(shown, end)
                    pts, duration = self._times(frame, zero, end)
                    end = pts + duration
                    shown += 1
                    if pts < self._start:
                        continue
                    if index == self._limit:
                        return
                    yield SourceFrame(self._upright(frame), index, pts, duration)
                    index += 1
        except av.error.FFmpegError as error:
            raise self._damaged(shown, end, f" ({_reason(error)})") from error
        self._refuse_missing_end(shown, packets, end)

    def _times(self, frame: Any, zero: Fraction, end: Fraction) -> tuple[Fraction, Fraction]:
        """Presentation time and duration in seconds; frames without a usable time follow the one before."""
        base = Fraction(frame.time_base or self._stream.time_base)
        rate = self._stream.average_rate or self._stream.guessed_rate or _DEFAULT_RATE
        duration = frame.duration * base if frame.duration else 1 / Fraction(rate)
        ticks = self._ticks(frame)
        pts = end if ticks is None else ticks * base - zero
        if self._last_pts is not None and pts <= self._last_pts:
            note = "Some frames have no timestamp after the one before; they were placed one frame later."
            if note not in self.notes:
                self.notes.append(note)
            pts = self._last_pts + max(base, duration)
        self._last_pts = pts
        return pts, duration

    def _ticks(self, frame: Any) -> int | None:
        """The frame's timestamp; AVI files number frames in the order of decoding, so theirs count from the first."""
        if self._container.format.name != "avi":
            return None if frame.pts is None else int(frame.pts)
        if frame.dts is None:
            return None
        if self._first_dts is None:
            self._first_dts = int(frame.dts)
        return int(frame.dts) - self._first_dts

    def _upright(self, frame: Any) -> Pixels:
        orientation: Orientation = UPRIGHT
        for data in frame.side_data:
            if data.type.name == "DISPLAYMATRIX":
                orientation = from_display_matrix(bytes(data))
        pixels = self._to_rgb(frame)
        aspect = self._stream.sample_aspect_ratio
        if aspect and aspect > 0 and aspect != 1:
            height, width = pixels.shape[:2]
            pixels = resize(pixels, max(1, round(width * Fraction(aspect))), height)
        pixels = orientation.apply(pixels)
        if hasattr(self, "info") and pixels.shape[1::-1] != self.info.size:
            note = "The frame size changes inside the clip; every frame was resized to the first one's size."
            if note not in self.notes:
                self.notes.append(note)
            pixels = resize(pixels, *self.info.size)
        return pixels

    def _damaged(self, number: int, seconds: Fraction, reason: str = "") -> InputError:
        return InputError(
            f"{self.path} is damaged or cut short at frame {number} ({float(seconds):.2f} s){reason}.", _DAMAGED_HINT
        )

    def _complete_index(self) -> Any | None:
        """The stream's index where the format keeps one of every frame: MP4 and QuickTime files."""
        if "mp4" not in self._container.format.name.split(","):
            return None
        index = self._stream.index_entries
        return index if index is not None and len(index) > 1 else None

    def _refuse_cut_index(self) -> None:
        """Refuses, before any work, a file whose index points beyond its end, unless `limit` stops well before that."""
        index = self._complete_index()
        if index is None:
            return
        length = self.path.stat().st_size
        missing = next((i for i, entry in enumerate(index) if entry.pos + entry.size > length), None)
        if missing is None or (self._limit is not None and not self._start and self._limit < missing):
            return
        first = index[0].timestamp
        raise self._damaged(missing, (index[missing].timestamp - first) * Fraction(self._stream.time_base))

    def _refuse_missing_end(self, shown: int, packets: int, end: Fraction) -> None:
        """Refuses a stream that ended early: packets of its index are missing, or over half a second of its length."""
        index = self._complete_index()
        if index is not None:
            short = packets < len(index)
        else:
            length = self._stream_length()
            short = length is not None and end + Fraction(1, 2) < length
        if short:
            raise self._damaged(shown, end)

    def _stream_length(self) -> Fraction | None:
        """End of the video stream in seconds as the container states it; None where it does not."""
        stream = self._stream
        if stream.duration:
            start = stream.start_time or 0
            return Fraction((start + stream.duration) * Fraction(stream.time_base)) - clock_zero(self._container)
        stated = stream.metadata.get("DURATION", "")  # Matroska: hours:minutes:seconds.fraction
        with contextlib.suppress(ValueError):
            hours, minutes, seconds = stated.split(":")
            return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
        return None
