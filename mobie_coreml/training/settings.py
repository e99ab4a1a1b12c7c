"""Options of a stage by name, `critic.r1=none`: every field of its configuration can be set so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from mobie_coreml.errors import InputError

Config = TypeVar("Config")


def with_settings(config: Config, settings: Sequence[str]) -> Config:
    """`config` (a dataclass, with others inside) with each setting NAME=VALUE made.

    Values are read as what they replace: a number, a word, yes or no; a range is LOW:HIGH.

    Raises:
        InputError: a setting is not written so, there is no such option, or the value does not fit it.
    """
    for setting in settings:
        name, separator, value = setting.partition("=")
        if not separator or not name:
            raise InputError(f"--set {setting} sets nothing.", "Write NAME=VALUE, for example batch=16.")
        config = _set(config, name.split("."), value, setting)
    return config


def setting_values(config: Any, prefix: str = "") -> dict[str, str]:
    """All options of a configuration by name, with their values as `with_settings` reads them."""
    values: dict[str, str] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if _is_data(value):
            continue
        if is_dataclass(value):
            values |= setting_values(value, f"{prefix}{field.name}.")
        else:
            values[prefix + field.name] = _write(value)
    return values


def _set(config: Any, path: list[str], value: str, setting: str) -> Any:
    first, *rest = path
    known = {field.name for field in fields(config)} if is_dataclass(config) else set()
    known = {name for name in known if not _is_data(getattr(config, name))}
    inside = is_dataclass(getattr(config, first, None))
    if first not in known or inside != bool(rest):
        raise InputError(
            f"--set {setting}: there is no option {first!r}.", f"Options here are {', '.join(sorted(known))}."
        )
    if rest:
        return replace(config, **{first: _set(getattr(config, first), rest, value, setting)})
    try:
        return replace(config, **{first: _read(getattr(config, first), value)})
    except ValueError as error:
        raise InputError(
            f"--set {setting}: this value does not fit {first}.",
            "A switch is yes or no, a range LOW:HIGH; `--options` shows the value of each.",
        ) from error


def _is_data(value: Any) -> bool:
    """Whether a value is a list of records, which no single setting can say."""
    return isinstance(value, tuple) and any(is_dataclass(item) for item in value)


def _read(old: Any, text: str) -> Any:
    """`text` as a value of the kind that it replaces."""
    if isinstance(old, bool):
        if text not in ("yes", "no"):
            raise ValueError(text)
        return text == "yes"
    if isinstance(old, int):
        return int(text)
    if isinstance(old, float):
        return _finite(text)
    if old is None or isinstance(old, tuple):
        low, _, high = text.partition(":")
        return _finite(low), _finite(high)
    return text


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(text)
    return number


def _write(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ":".join(f"{item:g}" for item in value)
    return "checkpoint's" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
