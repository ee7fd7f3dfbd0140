"""What a chip's flash holds, and putting a model there without risking the one that works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from aether_temporal.errors import PartitionError, SlotError
from aether_temporal.model import TemporalModel

from .partitions import TABLE_BYTES, TABLE_OFFSET, Partition, parse_table, slot_partitions
from .slots import (
    SECTOR,
    Slot,
    SlotHeader,
    choose_target,
    first_choice,
    next_sequence,
    pack_slot,
    read_slot,
    without_commit,
)

__all__ = ["ChipFlash", "Flash", "Update", "read_chip", "update_model"]


class Flash(Protocol):
    """Flash of a chip (FlashTool is one)."""

    def read(self, offset: int, size: int) -> bytes: ...

    def write(self, offset: int, data: bytes) -> None: ...


@dataclass(frozen=True)
class ChipFlash:
    """The partition table, and the two blob slots; `why` says why there are none."""

    table: tuple[Partition, ...]
    partitions: tuple[Partition, Partition] | None
    slots: tuple[Slot, Slot] | None
    why: str = ""


@dataclass(frozen=True)
class Update:
    """What was done: which slot was written (`written` False: the model is there already, nothing was), what both held
    before, and what the slot holds now."""

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
    """Everything there is to know about models on a chip. PartitionError when it has no partition table."""
    table = _table(flash)
    try:
        partitions = slot_partitions(table)
    except PartitionError as error:
        return ChipFlash(table, None, None, str(error))
    return ChipFlash(table, partitions, _slots(flash, partitions))


def update_model(
    flash: Flash, blob: bytes, *, again: bool = False, tell: Callable[[str], None] = lambda _: None
) -> Update:
    """Writes a model's blob to the slot that a node does not need, and reads it back.

    Everything is checked before anything is written: the blob, the partition table, the room. The slot is written
    without its commit mark and read back; only then the mark. Whatever interrupts it, the other slot is untouched.
    again: also when the newest good slot holds this blob already.
    BlobError, PartitionError, SlotError (flash kept other bytes than were written), what `flash` raises.
    """
    TemporalModel.from_blob(blob)
    tell("reading the partition table and the slots")
    partitions = slot_partitions(_table(flash), len(blob))
    slots = _slots(flash, partitions)
    target = choose_target(slots)
    partition, other = partitions[target], slots[1 - target]
    used = first_choice(slots)
    if not again and used is not None and slots[used].blob == blob:
        return Update(False, partitions[used], slots, slots[used])
    image = pack_slot(blob, next_sequence(other), partition.size)
    tell(f"writing {len(image)} bytes to {partition.label} at 0x{partition.offset:X}")
    _write(flash, partition, without_commit(image))
    tell("reading back, then setting the commit mark")
    _write(flash, partition, image[:SECTOR])
    return Update(True, partition, slots, _read_slot(flash, partition))


def _write(flash: Flash, partition: Partition, data: bytes) -> None:
    """Writes from the slot's first byte on, and reads it back."""
    flash.write(partition.offset, data)
    found = flash.read(partition.offset, len(data))
    if found != data:
        at = next(i for i, (a, b) in enumerate(zip(data, found, strict=True)) if a != b)
        raise SlotError.of(f"flash of {partition.label}", f"0x{data[at]:02X} as written", f"0x{found[at]:02X}", at)
