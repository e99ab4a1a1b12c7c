"""The whole edit: frames in, prompts applied, frames out; every output appears whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from mobie_coreml.editing.clip_sink import ClipSink
from mobie_coreml.editing.clip_source import ClipSource
from mobie_coreml.editing.editor import Conditioning, Editor
from mobie_coreml.editing.geometry import FramePlan, plan_frame
from mobie_coreml.editing.images import FolderSink, FolderSource, ImageSink, ImageSource
from mobie_coreml.editing.media import CLIP_OUTPUTS, IMAGE_SUFFIXES, Sink, Source, SourceFrame, is_image
from mobie_coreml.editing.options import EditOptions
from mobie_coreml.editing.resample import Pixels
from mobie_coreml.editing.side_by_side import side_by_side
from mobie_coreml.editing.targets import Target
from mobie_coreml.errors import InputError

Progress = Callable[[int, int | None], None]
"""Called after each frame with the number of frames done and the number there are, if known."""


@dataclass
class EditReport:
    """What an edit did: `outputs` in order of the prompts, `seconds` of wall clock spent on frames."""

    outputs: list[Path]
    frames: int = 0
    seconds: float = 0.0
    frame_size: tuple[int, int] = (0, 0)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "outputs": [str(path) for path in self.outputs],
            "frames": self.frames,
            "frame_size": list(self.frame_size),
            "seconds": round(self.seconds, 3),
            "frames_per_second": round(self.frames / self.seconds, 3) if self.seconds else None,
            "notes": self.notes,
        }


def open_source(path: Path, options: EditOptions) -> Source:
    """Opens a clip, an image or a folder of images.

    Raises:
        InputError: it cannot be read, or `start` skips all of it or is given for images.
    """
    if options.start and (path.is_dir() or is_image(path)):
        raise InputError(f"--start skips seconds of a clip, and {path} is none.", "Leave it out.")
    if path.is_dir():
        return FolderSource(path, limit=options.limit)
    if is_image(path):
        return ImageSource(path)
    return ClipSource(path, start=Fraction(options.start), limit=options.limit)


def edit_media(
    editor: Editor,
    source: Source,
    targets: list[Target],
    options: EditOptions,
    *,
    force: bool = False,
    on_progress: Progress | None = None,
) -> EditReport:
    """Edits every frame of `source` by every prompt and writes the targets.

    Decoding, placing, encoding and the noise are shared by all prompts; one source frame is in memory at a time.

    Args:
        editor: On the model's own schedule; `options` may ask for another.
        source: Opened by `open_source`; it is closed at the end.
        targets: From `targets.plan_targets`, same prompts.
        options: What to do.
        force: Outputs that exist are replaced.
        on_progress: Called after each frame.

    Raises:
        InputError: prompts or guidance do not suit the model, or the source is damaged; nothing is written then.
        WorkError: an output cannot be written.
    """
    report = EditReport([target.path for target in targets])
    with ExitStack() as stack:
        stack.callback(source.close)
        editor = editor.with_steps(options.steps, options.sampler)
        for prompt in options.prompts:
            editor.check_prompt(prompt)
        conditionings = [
            editor.condition(prompt, options.text_guidance, options.image_guidance) for prompt in options.prompts
        ]
        editor.finish_conditioning()
        sinks = [_sink(target, source, options, force) for target in targets]
        stack.enter_context(all_or_nothing(sinks, report.outputs))
        placer = _Placer(editor.method.frame_size, options)
        fixed_noise = editor.noise(options.seed)
        started = time.monotonic()
        for frame in source.frames():
            noise = fixed_noise if options.noise == "fixed" else editor.noise(options.seed, frame.index)
            _edit_frame(editor, frame, conditionings, noise, placer, options, targets, sinks)
            report.frames += 1
            report.seconds = time.monotonic() - started
            del frame  # or it would stay until the next one is decoded
            if on_progress is not None:
                on_progress(report.frames, source.info.count)
        report.frame_size = placer.result_size
    for note in (*source.notes, *(note for sink in sinks for note in sink.notes)):
        if note not in report.notes:
            report.notes.append(note)
    return report


class _Placer:
    """Plans each size of frame once, and brings results back."""

    def __init__(self, model_size: tuple[int, int], options: EditOptions) -> None:
        self._model_size = model_size
        self._fit = options.fit
        self._source_scale = options.output_size == "source"
        self.result_size = (0, 0)

    def plan(self, pixels: Pixels) -> FramePlan:
        height, width = pixels.shape[:2]
        return plan_frame((width, height), self._model_size, self._fit)

    def restore(self, plan: FramePlan, edited: Pixels) -> Pixels:
        result = plan.restore(edited, source_scale=self._source_scale)
        self.result_size = (result.shape[1], result.shape[0])
        return result


def _edit_frame(
    editor: Editor,
    frame: SourceFrame,
    conditionings: list[Conditioning],
    noise: list[Any],
    placer: _Placer,
    options: EditOptions,
    targets: list[Target],
    sinks: list[Sink],
) -> None:
    """Applies every prompt to one frame and hands the results to the sinks."""
    plan = placer.plan(frame.pixels)
    prepared = plan.prepare(frame.pixels)
    latents = editor.encode(prepared)
    panels = [("source", placer.restore(plan, prepared))] if options.side_by_side else []
    for index, (prompt, conditioning) in enumerate(zip(options.prompts, conditionings, strict=True)):
        result = placer.restore(plan, editor.decode(editor.denoise(latents, conditioning, noise)))
        if options.side_by_side:
            panels.append((prompt, result))
        else:
            sink = next(sink for target, sink in zip(targets, sinks, strict=True) if target.prompt == index)
            sink.write(result, frame)
    if options.side_by_side:
        sinks[0].write(side_by_side(panels), frame)


def _sink(target: Target, source: Source, options: EditOptions, force: bool) -> Sink:
    suffix = target.path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return ImageSink(target.path)
    if suffix in CLIP_OUTPUTS:
        clip = isinstance(source, ClipSource)
        return ClipSink(
            target.path,
            source.info,
            audio=source.path if clip else None,
            whole=options.limit is None,
            start=Fraction(options.start) if clip else Fraction(0),
        )
    return FolderSink(target.path, force=force)


@contextmanager
def all_or_nothing(sinks: list[Sink], outputs: list[Path]) -> Iterator[None]:
    """Commits every sink when the block succeeds; on any exception, interruption included, discards all of them.

    Folders that were made for the outputs go too.
    """
    absent = {folder for output in outputs for folder in output.absolute().parents if not folder.exists()}
    try:
        yield
        for sink in sinks:
            sink.finish()
        for sink in sinks:
            sink.commit()
    except BaseException:
        for sink in sinks:
            sink.discard()
        for folder in sorted(absent, key=lambda path: len(path.parts), reverse=True):
            with suppress(OSError):
                folder.rmdir()
        raise
