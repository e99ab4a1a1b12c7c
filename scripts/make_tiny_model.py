"""Makes a small model folder with random weights, and what its components give, for tests of Core ML itself:

    python scripts/make_tiny_model.py OUTPUT

    OUTPUT/model/       a model folder of fp16 packages
    OUTPUT/expected/    inputs and outputs of every component in Python's executor (fp32 arithmetic on the stored
                        weights), float32 little-endian, a file each; index.json names them

A runner with Core ML runs the same packages on the same inputs (tests/swift/MobieCoreMLTests/CoreMLModelTests.swift).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path

import numpy as np

from mobie_coreml.convert.model import convert_model
from mobie_coreml.convert.options import DENSE_WEIGHT_BITS, ConvertOptions
from mobie_coreml.diffusion.noise import standard_normal
from mobie_coreml.files import write_json
from mobie_coreml.manifest.read import load_manifest
from mobie_coreml.models.checkpoint import load_checkpoint
from mobie_coreml.models.presets import PRESETS, Preset
from mobie_coreml.models.random_checkpoint import new_checkpoint
from mobie_coreml.models.tokenizer import CLIPTokenizer
from mobie_coreml.runtime.base import Arrays, open_runner

PROMPT = "make it snow"
SEED = 7


def tiny_preset() -> Preset:
    """nano with a denoiser of two narrow levels."""
    nano = PRESETS["nano"]
    unet = dataclasses.replace(
        nano.unet,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        num_attention_heads=(1, 2),
    )
    return dataclasses.replace(nano, frame_size=(128, 96), unet=unet)


def make_model(folder: Path) -> None:
    """Converts a random checkpoint into a new model folder."""
    with tempfile.TemporaryDirectory(prefix="mobie-tiny-") as name:
        checkpoint = Path(name) / "checkpoint"
        new_checkpoint(checkpoint, tiny_preset(), SEED)
        convert_model(load_checkpoint(checkpoint), folder, ConvertOptions(weight_bits=DENSE_WEIGHT_BITS))


def frame_of(width: int, height: int) -> np.ndarray:
    """A frame of smooth colours and a bright square, float32 (1, 3, height, width), whole numbers from 0 to 255."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = 255 * x / (width - 1), 255 * y / (height - 1)
    frame = np.stack([red, green, 255 - (red + green) / 2])
    frame[:, height // 4 : height // 2, width // 4 : width // 2] = 230
    return np.rint(frame)[None].astype(np.float32)


def run_components(folder: Path) -> tuple[dict[str, float], Arrays]:
    """Runs the whole chain once.

    Returns:
        Numbers that components take, and every tensor by name.
    """
    manifest = load_manifest(folder)
    width, height = manifest.frame_size
    tokenizer = CLIPTokenizer(folder / "tokenizer" / "vocab.json", folder / "tokenizer" / "merges.txt")
    guidance = manifest.method.guidance
    numbers = {
        "timestep": float(manifest.schedule.steps[0].timestep),
        "text_guidance": guidance.text.default,
        "image_guidance": guidance.image.default,
    }
    tensors: Arrays = {
        "input_ids": np.array([tokenizer.encode(PROMPT).ids], np.int32),
        "frame": frame_of(width, height),
        "noisy_latents": standard_normal(SEED, 0, tuple(manifest.latents.shape)).astype(np.float32),
    }
    tensors |= {name: np.array([value], np.float32) for name, value in numbers.items()}
    for name in ("TextEncoder", "Conditioner", "Encoder", "Denoiser", "Decoder"):
        runner = open_runner(folder / manifest.components[name].file)
        # What crosses between components is fp16 on a device.
        tensors |= {
            output: values if runner.outputs[output].is_image else values.astype(np.float16).astype(np.float32)
            for output, values in runner.run({key: tensors[key] for key in runner.inputs}).items()
        }
    return numbers, {name: tensor for name, tensor in tensors.items() if name not in numbers}


def write_expected(folder: Path, numbers: dict[str, float], tensors: Arrays) -> None:
    """Writes tensors and their index into a new folder."""
    folder.mkdir(parents=True)
    index = {}
    for name, tensor in tensors.items():
        (folder / f"{name}.f32").write_bytes(tensor.astype("<f4").tobytes())
        index[name] = list(tensor.shape)
    write_json(folder / "index.json", {"numbers": numbers, "tensors": index})


def main() -> None:
    """Raises SystemExit where the command line is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="a folder that is not there yet")
    output: Path = parser.parse_args().output
    if output.exists():
        parser.error(f"{output} is there already")
    output.mkdir(parents=True)
    make_model(output / "model")
    numbers, tensors = run_components(output / "model")
    write_expected(output / "expected", numbers, tensors)
    print(json.dumps({name: list(tensor.shape) for name, tensor in tensors.items()}))


if __name__ == "__main__":
    main()
