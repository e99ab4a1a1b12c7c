"""Overriding gates."""

import pytest

from mobie_coreml.errors import InputError
from mobie_coreml.parity.gates import Gate, apply_overrides

DEFAULTS = {"Denoiser": Gate(50.0), "edit": Gate(35.0)}


def test_defaults_stand_without_overrides() -> None:
    assert apply_overrides(DEFAULTS, []) == {"Denoiser": Gate(50.0), "edit": Gate(35.0)}


def test_raising_a_gate_needs_no_reason() -> None:
    assert apply_overrides(DEFAULTS, ["edit=40"])["edit"] == Gate(40.0)


def test_lowering_a_gate_keeps_its_reason() -> None:
    gates = apply_overrides(DEFAULTS, ["Denoiser=45:random weights"])
    assert gates["Denoiser"] == Gate(45.0, "random weights")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Denoiser=45", "gives no reason"),
        ("Denoiser=45:  ", "gives no reason"),
        ("UNet=60", "not understood"),
        ("Denoiser", "not understood"),
        ("Denoiser=high", "no positive number"),
        ("Denoiser=nan:because", "no positive number"),
        ("Denoiser=-3:because", "no positive number"),
    ],
)
def test_bad_overrides(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        apply_overrides(DEFAULTS, [text])
