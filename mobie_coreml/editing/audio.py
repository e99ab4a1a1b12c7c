"""The source's audio, copied packet by packet beside the edited frames."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from mobie_coreml.editing.clip_source import clock_zero, open_input
from mobie_coreml.errors import InputError

MATROSKA_HINT = "Matroska files (.mkv) carry most kinds."


class AudioCopy:
    """Copies every audio stream of a clip that the output's container can carry, without decoding.

    The clip is opened a second time, so that audio never waits in memory for frames to be edited.

    Args:
        source: The clip.
        output: An open av output container, before its header is written.
        start: Second of the source that becomes second `place` of the output; audio before it is left out.
        place: See `start`.
    """

    def __init__(
        self, source: Path, output: Any, *, start: Fraction = Fraction(0), place: Fraction = Fraction(0)
    ) -> None:
        self.notes: list[str] = []
        self._source = source
        self._output = output
        self._start = start
        self._shift = place - start
        self._container = open_input(source)
        self._zero = clock_zero(self._container)
        self._copies: dict[int, Any] = {}
        suffix = Path(output.name).suffix
        for stream in self._container.streams.audio:
            name = stream.codec.name if stream.codec_context is not None else "unknown"
            if name in output.supported_codecs:
                self._copies[stream.index] = output.add_stream_from_template(stream)
            else:
                self.notes.append(f"The audio ({name}) was not copied: {suffix} files cannot carry it. {MATROSKA_HINT}")
        streams = [stream for stream in self._container.streams.audio if stream.index in self._copies]
        self._packets: Iterator[Any] = self._container.demux(streams) if streams else iter(())
        self._waiting: Any | None = None

    def until(self, seconds: Fraction | None) -> None:
        """Copies audio that starts before this second of the source; None copies what is left.

        Raises:
            InputError: the source's audio is damaged or cut short.
        """
        try:
            pending = [] if self._waiting is None else [self._waiting]
            self._waiting = None
            for packet in itertools.chain(pending, self._packets):
                if packet.dts is None or not packet.size:
                    continue
                if packet.is_corrupt:
                    raise InputError(f"The audio of {self._source} is damaged or cut short.", "Copy the clip again.")
                time = packet.dts * packet.time_base - self._zero
                if seconds is not None and time >= seconds:
                    self._waiting = packet
                    return
                if time + (packet.duration or 0) * packet.time_base <= self._start and self._start > 0:
                    continue
                self._write(packet)
        except av.error.FFmpegError as error:
            raise InputError(f"The audio of {self._source} cannot be read: {error}.", "Copy the clip again.") from error

    def _write(self, packet: Any) -> None:
        offset = round((self._shift - self._zero) / packet.time_base)
        if packet.pts is not None:
            packet.pts += offset
        packet.dts += offset
        packet.stream = self._copies[packet.stream_index]
        self._output.mux(packet)

    def close(self) -> None:
        """Closes the second handle of the source."""
        self._container.close()
