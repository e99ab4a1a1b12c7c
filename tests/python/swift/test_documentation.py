"""The samples in the documentation are code that is compiled, and its checks find planted faults."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from apple_check.compiler import CompileError, Module, build_portable, graphs, reason_to_skip
from apple_check.documentation import unbuildable, undocumented
from apple_check.tutorials import TutorialError, states, write_module
from check_apple import ROOT, SOURCES, TESTS, check

needs_swift = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip())

DOCUMENTS = sorted(
    [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *SOURCES.glob("*/*.docc/*.md")], key=lambda path: path.name
)
_SAMPLE = re.compile(r"^```swift\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMPILED = re.compile(r"^ *// (\S+\.md) from here\n(.*?)^ *// to here$", re.MULTILINE | re.DOTALL)

SOURCE = """
/// Documented.
public enum Colour: String, Comparable {
    /// Documented.
    case red
    case green
    public static func < (left: Colour, right: Colour) -> Bool { left.rawValue < right.rawValue }
    public static func bare() {}
}

public protocol Named {
    var name: String { get }
    /// Documented.
    // And there is a reason.
    func call()
}

extension Colour: Named {
    public var name: String { rawValue }
    public func call() {}
}

struct Inner { let hidden = 1 }
"""

TUTORIAL = """
@Code(name: "One.swift", file: "one.swift")
@Code(name: "Two.swift", file: two.swift) {
}
@Code(name: "Terminal", file: "one.sh")
@Code(name: "One.swift", file: "three.swift")
"""


def samples() -> dict[str, list[str]]:
    """The Swift samples of every document, by its name."""
    return {path.name: found for path in DOCUMENTS if (found := _SAMPLE.findall(path.read_text(encoding="utf-8")))}


def compiled() -> dict[str, list[str]]:
    """What the tests compile for a document, by its name."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("*.swift")):
        for document, code in _COMPILED.findall(path.read_text(encoding="utf-8")):
            found.setdefault(Path(document).name, []).append(textwrap.dedent(code))
    return found


def test_every_sample_is_compiled_as_it_stands() -> None:
    assert {name: sorted(found) for name, found in samples().items()} == {
        name: sorted(found) for name, found in compiled().items()
    }


def test_the_readmes_session_has_twelve_lines() -> None:
    (session,) = samples()["README.md"]
    assert session.count("\n") <= 12


def test_every_catalogues_swift_is_shown_and_every_step_is_made_a_module(tmp_path: Path) -> None:
    catalogue = SOURCES / "MobieCoreML/MobieCoreML.docc"
    assert write_module(catalogue, tmp_path) == 6
    last = states(catalogue / "EditingACamera.tutorial")[-1]
    assert set(last) == {"Editor.swift", "ContentView.swift"}


def catalogue(folder: Path) -> Path:
    """A catalogue with the tutorial above."""
    made = folder / "A.docc"
    (made / "Resources").mkdir(parents=True)
    (made / "A.tutorial").write_text(TUTORIAL, encoding="utf-8")
    for name in ("one", "two", "three"):
        (made / f"Resources/{name}.swift").write_text(f"import Foundation\n\nlet {name} = 1\n", encoding="utf-8")
    return made


def test_a_step_has_the_newest_file_of_every_name(tmp_path: Path) -> None:
    made = catalogue(tmp_path)
    assert states(made / "A.tutorial") == [
        {"One.swift": "one.swift"},
        {"One.swift": "one.swift", "Two.swift": "two.swift"},
        {"One.swift": "three.swift", "Two.swift": "two.swift"},
    ]
    (tmp_path / "out").mkdir()
    assert write_module(made, tmp_path / "out") == 3
    assert (tmp_path / "out/Step3-three.swift").read_text(encoding="utf-8") == (
        "import Foundation\nextension Step3 {\nlet three = 1\n}\n"
    )
    assert not (tmp_path / "out/Step3-one.swift").exists()


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("two.swift", None, "is not in its Resources"),
        ("one.swift", "import Foundation\nlet one = 1\n", "first blank line"),
        ("one.swift", "import Foundation\n\nimport B\nlet one = 1\n", "first blank line"),
        ("spare.swift", "import Foundation\n\nlet spare = 1\n", "no tutorial shows it"),
    ],
    ids=["missing", "no blank line", "late import", "not shown"],
)
def test_a_tutorial_that_cannot_be_compiled_is_an_error(
    tmp_path: Path, file: str, text: str | None, message: str
) -> None:
    made = catalogue(tmp_path)
    if text is None:
        (made / "Resources" / file).unlink()
    else:
        (made / "Resources" / file).write_text(text, encoding="utf-8")
    (tmp_path / "out").mkdir()
    with pytest.raises(TutorialError, match=message):
        write_module(made, tmp_path / "out")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The symbol graphs of the module above."""
    folder = tmp_path_factory.mktemp("documented")
    (folder / "Ours").mkdir()
    (folder / "Ours/Ours.swift").write_text(SOURCE, encoding="utf-8")
    build_portable(Module.of(folder / "Ours"), folder, indexed=False)
    return graphs(Module.of(folder / "Ours"), folder)


@needs_swift
def test_public_symbols_without_documentation_are_found(built: Path) -> None:
    lines = SOURCE.splitlines()
    found = {(lines[finding.line - 1].strip(), finding.what) for finding in undocumented(built)}
    assert found == {
        ("case green", "Colour.green has no documentation"),
        ("public static func bare() {}", "Colour.bare() has no documentation"),
        ("public protocol Named {", "Named has no documentation"),
        ("var name: String { get }", "Named.name has no documentation"),
    }


@needs_swift
@pytest.mark.parametrize(("link", "is_found"), [("Colour/red", False), ("Colour/blue", True)])
def test_links_that_lead_nowhere_are_found(built: Path, tmp_path: Path, link: str, is_found: bool) -> None:
    made = tmp_path / "Ours.docc"
    made.mkdir()
    (made / "Ours.md").write_text(f"# ``Ours``\n\nSee ``{link}``.\n", encoding="utf-8")
    found = unbuildable(made, built, tmp_path)
    assert bool(found) == is_found
    assert all("'blue' doesn't exist at '/Ours/Colour'" in finding.what for finding in found)


@needs_swift
def test_a_step_that_does_not_compile_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "stubs").mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "Ours").mkdir()
    (tmp_path / "Ours/Ours.swift").write_text("import Foundation\n", encoding="utf-8")
    made = catalogue(tmp_path / "Ours")
    (made / "Resources/two.swift").write_text("import Foundation\n\nlet two: Int = missing\n", encoding="utf-8")
    with pytest.raises(CompileError, match="cannot find 'missing' in scope"):
        check(tmp_path / "stubs", [], [tmp_path / "Ours"], tmp_path / "work")
