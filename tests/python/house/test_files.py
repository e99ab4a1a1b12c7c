"""Outputs appear whole or not at all."""

from pathlib import Path

import pytest

from mobie_coreml.errors import InputError
from mobie_coreml.files import (
    atomic_file,
    atomic_folder,
    check_output,
    check_replaceable,
    read_json_object,
    sha256_file,
    write_json,
)


def test_atomic_file_appears_whole(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out.txt"
    with atomic_file(out) as temporary:
        temporary.write_text("whole")
        assert not out.exists()
    assert out.read_text() == "whole"
    assert [path.name for path in out.parent.iterdir()] == ["out.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_atomic_file_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), atomic_file(tmp_path / "out.txt") as temporary:
        temporary.write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_atomic_folder_replaces_only_with_force(tmp_path: Path) -> None:
    out = tmp_path / "model"
    for text in ("first", "second"):
        with atomic_folder(out, force=text == "second") as temporary:
            (temporary / "file").write_text(text)
    assert (out / "file").read_text() == "second"
    with pytest.raises(InputError, match="exists already"), atomic_folder(out):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_atomic_folder_keeps_the_old_one(tmp_path: Path, error: type[BaseException]) -> None:
    out = tmp_path / "model"
    with atomic_folder(out) as temporary:
        (temporary / "file").write_text("old")
    with pytest.raises(error), atomic_folder(out, force=True) as temporary:
        (temporary / "file").write_text("new")
        raise error
    assert (out / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_check_output_refuses_a_file_as_parent(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="not a folder"):
        check_output(tmp_path / "file" / "out", force=False)


def test_check_output_refuses_a_folder_where_a_file_is_wanted(tmp_path: Path) -> None:
    check_output(tmp_path, force=True)
    with pytest.raises(InputError, match="is a folder"):
        check_output(tmp_path, force=True, is_file=True)


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted between the two renames, the worst moment."""
    out = tmp_path / "model"
    with atomic_folder(out) as temporary:
        (temporary / "file").write_text("old")
    rename = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        if (self / "file").exists() and (self / "file").read_text() == "new":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), atomic_folder(out, force=True) as temporary:
        (temporary / "file").write_text("new")
    assert (out / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("name", ["a" * 251 + ".txt", "雪" * 83 + ".txt"])
def test_the_longest_names_can_be_written(tmp_path: Path, name: str) -> None:
    with atomic_file(tmp_path / name) as temporary:
        temporary.write_text("whole")
    with atomic_folder(tmp_path / name, force=True):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_only_folders_of_their_own_kind_are_replaced(tmp_path: Path) -> None:
    check_replaceable(tmp_path / "free", "marker")
    (tmp_path / "empty").mkdir()
    check_replaceable(tmp_path / "empty", "marker")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "marker").touch()
    check_replaceable(tmp_path / "own", "marker")
    for path in (tmp_path, tmp_path / "own" / "marker"):
        with pytest.raises(InputError, match="is not replaced"):
            check_replaceable(path, "marker")


@pytest.mark.parametrize("text", ["[]", "", '{"a": ', "[" * 100_000, "\udcff"])
def test_what_is_no_json_object_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InputError, match=r"a\.json"):
        read_json_object(path)
    with pytest.raises(InputError, match=r"b\.json is missing\. Make it"):
        read_json_object(tmp_path / "b.json", "Make it.")


def test_write_json_and_digest(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "b": 1,\n  "a": "é"\n}\n'
    (tmp_path / "empty").touch()
    assert sha256_file(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
