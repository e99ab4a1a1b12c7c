"""What `@available` and `#available` promise at every place of a Swift source."""

from __future__ import annotations

import textwrap

import pytest
from apple_check.guards import Availability, GuardError, blank
from apple_check.versions import NEVER
from hypothesis import given, settings
from hypothesis import strategies as st

FLOOR = (17, 0)


def at(source: str, marker: str, platform: str = "iOS") -> tuple[float, float]:
    """What is there at the first place of `marker`."""
    text = textwrap.dedent(source)
    place = text.index(marker)
    line = text.count("\n", 0, place) + 1
    column = len(text[text.rfind("\n", 0, place) + 1 : place].encode()) + 1
    return Availability(text).at(line, column, platform)


CONDITIONS = """
    func ä() {
        before()
        if #available(iOS 18.0, macOS 15.0, *), let x = condition() {
            inside()
        } else {
            otherwise()
        }
        after()
    }
"""


@pytest.mark.parametrize(
    ("marker", "version"),
    [
        ("before", FLOOR),
        ("condition()", (18, 0)),
        ("inside", (18, 0)),
        ("otherwise", FLOOR),
        ("after", FLOOR),
    ],
)
def test_an_if_guards_its_conditions_and_its_body(marker: str, version: tuple[int, int]) -> None:
    assert at(CONDITIONS, marker) == version


def test_platforms_are_told_apart() -> None:
    assert at(CONDITIONS, "inside", "macOS") == (15, 0)
    assert at("if #available(iOS 18, *) { inside() }", "inside", "macOS") == (14, 0)
    assert at("if #available(macOS 15.4, *) { inside() }", "inside", "macOS") == (15, 4)


def test_a_guard_guards_the_rest_of_its_block() -> None:
    source = """
        func f() {
            do {
                guard ready, #available(iOS 17.4, *), let y = condition() else {
                    otherwise()
                    return
                }
                inside { closure() }
            }
            after()
        }
    """
    assert at(source, "condition()") == (17, 4)
    assert at(source, "inside") == (17, 4)
    assert at(source, "closure") == (17, 4)
    assert at(source, "after") == FLOOR


@pytest.mark.parametrize("word", ["func f()", "struct S", "extension E", "var x: Int", "final class C: B", "init()"])
def test_an_attribute_guards_its_declaration(word: str) -> None:
    source = f"@available(iOS 18.0, *)\n@discardableResult\npublic {word} {{ inside() }}\nlet y = after()\n"
    assert at(source, "inside") == (18, 0)
    assert at(source, "after") == FLOOR


def test_an_attribute_guards_a_declaration_of_one_line() -> None:
    source = "@available(iOS 18.0, *) let x = inside()\nlet y = after()\n"
    assert at(source, "inside") == (18, 0)
    assert at(source, "after") == FLOOR


def test_attributes_over_several_lines() -> None:
    source = """
        @available(iOS, introduced: 17.4)
        @available(macOS, unavailable)
        func f(
            _ x: Int = argument()
        ) async throws
            -> Int
        { inside() }
    """
    assert at(source, "inside") == (17, 4)
    assert at(source, "argument") == (17, 4)
    assert at(source, "inside", "macOS") == NEVER


def test_the_highest_of_nested_guards_counts() -> None:
    source = """
        @available(iOS 17.4, *)
        func f() {
            if #available(iOS 26, *) { new() }
            if #available(iOS 17.1, *) { old() }
        }
    """
    assert at(source, "new") == (26, 0)
    assert at(source, "old") == (17, 4)


def test_comments_and_strings_guard_nothing() -> None:
    source = '''
        // if #available(iOS 18, *) {
        /* @available(iOS 18, *) /* nested { */ func */
        let text = "\\(f("}")) #available(iOS 18, *) {"
        let more = """
            " @available(iOS 18, *) {
            """
        let raw = #"\\" #available(iOS 18, *) {"#
        after()
    '''
    assert at(source, "after()") == FLOOR
    assert "available" not in blank(source)
    assert len(blank(source)) == len(source)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("if #unavailable(iOS 18, *) {}", "#unavailable"),
        ("if #available(iOS 18, *) {", "does not close"),
        ("/* x", "comment"),
        ('let x = "', "string"),
        ('let x = "\\(', "interpolation"),
        ("@available(iOS 18, *) func f()", "body"),
    ],
)
def test_what_is_not_understood_is_refused(source: str, message: str) -> None:
    with pytest.raises(GuardError, match=message):
        Availability(source)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(["if #available(iOS 18, *) {", "{", "}", "é()", '"}"', "\n", "// {\n"]), max_size=25))
def test_any_text_is_read_or_refused(parts: list[str]) -> None:
    source = " ".join(parts)
    try:
        availability = Availability(source)
    except GuardError:
        return
    depth, guarded = 0, []
    for line, text in enumerate(source.split("\n"), 1):
        for column in range(len(text.encode())):
            guarded.append(availability.at(line, column + 1, "iOS"))
    assert set(guarded) <= {FLOOR, (18, 0)}
    assert depth == 0
    assert ((18, 0) in guarded) == ("#available" in blank(source))
