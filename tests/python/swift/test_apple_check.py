"""The check of the Swift for Apple's frameworks finds planted faults."""

from __future__ import annotations

from pathlib import Path

import pytest
from apple_check.compiler import FLAVOURS, CompileError, Module, build_stub, compile_apple, in_order, reason_to_skip
from apple_check.toolchain import read_newer
from apple_check.versions import FLOOR
from check_apple import APPLE, SOURCES, STUBS, check

needs_swift = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip())

STUB = """
import Foundation

/// https://developer.apple.com/documentation/fake/thing
@available(iOS 11.0, macOS 10.13, *)
public class Thing: NSObject {
    /// https://developer.apple.com/documentation/fake/thing/init()
    @available(iOS 11.0, macOS 10.13, *)
    public override init() {}
    /// https://developer.apple.com/documentation/fake/thing/name
    @available(iOS 18.0, macOS 15.0, *)
    public var name: String?
    /// https://developer.apple.com/documentation/fake/thing/pressure
    @available(iOS 11.1, *)
    @available(macOS, unavailable)
    public var pressure: Int { 0 }
    /// https://developer.apple.com/documentation/fake/thing/spare
    @available(iOS 11.0, macOS 10.13, *)
    public var spare: Int { 0 }
    @available(iOS 11.0, macOS 10.13, *)
    public var unexplained: Int { 0 }
    /// https://developer.apple.com/documentation/fake/thing/undated
    public func run() async {}
}

/// https://developer.apple.com/documentation/fake/undated
public func undated() {}
"""

SOURCE = """
import Fake
import Foundation
import Synchronization

func guarded(_ thing: Thing) -> Int {
    if #available(iOS 18.0, macOS 15.0, *) { thing.name = "guarded" }
    return thing.unexplained
}

func unguarded(_ thing: Thing) async {
    thing.name = "unguarded"
    await thing.run()
    undated()
}

func onOneSystem(_ thing: Thing) -> Int {
    #if os(iOS) || MOBIE_STUB_IOS
        thing.pressure
    #else
        thing.pressure + 1
    #endif
}

func halfGuarded(_ thing: Thing) {
    if #available(iOS 18.0, *) { thing.name = "half guarded" }
}

func newer(_ numbers: RangeSet<Int>) -> Bool { numbers.isEmpty }

extension Thing {
    var ours: Int { 1 }
}

func everything() -> (Int, any AsyncSequence<Int, any Error>)? {
    let lock = Mutex(Thing().ours)
    return lock.withLock { _ in nil }
}
"""


def module(folder: Path, name: str, text: str) -> Path:
    """A folder with a module of one file."""
    (folder / name).mkdir(parents=True)
    (folder / name / f"{name}.swift").write_text(text, encoding="utf-8")
    return folder / name


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the stub module, built."""
    folder = tmp_path_factory.mktemp("stubs")
    module(folder, "Fake", STUB)
    built = folder.with_name("built")
    built.mkdir()
    build_stub(Module.of(folder / "Fake"), built)
    return folder


@needs_swift
def test_planted_faults_are_found(stubs: Path, tmp_path: Path) -> None:
    ours = module(tmp_path, "Ours", SOURCE)
    (tmp_path / "work").mkdir()
    found = check(stubs, [], [ours], tmp_path / "work")
    path = str(ours / "Ours.swift")
    lines = SOURCE.splitlines()

    def line(text: str) -> int:
        return next(number for number, content in enumerate(lines, 1) if text in content)

    said = {(finding.line, finding.what.split(",")[0]) for finding in found if finding.path == path}
    assert said == {
        (line("import Synchronization"), "Synchronization needs iOS 18.0"),
        (line("import Synchronization"), "Synchronization needs macOS 15.0"),
        (line('"unguarded"'), "name needs iOS 18.0"),
        (line('"unguarded"'), "name needs macOS 15.0"),
        (line('"half guarded"'), "name needs macOS 15.0"),
        (line("pressure + 1"), "pressure needs macOS no version"),
        (line("RangeSet"), "RangeSet needs iOS 18.0"),
        (line("RangeSet"), "RangeSet needs macOS 15.0"),
        (line("RangeSet"), "isEmpty needs iOS 18.0"),
        (line("RangeSet"), "isEmpty needs macOS 15.0"),
        (line("AsyncSequence<"), "AsyncSequence's failure type needs iOS 18 and macOS 15"),
    }
    addressed = next(finding for finding in found if finding.line == line('"unguarded"'))
    assert "https://developer.apple.com/documentation/fake/thing/name" in addressed.what
    assert {(finding.path, finding.what) for finding in found if finding.path != path} == {
        ("Fake.Thing.spare", "nothing uses the stub"),
        ("Fake.Thing.unexplained", "the stub gives no address of Apple's documentation"),
        ("Fake.undated()", "the stub does not say which iOS it needs"),
        ("Fake.undated()", "the stub does not say which macOS it needs"),
    }


@needs_swift
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import Fake\nfunc f(_ thing: Thing) { thing.unlisted() }", "no member 'unlisted'"),
        ("func f() { let x = 1 }", "never used"),
        (
            "import Fake\nactor A { let thing = Thing()\n func f() async { await thing.run() } }",
            "risks causing data races",
        ),
    ],
    ids=["unlisted symbol", "warning", "data race"],
)
def test_what_the_compiler_refuses_is_an_error(stubs: Path, tmp_path: Path, source: str, message: str) -> None:
    folder = tmp_path / "iOS"
    folder.mkdir()
    ours = Module.of(module(tmp_path, "Ours", source))
    with pytest.raises(CompileError, match=message):
        compile_apple(ours, folder, [stubs.with_name("built")], FLAVOURS["iOS"])


def test_modules_come_after_those_that_they_import(tmp_path: Path) -> None:
    first = Module.of(module(tmp_path, "First", "@_exported import Second\nimport Foundation\n"))
    second = Module.of(module(tmp_path, "Second", "import Foundation\n"))
    assert [one.name for one in in_order([first, second])] == ["Second", "First"]
    circle = [
        Module.of(module(tmp_path, "A", "import B\n")),
        Module.of(module(tmp_path, "B", "import A\n")),
    ]
    with pytest.raises(CompileError, match="import each other: A, B"):
        in_order(circle)


def test_the_table_of_the_toolchain_lists_what_is_newer() -> None:
    newer = read_newer()
    assert len(newer) > 500
    assert all(versions["iOS"] > FLOOR["iOS"] or versions["macOS"] > FLOOR["macOS"] for versions in newer.values())
    assert newer["s:s8RangeSetV"] == {"iOS": (18, 0), "macOS": (15, 0)}


def test_every_module_for_apples_frameworks_is_checked() -> None:
    """A folder of sources that imports a stubbed framework is one of those that the script checks."""
    frameworks = {folder.name for folder in STUBS.iterdir()}
    needing = {folder.name for folder in SOURCES.iterdir() if Module.of(folder).imports & frameworks}
    assert needing <= set(APPLE)


def test_exceptions_to_checked_concurrency_say_why() -> None:
    """Each of them has a comment before it that says why it is sound."""
    words = ("@unchecked", "@preconcurrency", "nonisolated(unsafe)", "try!")
    for name in APPLE:
        for path in Module.of(SOURCES / name).sources:
            lines = path.read_text(encoding="utf-8").splitlines()
            for number, content in enumerate(lines):
                if any(word in content.split("//")[0] for word in words):
                    before = " ".join(lines[max(0, number - 6) : number])
                    assert "// Sound" in before, f"{path.name}:{number + 1}"
