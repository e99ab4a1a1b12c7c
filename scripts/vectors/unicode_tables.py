"""The tables of Unicode that the tokenizer depends on, as Swift texts.

Foundation's tables are those of the system that an app runs on; these are the ones that the Python tokenizer works
with, so that a prompt has the same ids everywhere.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator

import regex

PATH = "ios_app/Sources/MobieCore/Tokenizer/UnicodeTables.swift"

_WIDTH = 100
_HANGUL = range(0xAC00, 0xD7A4)


def characters() -> Iterator[str]:
    """Every code point but surrogates."""
    for code in range(0x110000):
        if not 0xD800 <= code < 0xE000:
            yield chr(code)


def ranges(holds: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    """Code points, first and last of each run, for which something holds."""
    first = last = -1
    for character in characters():
        if not holds(character):
            continue
        code = ord(character)
        if code != last + 1 or first < 0:
            if first >= 0:
                yield first, last
            first = code
        last = code
    if first >= 0:
        yield first, last


def category(pattern: str) -> list[str]:
    """Runs of a category, as gap from the end of the last run and length less one, in hexadecimal."""
    compiled = regex.compile(pattern)
    words, end = [], 0
    for first, last in ranges(lambda character: compiled.match(character) is not None):
        words.append(f"{first - end:x}.{last - first:x}")
        end = last
    return words


def lower_case() -> list[str]:
    """Characters that have a lower case: gap from the last one, and the distance to it or the texts' code points."""
    words, end = [], 0
    for character in characters():
        lower = character.lower()
        if lower == character:
            continue
        code = ord(character)
        words.append(f"{code - end:x}:" + "+".join(f"{ord(item):x}" for item in lower))
        end = code
    return words


def combining_classes() -> list[str]:
    """Runs of characters of one canonical combining class other than 0: gap, length less one, class."""
    words, end, run = [], 0, None
    for character in characters():
        code, kind = ord(character), unicodedata.combining(character)
        if run and kind == run[1] and code == run[2] + 1:
            run = (run[0], kind, code)
            continue
        if run:
            words.append(f"{run[0] - end:x}.{run[2] - run[0]:x}.{run[1]:x}")
            end = run[2]
            run = None
        if kind:
            run = (code, kind, code)
    return words


def decompositions() -> tuple[list[str], list[str]]:
    """Canonical decompositions, one level, Hangul aside; and those of two that NFC does not put together again."""
    words, excluded, end = [], [], 0
    for character in characters():
        code = ord(character)
        parts = unicodedata.decomposition(character)
        if not parts or parts.startswith("<") or code in _HANGUL:
            continue
        codes = [int(part, 16) for part in parts.split()]
        words.append(f"{code - end:x}:" + "+".join(f"{item:x}" for item in codes))
        end = code
        # Singletons, non-starters and script-specific exclusions: whatever NFC does not give back.
        if len(codes) == 2 and unicodedata.normalize("NFC", character) != character:
            excluded.append(f"{code:x}")
    return words, excluded


def swift(name: str, meaning: str, words: list[str]) -> str:
    """A Swift text of words."""
    lines, line = [], ""
    for word in words:
        if len(line) + len(word) + 1 > _WIDTH:
            lines.append(line.strip())
            line = ""
        line += f" {word}"
    lines.append(line.strip())
    body = "\n".join(f"        {one}" for one in lines)
    return f'    /// {meaning}\n    static let {name} = """\n{body}\n        """\n'


def make() -> Iterator[tuple[str, bytes]]:
    """The Swift source."""
    decomposed, excluded = decompositions()
    tables = [
        swift("letters", "Category L: gap from the end of the last run, length less one.", category(r"\p{L}")),
        swift("numbers", "Category N, likewise.", category(r"\p{N}")),
        swift("lowerCase", "Gap from the last character, and what its lower case is.", lower_case()),
        swift("combiningClasses", "Runs: gap, length less one, canonical combining class.", combining_classes()),
        swift("decompositions", "Gap, and the canonical decomposition, one level.", decomposed),
        swift("compositionExclusions", "Pairs among them that NFC does not compose.", excluded),
    ]
    head = (
        "// Made by scripts/make_vectors.py from the tables of Python's unicodedata and regex.\n\n"
        "/// Unicode's tables in short; `UnicodeData` reads them. Numbers are hexadecimal.\nenum UnicodeTables {\n"
    )
    yield PATH, (head + "\n".join(tables) + "}\n").encode()
