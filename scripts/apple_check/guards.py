"""Finds what `@available` and `#available` promise at every place of a Swift source.

The source is read as text whose comments and strings are blanked; braces are matched. Understood are `@available` on a
declaration, and `#available` in the conditions of `if`, `while` and `guard`.
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass

from apple_check.versions import FLOOR, NEVER, PLATFORMS, Version, parse

_QUOTE = re.compile(r'(#*)("""|")')
_OPEN, _CLOSE = "([{", ")]}"
_BODY = re.compile(r"\b(?:func|init|deinit|subscript|class|struct|enum|actor|extension|protocol)\b")
_WORD_BEFORE = re.compile(r"\b(if|while|guard)\b")


class GuardError(ValueError):
    """A source uses availability in a form that is not understood, or its braces do not match."""


@dataclass(frozen=True)
class Guard:
    """A stretch of a source, and the versions that are there at least."""

    start: int
    end: int
    versions: dict[str, Version]


def blank(source: str) -> str:
    """The source with every character of comments and strings as a space; line breaks stay."""
    out = list(source)

    def hide(start: int, end: int) -> None:
        for index in range(start, end):
            if out[index] != "\n":
                out[index] = " "

    at = 0
    while at < len(source):
        if source.startswith("//", at):
            end = source.find("\n", at)
            end = len(source) if end < 0 else end
        elif source.startswith("/*", at):
            end = _end_of_comment(source, at)
        elif match := _QUOTE.match(source, at):
            end = _end_of_string(source, match)
        else:
            at += 1
            continue
        hide(at, end)
        at = end
    return "".join(out)


def _end_of_comment(source: str, at: int) -> int:
    depth = 0
    while at < len(source):
        if source.startswith("/*", at):
            depth, at = depth + 1, at + 2
        elif source.startswith("*/", at):
            depth, at = depth - 1, at + 2
            if depth == 0:
                return at
        else:
            at += 1
    raise GuardError("a comment does not end")


def _end_of_string(source: str, match: re.Match[str]) -> int:
    hashes, quote = match.groups()
    escape = "\\" + hashes
    at = match.end()
    while at < len(source):
        if source.startswith(escape + "(", at):
            at = _end_of_interpolation(source, at + len(escape))
        elif source.startswith(escape, at):
            at += len(escape) + 1
        elif source.startswith(quote + hashes, at):
            return at + len(quote) + len(hashes)
        else:
            at += 1
    raise GuardError("a string does not end")


def _end_of_interpolation(source: str, at: int) -> int:
    depth = 0
    while at < len(source):
        if match := _QUOTE.match(source, at):
            at = _end_of_string(source, match)
            continue
        depth += {"(": 1, ")": -1}.get(source[at], 0)
        at += 1
        if depth == 0:
            return at
    raise GuardError("an interpolation does not end")


def _matching(code: str, at: int) -> int:
    """The place after the bracket that closes the one at `at`."""
    depth = 0
    for index in range(at, len(code)):
        if code[index] in _OPEN:
            depth += 1
        elif code[index] in _CLOSE:
            depth -= 1
            if depth == 0:
                return index + 1
    raise GuardError("a bracket does not close")


def _next_brace(code: str, at: int) -> int:
    """The first `{` that is in no other bracket."""
    while at < len(code):
        if code[at] == "{":
            return at
        at = _matching(code, at) if code[at] in _OPEN else at + 1
    raise GuardError("a body is missing")


def _end_of_block(code: str, at: int) -> int:
    """Where the block that `at` is in ends."""
    while at < len(code):
        if code[at] in _OPEN:
            at = _matching(code, at)
        elif code[at] in _CLOSE:
            return at
        else:
            at += 1
    return at


def _versions(text: str) -> dict[str, Version]:
    """What the list in `@available(...)` or `#available(...)` promises."""
    parts = [part.strip() for part in text.split(",")]
    if parts[0] in PLATFORMS and len(parts) > 1 and not re.match(r"[A-Za-z]+ \d|\*", parts[1]):
        named = dict(part.split(":", 1) for part in parts[1:] if ":" in part)
        if "unavailable" in parts[1:]:
            return {parts[0]: NEVER}
        return {parts[0]: parse(named["introduced"].strip())} if "introduced" in named else {}
    found = {}
    for part in parts:
        name, _, version = part.partition(" ")
        if name in PLATFORMS and version:
            found[name] = parse(version)
    return found


def _declaration_end(code: str, at: int) -> int:
    """Where the declaration that starts at `at` ends."""
    line_end = code.find("\n", at)
    while line_end >= 0 and not code[at:line_end].strip():
        line_end = code.find("\n", line_end + 1)
    line = code[at : line_end if line_end >= 0 else len(code)]
    if _BODY.search(line):
        return _matching(code, _next_brace(code, at))
    while at < len(code) and code[at] != "\n":
        at = _matching(code, at) if code[at] in _OPEN else at + 1
    return at


def _condition(code: str, at: int, end: int, versions: dict[str, Version]) -> Guard:
    """The stretch that the condition at `at` guards, which ends at `end`."""
    words = list(_WORD_BEFORE.finditer(code, 0, at))
    if not words:
        raise GuardError("#available is understood in if, while and guard")
    body = _next_brace(code, end)
    after = _matching(code, body)
    return Guard(end, _end_of_block(code, after) if words[-1].group() == "guard" else after, versions)


def guards(source: str) -> list[Guard]:
    """Every stretch that availability guards.

    Raises:
        GuardError: `#unavailable`, which is not understood, or brackets that do not match.
    """
    code = blank(source)
    if "#unavailable" in code:
        raise GuardError("#unavailable is not understood; use #available")
    found = []
    for match in re.finditer(r"([@#])available\s*\(", code):
        end = _matching(code, match.end() - 1)
        versions = _versions(code[match.end() : end - 1])
        if match.group(1) == "#":
            found.append(_condition(code, match.start(), end, versions))
            continue
        start = end
        # Further attributes belong to the same declaration.
        while attribute := re.compile(r"\s*@\w+").match(code, start):
            start = attribute.end()
            if start < len(code) and code[start] == "(":
                start = _matching(code, start)
        while start < len(code) and code[start].isspace():
            start += 1
        found.append(Guard(match.start(), _declaration_end(code, start), versions))
    return found


class Availability:
    """What is there at the places of a source.

    Args:
        source: Its text.

    Raises:
        GuardError: as `guards`.
    """

    def __init__(self, source: str) -> None:
        self._guards = guards(source)
        encoded = source.encode()
        self._lines = [0] + [index + 1 for index, byte in enumerate(encoded) if byte == 10]
        # Columns count bytes, guards count characters.
        self._characters = [0]
        for character in source:
            self._characters.append(self._characters[-1] + len(character.encode()))

    def at(self, line: int, column: int, platform: str) -> Version:
        """The version that is there at least; lines and columns from 1."""
        place = bisect.bisect_right(self._characters, self._lines[line - 1] + column - 1) - 1
        inside = [guard.versions.get(platform, (0, 0)) for guard in self._guards if guard.start <= place < guard.end]
        return max([FLOOR[platform], *inside])
