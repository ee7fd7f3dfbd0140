"""Putting a model into a chip's flash: the right slot, read back, and nothing lost wherever it stops."""

from __future__ import annotations

import pytest
from device.fake_chip import ENTRIES, SLOT_A, SLOT_B, MemoryFlash, blank, table_of

from aether_temporal import WeightBlobHeader
from aether_temporal.blob_tools import random_blob
from aether_temporal.device.slots import first_choice, pack_slot, read_slot
from aether_temporal.device.update import read_chip, update_model
from aether_temporal.errors import BlobCrcError, PartitionError, SlotError

HEADER = WeightBlobHeader(
    dtype="float32", input_dim=16, n_q_heads=2, n_kv_heads=1, head_dim=16, n_layers=2, n_classes=3
)
OLD, NEW, NEWER = (random_blob(HEADER, seed).serialize() for seed in (1, 2, 3))
CONFIRM = (0x464E4F43).to_bytes(4, "little")


def chip_with(*blobs: bytes, confirmed: bool = True) -> MemoryFlash:
    flash = MemoryFlash()
    for sequence, (at, blob) in enumerate(zip((SLOT_A, SLOT_B), blobs, strict=False)):
        image = pack_slot(blob, sequence)
        flash.data[at : at + len(image)] = image
        if confirmed:
            flash.data[at + 0x80 : at + 0x84] = CONFIRM
    return flash


def used(flash: MemoryFlash) -> bytes | None:
    """The blob a node would come up with."""
    slots = read_chip(flash).slots
    assert slots is not None
    first = first_choice(slots)
    return None if first is None else slots[first].blob


def test_an_empty_chip() -> None:
    flash = MemoryFlash()
    done = update_model(flash, NEW)
    assert (done.written, done.partition.label, done.now.valid) == (True, "aether_a", True)
    assert used(flash) == NEW
    assert flash.data[SLOT_B : SLOT_B + 0x20000] == b"\xff" * 0x20000


def test_slots_take_turns() -> None:
    flash = MemoryFlash()
    for number, blob in enumerate((OLD, NEW, NEWER, OLD)):
        done = update_model(flash, blob)
        assert done.partition.label == ("aether_a", "aether_b")[number % 2]
        assert done.now.header is not None
        assert done.now.header.sequence == number
        assert used(flash) == blob
        at = done.partition.offset  # the node tries it, and confirms
        flash.data[at + 0x50 : at + 0x54] = bytes(4)
        flash.data[at + 0x80 : at + 0x84] = CONFIRM


def test_a_model_that_no_node_has_confirmed_gives_way() -> None:
    flash = chip_with(OLD)
    update_model(flash, NEW)
    done = update_model(flash, NEWER)
    assert done.partition.label == "aether_b"
    assert read_chip(flash).slots[0].blob == OLD  # type: ignore[index]


def test_update_does_not_rewrite_the_same_model() -> None:
    flash = chip_with(OLD, NEW)
    done = update_model(flash, NEW)
    assert (done.written, done.partition.label, flash.writes) == (False, "aether_b", [])
    done = update_model(flash, NEW, again=True)
    assert (done.written, done.partition.label) == (True, "aether_a")
    assert update_model(flash, OLD).written


