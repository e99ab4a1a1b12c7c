"""Whole edits with components that can be computed by hand."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mobie_coreml.editing.clip_source import ClipSource
from mobie_coreml.editing.edit_media import EditReport, edit_media, open_source
from mobie_coreml.editing.editor import Editor
from mobie_coreml.editing.geometry import plan_frame
from mobie_coreml.editing.images import read_image, write_image
from mobie_coreml.editing.options import EditOptions
from mobie_coreml.editing.targets import plan_targets
from mobie_coreml.errors import InputError, MobieError, WorkError

from .conftest import MODEL_SIZE, FakeBackend, fake_method, fake_tokenize, picture

Maker = Callable[..., Path]


def run(editor: Editor, source: Path, output: Path, *prompts: str, force: bool = False, **options) -> EditReport:
    chosen = EditOptions(prompts or ("snow",), **options)
    targets = plan_targets(source, output, chosen.prompts, side_by_side=chosen.side_by_side, force=force)
    return edit_media(editor, open_source(source, chosen), targets, chosen, force=force)


@pytest.fixture
def clip(clip_maker: Maker, tmp_path: Path) -> Path:
    ticks = [0, 40, 90, 100, 300, 310, 500, 650, 660, 700]
    return clip_maker(
        tmp_path / "in.mp4",
        [picture(i) for i in range(10)],
        ticks=ticks,
        time_base=Fraction(1, 1000),
        audio="aac",
        audio_seconds=0.74,
    )


def test_a_clip_is_edited_with_its_times_and_audio(editor: Editor, clip: Path, tmp_path: Path) -> None:
    report = run(editor, clip, tmp_path / "out.mp4", "snow", seed=4)
    assert (report.frames, report.frame_size, report.outputs) == (10, MODEL_SIZE, [tmp_path / "out.mp4"])
    source, result = (list(ClipSource(path).frames()) for path in (clip, tmp_path / "out.mp4"))
    assert [frame.pts for frame in result] == [frame.pts for frame in source]
    plan = plan_frame((80, 60), MODEL_SIZE, "cover")
    conditioning, noise = editor.condition("snow"), editor.noise(4)
    for before, after in zip(source, result, strict=True):
        expected = editor.edit(plan.prepare(before.pixels), conditioning, noise)
        assert np.abs(after.pixels.astype(int) - expected).mean() < 4
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(container.streams.audio) == 1


@pytest.mark.parametrize(
    ("fit", "output_size", "size"),
    [
        ("cover", "model", (64, 48)),
        ("stretch", "model", (64, 48)),
        ("contain", "model", (64, 18)),
        ("cover", "source", (80, 60)),
        ("stretch", "source", (210, 60)),
        ("contain", "source", (210, 60)),
    ],
)
def test_every_fit_has_its_output_size(
    editor: Editor, clip_maker: Maker, tmp_path: Path, fit: str, output_size: str, size: tuple[int, int]
) -> None:
    source = clip_maker(tmp_path / "wide.mp4", [picture(i, (210, 60)) for i in range(2)])
    report = run(editor, source, tmp_path / "out.mp4", fit=fit, output_size=output_size)
    assert report.frame_size == size
    assert ClipSource(tmp_path / "out.mp4").info.size == size


def test_several_prompts_share_decoding_and_encoding(
    editor: Editor, backend: FakeBackend, clip: Path, tmp_path: Path
) -> None:
    report = run(editor, clip, tmp_path / "{number}.mp4", "snow", "night fall", "sand")
    assert [path.name for path in report.outputs] == ["1.mp4", "2.mp4", "3.mp4"]
    counts = [backend.count(name) for name in ("TextEncoder", "Conditioner", "Encoder", "Denoiser", "Decoder")]
    assert counts == [3, 3, 10, 30, 30]
    alone = run(editor, clip, tmp_path / "alone.mp4", "night fall")
    assert alone.frames == 10
    assert (tmp_path / "alone.mp4").read_bytes() == (tmp_path / "2.mp4").read_bytes()


def test_side_by_side_shows_the_source_and_every_prompt(editor: Editor, clip: Path, tmp_path: Path) -> None:
    run(editor, clip, tmp_path / "all.mp4", "snow", "night", side_by_side=True)
    frames = list(ClipSource(tmp_path / "all.mp4").frames())
    assert len(frames) == 10
    width, height = 3 * 64 + 2 * 4, 48 + 16
    assert frames[0].pixels.shape == (height, width, 3)
    prepared = plan_frame((80, 60), MODEL_SIZE, "cover").prepare(next(ClipSource(clip).frames()).pixels)
    assert np.abs(frames[0].pixels[16:, :64].astype(int) - prepared).mean() < 4
    assert frames[0].pixels[:16, :64].max() > 150  # the caption


def test_the_same_edit_gives_the_same_bytes_and_the_seed_matters(editor: Editor, clip: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(editor, clip, tmp_path / f"{name}.mp4", seed=seed)
    first, second, other = ((tmp_path / f"{name}.mp4").read_bytes() for name in "abc")
    assert first == second
    assert first != other


def test_fixed_noise_is_the_same_in_every_frame_and_fresh_noise_is_not(
    editor: Editor, backend: FakeBackend, clip: Path, tmp_path: Path
) -> None:
    def noises() -> list[np.ndarray]:
        return [inputs["noisy_latents"] for name, inputs in backend.calls if name == "Denoiser"]

    run(editor, clip, tmp_path / "fixed.mp4", seed=1)
    assert all(np.array_equal(noise, noises()[0]) for noise in noises())
    backend.calls.clear()
    run(editor, clip, tmp_path / "fresh.mp4", seed=1, noise="fresh")
    assert len({noise.tobytes() for noise in noises()}) == 10


def test_steps_and_sampler_are_taken_from_the_options(
    editor: Editor, backend: FakeBackend, clip: Path, tmp_path: Path
) -> None:
    run(editor, clip, tmp_path / "out.mp4", steps=3, sampler="lcm", limit=2)
    assert backend.count("Denoiser") == 6
    assert backend.count("Conditioner") == 3


def test_limit_and_start(editor: Editor, clip: Path, tmp_path: Path) -> None:
    assert run(editor, clip, tmp_path / "a.mp4", limit=3).frames == 3
    report = run(editor, clip, tmp_path / "b.mp4", start=0.3, limit=4)
    assert report.frames == 4
    assert [frame.pts for frame in ClipSource(tmp_path / "b.mp4").frames()] == [
        Fraction(tick, 1000) for tick in (0, 10, 200, 350)
    ]


def test_progress_counts_to_the_total(editor: Editor, clip: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    options = EditOptions(("snow",), limit=4)
    targets = plan_targets(clip, tmp_path / "out.mp4", options.prompts, side_by_side=False, force=False)
    edit_media(editor, open_source(clip, options), targets, options, on_progress=lambda *call: seen.append(call))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_images_and_folders(editor: Editor, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for index, size in enumerate([(80, 60), (60, 90), (64, 48)]):
        write_image(folder / f"{index}.png", picture(index, size))
    report = run(editor, folder, tmp_path / "out")
    assert report.frames == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "1.png", "2.png"]
    run(editor, folder / "2.png", tmp_path / "one.png")
    expected = editor.edit(picture(2, (64, 48)), editor.condition("snow"), editor.noise(0))
    assert np.array_equal(read_image(tmp_path / "one.png", []), expected)
    assert np.array_equal(read_image(tmp_path / "out" / "2.png", []), expected)
    assert run(editor, folder, tmp_path / "slides.mp4").frames == 3
    assert len(list(ClipSource(tmp_path / "slides.mp4").frames())) == 3
    assert run(editor, folder, tmp_path / "outs", "snow", "night").frames == 3
    assert sorted(path.name for path in (tmp_path / "outs").iterdir()) == ["night", "snow"]


def test_start_is_for_clips(editor: Editor, tmp_path: Path) -> None:
    write_image(tmp_path / "in.png", picture(0))
    with pytest.raises(InputError, match="--start skips seconds of a clip"):
        run(editor, tmp_path / "in.png", tmp_path / "out.png", start=1.0)


def test_every_prompt_is_checked_before_any_runs(
    editor: Editor, backend: FakeBackend, clip: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="tokens"):
        run(editor, clip, tmp_path / "outs", "snow", " ".join(["snow"] * 76))
    assert backend.calls == []


def test_one_frame_of_a_clip_as_an_image(editor: Editor, clip: Path, tmp_path: Path) -> None:
    run(editor, clip, tmp_path / "one.png", limit=1)
    assert read_image(tmp_path / "one.png", []).shape == (48, 64, 3)
    with pytest.raises(InputError, match="one frame only"):
        run(editor, clip, tmp_path / "two.png")
    assert not (tmp_path / "two.png").exists()


class Broken(FakeBackend):
    """Fails at the fourth frame, in the way it is told to."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(guidance_inputs=True)
        self._error = error

    def _decoder(self, denoised_latents):
        if self.count("Decoder") == 4:
            raise self._error
        return super()._decoder(denoised_latents)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), WorkError("broken"), MemoryError(), InputError("bad")])
