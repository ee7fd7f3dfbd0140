"""Packets byte by byte, as the formats page gives them: nothing here comes from the package."""

from __future__ import annotations

import binascii
import struct


def _put(size: int, fields: list[tuple[int, str, object]]) -> bytearray:
    data = bytearray(size)
    for offset, code, value in fields:
        struct.pack_into("<" + code, data, offset, value)
    return data


def sealed(data: bytes | bytearray) -> bytes:
    """With the CRC-32 of all but the last four bytes in those."""
    return bytes(data[:-4]) + struct.pack("<I", binascii.crc32(bytes(data[:-4])))


def classification(
    node: int = 1,
    sequence: int = 0,
    *,
    argmax: int = 0,
    classes: int = 4,
    logit: float = 1.5,
    margin: float = 0.25,
    ts_us: int = 1_000_000,
    version: int = 1,
    magic: int = 0xC5110007,
) -> bytes:
    return sealed(
        _put(
            40,
            [
                (0x00, "I", magic),
                (0x04, "H", version),
                (0x06, "H", classes),
                (0x08, "B", node),
                (0x0C, "Q", ts_us),
                (0x14, "I", sequence % 2**32),
                (0x18, "B", argmax),
                (0x1C, "f", logit),
                (0x20, "f", margin),
            ],
        )
    )


def features(
    node: int = 1,
    sequence: int = 0,
    values: tuple[float, ...] = tuple(range(9)),
    *,
    ts_us: int = 1_000_000,
    mode: int = 0,
) -> bytes:
    fields = [(0, "I", 0xC5110006), (4, "B", node), (5, "B", mode), (6, "H", sequence % 2**16), (8, "Q", ts_us)]
    floats = [(16 + 4 * i, "f", value) for i, value in enumerate(values)]
    return sealed(_put(60, [*fields, *floats]))


def raw(
    node: int = 1, sequence: int = 0, values: bytes = bytes(12), *, antennas: int = 1, subcarriers: int | None = None
):
    n = len(values) // 2 // antennas if subcarriers is None else subcarriers
    head = [
        (0, "I", 0xC5110001),
        (4, "B", node),
        (5, "B", antennas),
        (6, "H", n),
        (8, "I", 2437),
        (12, "I", sequence % 2**32),
        (16, "b", -40),
        (17, "b", -92),
    ]
    return bytes(_put(20, head)) + values
