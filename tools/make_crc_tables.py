"""Writes csrc/src/crc32_tables.h: the eight tables of a CRC-32 that reads eight bytes at a time."""

from pathlib import Path

POLYNOMIAL = 0xEDB88320


def tables() -> list[list[int]]:
    first = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (POLYNOMIAL if value & 1 else 0)
        first.append(value)
    rows = [first]
    for _ in range(7):
        rows.append([(value >> 8) ^ first[value & 0xFF] for value in rows[-1]])
    return rows


def main() -> None:
    lines = [
        "/* Made by tools/make_crc_tables.py. Row 0 advances one byte, row n a byte followed by n zero bytes. */",
        "static const uint32_t TABLES[AETHER_CRC_ROWS][256] = {",
    ]
    for index, row in enumerate(tables()):
        if index == 1:
            lines.append("#if AETHER_CRC_ROWS > 1")
        lines.append("    {")
        for start in range(0, 256, 8):
            lines.append("        " + " ".join(f"0x{value:08X}u," for value in row[start : start + 8]))
        lines.append("    },")
    lines += ["#endif", "};", ""]
    path = Path(__file__).resolve().parent.parent / "csrc" / "src" / "crc32_tables.h"
    path.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
