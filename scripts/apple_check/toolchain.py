"""What the toolchain's own modules have that is newer than the oldest systems, by unique name."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

from apple_check.versions import FLOOR, NEVER, PLATFORMS, Version, introduced, parse, show

TABLE = Path(__file__).with_name("newer_symbols.txt")
_MODULES = ("Swift", "_Concurrency", "_StringProcessing", "Observation", "FoundationEssentials", "Foundation")


def read_newer() -> dict[str, dict[str, Version]]:
    """The table: unique name, then the versions of iOS and macOS."""
    found = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            usr, *versions = line.split(" ")
            found[usr] = {platform: parse(version) for platform, version in zip(PLATFORMS, versions, strict=True)}
    return found


def remake_newer() -> int:
    """Writes the table anew from the toolchain's annotations; takes half a minute.

    Returns:
        How many symbols it lists.

    Raises:
        subprocess.CalledProcessError: the toolchain has no symbol graphs to give.
    """
    with tempfile.TemporaryDirectory(prefix="mobie-symbols-") as name:
        folder = Path(name)
        target = json.loads(subprocess.run(["swiftc", "-print-target-info"], check=True, capture_output=True).stdout)
        for module in _MODULES:
            command = ["swift", "symbolgraph-extract", "-module-name", module, "-minimum-access-level", "public"]
            command += ["-target", target["target"]["triple"], "-output-dir", name, "-skip-synthesized-members"]
            subprocess.run(command, check=True, capture_output=True)
        newer: dict[str, dict[str, Version]] = {}
        for path in folder.glob("*.symbols.json"):
            for symbol in json.loads(path.read_text(encoding="utf-8"))["symbols"]:
                versions = introduced(symbol)
                if any(FLOOR[platform] < version < NEVER for platform, version in versions.items()):
                    newer[symbol["identifier"]["precise"]] = versions
    lines = [
        "# Symbols of the standard library and Foundation that are newer than the oldest systems; made by",
        "# scripts/check_apple.py --remake-table from the toolchain's own annotations. Unique name, iOS, macOS.",
    ]
    for usr, versions in sorted(newer.items()):
        lines.append(" ".join([usr, *(show(versions.get(platform, FLOOR[platform])) for platform in PLATFORMS)]))
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(newer)
