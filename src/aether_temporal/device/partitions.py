"""The partition table of an ESP32 family chip, in flash at 0x8000: entries of 32 bytes, an MD5, then 0xFF."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from aether_temporal.errors import PartitionError

from .slots import LABELS, SECTOR, slot_bytes_needed

__all__ = ["TABLE_BYTES", "TABLE_OFFSET", "Partition", "parse_table", "slot_partitions"]

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
    """One line of the table: where in flash, how many bytes."""

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
    """The table in the bytes from flash 0x8000 on. PartitionError: no table there, or a damaged one."""
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
        raise PartitionError.of("partition table", f"entries at 0x{TABLE_OFFSET:X}", "none: is there firmware on it?")
    return found


def slot_partitions(table: Sequence[Partition], blob_length: int | None = None) -> tuple[Partition, Partition]:
    """The two blob slots. PartitionError: one is missing, is no slot, or is too small for a blob of that length."""
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
