"""Checks the Swift that needs Apple's frameworks against hand-written stubs, on any machine with a Swift compiler:

    python scripts/check_apple.py [--whole] [--remake-table]

Every module, and every step of the tutorials, is compiled as for iOS and as for macOS with all warnings as errors, and
every use of a symbol of Apple's is compared with the version that it needs. What is public has to be documented, and
DocC has to build the catalogues. docs/swift.md says what this proves.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from apple_check.compiler import (
    FLAVOURS,
    CompileError,
    Module,
    build_portable,
    build_stub,
    compile_apple,
    graphs,
    in_order,
    reason_to_skip,
)
from apple_check.documentation import unbuildable, undocumented
from apple_check.index_store import uses
from apple_check.lint import Finding, check_stubs, check_text, check_uses
from apple_check.symbols import read_symbols
from apple_check.toolchain import read_newer, remake_newer
from apple_check.tutorials import TutorialError, write_module

ROOT = Path(__file__).resolve().parents[1]
STUBS = ROOT / "tests/apple_stubs"
SOURCES = ROOT / "ios_app/Sources"
PORTABLE = ("MobieCore", "MobieProcess")
APPLE = ("MobiePixels", "MobieCoreML", "MobieCapture", "MobieClip", "mobie-bench")
TESTS = ROOT / "tests/swift"
APPLE_TESTS = ("MobieCoreMLTests", "MobieCaptureTests", "MobieClipTests")


def check(
    stubs: Path,
    portable: list[Path],
    apple: list[Path],
    work: Path,
    *,
    tests: tuple[Path, ...] = (),
    whole: bool = False,
) -> list[Finding]:
    """Compiles everything, compares every use of a symbol with what it needs, and looks at the documentation.

    Args:
        stubs: A folder of folders, each a stub module.
        portable: Folders of modules that compile anywhere.
        apple: Folders of modules that need Apple's frameworks.
        work: An empty folder.
        tests: Folders of tests that need Apple's frameworks; they run on macOS and are compiled as for it.
        whole: Look at the portable modules' uses too.

    Raises:
        CompileError: a module does not compile.
        TutorialError: a tutorial shows what is not there.
    """
    stub_modules = in_order([Module.of(folder) for folder in sorted(stubs.iterdir()) if folder.is_dir()])
    folders = {name: work / name for name in ("stubs", "portable", *FLAVOURS)}
    for folder in folders.values():
        folder.mkdir()
    for module in stub_modules:
        build_stub(module, folders["stubs"])
    symbols, newer = read_symbols(folders["stubs"]), read_newer()
    names = [module.name for module in stub_modules]
    used: set[str] = set()
    others = [Module.of(folder) for folder in portable]
    for module in in_order(others):
        build_portable(module, folders["portable"], indexed=whole)
    products = [Module.of(folder) for folder in apple]
    catalogues = [catalogue for folder in [*portable, *apple] for catalogue in sorted(folder.glob("*.docc"))]
    ours = products + [module for catalogue in catalogues if (module := tutorial_module(catalogue, work))]
    looked_at = {path for module in (ours + others if whole else ours) for path in module.sources}
    found = {finding for path in looked_at for finding in check_text(path)}
    for platform, flag in FLAVOURS.items():
        for module in in_order(ours):
            compile_apple(module, folders[platform], [folders["stubs"], folders["portable"]], flag)
        for folder in tests if platform == "macOS" else ():
            compile_apple(Module.of(folder), folders[platform], [folders["stubs"], folders["portable"]], flag)
        seen = uses(folders[platform] / "index") + (uses(folders["portable"] / "index") if whole else [])
        seen = [use for use in seen if use.path in looked_at]
        used |= {use.usr for use in seen if not use.defines}
        found |= set(check_uses(seen, symbols, names, newer, platform))
        found |= {finding for module in products for finding in undocumented(graphs(module, folders[platform]))}
    found |= {finding for module in others for finding in undocumented(graphs(module, folders["portable"]))}
    built = {module.name: graphs(module, folders["portable"]) for module in others}
    built |= {module.name: graphs(module, folders["iOS"]) for module in products}
    for catalogue in catalogues:
        found |= set(unbuildable(catalogue, built[catalogue.parent.name], work))
    return sorted(found) + check_stubs(symbols, used)


def tutorial_module(catalogue: Path, work: Path) -> Module | None:
    """A module of all that a catalogue's tutorials show; None where there are none."""
    folder = work / f"{catalogue.stem}Tutorials"
    folder.mkdir()
    return Module.of(folder) if write_module(catalogue, folder) else None


def main() -> None:
    """Raises SystemExit: 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--remake-table", action="store_true", help="write the toolchain's newer symbols anew and end")
    parser.add_argument("--whole", action="store_true", help="look at the portable modules' symbols too")
    arguments = parser.parse_args()
    if reason := reason_to_skip():
        print(reason)
        return
    if arguments.remake_table:
        print(f"{remake_newer()} symbols are newer than the oldest systems.")
        return
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mobie-apple-") as name:
        try:
            portable, apple = ([SOURCES / module for module in modules] for modules in (PORTABLE, APPLE))
            tests = tuple(TESTS / module for module in APPLE_TESTS)
            found = check(STUBS, portable, apple, Path(name), tests=tests, whole=arguments.whole)
        except (CompileError, TutorialError) as error:
            sys.exit(str(error))
        except FileNotFoundError as error:
            sys.exit(f"The Swift toolchain has no {error}: install the whole one from swift.org.")
    for finding in found:
        print(str(finding).replace(f"{ROOT}/", ""))
    if found:
        sys.exit(1)
    print(
        f"{', '.join(APPLE)} and the tutorials compile against the stubs as for iOS and macOS, and use nothing newer "
        f"than they check for; what is public is documented ({time.monotonic() - started:.0f} s)."
    )


if __name__ == "__main__":
    main()
