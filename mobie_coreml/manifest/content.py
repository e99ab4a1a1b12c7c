"""What `mobie.json` says, as dataclasses. Field names are those of the file; `schema.json` is its published form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA_VERSION = 2
"""Version of the file's form. Readers refuse versions that they don't know."""

FILE_NAME = "mobie.json"
COMPONENT_NAMES = ("TextEncoder", "Conditioner", "Encoder", "Denoiser", "Decoder")
"""In the order in which a host runs them."""

COMPUTE_UNITS = ("all", "cpuOnly", "cpuAndGPU", "cpuAndNeuralEngine")
"""Core ML's names (MLComputeUnits)."""

MACOS_ONLY_BITS = 6.1
MACOS_ONLY_BYTES = 1_000_000_000
"""Denoisers of more bits a weight than this, and more bytes of weights than this, are for macOS alone: Apple asks for
at most 6 bits on iOS, or chunks under 1 GB (apple/ml-stable-diffusion, README). A tenth of a bit is left for tables and
for what has none: with 6-bit palettes nano's Denoiser has 6.05 bits a weight, a full-size one 6.00."""


@dataclass(frozen=True)
class ScaleRange:
    """Values of a guidance scale that the checkpoint was made for."""

    minimum: float
    maximum: float
    default: float


@dataclass(frozen=True)
class PassWeight:
    """constant + text * s_T + image * s_I, for the guidance scales s_T and s_I."""

    constant: float
    text: float
    image: float

    def value(self, text_guidance: float, image_guidance: float) -> float:
        """The weight at these scales."""
        return self.constant + self.text * text_guidance + self.image * image_guidance


@dataclass(frozen=True)
class Pass:
    """One Denoiser run of a step: with the prompt or the empty one, with the frame's latents or zeros."""

    text: bool
    image: bool
    weight: PassWeight


@dataclass(frozen=True)
class Guidance:
    """How the guidance scales act.

    Attributes:
        kind: "embedded": the Conditioner takes both scales, one pass a step. "three-pass": x0 is the weighted sum of
            the passes' estimates (Brooks et al. 2022, arXiv 2211.09800, eq. 3).
        text: Range of s_T.
        image: Range of s_I.
        passes: Of every step, in order; their weights sum to 1 at all scales.
    """

    kind: Literal["embedded", "three-pass"]
    text: ScaleRange
    image: ScaleRange
    passes: tuple[Pass, ...]


@dataclass(frozen=True)
class NoiseSchedule:
    """beta_i = (sqrt(beta_start) + i / (train_timesteps - 1) (sqrt(beta_end) - sqrt(beta_start)))^2."""

    kind: Literal["scaled_linear"]
    beta_start: float
    beta_end: float
    train_timesteps: int


@dataclass(frozen=True)
class Method:
    """What the checkpoint was trained to do."""

    prediction_type: Literal["epsilon", "v_prediction", "sample"]
    noise_schedule: NoiseSchedule
    guidance: Guidance


@dataclass(frozen=True)
class Frame:
    """Size of frames in pixels."""

    width: int
    height: int


@dataclass(frozen=True)
class Latents:
    """The tensors between components.

    Attributes:
        shape: (1, L, h, w).
        pixels_per_latent: Pixels that one latent spans along each axis.
        scaling_factor: What the Encoder multiplies the autoencoder's own latents by, and the Decoder divides by, inside
            their graphs: latents between components have unit variance.
    """

    shape: tuple[int, int, int, int]
    pixels_per_latent: int
    scaling_factor: float


@dataclass(frozen=True)
class Noise:
    """How noise is made from a seed (specified in mobie_coreml/diffusion/noise.py).

    Attributes:
        generator: "philox4x32-10".
        transform: "box-muller", in double precision.
        dtype: Numbers are rounded to this.
        stream: Of the noise that the first step starts from. Fresh noise of step i (from 0) is stream `stream` + 1 + i.
        frame_stride: Added to both for every frame after the first where noise is fresh a frame; not where it is fixed.
    """

    generator: Literal["philox4x32-10"] = "philox4x32-10"
    transform: Literal["box-muller"] = "box-muller"
    dtype: Literal["float16"] = "float16"
    stream: int = 0
    frame_stride: int = 1 << 32


@dataclass(frozen=True)
class Step:
    """One step: next latents = x0 * (estimate) + latents * (latents) + noise * (fresh noise)."""

    timestep: int
    x0: float
    latents: float
    noise: float


