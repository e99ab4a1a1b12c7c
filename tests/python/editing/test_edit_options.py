"""What is asked for is checked before any work."""

from pathlib import Path
from typing import Any

import pytest

from mobie_coreml.editing.options import EditOptions
from mobie_coreml.editing.targets import plan_targets, slug
from mobie_coreml.errors import InputError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompts", ()),
        ("prompts", ("",)),
        ("prompts", ("snow", "  ")),
        ("prompts", ("snow",) * 17),
        ("limit", 0),
        ("limit", -1),
        ("limit", 1.5),
        ("limit", True),
        ("steps", 0),
        ("steps", 1001),
        ("steps", float("nan")),
        ("seed", -1),
        ("seed", 2**64),
        ("start", -0.1),
        ("start", float("nan")),
        ("start", float("inf")),
        ("text_guidance", float("nan")),
        ("text_guidance", float("inf")),
        ("image_guidance", float("-inf")),
        ("noise", "none"),
        ("fit", "fill"),
        ("sampler", "dpm"),
        ("output_size", "big"),
    ],
)
def test_bad_values_are_refused(name: str, value: Any) -> None:
    with pytest.raises(InputError) as caught:
        EditOptions(**{"prompts": ("snow",), name: value})
    assert caught.value.exit_code == 2
    assert caught.value.hint


def test_slugs() -> None:
    assert slug("Make it SNOW!") == "make-it-snow"
    assert slug("!!") == "edit"
    assert slug("übermäßig  viel") == "übermäßig-viel"
    assert len(slug("word " * 40)) <= 48
    assert "/" not in slug("a/../b")


def plan(source: Path, output: Path, *prompts: str, side: bool = False, force: bool = False) -> list[str]:
    targets = plan_targets(source, output, prompts or ("snow",), side_by_side=side, force=force)
    return [str(target.path.relative_to(source.parent)) for target in targets]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "bikes.mp4"
    path.write_bytes(b"clip")
    return path


def test_where_outputs_go(clip: Path, tmp_path: Path) -> None:
    assert plan(clip, tmp_path / "out.mov") == ["out.mov"]
    assert plan(clip, tmp_path / "out.mp4", "snow", "night", side=True) == ["out.mp4"]
    assert plan(clip, tmp_path / "{number}-{prompt}.mkv", "Snow!", "night") == ["1-snow.mkv", "2-night.mkv"]
    assert plan(clip, tmp_path / "outs", "snow", "night") == ["outs/bikes-snow.mp4", "outs/bikes-night.mp4"]
    assert plan(clip, tmp_path / "outs") == ["outs/bikes-snow.mp4"]
    images = tmp_path / "images"
    images.mkdir()
    assert plan(images, tmp_path / "outs") == ["outs"]
    assert plan(images, tmp_path / "outs", "snow", "night") == ["outs/snow", "outs/night"]
    assert plan(images, tmp_path / "out.mp4") == ["out.mp4"]
    image = tmp_path / "a.png"
    image.write_bytes(b"image")
    assert plan(image, tmp_path / "outs") == ["outs/a-snow.png"]
    assert plan(image, tmp_path / "out.webp") == ["out.webp"]


@pytest.mark.parametrize(
    ("source", "output", "message"),
    [
        ("bikes.mp4", "bikes.mp4", "would replace the input"),
        ("bikes.mp4", "link.mp4", "would replace the input"),
        ("bikes.mp4", "out.xyz", "suffix .xyz is unknown"),
        ("bikes.mp4", "out.webm", "suffix .webm is unknown"),
        ("bikes.mp4", "there.mp4", "exists already"),
        ("bikes.mp4", "bikes.mp4/out.mp4", "is not a folder"),
        ("a.png", "out.mp4", "is an image"),
        ("images", "out.png", "is a folder"),
        ("images", "images", "would replace the input"),
        ("images/deep", "images", "would replace the input"),
        ("images", "outs", "exists already"),
    ],
)
def test_bad_outputs_are_refused(clip: Path, tmp_path: Path, source: str, output: str, message: str) -> None:
    (tmp_path / "link.mp4").symlink_to(clip)
    (tmp_path / "there.mp4").touch()
    (tmp_path / "a.png").touch()
    (tmp_path / "images" / "deep").mkdir(parents=True)
    (tmp_path / "outs").mkdir()
    with pytest.raises(InputError, match=message):
        plan(tmp_path / source, tmp_path / output)


def test_force_replaces_files_but_no_folder_of_other_things(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "there.mp4").touch()
    assert plan(clip, tmp_path / "there.mp4", force=True) == ["there.mp4"]
    images, outs = tmp_path / "images", tmp_path / "outs"
    images.mkdir()
    outs.mkdir()
    (outs / "a.png").touch()
    assert plan(images, outs, force=True) == ["outs"]
    (outs / "thesis.txt").touch()
    with pytest.raises(InputError, match="holds more than images"):
        plan(images, outs, force=True)


def test_several_prompts_need_several_outputs(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 prompts need 2 outputs"):
        plan(clip, tmp_path / "out.mp4", "snow", "night")
    with pytest.raises(InputError, match="Two prompts would be written"):
        plan(clip, tmp_path / "{prompt}.mp4", "snow", "Snow!")
