"""The partition table of a chip."""

from __future__ import annotations

import contextlib

import pytest
from device.chip_flash import ENTRIES, SLOT_A, SLOT_B, SLOT_BYTES, entry, table_of
from hypothesis import given
from hypothesis import strategies as st

from aether_temporal.device.update import Partition, parse_table, slot_partitions
from aether_temporal.errors import PartitionError

TABLE = table_of(ENTRIES)


def test_a_table() -> None:
    table = parse_table(TABLE)
    assert [part.label for part in table] == ["nvs", "phy_init", "factory", "aether_a", "aether_b"]
    assert table[2] == Partition("factory", "app", "factory", 0x10000, 0x30000)
    assert table[3] == Partition("aether_a", "data", "undefined", SLOT_A, SLOT_BYTES)
    assert slot_partitions(table, 70_000) == (table[3], table[4])
    assert parse_table(table_of(ENTRIES, md5=False)) == table


def test_names_of_types() -> None:
    found = parse_table(table_of([entry("a", 0, 0x11, 0x10000, 4096), entry("b", 1, 0x82, 0x20000, 4096, 3)]))
    assert (found[0].type, found[0].subtype) == ("app", "ota_1")
    assert (found[1].type, found[1].subtype, found[1].encrypted, found[1].read_only) == ("data", "spiffs", True, True)
    (other,) = parse_table(table_of([entry("c", 0x40, 7, 0x10000, 4096)]))
    assert (other.type, other.subtype) == ("0x40", "0x07")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff" * 0xC00, "none: is there firmware on it"),
        (b"", "expected entries at 0x8000"),
        (b"\x00" * 0xC00, "found 0x0000"),
        (TABLE.replace(b"factory", b"factorY"), "partition table MD5: expected"),
        (table_of([entry("x", 1, 6, 0x1001, 4096)]), "partition 'x': expected an offset that is a multiple of 4096"),
        (table_of([entry("x", 1, 6, 0x1000, 0)]), "found 0x1000 and 0x0"),
        (table_of([entry("x", 1, 6, 0xFFFFF000, 0x2000)]), "found 0xFFFFF000"),
    ],
)
def test_rejects_a_damaged_partition_table(data: bytes, message: str) -> None:
    with pytest.raises(PartitionError, match=message):
        parse_table(data)


@given(st.binary(max_size=0xC00))
def test_any_bytes(data: bytes) -> None:
    with contextlib.suppress(PartitionError):
        assert parse_table(data)


@pytest.mark.parametrize(
    ("slot", "message"),
    [
        (None, "expected partitions aether_a and aether_b, found nvs, phy_init, factory, aether_a"),
        (entry("aether_b", 1, 2, SLOT_B, SLOT_BYTES), "partition aether_b: expected data, undefined, without flags"),
        (entry("aether_b", 1, 6, SLOT_B, SLOT_BYTES, 1), "found data, undefined, encrypted"),
        (entry("aether_b", 1, 6, SLOT_B, SLOT_BYTES, 2), "found data, undefined, readonly"),
        (entry("aether_b", 1, 6, SLOT_B, 0x1001), "a multiple of 4096 bytes"),
        (entry("aether_b", 1, 6, SLOT_B, 0x1000), "expected at least 73728 bytes for a blob of 70000, found 4096"),
    ],
)
def test_rejects_a_damaged_slot_image(slot: bytes | None, message: str) -> None:
    table = parse_table(table_of([*ENTRIES[:4], *([] if slot is None else [slot])]))
    with pytest.raises(PartitionError, match=message):
        slot_partitions(table, 70_000)
