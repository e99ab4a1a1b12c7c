"""Builds the stub modules and compiles our sources against them."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from apple_check.index_store import toolchain

FLAVOURS = {"iOS": "MOBIE_STUB_IOS", "macOS": "MOBIE_STUB_MACOS"}
"""By platform the flag that stands for `os(...)` of it."""
PACKAGE = "mobie"
_SECONDS = 600
_LANGUAGE = ["-swift-version", "6", "-parse-as-library", "-package-name", PACKAGE]
_IMPORT = re.compile(r"^(?:@_exported )?import (\w+)", re.MULTILINE)


class CompileError(Exception):
    """The compiler refused a module; its text is the message."""


@dataclass(frozen=True)
class Module:
    """A module and its sources."""

    name: str
    sources: tuple[Path, ...]

    @classmethod
    def of(cls, folder: Path) -> Module:
        """The module of a folder, which has its name with underscores; samples in its documentation are none of its
        sources.
        """
        found = [path for path in folder.rglob("*.swift") if not any(part.endswith(".docc") for part in path.parts)]
        return cls(folder.name.replace("-", "_"), tuple(sorted(found)))

    @property
    def imports(self) -> set[str]:
        """Modules that it imports."""
        return {name for path in self.sources for name in _IMPORT.findall(path.read_text(encoding="utf-8"))}


def in_order(modules: list[Module]) -> list[Module]:
    """Modules after those that they import.

    Raises:
        CompileError: they import each other.
    """
    names = {module.name for module in modules}
    done: list[Module] = []
    while len(done) < len(modules):
        ready = {module.name for module in done}
        found = [module for module in modules if module not in done and module.imports & names <= ready]
        if not found:
            raise CompileError(f"modules import each other: {', '.join(sorted(names - ready))}")
        done += found
    return done


def reason_to_skip() -> str:
    """Why nothing can be checked here; empty where it can."""
    if platform.system() == "Darwin":
        return "macOS has Apple's frameworks themselves: `swift build` checks more than the stubs can."
    return "" if has_swift() else "The Swift compiler was not found: the Swift for Apple's frameworks was not checked."


def has_swift() -> bool:
    """Whether the Swift compiler is installed; other programs are called swift too."""
    if not shutil.which("swiftc"):
        return False
    done = subprocess.run(["swiftc", "--version"], check=False, capture_output=True, text=True)
    return "Swift version" in done.stdout


def _call(folder: Path, *arguments: str | Path) -> None:
    """Runs the compiler in a folder, which takes what it makes.

    Raises:
        CompileError: it failed.
    """
    done = subprocess.run(
        ["swiftc", *map(str, arguments)], check=False, capture_output=True, text=True, cwd=folder, timeout=_SECONDS
    )
    if done.returncode:
        raise CompileError((done.stdout + done.stderr).strip())


def _module(module: Module, folder: Path) -> list[str | Path]:
    path = folder / f"{module.name}.swiftmodule"
    emit = ["-emit-module", "-emit-module-path", path, "-enable-testing"]
    return ["-module-name", module.name, *emit, "-wmo", *_LANGUAGE]


def graphs(module: Module, folder: Path) -> Path:
    """Where the symbol graphs of a module are that was built into a folder."""
    return folder / "graphs" / module.name


def _graphed(module: Module, folder: Path) -> list[str | Path]:
    """Options for symbol graphs of what is public, with what is added to other modules' types."""
    graphs(module, folder).mkdir(parents=True)
    return ["-emit-symbol-graph", "-emit-symbol-graph-dir", graphs(module, folder), "-emit-extension-block-symbols"]


def _indexed(folder: Path) -> list[str | Path]:
    """Options for code with an index in `index`; an object file a source, because an index has a unit for each."""
    return ["-c", "-num-threads", "1", "-index-store-path", folder / "index", "-index-ignore-system-modules"]


def build_stub(module: Module, folder: Path) -> None:
    """Builds a stub module into a folder, with its symbol graph.

    Library evolution makes its enumerations open, as Apple's are.

    Raises:
        CompileError: it does not compile.
    """
    graph = ["-emit-symbol-graph", "-emit-symbol-graph-dir", folder]
    options = ["-enable-library-evolution", "-suppress-warnings", "-I", folder, *graph]
    _call(folder, *_module(module, folder), *options, *module.sources)


def build_portable(module: Module, folder: Path, indexed: bool) -> None:
    """Builds a module that compiles anywhere, for those that import it, with its symbol graphs; its own tests check it.

    Args:
        module: The module.
        folder: Where it goes.
        indexed: Also index it, which takes several times as long.

    Raises:
        CompileError: it does not compile.
    """
    options = _indexed(folder) if indexed else ["-Xfrontend", "-experimental-skip-all-function-bodies"]
    options += ["-I", folder, *_graphed(module, folder)]
    _call(folder, *_module(module, folder), *options, *module.sources)


def compile_apple(module: Module, folder: Path, imports: list[Path], flag: str) -> None:
    """Compiles a module, or tests of one, with its index, symbol graphs and all warnings as errors: data races are
    found after type checking, while code is made.

    Args:
        module: The module.
        folder: Where it goes.
        imports: Folders with the modules that it imports.
        flag: Stands for the platform.

    Raises:
        CompileError: it does not compile.
    """
    options = ["-warnings-as-errors", "-D", flag, "-plugin-path", toolchain() / "lib/swift/host/plugins/testing"]
    for path in [*imports, folder]:
        options += ["-I", path]
    options += _graphed(module, folder)
    _call(folder, *_module(module, folder), *_indexed(folder), *options, *module.sources)
