"""A gate's configuration from a TOML file: the fields of `GateConfig`, those of its parts in tables."""

from __future__ import annotations

import dataclasses
import os
import tomllib
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from aether_temporal.errors import TemporalError

from .config import GateConfig, GateError

T = TypeVar("T")


def load_config(path: str | os.PathLike[str]) -> GateConfig:
    """The defaults, with what the file says in their place. "all" stands for no limit (pattern.window,
    pattern.history). GateError names the file and the field; OSError."""
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GateError(f"{os.fspath(path)}: expected TOML, found something else: {error}") from None
    try:
        return _filled(GateConfig(), table, "")
    except TemporalError as error:
        raise GateError(f"{os.fspath(path)}: {error}") from None


def _filled(start: T, table: dict[str, Any], prefix: str) -> T:
    """A copy of a dataclass with fields of `table`."""
    assert dataclasses.is_dataclass(start)
    hints = typing.get_type_hints(type(start))
    changes: dict[str, Any] = {}
    for name, value in table.items():
        if name not in hints:
            raise GateError(f"{prefix}{name}: expected one of {', '.join(hints)}; found no such field")
        now = getattr(start, name)
        if dataclasses.is_dataclass(now):
            if not isinstance(value, dict):
                raise GateError(f"{prefix}{name}: expected a table, found {value!r}")
            changes[name] = _filled(now, value, f"{prefix}{name}.")
        else:
            changes[name] = _value(hints[name], value, prefix + name)
    return dataclasses.replace(start, **changes)  # type: ignore[type-var, return-value, unused-ignore]


def _value(hint: Any, value: Any, field: str) -> Any:
    """`value` as the type asks for it."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union) and types.NoneType in options:
        if value == "all":
            return None
        (hint,) = (option for option in options if option is not types.NoneType)
        return _value(hint, value, field)
    if origin is typing.Literal and value in options:
        return value
    if origin is tuple and isinstance(value, list):
        many = len(options) == 2 and options[1] is Ellipsis
        if many or len(value) == len(options):
            return tuple(_value(options[0] if many else options[i], one, field) for i, one in enumerate(value))
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint in (int, bool, str) and type(value) is hint:
        return value
    wanted = " or ".join(map(repr, options)) if origin is typing.Literal else str(getattr(hint, "__name__", hint))
    if origin is tuple:
        wanted = f"a list of {len(options)} numbers" if Ellipsis not in options else "a list of numbers"
    raise GateError(f"{field}: expected {wanted}, found {value!r}")
