"""Configuration classes that check their own ranges, and TOML files that fill them.

@dataclasses.dataclass(frozen=True)
class Settings:
    steps: Annotated[int, Within(1, 10**9)] = 100
    noise: Annotated[tuple[float, float], Pair(0.0, 10.0)] = (0.01, 0.05)

    def __post_init__(self) -> None:
        check_ranges(self)
"""

from __future__ import annotations

import dataclasses
import functools
import numbers
import os
import tomllib
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from aether_temporal.errors import InvalidConfigError
from aether_temporal.settings import PatternSettings

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Within:
    """The range of a field's number, or of each of its numbers; whole numbers where `low` is an int."""

    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Pair(Within):
    """The range of a field's two numbers, the smaller first."""


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def check_ranges(config: Any) -> None:
    """InvalidConfigError naming the first field of a dataclass whose value is out of its range, or is none of the
    values of its `Literal`. NaN is in no range."""
    for name, hint in _hints(config.__class__).items():
        value = getattr(config, name)
        options = typing.get_args(hint)
        if typing.get_origin(hint) is typing.Literal and value not in options:
            raise InvalidConfigError.of(name, " or ".join(map(repr, options)), repr(value))
        for limit in getattr(hint, "__metadata__", ()):
            if isinstance(limit, Within):
                _check(name, value, limit)


def _plain(limit: float) -> str:
    return str(limit) if isinstance(limit, int) else f"{limit:g}"


def _check(name: str, value: Any, limit: Within) -> None:
    whole = isinstance(limit.low, int)
    many = isinstance(value, Sequence) and not isinstance(value, str)
    values: list[Any] = list(value) if many else [value]
    kind: type[Any] = numbers.Integral if whole else numbers.Real
    fits = all(isinstance(x, kind) and not isinstance(x, bool) and limit.low <= x <= limit.high for x in values)
    one, several = ("an integer", "integers") if whole else ("a number", "numbers")
    expected = f"{several if many else one} from {_plain(limit.low)} to {_plain(limit.high)}"
    if isinstance(limit, Pair):
        expected = f"two {several} from {_plain(limit.low)} to {_plain(limit.high)}, the smaller first"
        fits = fits and len(values) == 2 and values[0] <= values[1]
    if not fits:
        raise InvalidConfigError.of(name, expected, values if many else repr(value))


def load_settings(path: str | os.PathLike[str], start: T, **tables: Any) -> tuple[Any, ...]:
    """`start` and each of `tables`, dataclasses, with what a TOML file says in the place of their values: fields of
    `start` at its top, those of a part in the table of that name. "all" stands for None.

    InvalidConfigError names the file and the field; OSError.
    """
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidConfigError(f"{os.fspath(path)}: expected TOML, found something else: {error}") from None
    try:
        parts = {name: _table(document.pop(name, {}), name) for name in tables}
        found = [_filled(start, document, "", tuple(tables))]
        return (*found, *(_filled(tables[name], table, f"{name}.") for name, table in parts.items()))
    except InvalidConfigError as error:
        raise InvalidConfigError(f"{os.fspath(path)}: {error}") from None


def _table(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidConfigError.of(field, "a table", repr(value))
    return value


def _filled(start: T, table: dict[str, Any], prefix: str, more: tuple[str, ...] = ()) -> T:
    """A copy of a dataclass with the fields of `table`. more: names that may stand beside them."""
    assert dataclasses.is_dataclass(start)
    hints = typing.get_type_hints(type(start))
    changes: dict[str, Any] = {}
    for name, value in table.items():
        if name not in hints:
            raise InvalidConfigError(
                f"{prefix}{name}: expected one of {', '.join((*hints, *more))}; found no such field"
            )
        now = getattr(start, name)
        if dataclasses.is_dataclass(now):
            changes[name] = _filled(now, _table(value, prefix + name), f"{prefix}{name}.")
        else:
            changes[name] = _value(hints[name], value, prefix + name)
    try:
        if isinstance(start, PatternSettings):
            return typing.cast(T, start.replace(**changes))
        return dataclasses.replace(start, **changes)  # type: ignore[type-var, return-value, unused-ignore]
    except InvalidConfigError as error:
        raise InvalidConfigError(f"{prefix}{error}") from None


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
    raise InvalidConfigError.of(field, wanted, repr(value))
