"""Versions of Apple's systems."""

from __future__ import annotations

import math
from typing import Any

Version = tuple[float, float]
PLATFORMS = ("iOS", "macOS")
FLOOR: dict[str, Version] = {"iOS": (17, 0), "macOS": (14, 0)}
"""The oldest systems that the package runs on, as Package.swift says."""
NEVER: Version = (math.inf, 0)
"""The version of what a system does not have at all."""


def parse(text: str) -> Version:
    """The version in "17.4" or "17".

    Raises:
        ValueError: it is none.
    """
    major, _, rest = text.partition(".")
    return int(major), int(rest.split(".")[0] or 0) if rest else 0


def show(version: Version) -> str:
    """A version as people write it."""
    return "no version" if version == NEVER else f"{version[0]}.{version[1]}"


def introduced(symbol: dict[str, Any]) -> dict[str, Version]:
    """By platform the version that a symbol of a symbol graph needs; platforms it says nothing of are left out."""
    found: dict[str, Version] = {}
    for entry in symbol.get("availability", []):
        if entry.get("domain") not in PLATFORMS:
            continue
        if entry.get("isUnconditionallyUnavailable"):
            found[entry["domain"]] = NEVER
        elif "introduced" in entry:
            found[entry["domain"]] = (entry["introduced"]["major"], entry["introduced"].get("minor", 0))
    return found
