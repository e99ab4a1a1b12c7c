"""Frames and pairs: what is chosen, that it is reproducible, and that a wrong instruction asks for something else."""

import numpy as np
import pytest
from PIL import Image

from mobie_coreml.edits import EDITS
from mobie_coreml.errors import InputError
from mobie_coreml.evaluation.frames import PHOTOS, EvaluationFrame, clip_frames, held_out_photos
from mobie_coreml.evaluation.metrics import psnr
from mobie_coreml.evaluation.pairs import DIFFERENT_DB, VISIBLE_DB, draw_pairs
from mobie_coreml.files import sha256_file


def test_clip_frames_are_spread_evenly_from_the_first_to_the_last(clip):
    chosen, none = clip_frames(clip, 4, (96, 64))
    assert none == []
    assert [frame.label for frame in chosen] == ["00000", "00004", "00007", "00011"]
    assert {frame.pixels.shape for frame in chosen} == {(64, 96, 3)}
    brightness = [float(frame.pixels[:, :40].mean()) for frame in chosen]
    assert np.allclose(brightness, [0, 80, 140, 220], atol=4)
    assert len(clip_frames(clip, 50, (96, 64))[0]) == 12
    assert len(clip_frames(clip, 1, (96, 64))[0]) == 1


def test_frames_in_a_row_come_from_the_middle(clip):
    _, row = clip_frames(clip, 1, (96, 64), consecutive=4)
    assert [frame.label for frame in row] == ["00004", "00005", "00006", "00007"]
    brightness = [float(frame.pixels[:, :40].mean()) for frame in row]
    assert np.allclose(brightness, [80, 100, 120, 140], atol=4)
    assert len(clip_frames(clip, 1, (96, 64), consecutive=50)[1]) == 12


def test_only_held_out_photographs_are_used(photo_folder):
    found = held_out_photos(photo_folder, 2, (96, 64))
    assert [frame.label for frame in found.frames] == ["0000.png", "0002.png", "0004.png"]
    assert {frame.source for frame in found.frames} == {PHOTOS}
    assert found.sha256["0002.png"] == sha256_file(photo_folder / "0002.png")
    assert found.skipped == {}
    with pytest.raises(InputError):
        held_out_photos(photo_folder / "none", 2, (96, 64))
    (photo_folder / "0000.png").unlink()
    with pytest.raises(InputError, match="divisible by 7"):
        held_out_photos(photo_folder, 7, (96, 64))


def test_photographs_that_training_would_leave_out_are_left_out_and_named(photo_folder):
    for name, mode in (("0010.png", "L"), ("0012.jpg", "CMYK"), ("0016.png", "I;16")):
        Image.new(mode, (192, 128)).save(photo_folder / name)
    Image.new("RGB", (40, 40)).save(photo_folder / "0014.png")
    (photo_folder / "0018.jpg").write_bytes(b"no image")
    found = held_out_photos(photo_folder, 2, (96, 64))
    assert len(found.frames) == 3
    assert found.skipped == {
        "0010.png": "greyscale",
        "0012.jpg": "CMYK",
        "0014.png": "too small",
        "0016.png": "not 8 bits a channel",
        "0018.jpg": "unreadable",
    }
    (photo_folder / "0000.png").unlink()
    with pytest.raises(InputError, match=r"can be used \(unreadable\)"):
        held_out_photos(photo_folder, 18, (96, 64))


def test_unseen_wordings_are_taken_in_turn_for_some_of_the_pairs(frames):
    pairs = draw_pairs(frames, ["snow", "night"], per_instruction=3, unseen=2)
    for name in ("snow", "night"):
        own = [pair for pair in pairs if pair.edit.name == name]
        tried = [pair for pair in own if pair.unseen is not None]
        assert (len(own), len(tried)) == (6, 4)
        assert {pair.unseen.phrase for pair in tried} == set(EDITS[name].held_out_phrases)
        assert all(pair.unseen.wrong_phrase in pair.wrong.held_out_phrases for pair in tried)
    assert all(pair.unseen is None for pair in draw_pairs(frames, ["snow"], per_instruction=3))


def test_pairs_are_bounded_reproducible_and_visible(frames):
    pairs = draw_pairs(frames, per_instruction=1, seed=3)
    key = [(p.frame.source, p.frame.label, p.edit.name, p.wrong.name) for p in pairs]
    again = draw_pairs(frames, per_instruction=1, seed=3)
    assert key == [(p.frame.source, p.frame.label, p.edit.name, p.wrong.name) for p in again]
    other = draw_pairs(frames, per_instruction=1, seed=4)
    assert key != [(p.frame.source, p.frame.label, p.edit.name, p.wrong.name) for p in other]
    for source in ("photos", "clip"):
        for name in EDITS:
            own = [p for p in pairs if p.frame.source == source and p.edit.name == name]
            assert len(own) <= 1
    assert len(pairs) > 50
    snow = draw_pairs(frames, ["snow"], per_instruction=9)
    assert sorted(p.frame.label for p in snow) == sorted(f.label for f in frames), "no frame twice"
    for pair in pairs:
        truth = pair.edit.apply(pair.frame.image)
        assert psnr(truth, pair.frame.image) < VISIBLE_DB
        assert psnr(truth, pair.wrong.apply(pair.frame.image)) < DIFFERENT_DB


def test_an_edit_without_anything_to_do_is_passed_over():
    grey = EvaluationFrame("clip", "0", np.full((64, 96, 3), 90, np.uint8))
    names = {pair.edit.name for pair in draw_pairs([grey], per_instruction=1)}
    assert not names & {"red_to_blue", "green_to_red", "blue_to_orange", "black_and_white"}
    assert "night" in names
    with pytest.raises(InputError, match="anything to do"):
        draw_pairs([grey], ["red_to_blue"], per_instruction=1)


def test_phrases_come_from_the_list_that_was_asked_for(frames):
    for kind, attribute in (("training", "phrases"), ("held-out", "held_out_phrases")):
        for pair in draw_pairs(frames, per_instruction=1, phrases=kind):
            assert pair.phrase in getattr(pair.edit, attribute)
            assert pair.wrong_phrase in getattr(pair.wrong, attribute)
    for pair in draw_pairs(frames, ["snow"], per_instruction=1):
        assert pair.phrase == EDITS["snow"].phrases[0]
    with pytest.raises(InputError):
        draw_pairs(frames, per_instruction=1, phrases="rude")
    with pytest.raises(InputError):
        draw_pairs(frames, ["snoww"], per_instruction=1)
