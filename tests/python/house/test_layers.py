"""The layers of docs/architecture.md: what each part may import, and nothing else."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

_DEEP = {"errors", "files", "diffusion", "models"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "files": {"errors"},
    "metrics": set(),
    "manifest": {"errors", "files", "palettization"},
    "diffusion": {"errors"},
    "edits": {"errors"},
    "models": {"errors", "files", "diffusion"},
    "ane": _DEEP,
    "runtime": _DEEP | {"ane", "manifest", "palettization"},
    "editing": _DEEP | {"ane", "runtime", "manifest"},
    "serving": {"errors", "files", "editing", "manifest", "palettization"},
    "convert": _DEEP | {"ane", "runtime", "manifest", "palettization"},
    "training": _DEEP | {"edits", "metrics"},
    "evaluation": _DEEP | {"editing", "edits", "manifest", "metrics", "training"},
    "parity": _DEEP | {"ane", "runtime", "editing", "convert", "manifest", "metrics", "palettization"},
    "analysis": _DEEP | {"ane", "runtime", "editing", "edits", "manifest", "metrics", "parity", "palettization"},
    "palettization": set(),
}
"""`cli` may import everything, and nothing imports it."""


def parts() -> set[str]:
    found = {path.stem if path.is_file() else path.name for path in (ROOT / "mobie_coreml").iterdir()}
    return {name for name in found if name.isidentifier() and not name.startswith("_")} - {"py", "cli"}


def imports(part: str) -> set[str]:
    """The other parts that a part imports, anywhere in its files."""
    root = ROOT / "palettization" if part == "palettization" else ROOT / "mobie_coreml" / part
    found = set()
    for path in root.rglob("*.py") if root.is_dir() else [root.with_suffix(".py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                package, _, inside = name.partition(".")
                if package == "palettization":
                    found.add("palettization")
                elif package == "mobie_coreml" and inside != "__version__":
                    found.add(inside.split(".")[0])
    return found - {part}


def test_every_part_has_a_place() -> None:
    assert parts() <= ALLOWED.keys()


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_imports_go_down_only(part: str) -> None:
    assert imports(part) <= ALLOWED[part]
