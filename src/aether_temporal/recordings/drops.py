"""The reasons for which readers drop frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum


class Drop(StrEnum):
    """One reason. The values are part of the JSON output."""

    CUT = "cut"  # ends before its data does
    COLUMNS = "columns"  # as many fields as no known layout has
    NOT_INTEGER = "not_integer"  # a value that must be an integer is not one
    OUT_OF_RANGE = "out_of_range"  # an integer beyond the range of its field (8 bits for I/Q)
    LENGTH = "length"  # declared and actual number of values differ, or are odd or zero
    LINE_TOO_LONG = "line_too_long"
    OTHER_TEXT = "other_text"  # a line without a frame: log output, a boot message
    OTHER_SENDER = "other_sender"  # a frame of another transmitter or node than the chosen one
    OTHER_SHAPE = "other_shape"  # a whole frame, but of another size than most
    NOT_FINITE = "not_finite"  # NaN or infinity among the features
    OVERFLOW = "overflow"  # the model's numbers for this frame leave their range
    HEADER = "header"  # a raw frame's header with impossible sizes
    GARBAGE = "garbage"  # bytes between raw frames that are no frame (counted by run, not by byte)
    DUPLICATE = "duplicate"  # a raw frame whose sequence number was just seen
    LATE = "late"  # a raw frame that arrived after a newer one
    CRC = "crc"  # a packet whose CRC does not match
    FRAGMENT = "fragment"  # an IP fragment: the datagram is not whole
    OTHER_PACKET = "other_packet"  # a packet that carries no CSI
    BAD_CAPTURE = "bad_capture"  # the capture file itself is damaged from here on


Drops = Counter[str]


def describe(dropped: Mapping[str, int]) -> str:
    """'12 other_text, 3 cut'; 'nothing dropped' where that is so."""
    parts = [
        f"{count} {reason}" for reason, count in sorted(dropped.items(), key=lambda item: (-item[1], item[0])) if count
    ]
    return ", ".join(parts) or "nothing"
