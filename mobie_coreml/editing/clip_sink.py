"""Clips out: H.264 in MP4, QuickTime or Matroska, with the source's timestamps and audio."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from mobie_coreml.editing.audio import MATROSKA_HINT, AudioCopy
from mobie_coreml.editing.colour import BT709, LIMITED, UNSPECIFIED, FromRGB
from mobie_coreml.editing.media import CLIP_OUTPUTS, SourceFrame, SourceInfo
from mobie_coreml.editing.resample import Pixels
from mobie_coreml.errors import InputError, WorkError
from mobie_coreml.files import atomic_file

DEFAULT_CRF = 16
_NO_PLACE_HINT = "Check the space and the permissions of the output's folder."


def pad_to_even(pixels: Pixels) -> Pixels:
    """Repeats the last column or row where a side is odd: 4:2:0 video has no odd sides, and no pixel is lost."""
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        return np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return pixels


class ClipSink:
    """Encodes frames as they come; the clip appears at `path` on `commit`.

    Frames keep their timestamps (a first frame before zero moves everything to zero). The encoder runs on one thread
    without B-frames: the same frames give the same bytes, and every frame's duration is kept by every player.

    Args:
        path: The clip, .mp4, .mov, .m4v or .mkv.
        info: The source's time base, rate and colour tags.
        audio: The clip whose audio is copied, or None.
        whole: Whether the source is edited to its end, so that all of its audio belongs to the result.
        start: Seconds of the source that were skipped; the result starts at its first frame.
        crf: x264's constant rate factor, 0 (lossless) to 51.
    """

    def __init__(
        self,
        path: Path,
        info: SourceInfo,
        *,
        audio: Path | None = None,
        whole: bool = True,
        start: Fraction = Fraction(0),
        crf: int = DEFAULT_CRF,
    ) -> None:
        if path.suffix.lower() not in CLIP_OUTPUTS:
            raise InputError(
                f"{path.name}: clips are written as {', '.join(CLIP_OUTPUTS)}.", "Choose one of these suffixes."
            )
        self.notes: list[str] = []
        self._info = info
        self._audio_source = audio
        self._whole = whole
        self._start = start
        self._crf = crf
        self._path = path
        self._from_rgb = FromRGB()
        self._stack = contextlib.ExitStack()
        self._container: Any = None
        self._audio: AudioCopy | None = None
        self._shift = Fraction(0)
        self._end = Fraction(0)
        self._last_tick: int | None = None

    def write(self, pixels: Pixels, frame: SourceFrame) -> None:
        """Encodes the result of one source frame, and copies the audio up to its end.

        Raises:
            WorkError: the encoder failed or the disk is full.
            InputError: the source's audio is damaged.
        """
        pixels = pad_to_even(pixels)
        if self._container is None:
            self._open(pixels, frame)
        encoded = self._from_rgb(pixels)
        tick = round((frame.pts + self._shift) / self._info.time_base)
        if self._last_tick is not None and tick <= self._last_tick:
            tick = self._last_tick + 1
        self._last_tick = tick
        encoded.pts = tick
        encoded.time_base = self._info.time_base
        encoded.duration = max(1, round(frame.duration / self._info.time_base))
        encoded.color_range, encoded.colorspace = LIMITED, BT709
        self._end = frame.pts + frame.duration
        self._mux(encoded)
        if self._audio is not None:
            self._audio.until(self._end)

    def finish(self) -> None:
        """Encodes what is pending and copies the rest of the audio.

        Raises:
            WorkError: the encoder failed, the disk is full, or there was no frame.
            InputError: the source's audio is damaged.
        """
        if self._container is None:
            raise WorkError(f"{self._path} got no frame.")
        self._mux(None)
        if self._audio is not None:
            self._audio.until(None if self._whole else self._end)
        try:
            self._container.close()
        except (av.error.FFmpegError, OSError) as error:
            raise WorkError(f"{self._path} cannot be finished: {error}.", _NO_PLACE_HINT) from error

    def commit(self) -> None:
        """Moves the finished clip to its place.

        Raises:
            WorkError: it cannot be moved.
        """
        try:
            self._stack.close()
        except OSError as error:
            raise WorkError(f"{self._path} cannot be written: {error}.", _NO_PLACE_HINT) from error

    def discard(self) -> None:
        """Removes what was written so far; does nothing after `commit`."""
        failure = InterruptedError("discarded")
        self._stack.__exit__(InterruptedError, failure, None)

    def _open(self, pixels: Pixels, frame: SourceFrame) -> None:
        place = self._stack.enter_context(atomic_file(self._path))
        # Skipped seconds move the first frame to zero; otherwise only times before zero move.
        self._shift = -frame.pts if self._start or frame.pts < 0 else Fraction(0)
        self._stack.callback(self._release)
        try:
            self._start_container(place, pixels, frame, with_audio=self._audio_source is not None)
        except (av.error.FFmpegError, ValueError) as error:
            if self._audio is None:
                raise WorkError(f"{self._path} cannot be written: {error}.", _NO_PLACE_HINT) from error
            self._release()
            self._audio = None
            self._start_container(place, pixels, frame, with_audio=False)
            self.notes.append(f"The audio was not copied: {self._path.suffix} files cannot carry it. {MATROSKA_HINT}")

    def _start_container(self, place: Path, pixels: Pixels, frame: SourceFrame, *, with_audio: bool) -> None:
        movie = self._path.suffix.lower() != ".mkv"
        options = {"fflags": "+bitexact", **({"movflags": "+faststart"} if movie else {})}
        self._container = av.open(str(place.absolute()), "w", options=options)
        stream = self._container.add_stream("libx264", rate=self._info.rate.limit_denominator(1_000_000))
        height, width = pixels.shape[:2]
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = self._info.time_base
        context = stream.codec_context
        context.time_base = self._info.time_base
        context.thread_count = 1
        context.max_b_frames = 0
        context.colorspace, context.color_range = BT709, LIMITED
        # RGB values are not moved between primaries, so the source's stay true where it names them.
        context.color_primaries = BT709 if self._info.primaries == UNSPECIFIED else self._info.primaries
        context.color_trc = BT709 if self._info.transfer == UNSPECIFIED else self._info.transfer
        stream.options = {"crf": str(self._crf), "preset": "medium", "flags": "+frame_duration"}
        self._stream = stream
        if with_audio and self._audio_source is not None:
            start = frame.pts if self._start else Fraction(0)
            self._audio = AudioCopy(self._audio_source, self._container, start=start, place=start + self._shift)
            self.notes.extend(self._audio.notes)
        self._container.start_encoding()

    def _mux(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (av.error.FFmpegError, OSError) as error:
            raise WorkError(f"{self._path} cannot be written: {error}.", _NO_PLACE_HINT) from error

    def _release(self) -> None:
        if self._audio is not None:
            self._audio.close()
        if self._container is not None:
            with contextlib.suppress(av.error.FFmpegError, OSError):
                self._container.close()
