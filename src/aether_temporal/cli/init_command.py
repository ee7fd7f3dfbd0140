"""aether init FILE"""

from __future__ import annotations

import os
from dataclasses import fields, replace
from typing import Any

import click
from click.shell_completion import CompletionItem

from aether_temporal import WeightBlobHeader, crc32
from aether_temporal.blob_tools import random_blob

from .options import NewFile, json_option
from .output import bytes_text, print_json, say

_HEADER = WeightBlobHeader(
    dtype="float32", input_dim=16, n_q_heads=4, n_kv_heads=1, head_dim=32, n_layers=2, n_classes=4
)
_FIELDS = tuple(field.name for field in fields(_HEADER) if field.name != "extension")


class _HeaderField(click.ParamType[tuple[str, int | str]]):
    """FIELD=VALUE: a field of the blob's header."""

    name = "FIELD=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int | str]:
        name, equals, text = str(value).partition("=")
        if name not in _FIELDS or not equals:
            self.fail(f"expected FIELD=VALUE with one of {', '.join(_FIELDS)}, found {value!r}", param, ctx)
        if name == "dtype":
            return name, text
        if not text.isdecimal() or len(text) > 9:
            self.fail(f"{name}: expected a number, found {text!r}", param, ctx)
        return name, int(text)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names of the fields."""
        return [CompletionItem(f"{name}=") for name in _FIELDS if name.startswith(incomplete)]


@click.command("init")
@click.argument("file", type=NewFile())
@click.option(
    "--set",
    "values",
    type=_HeaderField(),
    multiple=True,
    help="Another value for a field of the header; repeatable. "
    f"[default: {' '.join(f'{name}={getattr(_HEADER, name)}' for name in _FIELDS)}]",
)
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=0, show_default=True)
@click.option("--force", is_flag=True, help="Replace an existing FILE.")
@json_option
def command(file: str, values: tuple[tuple[str, Any], ...], seed: int, force: bool, as_json: bool) -> None:
    """Write a weight blob of random numbers in the plain version 1 layout to FILE.

    The same shape and seed give the same bytes on every machine. The weights are
    untrained; they serve to try things out.
    """
    if os.path.lexists(file) and not force:
        raise click.UsageError(f"{file}: expected a new file, found an existing one; --force replaces it")
    header = replace(_HEADER, **dict(values))
    blob = random_blob(header, seed)
    blob.save(file)
    raw = blob.serialize()
    crc = f"0x{crc32(raw[:-4]):08X}"
    if as_json:
        print_json({"file": file, "bytes": len(raw), "crc32": crc, "seed": seed})
    else:
        say(f"{file}: {bytes_text(len(raw))}, CRC-32 {crc}, seed {seed}")
