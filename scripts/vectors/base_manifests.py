"""Valid manifests that the corpus of bad ones is made from."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_NAMES = ("TextEncoder", "Conditioner", "Encoder", "Denoiser", "Decoder")
_LATENTS = [1, 8, 24, 32]
_FRAME = [1, 3, 192, 256]
_STATES = [1, 128, 1, 77]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _tensor(name: str, shape: list[int], dtype: str, source: str = "", **bounds: float) -> dict[str, Any]:
    return {"name": name, "shape": shape, "dtype": dtype, "source": source, "meaning": f"The {name}.", **bounds}


def _component(name: str, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> dict[str, Any]:
    paths = ("Data/com.apple.CoreML/model.mlmodel", "Data/com.apple.CoreML/weights/weight.bin", "Manifest.json")
    files = [
        {"path": f"{name}.mlpackage/{path}", "sha256": _digest(name + path), "bytes": 100 * size}
        for size, path in enumerate(paths, 1)
    ]
    listing = "".join(f"{_digest(name + path)}  {path}\n" for path in paths)
    return {
        "file": f"{name}.mlpackage",
        "form": "package",
        "sha256": _digest(listing),
        "files": files,
        "inputs": inputs,
        "outputs": outputs,
        "compute_units": "cpuOnly" if name == "Conditioner" else "all",
        "arithmetic": "fp32" if name == "Conditioner" else "fp16",
        "attention": "split-einsum" if name == "Denoiser" else "",
        "weight_bits": 16.0,
        "weight_bytes": 200,
        "deployment_target": "iOS17",
        "macos_only": False,
        "reuse_key": _digest(f"reuse {name}"),
    }


def _weight(constant: float, text: float, image: float) -> dict[str, float]:
    return {"constant": constant, "text": text, "image": image}


def embedded() -> dict[str, Any]:
    """Guidance embedded, one step, all five components."""
    shifts, keys = [1, 1026, 1, 1], [1, 512, 1, 77]
    conditioning = [
        _tensor("shifts", shifts, "float16", "conditioner"),
        _tensor("text_kv", keys, "float16", "conditioner"),
    ]
    tensors: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
        "TextEncoder": (
            [_tensor("input_ids", [1, 77], "int32", "prompt", minimum=0, maximum=4095)],
            [_tensor("text_states", _STATES, "float16")],
        ),
        "Conditioner": (
            [
                _tensor("text_states", _STATES, "float16", "text_encoder"),
                _tensor("timestep", [1], "float32", "schedule", minimum=0, maximum=999),
                _tensor("text_guidance", [1], "float32", "guidance", minimum=2.0, maximum=14.0),
                _tensor("image_guidance", [1], "float32", "guidance", minimum=1.0, maximum=3.0),
            ],
            [_tensor("shifts", shifts, "float16"), _tensor("text_kv", keys, "float16")],
        ),
        "Encoder": (
            [_tensor("frame", _FRAME, "image", "frame", minimum=0, maximum=255)],
            [_tensor("image_latents", _LATENTS, "float16")],
        ),
        "Denoiser": (
            [
                _tensor("image_latents", _LATENTS, "float16", "latents"),
                _tensor("noisy_latents", _LATENTS, "float16", "noise"),
                *conditioning,
            ],
            [_tensor("denoised_latents", _LATENTS, "float16")],
        ),
        "Decoder": (
            [_tensor("denoised_latents", _LATENTS, "float16", "latents")],
            [_tensor("edited_frame", _FRAME, "image", minimum=0, maximum=255)],
        ),
    }
    value = {
        "schema_version": 2,
        "method": {
            "prediction_type": "v_prediction",
            "noise_schedule": {
                "kind": "scaled_linear",
                "beta_start": 0.00085,
                "beta_end": 0.012,
                "train_timesteps": 1000,
            },
            "guidance": {
                "kind": "embedded",
                "text": {"minimum": 2.0, "maximum": 14.0, "default": 7.5},
                "image": {"minimum": 1.0, "maximum": 3.0, "default": 1.5},
                "passes": [{"text": True, "image": True, "weight": _weight(1.0, 0.0, 0.0)}],
            },
        },
        "frame": {"width": 256, "height": 192},
        "latents": {"shape": _LATENTS, "pixels_per_latent": 8, "scaling_factor": 1.0},
        "noise": {
            "generator": "philox4x32-10",
            "transform": "box-muller",
            "dtype": "float16",
            "stream": 0,
            "frame_stride": 4294967296,
        },
        "schedule": {"sampler": "euler", "steps": [{"timestep": 999, "x0": 1.0, "latents": 0.0, "noise": 0.0}]},
        "components": {name: _component(name, *tensors[name]) for name in _NAMES},
        "tokenizer": {
            "kind": "clip-bpe",
            "positions": 77,
            "vocabulary_size": 4096,
            "files": [
                {"path": f"tokenizer/{name}", "sha256": _digest(name), "bytes": 1000}
                for name in ("merges.txt", "vocab.json")
            ],
        },
        "gates": {
            "components": {name: {"fp32": 50.0, "fp16": 40.0, "reason": ""} for name in _NAMES},
            "edit": {"fp32": 35.0, "fp16": 35.0, "reason": ""},
        },
        "provenance": {
            "checkpoint_sha256": _digest("checkpoint"),
            "preset": "nano",
            "licence": "Apache-2.0",
            "origin": {"kind": "random", "notes": ["free form", {"deep": None}, 1e-7, -0.0, "\u2603 \U0001f600"]},
            "tools": {"mobie": "0.1.0", "coremltools": "9.0"},
        },
    }
    # No list twice in it: whoever changes one place must not change another.
    separate: dict[str, Any] = json.loads(json.dumps(value))
    return separate


def three_pass() -> dict[str, Any]:
    """Guidance in three passes, several steps with fresh noise, without guidance inputs; with extensions."""
    value = embedded()
    value["method"]["guidance"].update(
        kind="three-pass",
        passes=[
            {"text": False, "image": False, "weight": _weight(1.0, 0.0, -1.0)},
            {"text": False, "image": True, "weight": _weight(0.0, -1.0, 1.0)},
            {"text": True, "image": True, "weight": _weight(0.0, 1.0, 0.0)},
        ],
    )
    inputs = value["components"]["Conditioner"]["inputs"]
    value["components"]["Conditioner"]["inputs"] = [one for one in inputs if one["source"] != "guidance"]
    value["schedule"] = {
        "sampler": "lcm",
        "steps": [
            {"timestep": 999, "x0": 0.9, "latents": 0.0, "noise": 0.43},
            {"timestep": 499, "x0": 0.99, "latents": 0.0, "noise": 0.1},
            {"timestep": 0, "x0": 1.0, "latents": 0.0, "noise": 0.0},
        ],
    }
    value["extensions"] = {"another_tool": {"anything": [1, 2.5, True]}}
    return value


def palettized() -> dict[str, Any]:
    """Palettes in the Denoiser, compiled, and without the TextEncoder."""
    value = embedded()
    denoiser = value["components"]["Denoiser"]
    denoiser.update(
        form="compiled",
        file="Denoiser.mlmodelc",
        weight_bits=6.05,
        palettes={"recipe": "uniform-6", "recipe_sha256": _digest("recipe"), "tensors": 92, "snr_db": 31.5},
    )
    for one in denoiser["files"]:
        one["path"] = one["path"].replace(".mlpackage", ".mlmodelc")
    del value["components"]["TextEncoder"], value["gates"]["components"]["TextEncoder"]
    value["gates"]["components"]["Denoiser"]["palettized"] = 20.0
    value["gates"]["edit"]["palettized"] = 25.0
    return value


BASES = {"embedded": embedded, "three-pass": three_pass, "palettized": palettized}
