"""Options that several subcommands share."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from aether_temporal.cache_types import CACHE_DTYPES
from aether_temporal.recordings import FORMATS

F = TypeVar("F", bound=Callable[..., Any])


class Indices(click.ParamType[list[int]]):
    """'0-27,36,40-42': indices and ranges (both ends included), in the order given."""

    name = "INDICES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        if not isinstance(value, str):
            return list(value)
        found: list[int] = []
        for part in value.split(","):
            first, dash, last = part.strip().partition("-")
            if not first.isdecimal() or (dash and not last.isdecimal()) or len(part) > 16:
                self.fail(f"expected indices and ranges such as 0-27,36; found {part!r}", param, ctx)
            low, high = int(first), int(last or first)
            if not low <= high <= 0xFFFF:
                self.fail(f"expected a range that goes up, to at most 65535; found {part!r}", param, ctx)
            found += range(low, high + 1)
        return found


class FiniteRange(click.FloatRange):
    """A number in a range: NaN compares as false with every end of one, and infinity is above an open one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"expected a finite number, found {value!r}", param, ctx)
        return number


def same_file(one: str, other: str) -> bool:
    """Whether both name one file, be it there or not."""
    return os.path.realpath(one) == os.path.realpath(other)


def model_argument(command: F) -> F:
    return click.argument("model")(command)


def stream_options(command: F) -> F:
    """--context and --dtype."""
    command = click.option(
        "--dtype",
        type=click.Choice(CACHE_DTYPES),
        default="float32",
        show_default=True,
        help="How the cache keeps keys and values.",
    )(command)
    return click.option(
        "--context",
        type=click.IntRange(min=1),
        help="Frames of history that a query can see. [default: the history the blob states, else 256]",
    )(command)


def json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")(command)


def format_option(command: F) -> F:
    return click.option(
        "--format", "format_", type=click.Choice(FORMATS), help="The recording's format. [default: by content]"
    )(command)


def select_option(command: F) -> F:
    return click.option(
        "--select",
        type=Indices(),
        help="Which features or I/Q pairs make a frame, such as 0-27,36-63. [default: what the blob says, else all]",
    )(command)
