"""The bytes of a device's buffer as I/Q values: pairs of signed bytes, or 12-bit words of two bytes each.

ESP32-C5, C6 and C61 write their L-LTF in 12 bits by default: for each subcarrier the low and the high byte of the
imaginary part, then of the real one. The upper four bits of the high byte mean nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

WORD_CHIPS = ("c5", "c6", "c61")
"""Chips that write 12-bit words."""
WORD_BYTES = (104, 106)
"""Lengths of a buffer of 12-bit words: 26 subcarriers, and for the second two bytes more, which mean nothing."""
LOW, HIGH = -2048, 2047
"""The range of a 12-bit word."""

_FEW, _MANY = 16, 32
"""Distinct values of high and low bytes."""


def is_word_chip(chip: Any) -> bool:
    """Whether a chip, by the name that a file gives it, writes 12-bit words."""
    return isinstance(chip, str) and chip.casefold().replace("-", "").removeprefix("esp32") in WORD_CHIPS


def is_12_bit(values: NDArray[np.int8], chip: Any) -> bool:
    """Whether the bytes [N, L] of a chip's buffer are 12-bit words: a length that such have, and high bytes of a
    handful of values, low ones of many. In 8-bit pairs of the same length both parts take many, or few."""
    if not is_word_chip(chip) or values.shape[1] not in WORD_BYTES or not len(values):
        return False
    low, high = np.unique(values[:, 0:104:2]), np.unique(values[:, 1:104:2])
    return len(high) <= _FEW and len(low) > _MANY


def words_of(values: NDArray[np.int8]) -> NDArray[np.int16]:
    """int8 [N, L] to int16 [N, pairs, 2]: 12-bit words, low byte first; what is left of less than a pair is no word."""
    pairs = values.shape[1] // 4
    whole = np.ascontiguousarray(values[:, : 4 * pairs])
    words = whole.view("<i2").astype(np.int16)
    return ((words << 4) >> 4).reshape(len(values), pairs, 2)
