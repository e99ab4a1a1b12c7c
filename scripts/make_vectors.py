"""Makes everything that the Swift package takes from Python, so that both languages do the same:

    python scripts/make_vectors.py [--output ROOT]

    tests/vectors/             golden values that the tests of both languages replay
    ios_app/Sources/...        the manifest's schema and Unicode's tables as Swift source

The same sources give the same bytes; a test makes everything again and compares.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from vectors import geometry, manifests, messages, noise, prompts, schedules, schema_text, unicode_tables

ROOT = Path(__file__).resolve().parents[1]


def make() -> Iterator[tuple[str, bytes]]:
    """Paths from the repository's root, and what belongs there."""
    for module in (schema_text, unicode_tables, manifests, prompts, noise, geometry, schedules, messages):
        yield from module.make()


def main() -> None:
    """Writes every file below the root that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT, help="write below this folder instead of the repository")
    root: Path = parser.parse_args().output
    for name, content in make():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        print(f"{name}: {len(content)} bytes")


if __name__ == "__main__":
    main()