@pytest.mark.parametrize("output", ["{number}.mp4", "outs"])
def test_a_failure_leaves_nothing_and_the_old_output_alone(
    clip: Path, tmp_path: Path, error: BaseException, output: str
) -> None:
    editor = Editor(Broken(error), fake_method(), fake_tokenize)
    (tmp_path / "1.mp4").write_bytes(b"an earlier result")
    with pytest.raises(type(error)):
        run(editor, clip, tmp_path / output, "snow", "night", force=True)
    left = {path.name for path in tmp_path.rglob("*")}
    assert left == {"in.mp4", "1.mp4"}
    assert (tmp_path / "1.mp4").read_bytes() == b"an earlier result"


def test_a_damaged_source_leaves_nothing(editor: Editor, clip_maker: Maker, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = clip_maker(tmp_path / "in.mkv", [rng.integers(0, 256, (60, 80, 3), np.uint8) for _ in range(100)])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="cut short at frame"):
        run(editor, path, tmp_path / "out.mp4")
    assert [item.name for item in tmp_path.iterdir()] == ["in.mkv"]


@pytest.mark.parametrize(
    "options",
    [{"text_guidance": 1.0}, {"image_guidance": 9.0}, {"steps": 51, "sampler": "lcm"}],
)
def test_what_the_model_cannot_do_is_refused_before_anything_is_written(
    editor: Editor, clip: Path, tmp_path: Path, options: dict
) -> None:
    with pytest.raises(InputError):
        run(editor, clip, tmp_path / "out.mp4", **options)
    with pytest.raises(InputError, match="tokens"):
        run(editor, clip, tmp_path / "out.mp4", " ".join(["snow"] * 76))
    assert [item.name for item in tmp_path.iterdir()] == ["in.mp4"]


def test_a_folder_that_cannot_be_written_is_an_error(editor: Editor, clip: Path, tmp_path: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(MobieError, match="No space left"):
        run(editor, clip, tmp_path / "out.mp4")
    assert [item.name for item in tmp_path.iterdir()] == ["in.mp4"]


def test_the_report_is_json(editor: Editor, clip: Path, tmp_path: Path) -> None:
    report = replace(run(editor, clip, tmp_path / "out.mp4", limit=2), seconds=0.5)
    assert report.to_json() == {
        "outputs": [str(tmp_path / "out.mp4")],
        "frames": 2,
        "frame_size": [64, 48],
        "seconds": 0.5,
        "frames_per_second": 4.0,
        "notes": [],
    }