def test_nothing_outside_the_slot_is_touched() -> None:
    flash = chip_with(OLD)
    flash.data[0x9000:SLOT_A] = bytes(range(256)) * ((SLOT_A - 0x9000) // 256)
    before = bytes(flash.data)
    update_model(flash, NEW)
    assert flash.data[:SLOT_B] == before[:SLOT_B]
    assert flash.data[SLOT_B + 0x20000 :] == before[SLOT_B + 0x20000 :]


@pytest.mark.slow
@pytest.mark.parametrize("other", ["nothing", "a model"])
def test_power_fails_at_any_byte(other: str) -> None:
    """Whatever the moment: the model that worked is used, or the new one, whole; and the next update succeeds."""
    whole = chip_with(OLD, NEWER) if other == "a model" else chip_with(OLD)
    works = NEWER if other == "a model" else OLD
    reference = MemoryFlash(bytearray(whole.data))
    reference.left = 1 << 30
    update_model(reference, NEW)
    total = (1 << 30) - reference.left
    cuts = {0, 1, 2, 0x41, 0x42, 0x45, 0x46, 257, 4096, 4097, 4098, total - 2, total - 1}
    first = total - 4097  # where the last step begins: the first sector once more, with the commit flag
    cuts |= {first - 1, *range(first, first + 0x48), first + 256, first + 300}
    for left in sorted({*cuts, *range(0, total, 331)}):
        flash = MemoryFlash(bytearray(whole.data))
        flash.left = left
        with pytest.raises(ConnectionAbortedError):
            update_model(flash, NEW)
        assert used(flash) in (works, NEW), left
        if left < first:
            assert used(flash) == works, left
        flash.left = None
        update_model(flash, NEW)
        assert used(flash) == NEW, left


@pytest.mark.parametrize("before", [OLD, None], ids=["over a model", "into erased flash"])
def test_every_byte_of_the_write(before: bytes | None) -> None:
    """The writes of an update, one byte after another: until the last one the slot is rejected."""
    flash = chip_with(NEWER)
    if before:
        image = pack_slot(before, 0xFFFFFFFF)  # one less than the other's
        flash.data[SLOT_B : SLOT_B + len(image)] = image
    state = bytearray(flash.data[SLOT_B : SLOT_B + 0x20000])
    writes: list[tuple[int, bytes]] = []

    class Recording(MemoryFlash):
        def write(self, offset: int, data: bytes) -> None:
            writes.append((offset - SLOT_B, data))
            super().write(offset, data)

    recording = Recording(flash.data)
    assert update_model(recording, NEW).partition.label == "aether_b"
    whole = bytes(recording.data[SLOT_B : SLOT_B + 0x20000])
    moments = 0
    for offset, data in writes:
        for sector in range(0, len(data), 4096):
            state[offset + sector : offset + sector + 4096] = b"\xff" * 4096
            for i, byte in enumerate(data[sector : sector + 4096]):
                moments += 1
                assert not read_slot("aether_b", state).valid, (offset, sector, i)
                state[offset + sector + i] = byte
                if state == whole:  # what is left is as erased
                    break
    assert read_slot("aether_b", state).blob == NEW
    assert moments > 20_000


def test_flash_that_keeps_other_bytes() -> None:
    class Defective(MemoryFlash):
        def write(self, offset: int, data: bytes) -> None:
            super().write(offset, data)
            self.data[offset + 300] = 0

    flash = Defective(chip_with(OLD).data)
    with pytest.raises(SlotError, match=r"flash of aether_b: expected 0x.. as written, found 0x00 at byte 300"):
        update_model(flash, NEW)
    assert used(flash) == OLD


def test_everything_is_checked_before_anything_is_written() -> None:
    small = [*ENTRIES[:3], *(slot[:8] + (0x1000).to_bytes(4, "little") + slot[12:] for slot in ENTRIES[3:])]
    damaged = NEW[:-1] + bytes([NEW[-1] ^ 1])
    cases: list[tuple[MemoryFlash, bytes, type[Exception]]] = [
        (chip_with(OLD), damaged, BlobCrcError),
        (MemoryFlash(bytearray(b"\xff" * 0x80000)), NEW, PartitionError),
        (MemoryFlash(blank(table_of(ENTRIES[:3]))), NEW, PartitionError),
        (MemoryFlash(blank(table_of(small))), NEW, PartitionError),
    ]
    for flash, blob, error in cases:
        before = bytes(flash.data)
        with pytest.raises(error):
            update_model(flash, blob)
        assert (bytes(flash.data), flash.writes) == (before, [])


def test_lists_the_slots_of_a_chip() -> None:
    found = read_chip(chip_with(OLD, NEW))
    assert [part.label for part in found.table] == ["nvs", "phy_init", "factory", "aether_a", "aether_b"]
    assert found.slots is not None
    assert [slot.blob for slot in found.slots] == [OLD, NEW]
    none = read_chip(MemoryFlash(blank(table_of(ENTRIES[:3]))))
    assert none.slots is None
    assert "expected partitions aether_a and aether_b" in none.why
