"""The gates that a model gets unless asked otherwise, as data with their reasons."""

from __future__ import annotations

from collections.abc import Mapping

from mobie_coreml.manifest.content import ComponentInfo, Gate, Gates

COMPONENT_GATE = Gate(fp32=50.0, fp16=40.0)
"""Of the conversion of a component: rounding weights and results to fp16 costs less, a wrong operation more."""

EDIT_GATE = Gate(fp32=35.0, fp16=35.0)
"""Of the edited frame, whose errors went through all components and steps."""

PALETTIZED: Mapping[str, float] = {
    "TextEncoder": 30.0,
    "Conditioner": 40.0,
    "Encoder": 36.0,
    "Denoiser": 32.0,
    "Decoder": 34.0,
    "edit": 28.0,
}
"""PSNR in dB that packages of palettes must reach, and the edited frame.

Errors of latents and frames that are less than 32 to 36 dB down show beside those of a tiny autoencoder, which is 25 to
35 dB from the frame itself; the Conditioner's go into every block of the Denoiser, so it is held to more. Text states
may be further off: what they are off by counts for little beside what tells one instruction from another. The edited
frame went through all components and all steps. Where 6 bits do not clear a gate (docs/benchmarks.md), the shipped
recipes give a component 8."""

DECIBELS_PER_BIT = 6.0
"""A bit less doubles the distance between a table's entries: 20 log10(2) dB. Who asks for fewer than 6 bits accepts
that; more than 6 buy a margin."""

LOWEST = 6.0
"""Below this a gate would let noise of half the amplitude pass."""


def palettized_gate(name: str, bits: float) -> float:
    """The gate in dB of a component, or of "edit", whose weights have so many bits on average."""
    return max(LOWEST, round(PALETTIZED[name] + DECIBELS_PER_BIT * (min(bits, 6.0) - 6.0), 1))


def default_gates(components: Mapping[str, ComponentInfo]) -> Gates:
    """Gates of a model with these components."""
    palettized = {name: info.weight_bits for name, info in components.items() if info.palettes}
    return Gates(
        {name: _gate(COMPONENT_GATE, name, palettized.get(name)) for name in components},
        _gate(EDIT_GATE, "edit", min(palettized.values(), default=None)),
    )


def _gate(gate: Gate, name: str, bits: float | None) -> Gate:
    if bits is None:
        return gate
    return Gate(gate.fp32, gate.fp16, f"palettes of {bits:.2f} bits a weight", palettized_gate(name, bits))
