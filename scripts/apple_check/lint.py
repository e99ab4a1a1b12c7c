"""Compares every use of Apple's symbols with the versions that they need and the availability around the use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from apple_check.guards import Availability, GuardError
from apple_check.index_store import Use
from apple_check.symbols import Symbol
from apple_check.versions import FLOOR, PLATFORMS, Version, show

_ACCESSORS = ("getter:", "setter:", "read:", "modify:")
# Modules that are newer than the oldest systems, whichever symbol of them is used.
NEWER_MODULES: dict[str, dict[str, Version]] = {"Synchronization": {"iOS": (18, 0), "macOS": (15, 0)}}
_FAILURE = re.compile(r"\b(?:some|any)\s+AsyncSequence\s*<[^<>]*,")
_ISOLATED_NEXT = re.compile(r"\.next\(isolation:")
# `for await` takes the older `next()` where this is not there; written out it is found in the text.
_FOR_AWAIT = "next(isolation:)"
# Enumerations get these from the compiler, and need what the enumeration needs.
_OF_RAW_VALUES = {"rawValue", "init(rawValue:)"}
# What the compiler calls where a property has a wrapper.
_OF_WRAPPERS = {"wrappedValue", "projectedValue"}


@dataclass(frozen=True, order=True)
class Finding:
    """Something that would not compile, or not run, with Apple's frameworks."""

    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


def check_stubs(symbols: Mapping[str, Symbol], used: set[str]) -> list[Finding]:
    """Stub declarations without an address or a version, and those that nothing uses.

    Args:
        symbols: Of the stubs.
        used: Unique names that sources refer to.
    """
    found = []
    used = used | {usr for symbol in symbols.values() for usr in symbol.uses}
    requirements = {symbol.name.rpartition(".")[2] for symbol in symbols.values() if symbol.required}
    cases_used = {symbols[usr].name.rpartition(".")[0] for usr in used if usr in symbols and _is_case(symbols[usr])}
    for symbol in symbols.values():
        if symbol.exempt:
            continue
        if not symbol.address:
            found.append(Finding(symbol.name, 0, "the stub gives no address of Apple's documentation"))
        for platform in PLATFORMS:
            if platform not in symbol.versions:
                found.append(Finding(symbol.name, 0, f"the stub does not say which {platform} it needs"))
        owner = symbol.name.rpartition(".")[0]
        # What protocols ask for is there to be implemented, and enumerations are whole.
        is_needed = symbol.name.rpartition(".")[2] in requirements | _OF_WRAPPERS or (
            _is_case(symbol) and owner in cases_used
        )
        if symbol.usr not in used and not is_needed:
            found.append(Finding(symbol.name, 0, "nothing uses the stub"))
    return found


def _is_case(symbol: Symbol) -> bool:
    return symbol.kind == "swift.enum.case"


def check_uses(
    uses: Iterable[Use],
    symbols: Mapping[str, Symbol],
    modules: Iterable[str],
    newer: Mapping[str, Mapping[str, Version]],
    platform: str,
) -> list[Finding]:
    """Uses of symbols that are not there on a platform where they are used, and of symbols that no stub lists.

    Args:
        uses: Of the sources.
        symbols: Of the stubs, by unique name.
        modules: Names of the stub modules: whatever else is theirs is not listed.
        newer: What the standard library and Foundation have that is newer than the oldest systems, by unique name.
        platform: "iOS" or "macOS".
    """
    prefixes = {f"s:{len(module)}{module}": module for module in modules}
    sources: dict[Path, Availability] = {}
    found = set()
    uses = list(uses)
    ours = {use.usr for use in uses if use.defines}
    for use in uses:
        if use.name.startswith(_ACCESSORS) or use.usr in ours or use.name == _FOR_AWAIT:
            continue
        symbol = symbols.get(use.usr)
        needed = _needed(use, symbol, newer, platform)
        if needed is None:
            module = next((module for prefix, module in prefixes.items() if use.usr.startswith(prefix)), None)
            if module and not symbol and use.name not in _OF_RAW_VALUES:
                found.add(Finding(str(use.path), use.line, f"{module}'s {use.name} is in no stub"))
            continue
        try:
            if use.path not in sources:
                sources[use.path] = Availability(use.path.read_text(encoding="utf-8"))
            there = sources[use.path].at(use.line, use.column, platform)
        except GuardError as error:
            found.add(Finding(str(use.path), use.line, f"its availability cannot be read: {error}"))
            continue
        if needed > there:
            page = f" ({symbol.address})" if symbol else ""
            what = f"{use.name} needs {platform} {show(needed)}, and {show(there)} is all that is sure{page}"
            found.add(Finding(str(use.path), use.line, what))
    return sorted(found)


def _needed(
    use: Use, symbol: Symbol | None, newer: Mapping[str, Mapping[str, Version]], platform: str
) -> Version | None:
    """The version that a use needs; None where the oldest system will do or nothing is known."""
    if symbol:
        version = symbol.versions.get(platform)
    elif use.usr in newer:
        version = newer[use.usr].get(platform)
    else:
        module = use.usr.removeprefix("c:@M@")
        version = NEWER_MODULES.get(module, {}).get(platform)
    return version if version and version > FLOOR[platform] else None


def check_text(path: Path) -> list[Finding]:
    """What the index does not show: parts of asynchronous sequences that need iOS 18 and macOS 15."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if _FAILURE.search(line):
            found.append(Finding(str(path), number, "AsyncSequence's failure type needs iOS 18 and macOS 15"))
        if _ISOLATED_NEXT.search(line):
            found.append(Finding(str(path), number, "next(isolation:) needs iOS 18 and macOS 15"))
    return found
