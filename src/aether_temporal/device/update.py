"""A chip's flash: partition table (ESP32 family, at 0x8000), slots, and updates that leave the other slot intact."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from aether_temporal.errors import PartitionError, SlotError
from aether_temporal.model import TemporalModel

from .node_limits import check_node
from .slots import (
    LABELS,
    SECTOR,
    Slot,
    SlotHeader,
    choose_target,
    first_choice,
    next_sequence,
    pack_slot,
    read_slot,
    slot_bytes_needed,
    without_commit,
)

__all__ = [
    "TABLE_BYTES",
    "TABLE_OFFSET",
    "ChipFlash",
    "Flash",
    "Partition",
    "Update",
    "parse_table",
    "read_chip",
    "slot_partitions",
    "update_model",
]


TABLE_OFFSET = 0x8000
TABLE_BYTES = 0xC00

_ENTRY = struct.Struct("<HBBII16sI")
_MAGIC, _MD5_MAGIC = 0x50AA, 0xEBEB
_ENCRYPTED, _READ_ONLY = 1, 2  # flags
_TYPES = {0: "app", 1: "data"}
_APPS = {0x00: "factory", 0x20: "test", **{0x10 + i: f"ota_{i}" for i in range(16)}}
_DATA = dict(enumerate(["ota", "phy", "nvs", "coredump", "nvs_keys", "efuse", "undefined"]))
_DATA |= dict(enumerate(["esphttpd", "fat", "spiffs", "littlefs"], 0x80))
SLOT_TYPE = ("data", "undefined")


@dataclass(frozen=True)
class Partition:
    """One entry of the partition table; offset and size in bytes."""

    label: str
    type: str
    subtype: str
    offset: int
    size: int
    encrypted: bool = False
    read_only: bool = False


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("ascii", "replace")


def _partition(raw: bytes, at: int) -> Partition:
    _, kind, subtype, offset, size, label, flags = _ENTRY.unpack(raw)
    names = _APPS if kind == 0 else _DATA if kind == 1 else {}
    partition = Partition(
        label=_text(label),
        type=_TYPES.get(kind, f"0x{kind:02x}"),
        subtype=names.get(subtype, f"0x{subtype:02x}"),
        offset=offset,
        size=size,
        encrypted=bool(flags & _ENCRYPTED),
        read_only=bool(flags & _READ_ONLY),
    )
    if size == 0 or offset % SECTOR or offset + size > 1 << 32:
        expected = f"an offset that is a multiple of {SECTOR} and a size that fits"
        raise PartitionError.of(f"partition {partition.label!r}", expected, f"0x{offset:X} and 0x{size:X}", at)
    return partition


def parse_table(data: bytes) -> list[Partition]:
    """Parses the bytes of flash from 0x8000 on. PartitionError: there is no table, or it is damaged."""
    found: list[Partition] = []
    for at in range(0, len(data) - _ENTRY.size + 1, _ENTRY.size):
        raw = data[at : at + _ENTRY.size]
        magic = int.from_bytes(raw[:2], "little")
        if magic == _MD5_MAGIC:
            expected = hashlib.md5(data[:at], usedforsecurity=False).digest()
            if raw[16:] != expected:
                raise PartitionError.of("partition table MD5", expected.hex(), raw[16:].hex(), at)
        elif raw == b"\xff" * _ENTRY.size:
            break
        elif magic == _MAGIC:
            found.append(_partition(raw, at))
        else:
            raise PartitionError.of("partition table", "an entry, an MD5 or erased flash", f"0x{magic:04X}", at)
    if not found:
        raise PartitionError.of("partition table", f"entries at 0x{TABLE_OFFSET:X}", "none; flash firmware first")
    return found


def slot_partitions(table: Sequence[Partition], blob_length: int | None = None) -> tuple[Partition, Partition]:
    """The two blob slots. PartitionError: one is missing, has another type or flags, or is too small for the blob."""
    by_label = {partition.label: partition for partition in table}
    missing = [label for label in LABELS if label not in by_label]
    if missing:
        found = ", ".join(partition.label for partition in table)
        raise PartitionError.of("partition table", f"partitions {' and '.join(LABELS)}", f"{found or 'none'}")
    slots = (by_label[LABELS[0]], by_label[LABELS[1]])
    for slot in slots:
        if (slot.type, slot.subtype) != SLOT_TYPE or slot.encrypted or slot.read_only:
            flags = f"{', encrypted' if slot.encrypted else ''}{', readonly' if slot.read_only else ''}"
            kind = f"{slot.type}, {slot.subtype}{flags}"
            raise PartitionError.of(f"partition {slot.label}", f"{', '.join(SLOT_TYPE)}, without flags", kind)
        if slot.size % SECTOR:
            raise PartitionError.of(f"partition {slot.label}", f"a multiple of {SECTOR} bytes", slot.size)
        if blob_length is not None and slot.size < slot_bytes_needed(blob_length):
            needed = f"at least {slot_bytes_needed(blob_length)} bytes for a blob of {blob_length}"
            raise PartitionError.of(f"partition {slot.label}", needed, slot.size)
    return slots


class Flash(Protocol):
    """Flash of a chip (FlashTool is one)."""

    def read(self, offset: int, size: int) -> bytes: ...

    def write(self, offset: int, data: bytes) -> None: ...


@dataclass(frozen=True)
class ChipFlash:
    """The partition table, and the two blob slots; `why` gives the reason when there are none."""

    table: tuple[Partition, ...]
    partitions: tuple[Partition, Partition] | None
    slots: tuple[Slot, Slot] | None
    why: str = ""


@dataclass(frozen=True)
class Update:
    """The result of an update: the slot, what both slots held before, and what the slot holds now.

    `written` is False when the slot already held the model."""

    written: bool
    partition: Partition
    before: tuple[Slot, Slot]
    now: Slot


def _read_slot(flash: Flash, partition: Partition) -> Slot:
    data = flash.read(partition.offset, SECTOR)
    try:
        header = SlotHeader.decode(data, partition.size)
    except SlotError:
        return read_slot(partition.label, data, partition.size)
    end = header.blob_offset + header.blob_length
    if end > SECTOR:
        data += flash.read(partition.offset + SECTOR, (end - SECTOR + 3) // 4 * 4)
    return read_slot(partition.label, data, partition.size)


def _table(flash: Flash) -> tuple[Partition, ...]:
    return tuple(parse_table(flash.read(TABLE_OFFSET, TABLE_BYTES)))


def _slots(flash: Flash, partitions: tuple[Partition, Partition]) -> tuple[Slot, Slot]:
    return _read_slot(flash, partitions[0]), _read_slot(flash, partitions[1])


def read_chip(flash: Flash) -> ChipFlash:
    """Reads the partition table and the slots of a chip. PartitionError: the chip has no partition table."""
    table = _table(flash)
    try:
        partitions = slot_partitions(table)
    except PartitionError as error:
        return ChipFlash(table, None, None, str(error))
    return ChipFlash(table, partitions, _slots(flash, partitions))


def update_model(
    flash: Flash, blob: bytes, *, again: bool = False, notify: Callable[[str], None] = lambda _: None
) -> Update:
    """Writes a model's blob to the slot that a node does not need, and reads it back.

    The blob, the partition table and the size of the slot are checked before anything is written. The slot is written
    without its commit flag and read back; the flag follows. The other slot is never touched.
    again: write even if the newest valid slot holds this blob already.
    BlobError, PartitionError, SlotError (no node can run the model; flash kept other bytes than were written), what
    `flash` raises.
    """
    for warning in check_node(TemporalModel.from_blob(blob)):
        notify(f"warning: {warning}")
    notify("reading the partition table and the slots")
    partitions = slot_partitions(_table(flash), len(blob))
    slots = _slots(flash, partitions)
    target = choose_target(slots)
    partition, other = partitions[target], slots[1 - target]
    used = first_choice(slots)
    if not again and used is not None and slots[used].blob == blob:
        return Update(False, partitions[used], slots, slots[used])
    image = pack_slot(blob, next_sequence(other), partition.size)
    notify(f"writing {len(image)} bytes to {partition.label} at 0x{partition.offset:X}")
    _write(flash, partition, without_commit(image))
    notify("reading back, then setting the commit flag")
    _write(flash, partition, image[:SECTOR])
    return Update(True, partition, slots, _read_slot(flash, partition))


def _write(flash: Flash, partition: Partition, data: bytes) -> None:
    """Writes from the slot's first byte on, reads back and compares."""
    flash.write(partition.offset, data)
    found = flash.read(partition.offset, len(data))
    if found != data:
        at = next(i for i, (a, b) in enumerate(zip(data, found, strict=True)) if a != b)
        raise SlotError.of(f"flash of {partition.label}", f"0x{data[at]:02X} as written", f"0x{found[at]:02X}", at)
