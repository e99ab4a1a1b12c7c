"""Golden schedules: `tests/vectors/schedules.json`, edits of a stand-in Denoiser by the Python editor.

A case holds a manifest's steps and passes, scales, a frame's number, and the half-precision bits of the edited latents.
The stand-in rounds its input to half precision, computes 0.75 latents + 0.25 image + k in single precision, rounds, and
takes k from the Conditioner: timestep / 1000 with the prompt, its negative without.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mobie_coreml.diffusion.guidance import GuidancePass, GuidanceRange
from mobie_coreml.diffusion.noise import standard_normal
from mobie_coreml.diffusion.samplers import SamplerStep, sampler_steps
from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.editing.backend import Array
from mobie_coreml.editing.editor import Editor
from mobie_coreml.editing.method import EditMethod, one_pass
from mobie_coreml.manifest.content import PassWeight

PATH = "tests/vectors/schedules.json"
_SHAPE = (1, 4, 3, 5)
_IMAGE_SEED = 99
_EMBEDDED = [(True, True, PassWeight(1.0, 0.0, 0.0))]
_THREE = [
    (False, False, PassWeight(1.0, 0.0, -1.0)),
    (False, True, PassWeight(0.0, -1.0, 1.0)),
    (True, True, PassWeight(0.0, 1.0, 0.0)),
]


class _StandIn:
    """A backend whose components are a line of arithmetic each."""

    def inputs(self, component: str) -> tuple[str, ...]:
        return ("image_latents", "noisy_latents", "k")

    def release(self, component: str) -> None:
        """Nothing to free."""

    def run(self, component: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if component == "TextEncoder":
            return {"text_states": inputs["input_ids"]}
        if component == "Conditioner":
            sign = np.float32(1 if inputs["text_states"][0] else -1)
            return {"k": sign * inputs["timestep"] / np.float32(1000)}
        latents, image = (
            inputs[name].astype(np.float16).astype(np.float32) for name in ("noisy_latents", "image_latents")
        )
        mixed = np.float32(0.75) * latents + np.float32(0.25) * image + inputs["k"]
        return {"denoised_latents": mixed.astype(np.float16)}


def _case(
    steps: list[SamplerStep], passes: list[tuple[bool, bool, PassWeight]], scales: tuple[float, float], frame: int
) -> dict[str, Any]:
    method = EditMethod(
        frame_size=(40, 24),
        latent_shape=_SHAPE,
        guidance_inputs=len(passes) == 1,
        passes=one_pass,
        text_guidance=GuidanceRange(-100, 100, 7.5),
        image_guidance=GuidanceRange(-100, 100, 1.5),
        steps=tuple(steps),
        schedule=NoiseSchedule(),
        sampler="euler",
    )

    def weighted(text: float, image: float) -> tuple[GuidancePass, ...]:
        made = [GuidancePass(one, other, weight.value(text, image)) for one, other, weight in passes]
        return tuple(one for one in made if one.weight)

    editor = Editor(_StandIn(), replace(method, passes=weighted), lambda prompt: [int(bool(prompt))])
    image = standard_normal(_IMAGE_SEED, 0, _SHAPE)
    edited = editor.denoise(image, editor.condition("snow", *scales), editor.noise(5, frame))
    return {
        "steps": [
            {"timestep": one.timestep, "x0": one.x0, "latents": one.latents, "noise": one.noise} for one in steps
        ],
        "passes": [
            {"text": one, "image": other, "weight": [weight.constant, weight.text, weight.image]}
            for one, other, weight in passes
        ],
        "text_guidance": scales[0],
        "image_guidance": scales[1],
        "frame": frame,
        "bits": [int(one) for one in edited.astype(np.float16).reshape(-1).view(np.uint16)],
    }


def make() -> Iterator[tuple[str, bytes]]:
    """The file."""
    schedule = NoiseSchedule()
    cases = [_case([SamplerStep(999, 1.0, 0.0, 0.0)], _EMBEDDED, (7.5, 1.5), 0)]
    for sampler, count in (("euler", 1), ("euler", 4), ("ddim", 5), ("lcm", 4)):
        steps = list(sampler_steps(schedule, sampler, count))  # type: ignore[arg-type]
        for passes in (_EMBEDDED, _THREE):
            for scales in ((7.5, 1.5), (3.0, 1.0)):
                cases.append(_case(steps, passes, scales, 0 if sampler == "ddim" else 3))
    yield PATH, ("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n").encode()
