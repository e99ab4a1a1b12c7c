"""Gates: the PSNR each component must reach. Defaults live in the manifest; an override states its reason."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mobie_coreml.errors import InputError

#: The whole edit is gated like a component, under this name.
EDIT = "edit"

#: Follows the name of a palettized component: the gate of the conversion alone, its weights as they were before.
CONVERSION = "/conversion"


@dataclass(frozen=True)
class Gate:
    """The lowest PSNR in dB that passes, and why it differs from the default where it does."""

    psnr_db: float
    reason: str = ""


def apply_overrides(defaults: Mapping[str, Gate], overrides: Iterable[str]) -> dict[str, Gate]:
    """Gates by component, from the defaults and `NAME=DB` or `NAME=DB:REASON` overrides.

    Args:
        defaults: Gates by component name, under "edit" for the edited frame, and where a component is palettized under
            its name and "/conversion" for the conversion alone.
        overrides: As written on the command line.

    Raises:
        InputError: an unknown name, no number, or a gate below its default without a reason.
    """
    gates = dict(defaults)
    for text in overrides:
        name, found, rest = text.partition("=")
        if not found or name not in gates:
            raise InputError(
                f"Gate {text!r} is not understood.", f"Write NAME=DB:REASON with NAME one of {', '.join(gates)}."
            )
        number, _, reason = rest.partition(":")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value <= 0:
            raise InputError(f"Gate {text!r} has no positive number of dB.", "Write for example Denoiser=45:REASON.")
        if value < defaults[name].psnr_db and not reason.strip():
            raise InputError(
                f"Gate {name}={number} is below the default of {defaults[name].psnr_db:g} dB and gives no reason.",
                f"Write {name}={number}:REASON; reports repeat the reason.",
            )
        gates[name] = Gate(value, reason.strip())
    return gates
