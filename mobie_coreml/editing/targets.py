"""Which files an edit writes: one for every prompt, or one that shows all of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mobie_coreml.editing.media import CLIP_OUTPUTS, IMAGE_SUFFIXES, is_image
from mobie_coreml.errors import InputError
from mobie_coreml.files import check_output

_SLUG_LENGTH = 48


@dataclass(frozen=True)
class Target:
    """One output; `prompt` is the index of the prompt it shows, None where it shows all side by side."""

    path: Path
    prompt: int | None


def slug(prompt: str) -> str:
    """A prompt as part of a file name: lower-case letters and digits joined by hyphens, at most 48 characters."""
    words = re.findall(r"[^\W_]+", prompt.lower())
    return "-".join(words)[:_SLUG_LENGTH].strip("-") or "edit"


def plan_targets(
    source: Path, output: Path, prompts: tuple[str, ...], *, side_by_side: bool, force: bool
) -> list[Target]:
    """The outputs of an edit, checked.

    OUTPUT with a suffix is one file. With several prompts it must hold `{prompt}` or `{number}` (counted from 1), which
    each file's name replaces. Without a suffix it is a folder: for a folder of images the edited images (in one
    sub-folder a prompt where there are several), for a clip or an image one file a prompt, named after both.

    Raises:
        InputError: an output exists and `force` is false, is or holds the input, repeats another one, has a suffix that
            cannot be written, or does not fit the input's kind.
    """
    one = side_by_side or len(prompts) == 1
    targets = [
        Target(path, None if side_by_side else index)
        for index, path in enumerate(_paths(source, output, prompts[:1] if side_by_side else prompts, one=one))
    ]
    seen: set[Path] = set()
    for target in targets:
        path = target.path
        if path.absolute() in seen:
            raise InputError(f"Two prompts would be written to {path}.", "Use {number} in OUTPUT's name.")
        seen.add(path.absolute())
        _check_kind(source, path)
        _check_place(source, path)
        check_output(path, force=force)
    return targets


def _check_place(source: Path, path: Path) -> None:
    """Refuses an output that is the input or holds it, and a folder whose other contents would be lost."""
    same = path.exists() and source.exists() and path.samefile(source)
    if same or path.resolve() in source.resolve().parents:
        raise InputError(f"The output {path} would replace the input.", "Choose another output.")
    if path.is_dir():
        if not source.is_dir():
            raise InputError(f"{path} is a folder.", "Choose another output.")
        if not all(item.is_file() and is_image(item) for item in path.iterdir()):
            raise InputError(f"{path} holds more than images and is not replaced.", "Choose another output.")


def _paths(source: Path, output: Path, prompts: tuple[str, ...], *, one: bool) -> list[Path]:
    if "{prompt}" in output.name or "{number}" in output.name:
        return [_fill(output, prompt, number) for number, prompt in enumerate(prompts, 1)]
    if output.suffix and not output.is_dir():
        if not one:
            raise InputError(
                f"{len(prompts)} prompts need {len(prompts)} outputs, and {output} is one.",
                "Pass --side-by-side, use {prompt} or {number} in OUTPUT's name, or give a folder.",
            )
        return [output]
    if source.is_dir():
        return [output] if one else [output / slug(prompt) for prompt in prompts]
    suffix = source.suffix.lower()
    if suffix not in (*CLIP_OUTPUTS, *IMAGE_SUFFIXES):
        suffix = ".mp4"
    return [output / f"{source.stem}-{slug(prompt)}{suffix}" for prompt in prompts]


def _fill(output: Path, prompt: str, number: int) -> Path:
    return output.with_name(output.name.replace("{prompt}", slug(prompt)).replace("{number}", str(number)))


def _check_kind(source: Path, path: Path) -> None:
    suffix = path.suffix.lower()
    if source.is_dir() and not suffix:
        return
    if suffix not in (*CLIP_OUTPUTS, *IMAGE_SUFFIXES):
        raise InputError(
            f"The output's suffix {suffix or '(none)'} is unknown: {path}.",
            f"Clips are written as {', '.join(CLIP_OUTPUTS)}, images as {', '.join(IMAGE_SUFFIXES)}.",
        )
    if source.is_file() and is_image(source) and suffix in CLIP_OUTPUTS:
        raise InputError(f"{source} is an image and {path} a clip.", f"Give an output in {', '.join(IMAGE_SUFFIXES)}.")
    if source.is_dir() and suffix in IMAGE_SUFFIXES:
        raise InputError(f"{source} is a folder and {path} an image.", "Give a folder or a clip as output.")