@dataclass(frozen=True)
class Schedule:
    """The steps that the checkpoint takes unless asked otherwise, and the sampler that they come from."""

    sampler: Literal["euler", "ddim", "lcm"]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class TensorInfo:
    """An input or output.

    Attributes:
        name: In the package.
        shape: Fixed; (1, 3, H, W) for images.
        dtype: "int32", "float16", "float32", or "image": an 8-bit RGB pixel buffer.
        source: Where a host takes an input from; "" for outputs.
        meaning: What it is, with unit and range.
        minimum: Smallest sensible value, where there is a bound.
        maximum: Largest sensible value, where there is a bound.
    """

    name: str
    shape: tuple[int, ...]
    dtype: Literal["int32", "float16", "float32", "image"]
    source: str
    meaning: str
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class FileInfo:
    """A file of the model folder: path from the folder with '/', SHA-256 of its bytes, size in bytes."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Palettes:
    """How a component's weights were palettized.

    Attributes:
        recipe: Name of the recipe.
        recipe_sha256: Digest of what it says of this component.
        tensors: Weight tensors that have palettes.
        snr_db: Energy over squared error of each of those tensors, on average over all their weights; absent where
            there is no error.
    """

    recipe: str
    recipe_sha256: str
    tensors: int
    snr_db: float | None = None


@dataclass(frozen=True)
class ComponentInfo:
    """One component.

    Attributes:
        file: The package (or compiled model) in the folder.
        form: "package" (.mlpackage) or "compiled" (.mlmodelc).
        sha256: Of the package: SHA-256 of one line "digest  path" a file, paths from the package, sorted. For a
            compiled model that of the package it was compiled from.
        files: Every file of it.
        inputs: In the order of the package.
        outputs: In the order of the package.
        compute_units: Recommended.
        arithmetic: Type that its graph computes in.
        attention: Form of its attentions, "" where it has none.
        weight_bits: Stored bits a weight, on average over all weights, tables included.
        weight_bytes: Size of its weight file.
        deployment_target: Oldest system that loads it.
        macos_only: Too large for iOS: apps there must refuse it.
        reuse_key: Digest of everything that the package was made from.
        palettes: Of its weights; absent where they are fp16.
    """

    file: str
    form: Literal["package", "compiled"]
    sha256: str
    files: tuple[FileInfo, ...]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    compute_units: str
    arithmetic: Literal["fp16", "fp32"]
    attention: str
    weight_bits: float
    weight_bytes: int
    deployment_target: str
    macos_only: bool
    reuse_key: str
    palettes: Palettes | None = None


@dataclass(frozen=True)
class Tokenizer:
    """CLIP's byte-level BPE tokenizer."""

    kind: Literal["clip-bpe"]
    positions: int
    vocabulary_size: int
    files: tuple[FileInfo, ...]


@dataclass(frozen=True)
class Gate:
    """Lowest PSNR in dB that passes parity.

    Attributes:
        fp32: Of the conversion, with the executor's fp32 arithmetic. Palettes count for nothing here: the package is
            compared with its weights as they were before they had any.
        fp16: The same with fp16 arithmetic.
        reason: Why a number is below the default of fp16 weights.
        palettized: Of the package as it is, in either arithmetic; absent where no weight has a palette.
    """

    fp32: float
    fp16: float
    reason: str = ""
    palettized: float | None = None


@dataclass(frozen=True)
class Gates:
    """Of every component, and of the edited frame."""

    components: Mapping[str, Gate]
    edit: Gate


@dataclass(frozen=True)
class Provenance:
    """Where the model comes from; no dates, so that the same inputs give the same file.

    Attributes:
        checkpoint_sha256: Digest of the checkpoint.
        preset: The checkpoint's preset.
        licence: Of the weights.
        origin: What the checkpoint says about itself, free form.
        tools: Name and version of what made the packages.
    """

    checkpoint_sha256: str
    preset: str
    licence: str
    origin: Mapping[str, Any]
    tools: Mapping[str, str]


@dataclass(frozen=True)
class Manifest:
    """The whole of `mobie.json`."""

    method: Method
    frame: Frame
    latents: Latents
    noise: Noise
    schedule: Schedule
    components: Mapping[str, ComponentInfo]
    tokenizer: Tokenizer
    gates: Gates
    provenance: Provenance
    schema_version: int = SCHEMA_VERSION
    extensions: Mapping[str, Any] = field(default_factory=dict)
    """Anything that other tools add, by name; readers ignore what they don't know here, and only here."""

    @property
    def frame_size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.frame.width, self.frame.height

    @property
    def missing(self) -> tuple[str, ...]:
        """Components that an edit needs and the folder does not have."""
        return tuple(name for name in COMPONENT_NAMES if name not in self.components)
