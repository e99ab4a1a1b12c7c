"""MODEL@KEY=VALUE: what is read, what is refused, and that networks are loaded once."""

from dataclasses import replace

import pytest

from mobie_coreml.errors import InputError
from mobie_coreml.evaluation.model_spec import ModelSpec, open_models, parse_model
from mobie_coreml.evaluation.models import Sampling
from mobie_coreml.models.checkpoint import new_checkpoint
from mobie_coreml.models.presets import narrowed


def test_a_plain_name_takes_what_all_models_share():
    shared = Sampling(steps=4, seed=7)
    assert parse_model("nano", shared) == ModelSpec("nano", "", None, shared)


def test_what_stands_behind_the_at_sign_goes_before_what_is_shared():
    spec = parse_model("run/x@steps=10,text=3,image=1.5,sampler=euler,name=teacher", Sampling(steps=4, seed=7))
    assert spec.model == "run/x"
    assert spec.name == "teacher"
    assert spec.sampling == Sampling(10, "euler", 3.0, 1.5, seed=7)
    assert parse_model("nano@text=2", Sampling(steps=4)).sampling == Sampling(4, None, 2.0, None)


def test_an_at_sign_in_a_path_is_part_of_the_path(tmp_path):
    folder = tmp_path / "run@steps=3"
    folder.mkdir()
    assert parse_model(str(folder)) == ModelSpec(str(folder), "", None, Sampling())
    assert parse_model("me@home/nano").model == "me@home/nano"


@pytest.mark.parametrize(
    "text", ["nano@step=3", "nano@steps=", "nano@steps=3,steps=4", "nano@steps=3,,text=1", "nano@sampler=dpm",
             "nano@steps=2.5", "nano@steps=0", "nano@text=much", "@steps=3"],
)  # fmt: skip
def test_wrong_use_says_which_model(text):
    with pytest.raises(InputError, match=text.split(",")[0]):
        parse_model(text)


def test_one_checkpoint_run_in_two_ways_is_loaded_once_and_named_apart(tmp_path):
    preset = replace(narrowed("nano"), frame_size=(64, 48))
    for name in ("a", "b"):
        new_checkpoint(tmp_path / name / "result", preset, 1)
    new_checkpoint(tmp_path / "wide", replace(preset, frame_size=(96, 48)), 1)
    first, second = (str(tmp_path / name / "result") for name in ("a", "b"))
    models = open_models([first, f"{first}@steps=2,text=3,image=1.5", second, f"{second}@name=mine"])
    assert [model.label for model in models] == ["a/result", "a/result@steps=2,text=3,image=1.5", "b/result", "mine"]
    assert models[0]._unet is models[1]._unet
    assert models[0]._unet is not models[2]._unet
    assert [(model.description["steps"], model.description["passes"]) for model in models] == [
        (1, 1), (2, 3), (1, 1), (1, 1),
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"same name, .*result"):
        open_models([first, first])
    with pytest.raises(InputError, match="different frame sizes"):
        open_models([first, str(tmp_path / "wide")])
