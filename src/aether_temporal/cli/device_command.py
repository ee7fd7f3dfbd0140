"""aether device pack, flash, info"""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import asdict
from typing import Any

import click

from aether_temporal._internal.atomic_files import write_atomic
from aether_temporal.bundled import model_path
from aether_temporal.device.c_header import c_header
from aether_temporal.device.flashtool import FlashTool
from aether_temporal.device.node_limits import PYRAMID, check_node, node_needs
from aether_temporal.device.slots import Slot, SlotHeader, first_choice, pack_slot
from aether_temporal.device.update import ChipFlash, read_chip, update_model
from aether_temporal.errors import SlotError
from aether_temporal.model import TemporalModel

from .options import json_option, model_argument, open_model, same_file
from .output import STANDARD_OUTPUT, bytes_text, console, print_json, say, table, write_bytes

_SLOT = 256 << 10
"""Bytes of a slot in firmware/partitions.csv."""


class Size(click.ParamType[int]):
    """131072, 0x20000, 128K or 1M, as in partitions.csv."""

    name = "BYTES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"(0x[0-9a-f]{1,8}|\d{1,10})([km]?)", str(value).lower())
        if match is None:
            self.fail(f"expected bytes such as 131072, 0x20000 or 128K, found {value!r}", param, ctx)
        return int(match[1], 0 if match[1].startswith("0x") else 10) * {"": 1, "k": 1024, "m": 1 << 20}[match[2]]


@click.group("device")
def command() -> None:
    """Write a model to a chip, and show the models on it."""


@command.command("pack")
@model_argument
@click.option(
    "--out", type=click.Path(dir_okay=False, allow_dash=True), help="The image of a slot partition; -: standard output."
)
@click.option(
    "--header", type=click.Path(dir_okay=False, allow_dash=True), help="The blob as a C header; -: standard output."
)
@click.option(
    "--size",
    type=Size(),
    default=_SLOT,
    help="Bytes of the partition; what does not fit is rejected. [default: 256K, as in firmware/partitions.csv]",
)
@click.option(
    "--sequence",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="A node tries the newest slot first.",
)
@click.option("--force", is_flag=True, help="Replace existing files.")
@json_option
def pack(
    model: str,
    out: str | None,
    header: str | None,
    size: int,
    sequence: int,
    force: bool,
    as_json: bool,
) -> None:
    """Convert the blob MODEL to the image of a slot partition, or to a C header, or both.

    The blob is checked first. The image holds the check values with which a node tests the model before it uses it.
    """
    if out is None and header is None:
        raise click.UsageError("expected --out or --header, found neither")
    if out is not None and header is not None and same_file(out, header):
        raise click.UsageError(f"--out and --header: expected two files, found {header} for both")
    if "-" in (out, header):
        _check_pipe("--out" if out == "-" else "--header", as_json)
    for file in (out, header):
        if file not in (None, "-") and os.path.lexists(str(file)) and not force:
            message = f"{file}: expected a new file, found an existing one; --force replaces it"
            raise click.UsageError(message)
    opened = open_model(model)
    path, blob = model_path(model), opened.blob
    for warning in check_node(opened) if out is not None else ():
        say(f"warning: {warning}", err=True)
    image, needs = _image(blob, sequence, size if out is not None else None), node_needs(opened)
    identifier = _identifier(path.stem)
    text = None if header is None else c_header(blob, identifier, path.name)
    if out is not None:
        _put(out, image)
    if header is not None and text is not None:
        _put(header, text.encode("ascii"))
    found = SlotHeader.decode(image, len(image))
    if as_json:
        document = {"model": str(path), "out": out, "bytes": len(image), "header": header, **asdict(found)}
        print_json({**document, "needs": asdict(needs)})
        return
    aside = "-" in (out, header)
    if out is not None:
        checks = f"check 0x{found.check_binary32:08X} and 0x{found.check_binary16:08X}"
        said = f"{bytes_text(len(image))}, blob of {len(blob)}, sequence {sequence}, {checks}"
        say(f"{_name(out)}: {said}", err=aside)
        say(f"A node needs {bytes_text(needs.memory)} of memory for it, queue and stack included.", err=aside)
    if header is not None:
        say(f"{_name(header)}: {identifier}[{len(blob)}]", err=aside)


def _image(blob: bytes, sequence: int, size: int | None) -> bytes:
    """The image of a slot. SlotError says how to name another partition."""
    try:
        return pack_slot(blob, sequence, size)
    except SlotError as error:
        raise SlotError(
            f"{error}; the slots of firmware/partitions.csv have {bytes_text(_SLOT)}: enlarge them, and state their "
            "size by --size"
        ) from None


