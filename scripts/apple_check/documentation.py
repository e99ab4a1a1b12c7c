"""Whether every public symbol has documentation, and whether DocC can build the catalogues."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlparse

from apple_check.index_store import toolchain
from apple_check.lint import Finding

_SECONDS = 300


def undocumented(graphs: Path) -> list[Finding]:
    """Public declarations of the symbol graphs in a folder that have no documentation comment.

    What fulfils a requirement of a protocol has the requirement's documentation, as DocC shows it.

    Args:
        graphs: A folder of one module's symbol graphs.
    """
    found = []
    for path in sorted(graphs.glob("*.symbols.json")):
        graph = json.loads(path.read_text(encoding="utf-8"))
        inherited = {relation["source"] for relation in graph["relationships"] if "sourceOrigin" in relation}
        for symbol in graph["symbols"]:
            # An extension is documented by what it extends; what has no place was made by the compiler.
            if symbol["kind"]["identifier"] == "swift.extension" or "location" not in symbol:
                continue
            if symbol["identifier"]["precise"] in inherited or "docComment" in symbol:
                continue
            place = symbol["location"]
            name = ".".join(symbol["pathComponents"])
            source = unquote(urlparse(place["uri"]).path)
            found.append(Finding(source, place["position"]["line"] + 1, f"{name} has no documentation"))
    return found


def unbuildable(catalogue: Path, graphs: Path, work: Path) -> list[Finding]:
    """What DocC says against a catalogue: links that lead nowhere, files that are not there, unknown directives.

    Args:
        catalogue: A .docc folder.
        graphs: The symbol graphs of its module.
        work: A folder for what is built.
    """
    command = [str(toolchain() / "bin/docc"), "convert", str(catalogue), "--warnings-as-errors"]
    command += [
        "--additional-symbol-graph-dir",
        str(graphs),
        "--output-dir",
        str(work / f"{catalogue.stem}.doccarchive"),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_SECONDS)
    said = (done.stdout + done.stderr).strip()
    return [Finding(str(catalogue), 0, said)] if done.returncode else []
