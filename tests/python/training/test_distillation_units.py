"""Identities of the stages after the teacher, each against arithmetic written out."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mobie_coreml.diffusion.guidance import combine_passes, guidance_passes
from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.errors import InputError
from mobie_coreml.models.presets import Preset
from mobie_coreml.models.unet import MobilePix2PixUNet
from mobie_coreml.training.adversarial import (
    approximate_r1,
    discriminator_hinge,
    exact_r1,
    logit_normal_timestep,
    ramp,
    student_hinge,
)
from mobie_coreml.training.discriminator import Heads, pooled_text
from mobie_coreml.training.ema import WeightAverage
from mobie_coreml.training.guidance import guided_output, rescaled, rescaled_guidance, with_guidance_inputs
from mobie_coreml.training.photos import generator
from mobie_coreml.training.settings import setting_values, with_settings
from mobie_coreml.training.stage_config import (
    ABLATIONS,
    ONE_STEP,
    STAGE_LOOPS,
    STAGES,
    OneStepTraining,
    RegressionTraining,
    RescaleTraining,
    ScaleTraining,
    ablated,
)
from mobie_coreml.training.velocity import velocity_from_epsilon


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def unet(small_preset: Preset) -> MobilePix2PixUNet:
    torch.manual_seed(4)
    return MobilePix2PixUNet(small_preset.unet).eval()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.integers(0, 2**32))
def test_noise_velocity_and_x0_lead_to_each_other(timestep: int, seed: int) -> None:
    schedule = NoiseSchedule()
    x0, noise = randn(2, 3, 2, 2, seed=seed).double(), randn(2, 3, 2, 2, seed=seed + 1).double()
    times = torch.tensor([timestep, 999 - timestep])
    noisy = schedule.add_noise(x0, noise, times)
    velocity = velocity_from_epsilon(schedule, noisy, noise, times)
    torch.testing.assert_close(velocity, schedule.velocity(x0, noise, times))
    torch.testing.assert_close(schedule.x0_from_velocity(noisy, velocity, times), x0)
    a, s = schedule.alpha(times)[:, None, None, None], schedule.sigma(times)[:, None, None, None]
    torch.testing.assert_close(velocity, (noise - s * noisy) / a)


def test_guided_output_is_the_sum_over_three_passes() -> None:
    passes = [randn(2, 4, 3, 3, seed=seed) for seed in range(3)]
    scales = [(7.5, 1.5), (2.0, 3.0)]
    text, image = (torch.tensor(values) for values in zip(*scales, strict=True))
    guided = guided_output(torch.cat(passes), text, image)
    for row, (s_t, s_i) in enumerate(scales):
        expected = combine_passes(guidance_passes(s_t, s_i), [one[row] for one in passes])
        torch.testing.assert_close(guided[row], expected)
    one = torch.ones(2)
    torch.testing.assert_close(guided_output(torch.cat(passes), one, one), passes[2])


def test_rescaled_guidance_has_the_conditional_deviation() -> None:
    guided, conditional = 3.0 * randn(4, 2, 3, 5, seed=1) + 0.2, randn(4, 2, 3, 5, seed=2)
    whole = rescaled(guided, conditional, 1.0)
    torch.testing.assert_close(whole.flatten(1).std(dim=1), conditional.flatten(1).std(dim=1))
    half = rescaled(guided, conditional, 0.5)
    torch.testing.assert_close(half, (guided + whole) / 2)
    assert torch.equal(rescaled(guided, conditional, 0.0), guided)
    torch.testing.assert_close(rescaled(conditional, conditional, 1.0), conditional)
    assert torch.isfinite(rescaled(torch.ones_like(guided), conditional, 1.0)).all()


def test_each_scale_is_rescaled_to_what_comes_before_it() -> None:
    neither, image, both = passes = [randn(2, 3, 4, 5, seed=seed) for seed in range(3)]
    estimates, one = torch.cat(passes), torch.ones(2)
    text_scale, image_scale = torch.tensor([3.0, 4.0]), torch.tensor([1.5, 2.0])
    columns = [scale[:, None, None, None] for scale in (text_scale, image_scale)]
    plain = rescaled_guidance(estimates, text_scale, image_scale, RescaleTraining())
    torch.testing.assert_close(plain, guided_output(estimates, text_scale, image_scale))

    rescale = RescaleTraining(text=0.7, image=1.0)
    text = rescaled(image + columns[0] * (both - image), both, 0.7)
    torch.testing.assert_close(rescaled_guidance(estimates, text_scale, one, rescale), text)
    whole = rescaled_guidance(estimates, text_scale, image_scale, rescale)
    torch.testing.assert_close(whole, rescaled(text + (columns[1] - 1) * (image - neither), text, 1.0))
    torch.testing.assert_close(whole.flatten(1).std(dim=1), text.flatten(1).std(dim=1))
    torch.testing.assert_close(rescaled_guidance(estimates, one, one, rescale), both)


def test_guidance_inputs_change_nothing_at_the_start(unet: MobilePix2PixUNet) -> None:
    student = with_guidance_inputs(unet).eval()
    sample, times, states = randn(3, 8, 6, 8), torch.tensor([0, 500, 999]), randn(3, 77, 16)
    plain = unet(sample, times, states)
    for text, image in ((1.0, 1.0), (14.0, 3.0)):
        assert torch.equal(student(sample, times, states, torch.full((3,), text), torch.full((3,), image)), plain)
    projections = [value for name, value in student.named_parameters() if "guidance_emb_proj" in name]
    places = sum("time_emb_proj.weight" in name for name, _ in unet.named_parameters())
    # Weight and bias of either scale, in every block and in the gate.
    assert len(projections) == 4 * (places + 1)
    assert all(not value.any() for value in projections)


def test_a_scale_is_embedded_as_the_timestep_of_the_same_value(unet: MobilePix2PixUNet) -> None:
    student = with_guidance_inputs(MobilePix2PixUNet(replace(unet.config, text_embedding=False)))
    for embedding in (student.text_guidance_embedding, student.image_guidance_embedding):
        embedding.load_state_dict(student.time_embedding.state_dict())
    values = torch.tensor([1.0, 2.0, 7.0, 14.0])
    conditioning = student.conditioning(values, randn(4, 77, 16), values, values)
    assert conditioning.text_guidance is not None
    assert torch.equal(conditioning.time, conditioning.text_guidance)
    assert conditioning.image_guidance is not None
    assert torch.equal(conditioning.time, conditioning.image_guidance)


def test_hinge_pushes_real_up_and_made_down_and_the_student_up() -> None:
    real, made = (torch.full((2, 1, 3, 3), 0.2, requires_grad=True) for _ in range(2))
    discriminator_hinge([real], [made]).backward()
    assert real.grad is not None
    assert made.grad is not None
    assert (real.grad < 0).all()
    assert (made.grad > 0).all()
    assert float(discriminator_hinge([real.detach()], [made.detach()])) == pytest.approx(0.8 + 1.2)
    sure = torch.full((1, 1, 2, 2), 1.5)
    assert float(discriminator_hinge([sure], [-sure])) == 0.0
    judged = torch.full((2, 1, 3, 3), 0.2, requires_grad=True)
    student_hinge([judged]).backward()
    assert judged.grad is not None
    assert (judged.grad < 0).all()


@pytest.mark.parametrize(("mean", "deviation"), [(-1.0, 1.0), (0.0, 1.0), (-1.0, 2.0)])
def test_logits_of_timesteps_are_normal(mean: float, deviation: float) -> None:
    rng = generator(3)
    drawn = np.array([logit_normal_timestep(rng, mean, deviation, 1000) for _ in range(4000)])
    assert 0 <= drawn.min() <= drawn.max() <= 999
    levels = (drawn + 0.5) / 1000
    logits = np.log(levels / (1 - levels))
    assert logits.mean() == pytest.approx(mean, abs=0.12)
    assert logits.std() == pytest.approx(deviation, abs=0.12)
    assert float(np.median(levels)) == pytest.approx(1 / (1 + math.exp(-mean)), abs=0.03)


def test_exact_r1_is_the_squared_gradient() -> None:
    features = randn(2, 3, 4, 5).requires_grad_(True)
    weights = torch.tensor([1.0, -2.0, 0.5])
    logits = (features * weights[:, None, None]).sum(dim=1, keepdim=True)
    penalty = exact_r1([logits], [features])
    assert float(penalty) == pytest.approx(float(weights.square().sum()))
    scale = torch.tensor(3.0, requires_grad=True)
    exact_r1([scale * logits], [features]).backward()
    assert scale.grad is not None
    assert float(scale.grad) == pytest.approx(2 * 3.0 * 5.25)


def test_approximate_r1_is_the_exact_one_of_a_linear_judgement() -> None:
    weights = torch.tensor([1.0, -2.0, 0.5])[:, None, None]
    sample, noise = randn(8, 3, 32, 32), randn(8, 3, 32, 32, seed=1)
    logits, nudged = ((one * weights).sum(dim=1, keepdim=True) for one in (sample, sample + 0.1 * noise))
    assert float(approximate_r1([logits], [nudged], 0.1)) == pytest.approx(5.25, rel=0.1)


def test_the_adversarial_weight_waits_and_rises() -> None:
    assert [ramp(step, 2, 4) for step in range(8)] == [0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert ramp(0, 0, 0) == 1.0


def test_pooled_text_is_the_state_at_the_first_end_token() -> None:
    ids = torch.tensor([[8, 3, 9, 9, 9], [8, 9, 9, 9, 9], [8, 1, 2, 3, 9]])
    states = randn(3, 5, 4)
    assert torch.equal(pooled_text(states, ids), states[torch.arange(3), torch.tensor([2, 1, 4])])


@pytest.mark.parametrize("guidance", [True, False])
def test_heads_are_told_prompt_timestep_and_perhaps_scales(guidance: bool) -> None:
    torch.manual_seed(0)
    heads = Heads((6, 4), 8, 5, guidance)
    features, text = [randn(2, 6, 4, 4), randn(2, 4, 2, 2)], randn(2, 5)
    times, scales = torch.tensor([10, 700]), (torch.tensor([2.0, 9.0]), torch.tensor([1.0, 2.0]))
    logits = heads(features, times, scales, text)
    assert [one.shape for one in logits] == [(2, 1, 4, 4), (2, 1, 2, 2)]

    def differs(other: list[torch.Tensor]) -> bool:
        return any(not torch.allclose(one, two) for one, two in zip(logits, other, strict=True))

    assert differs(heads(features, times + 50, scales, text))
    assert differs(heads(features, times, scales, text + 1))
    assert differs(heads(features, times, (scales[0] + 1, scales[1]), text)) == guidance
    assert differs(heads(features, times, (scales[0], scales[1] + 1), text)) == guidance


def test_averages_follow_weights_by_the_decay() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    average = WeightAverage(network, 0.9)
    torch.nn.init.ones_(network.weight)
    expected = 0.0
    for update in range(1, 40):
        average.update(network)
        decay = min(0.9, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay)
        assert float(average.network.weight) == pytest.approx(expected, abs=1e-6)


def test_every_ablation_changes_what_it_names() -> None:
    published = ONE_STEP["mobile"]
    assert len({repr(published), *(repr(ablated(published, name)) for name in ABLATIONS)}) == 1 + len(ABLATIONS)
    assert (published.grid, published.teacher_steps, published.teacher_sampler) == (8, 5, "lcm")
    assert (published.critic.mean, published.critic.deviation, published.critic.noise) == (-1.0, 1.0, "logit-normal")
    assert STAGE_LOOPS["one-step", "mobile"].learning_rate == published.critic.learning_rate == 1e-5
    with pytest.raises(InputError, match="no ablation 'x'"):
        ablated(published, "x")


def test_settings_reach_every_option() -> None:
    for configs in STAGES.values():
        for config in configs.values():
            values = setting_values(config)
            given = [f"{name}={value}" for name, value in values.items() if value != "checkpoint's"]
            assert with_settings(config, given) == config
    changed = with_settings(OneStepTraining(), ["critic.r1=none", "critic.guidance=no", "scales.text=2:14", "grid=4"])
    assert (changed.critic.r1, changed.critic.guidance, changed.scales.text, changed.grid) == (
        "none",
        False,
        (2.0, 14.0),
        4,
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("batch", "sets nothing"),
        ("batch=many", "does not fit batch"),
        ("batch=0", "at least one example"),
        ("width=3", "no option 'width'"),
        ("scales=1", "no option 'scales'"),
        ("scales.text=3", "does not fit text"),
        ("scales.usual=nan", "does not fit usual"),
        ("scales.text=1:inf", "does not fit text"),
        ("scales.text=9:2", "range of text guidance"),
        ("scales.usual=2", "between 0 and 1"),
        ("rescale.text=1.5", "between 0 and 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(setting: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_settings(RegressionTraining(scales=ScaleTraining()), [setting])
