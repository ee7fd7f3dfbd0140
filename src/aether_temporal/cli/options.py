"""Parameter types and options that several subcommands share, and opening the model that an argument names."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from aether_temporal import BlobError, TemporalModel
from aether_temporal.bundled import bundled_models, model_path
from aether_temporal.cache_types import Dtype
from aether_temporal.errors import InvalidArgumentError, TooLargeError
from aether_temporal.recordings import FORMATS, Hints
from aether_temporal.recordings.recording import Selection
from aether_temporal.recordings.recording_file import parse_axes
from aether_temporal.subcarriers import CHIPS, SubcarrierMap, parse_layout, parse_subcarriers

from .output import bytes_text, quantity

F = TypeVar("F", bound=Callable[..., Any])

MEMORY = 1 << 30
"""Bytes that a command takes for streams of a model without being asked."""


class ModelName(click.ParamType[str]):
    """A blob's path or the name of a bundled model. Completes both."""

    name = "MODEL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Bundled models and `*.rvne` files; the shell adds directories where neither matches."""
        folder, prefix = os.path.split(incomplete)
        try:
            files = sorted(path.name for path in Path(folder or ".").iterdir() if path.suffix == ".rvne")
        except OSError:
            files = []
        names = [name for name in bundled_models() if name.startswith(incomplete)]
        names += [os.path.join(folder, name) for name in files if name.startswith(prefix)]
        return [CompletionItem(incomplete, type="dir"), *map(CompletionItem, names)]


class NewFile(click.Path):
    """The path of a file to write. Not `-`: that would create a file of this name instead of using standard output."""

    def __init__(self, *, dir_okay: bool = False) -> None:
        super().__init__(dir_okay=dir_okay)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "-":
            self.fail("expected the name of a file, found -; standard output is not supported", param, ctx)
        return super().convert(value, param, ctx)


_COLUMNS = "columns:"


class Subcarriers(click.ParamType[Selection]):
    """Subcarriers by number, such as '-26..26' or 'htltf:-28..28'; or columns by index, 'columns:0..27,36..63'."""

    name = "SUBCARRIERS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Selection:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        try:
            return (
                self._columns(value.removeprefix(_COLUMNS)) if value.startswith(_COLUMNS) else parse_subcarriers(value)
            )
        except InvalidArgumentError as error:
            self.fail(str(error), param, ctx)

    def _columns(self, text: str) -> list[int]:
        found: list[int] = []
        for part in text.split(","):
            first, dots, last = part.strip().partition("..")
            if not first.isdecimal() or (dots and not last.isdecimal()) or len(part) > 16:
                raise InvalidArgumentError.of("columns", "indices and ranges such as 0..27,36", repr(part))
            low, high = int(first), int(last or first)
            if not low <= high <= 0xFFFF:
                raise InvalidArgumentError.of("columns", "an ascending range up to 65535", repr(part))
            found += range(low, high + 1)
        return found


class ByteCount(click.ParamType[int]):
    """A number of bytes, such as 512M or 4G (powers of 1024)."""

    name = "BYTES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if not isinstance(value, str):
            return int(value)
        match = re.fullmatch(r"(\d{1,15})([KMGT]?)(?:iB|B)?", value.strip().replace(" ", ""), re.IGNORECASE)
        if match is None or not int(match[1]):
            self.fail(f"expected a number of bytes such as 512M or 4G, found {value!r}", param, ctx)
        return int(match[1]) << 10 * " KMGT".index(match[2].upper() or " ")


