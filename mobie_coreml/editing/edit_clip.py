"""One call from names to outputs: what `mobie edit` does."""

from __future__ import annotations

from pathlib import Path

from mobie_coreml.editing.edit_media import EditReport, Progress, edit_media, open_source
from mobie_coreml.editing.media import check_input
from mobie_coreml.editing.open_model import open_editor
from mobie_coreml.editing.options import EditOptions
from mobie_coreml.editing.targets import plan_targets


def edit_clip(
    model: str,
    source: Path,
    output: Path,
    options: EditOptions,
    *,
    runtime: str | None = None,
    precision: str = "fp32",
    checkpoint: str | None = None,
    force: bool = False,
    on_progress: Progress | None = None,
) -> EditReport:
    """Edits a clip, an image or a folder of images.

    Args:
        model: A model folder or a checkpoint, see `open_editor`.
        source: The clip, image or folder.
        output: Where to, see `plan_targets`.
        options: What to do.
        runtime: "coreml", "mil" or "torch", see `open_editor`.
        precision: "fp32" or "fp16" arithmetic.
        checkpoint: The checkpoint that PyTorch runs in place of a model folder's packages.
        force: Outputs that exist are replaced.
        on_progress: Called after each frame with (done, total or None).

    Raises:
        InputError: anything that was asked for is wrong, before anything is written.
        WorkError: an output cannot be written.
    """
    check_input(source)
    targets = plan_targets(source, output, options.prompts, side_by_side=options.side_by_side, force=force)
    editor = open_editor(model, runtime=runtime, precision=precision, checkpoint=checkpoint)
    return edit_media(editor, open_source(source, options), targets, options, force=force, on_progress=on_progress)
