"""Reads the symbol graphs of stub modules: what they declare, where it is documented, and which version it needs."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from apple_check.versions import Version, introduced

_ADDRESS = re.compile(r"https://developer\.apple\.com/documentation/\S+")
# What protocols of the standard library ask for; Apple's types get it from Objective-C.
_UNDOCUMENTED = {"rawValue", "init(rawValue:)"}


@dataclass(frozen=True)
class Symbol:
    """A declaration of a stub module.

    Attributes:
        usr: Its unique name.
        name: Module and path.
        kind: Of the declaration, as symbol graphs name it.
        address: Of its page, empty where the stub gives none.
        versions: What it needs, by platform.
        exempt: It stands for no page of its own.
        required: A protocol asks for it.
        uses: Unique names of the types that its declaration names, and of those that it inherits from.
    """

    usr: str
    name: str
    kind: str
    address: str
    versions: dict[str, Version]
    exempt: bool
    required: bool
    uses: frozenset[str]


def read_symbols(folder: Path) -> dict[str, Symbol]:
    """All symbols of the symbol graphs in a folder by their unique names; those that the compiler made are left out."""
    found: dict[str, Symbol] = {}
    for path in sorted(folder.glob("*.symbols.json")):
        module = path.name.split("@")[0].removesuffix(".symbols.json")
        graph = json.loads(path.read_text(encoding="utf-8"))
        required = {
            relation["source"] for relation in graph["relationships"] if relation["kind"] == "requirementOf"
        } | {relation["source"] for relation in graph["relationships"] if "sourceOrigin" in relation}
        parents: dict[str, set[str]] = {}
        for relation in graph["relationships"]:
            if relation["kind"] in ("conformsTo", "inheritsFrom"):
                parents.setdefault(relation["source"], set()).add(relation["target"])
        for symbol in graph["symbols"]:
            usr = symbol["identifier"]["precise"]
            # "::SYNTHESIZED::" marks members that come from protocols elsewhere.
            if "::SYNTHESIZED::" in usr or "location" not in symbol:
                continue
            comment = "\n".join(line["text"] for line in symbol.get("docComment", {}).get("lines", []))
            address = _ADDRESS.search(comment)
            title = symbol["pathComponents"][-1]
            found[usr] = Symbol(
                usr=usr,
                name=".".join([module, *symbol["pathComponents"]]),
                kind=symbol["kind"]["identifier"],
                address=address.group() if address else "",
                versions=introduced(symbol),
                exempt=title in _UNDOCUMENTED or symbol["kind"]["identifier"] == "swift.extension",
                required=usr in required,
                uses=frozenset(
                    part["preciseIdentifier"]
                    for part in symbol.get("declarationFragments", [])
                    if "preciseIdentifier" in part
                )
                | parents.get(usr, set()),
            )
    return found
