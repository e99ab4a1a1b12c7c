"""Operations by the architecture's own sizes, and times in turn."""

from dataclasses import replace

import pytest

from mobie_coreml.evaluation.cost import count_operations, measure_costs
from mobie_coreml.evaluation.models import Sampling, open_model
from mobie_coreml.models.checkpoint import new_checkpoint
from mobie_coreml.models.presets import narrowed


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("cost") / "narrow"
    new_checkpoint(path, replace(narrowed("nano"), frame_size=(64, 48)), 1)
    return open_model(str(path))


def test_operations_are_steps_times_passes_of_one_forward(model, draw_scene):
    frame = draw_scene(0, 64, 48)
    model.edit(frame[None], ["make it snow"])
    once = count_operations(model, frame, "make it snow")
    slow = model.sampled("slow", Sampling(steps=4, text_guidance=3.0, image_guidance=1.5))
    slow.edit(frame[None], ["make it snow"])
    often = count_operations(slow, frame, "make it snow")
    assert often.denoiser == 12 * once.denoiser
    assert often.attention == 12 * once.attention
    assert often.autoencoder == once.autoencoder
    assert often.total == often.denoiser + often.autoencoder
    assert 0 < once.attention < 0.2 * once.denoiser


def test_operations_of_convolutions_are_two_for_each_multiply_add(model, draw_scene):
    """The autoencoder is convolutions alone: the count is that of its weights and of where they are applied."""
    import torch
    from torch import nn

    total = 0

    def add(module, _inputs, output):
        nonlocal total
        kernel = module.weight[0].numel()
        total += 2 * kernel * output.numel()

    autoencoder = model._autoencoder
    hooks = [one.register_forward_hook(add) for one in autoencoder.modules() if isinstance(one, nn.Conv2d)]
    frame = draw_scene(0, 64, 48)
    with torch.inference_mode():
        model.reconstruct(frame[None])
    for hook in hooks:
        hook.remove()
    model.edit(frame[None], ["snow"])
    assert count_operations(model, frame, "snow").autoencoder == total


@pytest.fixture
def timed(scripted_model, monkeypatch):
    """Makes models that take 1 s to encode, 2 s to decode, and to denoise what their list says, by a clock of ours."""
    clock = [0.0]
    monkeypatch.setattr("mobie_coreml.evaluation.cost.time.perf_counter", lambda: clock[0])

    class Timed(scripted_model):
        def __init__(self, times) -> None:
            super().__init__("nothing")
            self.times = iter(times)

        def encode(self, frames):
            clock[0] += 1
            return super().encode(frames)

        def denoise(self, image_latents, prompts):
            clock[0] += next(self.times)
            return super().denoise(image_latents, prompts)

        def decode(self, latents):
            clock[0] += 2
            return super().decode(latents)

    return Timed


def test_times_are_medians_after_edits_that_do_not_count(timed, draw_scene):
    """One edit to warm up and one to count operations, then the rounds."""
    seen = []
    models = [timed([500, 500, 30, 20, 90]), timed([500, 500, 1, 1, 7])]
    costs = measure_costs(models, draw_scene(0), "snow", rounds=3, advance=lambda *step: seen.append(step))
    assert (costs[0].seconds.denoise, costs[0].seconds.frame) == (30, 33)
    assert (costs[1].seconds.denoise, costs[1].seconds.frame) == (1, 4)
    assert [cost.operations for cost in costs] == [None, None], "no network, nothing to count"
    assert [step[0] for step in seen] == list(range(1, 9))
    assert seen[-1] == (8, 8)
