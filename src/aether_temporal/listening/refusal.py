"""Why a datagram was refused."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Refusal(StrEnum):
    """One reason. The values are stable: they stand in the JSON output."""

    SHORT = "short"  # fewer bytes than a magic
    MAGIC = "magic"  # of no packet known here
    LENGTH = "length"  # not exactly as long as its kind, or its header, says
    VERSION = "version"  # a version not known here
    CRC = "crc"
    RESERVED = "reserved"  # bytes that must be 0 and are not
    HEADER = "header"  # a raw frame's header with impossible sizes
    CLASSES = "classes"  # fewer than 2 classes
    ARGMAX = "argmax"  # a class that there is not
    NOT_FINITE = "not_finite"  # NaN or infinity
    MARGIN = "margin"  # the largest logit below the second largest
    NOT_ALLOWED = "not_allowed"  # from an address that is not allowed
    TOO_FAST = "too_fast"  # a node, or an address, beyond its rate
    TABLE_FULL = "table_full"  # from a new node when there is no room for another


@dataclass(frozen=True, slots=True)
class Refused:
    """A datagram that is none of ours: why, what was expected there, and what was found."""

    reason: Refusal
    expected: str
    found: object

    def __str__(self) -> str:
        found = f"0x{self.found:08X}" if isinstance(self.found, int) and self.reason in _HEX else self.found
        return f"{self.reason}: expected {self.expected}, found {found}"


_HEX = (Refusal.MAGIC, Refusal.CRC)
