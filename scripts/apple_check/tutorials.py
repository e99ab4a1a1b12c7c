"""Makes modules of the code that DocC tutorials show, so that every step of it is compiled."""

from __future__ import annotations

import re
from pathlib import Path

_CODE = re.compile(r'@Code\(\s*name:\s*"(?P<name>[^"]+)",\s*file:\s*"?(?P<file>[^",)]+)"?')


class TutorialError(Exception):
    """A tutorial shows code that cannot be made a module of."""


def states(tutorial: Path) -> list[dict[str, str]]:
    """The Swift files that a reader has after each step: file by the name that the tutorial gives it.

    Args:
        tutorial: A .tutorial file; what it shows is in `Resources` beside it.
    """
    found: list[dict[str, str]] = []
    for shown in _CODE.finditer(tutorial.read_text(encoding="utf-8")):
        if shown["file"].endswith(".swift"):
            found.append({**(found[-1] if found else {}), shown["name"]: shown["file"]})
    return found


def write_module(catalogue: Path, folder: Path) -> int:
    """Writes one source file for every file of every state, in a namespace of the state's own; lines keep their
    numbers.

    Args:
        catalogue: A .docc folder.
        folder: An empty folder.

    Returns:
        How many states its tutorials have.

    Raises:
        TutorialError: a tutorial shows a file that is not there or has no blank line after its imports, or none of
            them shows a Swift file that lies in the catalogue.
    """
    number = 0
    shown = set()
    for tutorial in sorted(catalogue.rglob("*.tutorial")):
        for state in states(tutorial):
            number += 1
            (folder / f"Step{number}.swift").write_text(f"enum Step{number} {{}}\n", encoding="utf-8")
            for file in state.values():
                source = tutorial.parent / "Resources" / file
                if not source.is_file():
                    raise TutorialError(f"{tutorial}: {file} is not in its Resources.")
                shown.add(source)
                imports, blank, code = source.read_text(encoding="utf-8").partition("\n\n")
                if not blank or re.search(r"^import ", code, re.MULTILINE):
                    raise TutorialError(f"{source}: the imports do not end with the first blank line.")
                text = f"{imports}\nextension Step{number} {{\n{code}}}\n"
                (folder / f"Step{number}-{file}").write_text(text, encoding="utf-8")
    if hidden := sorted(set(catalogue.rglob("*.swift")) - shown):
        raise TutorialError(f"{hidden[0]}: no tutorial shows it.")
    return number