class FiniteRange(click.FloatRange):
    """A finite number in a range. click.FloatRange alone accepts NaN, and infinity where the range is open."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"expected a finite number, found {value!r}", param, ctx)
        return number


def same_file(one: str, other: str) -> bool:
    """Whether both paths name one file, existing or not."""
    return os.path.realpath(one) == os.path.realpath(other)


def model_argument(command: F) -> F:
    return click.argument("model", type=ModelName())(command)


def context_option(command: F) -> F:
    return click.option(
        "--context",
        type=click.IntRange(min=1),
        help="Frames of history a query may see. [default: the history the blob states, else 256]",
    )(command)


def memory_option(command: F) -> F:
    return click.option(
        "--max-memory",
        type=ByteCount(),
        default=MEMORY,
        help="Most memory for streams of the model, and for the scores that are kept of them. [default: 1G]",
    )(command)


def expect_memory(needed: int, what: str, limit: int, advice: str) -> None:
    """TooLargeError: `what` needs more bytes than the limit."""
    if needed > limit:
        raise TooLargeError(
            f"memory: expected at most {bytes_text(limit)} for {what}, found {bytes_text(needed)}; {advice}"
        )


def stream_memory(model: TemporalModel, context: int, dtype: Dtype, limit: int = MEMORY) -> int:
    """The bytes that a stream takes. TooLargeError: more than `limit`."""
    needed = model.memory(context=context, dtype=dtype).ram
    what = f"a stream with a context of {quantity(context)} frames"
    expect_memory(needed, what, limit, "choose a smaller --context, or allow more with --max-memory")
    return needed


def json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")(command)


class Layout(click.ParamType[SubcarrierMap]):
    """The subcarrier of each column, such as "lltf:0..31,-32..-1"."""

    name = "LAYOUT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> SubcarrierMap:
        try:
            return value if isinstance(value, SubcarrierMap) else parse_layout(str(value))
        except InvalidArgumentError as error:
            self.fail(str(error), param, ctx)


class AxisNames(click.ParamType[tuple[str, ...]]):
    """The names of an array's axes, such as features,time."""

    name = "NAMES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        try:
            return parse_axes(value) if isinstance(value, str) else tuple(value)
        except InvalidArgumentError as error:
            self.fail(str(error), param, ctx)


def recording_options(command: F) -> F:
    """What a recording does not say itself. `hints_of` takes it out of the options."""
    for option in (
        click.option("--format", "format_", type=click.Choice(FORMATS), help="Its format. [default: by content]"),
        click.option("--csi-bits", type=click.Choice(["8", "12"]), help="Bits of an I/Q value. [default: by content]"),
        click.option("--axes", type=AxisNames(), help="An array's axes, such as features,time. [default: by size]"),
        layout_options,
    )[::-1]:
        command = option(command)
    return command


def layout_options(command: F) -> F:
    """Which subcarriers the columns of a recording are, where it does not say so itself. `hints_of` takes them."""
    for option in (
        click.option("--layout", type=Layout(), help="The subcarrier of each column, such as lltf:0..31,-32..-1."),
        click.option("--chip", type=click.Choice(CHIPS), help="The chip that measured, which orders subcarriers."),
    ):
        command = option(command)
    return command


def hints_of(options: dict[str, Any]) -> Hints:
    """Takes the options that a reader needs, but for `format_`, out of all."""
    bits, chip, layout, axes = (options.pop(name, None) for name in ("csi_bits", "chip", "layout", "axes"))
    return Hints(None if bits is None else 8 if bits == "8" else 12, chip, layout, axes)


def label_option(command: F) -> F:
    """--label-from, of commands whose recordings have labels."""
    return click.option(
        "--label-from",
        metavar="folder|name:PATTERN",
        help="Labels: the folder that a file is in, or what a regular expression matches in its name.",
    )(command)


def subcarriers_option(command: F) -> F:
    return click.option(
        "--subcarriers",
        "select",
        type=Subcarriers(),
        help="Which subcarriers make a frame, by number, such as -26..26 or htltf:-28..28; or which columns, such as "
        "columns:0..27. [default: what the blob says, else all]",
    )(command)


def open_model(name: str) -> TemporalModel:
    """The model in a blob, or the bundled one of that name. BlobError with the file's name; InvalidArgumentError;
    OSError."""
    path = model_path(name)
    try:
        return TemporalModel.from_blob(path)
    except BlobError as error:
        raise BlobError(f"{path}: {error}") from None