def _check_pipe(option: str, as_json: bool) -> None:
    """UsageError where standard output cannot take the file."""
    if as_json:
        raise click.UsageError(f"{option} - and --json: expected one of them, found both; each is standard output")
    if option == "--out" and sys.stdout.isatty():
        raise click.UsageError(f"{option} -: expected a pipe or file behind standard output, found a terminal")


def _put(file: str, data: bytes) -> None:
    if file != "-":
        write_atomic(file, data)
        return
    write_bytes(data)


def _name(file: str) -> str:
    return STANDARD_OUTPUT if file == "-" else file


def _identifier(stem: str) -> str:
    text = re.sub("[^A-Za-z0-9_]", "_", stem)
    return f"model_{text}" if not text or text[0].isdigit() else text


def _port_options(function: Any) -> Any:
    for option in (
        click.option(
            "--esptool",
            metavar="COMMAND",
            help="The command that runs esptool, which reads ESPTOOL_CHIP and ESPTOOL_BAUD. [default: the module of "
            "this Python]",
        ),
        click.option("--port", required=True, help="The board's serial port, such as /dev/ttyACM0."),
    ):
        function = option(function)
    return function


def _words(text: str) -> list[str]:
    """Splits a command line as the system's shell does: on Windows a backslash is part of a path."""
    if os.name == "posix":
        return shlex.split(text)
    return [word.strip('"') for word in shlex.split(text, posix=False)]


def _tool(port: str, esptool: str | None) -> FlashTool:
    try:
        words = None if esptool is None else _words(esptool)
    except ValueError as error:
        raise click.UsageError(f"--esptool: expected a command, found {esptool!r} ({error})") from None
    if words == []:
        raise click.UsageError("--esptool: expected a command, found nothing")
    return FlashTool(port, words)


@command.command("flash")
@model_argument
@_port_options
@click.option("--force", is_flag=True, help="Write even if the chip's newest slot holds this model.")
@json_option
def flash(model: str, port: str, esptool: str | None, force: bool, as_json: bool) -> None:
    """Write the blob MODEL to the chip at PORT, into the slot that the chip does not use.

    The other slot, and the model in it, stay unchanged even if the update is interrupted. At its next start the chip
    tries the new model, and keeps it if its outputs pass the check.
    """
    blob = open_model(model).blob
    with _tool(port, esptool) as tool:
        done = update_model(tool, blob, again=force, notify=lambda text: say(text, err=True))
    if as_json:
        slots = [_slot_json(slot) for slot in done.before]
        document = {"written": done.written, "slot": done.partition.label, "offset": done.partition.offset}
        print_json({**document, "before": slots, "now": _slot_json(done.now)})
        return
    sequence = done.now.header.sequence if done.now.header else 0
    if done.written:
        say(f"{done.partition.label}: {bytes_text(len(blob))} written and read back, sequence {sequence}")
    else:
        say(f"{done.partition.label}: holds this model already, sequence {sequence}; --force writes it again")


@command.command("info")
@_port_options
@json_option
def info(port: str, esptool: str | None, as_json: bool) -> None:
    """Show the flash of the chip at PORT: partition table, blob slots, the models in them."""
    with _tool(port, esptool) as tool:
        found = read_chip(tool)
    if as_json:
        slots = None if found.slots is None else [_slot_json(slot) for slot in found.slots]
        print_json({"partitions": [asdict(part) for part in found.table], "slots": slots, "why": found.why})
    else:
        _print_chip(found)


def _slot_json(slot: Slot) -> dict[str, Any]:
    values = asdict(slot)
    del values["blob"]
    return {**values, "valid": slot.valid}


def _print_chip(found: ChipFlash) -> None:
    out = console()
    shown = table("partition", "type", "subtype", ">offset", ">size", "")
    for part in found.table:
        flags = ", ".join(name for name, on in (("encrypted", part.encrypted), ("readonly", part.read_only)) if on)
        shown.add_row(part.label, part.type, part.subtype, f"0x{part.offset:X}", bytes_text(part.size), flags)
    out.print(shown)
    out.print()
    if found.slots is None:
        out.print(f"No blob slots: {found.why}")
        return
    first = first_choice(found.slots)
    for index, slot in enumerate(found.slots):
        out.print(f"{slot.label}: {_slot_line(slot)}")
        if index == first:
            out.print("  the chip tries this one first")


def _slot_line(slot: Slot) -> str:
    if slot.header is None:
        return slot.problem
    header = slot.header
    state = "confirmed" if slot.confirmed else f"on trial, {slot.trials} of 3 trials used"
    if slot.last_resort:
        state = f"{slot.problem} (the chip uses it where there is no other)"
    if slot.valid and TemporalModel.from_blob(slot.blob).config.pattern == "pyramid":
        state += f"; {PYRAMID}"
    model = f"sequence {header.sequence}, blob of {bytes_text(header.blob_length)} with CRC 0x{header.blob_crc:08X}"
    return f"{model}, {state if slot.valid or slot.last_resort else slot.problem}"
