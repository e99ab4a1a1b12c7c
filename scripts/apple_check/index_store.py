"""Reads the compiler's index: which symbol is used where. libIndexStore comes with every Swift toolchain."""

from __future__ import annotations

import ctypes
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# Roles and kinds of clang's include/indexstore/indexstore.h.
_RECORD = 2
_DEFINITION = 1 << 1
_REFERENCE = 1 << 2


@dataclass(frozen=True, order=True)
class Use:
    """A symbol's use in a source file.

    Attributes:
        path: The source file.
        line: From 1.
        column: From 1.
        usr: The symbol's unique name.
        name: What people call it.
        defines: Whether the symbol is defined here rather than used.
    """

    path: Path
    line: int
    column: int
    usr: str
    name: str
    defines: bool = False


class _Text(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("length", ctypes.c_size_t)]

    def text(self) -> str:
        return ctypes.string_at(self.data, self.length).decode() if self.length else ""


_UNIT_VISITOR = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, _Text)
_VISITOR = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p)
_HANDLE = ctypes.c_void_p
_ERROR = ctypes.POINTER(ctypes.c_void_p)
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "store_create": (_HANDLE, [ctypes.c_char_p, _ERROR]),
    "store_dispose": (None, [_HANDLE]),
    "store_units_apply_f": (ctypes.c_bool, [_HANDLE, ctypes.c_uint, ctypes.c_void_p, _UNIT_VISITOR]),
    "unit_reader_create": (_HANDLE, [_HANDLE, ctypes.c_char_p, _ERROR]),
    "unit_reader_dispose": (None, [_HANDLE]),
    "unit_reader_dependencies_apply_f": (ctypes.c_bool, [_HANDLE, ctypes.c_void_p, _VISITOR]),
    "unit_dependency_get_kind": (ctypes.c_int, [_HANDLE]),
    "unit_dependency_get_name": (_Text, [_HANDLE]),
    "unit_dependency_get_filepath": (_Text, [_HANDLE]),
    "record_reader_create": (_HANDLE, [_HANDLE, ctypes.c_char_p, _ERROR]),
    "record_reader_dispose": (None, [_HANDLE]),
    "record_reader_occurrences_apply_f": (ctypes.c_bool, [_HANDLE, ctypes.c_void_p, _VISITOR]),
    "occurrence_get_symbol": (_HANDLE, [_HANDLE]),
    "occurrence_get_roles": (ctypes.c_uint64, [_HANDLE]),
    "occurrence_get_line_col": (
        None,
        [_HANDLE, ctypes.POINTER(ctypes.c_uint), ctypes.POINTER(ctypes.c_uint)],
    ),
    "symbol_get_usr": (_Text, [_HANDLE]),
    "symbol_get_name": (_Text, [_HANDLE]),
}


def _library(path: Path) -> Any:
    """libIndexStore's functions, without their prefix."""
    library = ctypes.CDLL(str(path))
    functions = {}
    for name, (result, arguments) in _FUNCTIONS.items():
        functions[name] = getattr(library, f"indexstore_{name}")
        functions[name].restype, functions[name].argtypes = result, arguments
    return SimpleNamespace(**functions)


def toolchain() -> Path:
    """The `usr` folder of the toolchain that `swiftc` belongs to.

    Raises:
        FileNotFoundError: there is no compiler.
    """
    compiler = shutil.which("swiftc")
    if compiler is None:
        raise FileNotFoundError("swiftc")
    return Path(compiler).resolve().parents[1]


def uses(store: Path) -> list[Use]:
    """Every use and every definition in an index store, sorted.

    Args:
        store: The folder given to the compiler as -index-store-path.

    Raises:
        FileNotFoundError: there is no store or no libIndexStore.
    """
    found = sorted((toolchain() / "lib").glob("libIndexStore.*"))
    if not found:
        raise FileNotFoundError("libIndexStore")
    library = _library(found[0])
    error = ctypes.c_void_p()
    handle = library.store_create(str(store).encode(), ctypes.byref(error))
    if not handle:
        raise FileNotFoundError(str(store))
    records: dict[str, Path] = {}

    def dependency(_: Any, item: int) -> bool:
        if library.unit_dependency_get_kind(item) == _RECORD:
            path = Path(library.unit_dependency_get_filepath(item).text())
            records[library.unit_dependency_get_name(item).text()] = path
        return True

    def unit(_: Any, name: _Text) -> bool:
        reader = library.unit_reader_create(handle, name.text().encode(), ctypes.byref(error))
        if reader:
            library.unit_reader_dependencies_apply_f(reader, None, _VISITOR(dependency))
            library.unit_reader_dispose(reader)
        return True

    library.store_units_apply_f(handle, 0, None, _UNIT_VISITOR(unit))
    result: set[Use] = set()
    for name, path in records.items():
        reader = library.record_reader_create(handle, name.encode(), ctypes.byref(error))
        if not reader:
            continue

        def occurrence(_: Any, item: int, path: Path = path) -> bool:
            roles = library.occurrence_get_roles(item)
            if roles & (_REFERENCE | _DEFINITION):
                line, column = ctypes.c_uint(), ctypes.c_uint()
                library.occurrence_get_line_col(item, ctypes.byref(line), ctypes.byref(column))
                symbol = library.occurrence_get_symbol(item)
                usr, label = library.symbol_get_usr(symbol).text(), library.symbol_get_name(symbol).text()
                result.add(Use(path, line.value, column.value, usr, label, bool(roles & _DEFINITION)))
            return True

        library.record_reader_occurrences_apply_f(reader, None, _VISITOR(occurrence))
        library.record_reader_dispose(reader)
    library.store_dispose(handle)
    return sorted(result)
