"""What a device's buffer holds: pairs of signed bytes or 12-bit words, and the subcarrier of each pair.

ESP32-C5, C6 and C61 write their L-LTF in 12 bits by default: for each subcarrier the low and the high byte of the
imaginary part, then of the real one. The upper four bits of the high byte mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal.errors import RecordingShapeError
from aether_temporal.subcarriers import Band, SubcarrierMap, layout_of, same_order

from .recording_file import NOTHING, Hints

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


def pairs_of(values: NDArray[Any], words: bool) -> NDArray[Any]:
    """I/Q pairs [N, pairs, 2] of values [N, L], one each, or (`words`) the bytes of 12-bit words."""
    return words_of(values) if words else values.reshape(len(values), -1, 2)


HT_COLUMNS = ("sig_mode", "bandwidth", "stbc", "secondary")
"""What older chips say of a packet, in the order of `PacketFacts`."""
PacketFacts = tuple[int | None, int | None, int | None, int | None]
NO_FACTS: PacketFacts = (None, None, None, None)
PLAIN_CHANNEL: PacketFacts = (None, 0, 0, 0)
"""What a chip that the user names is taken to have received where no packet says more: 20 MHz, without STBC and a
secondary channel."""


def subcarriers_by(
    hints: Hints,
    chips: Sequence[str],
    pairs: int,
    facts: Iterable[PacketFacts] = (NO_FACTS,),
    *,
    twelve_bits: bool = False,
) -> SubcarrierMap | None:
    """The subcarriers of frames that come from one of `chips`, or from the one that the user names; None where what is
    known does not decide. RecordingShapeError: the user's layout is one of other frames. InvalidConfigError: an unknown
    chip."""
    if hints.layout is not None:
        if len(hints.layout) != pairs:
            raise RecordingShapeError(
                f"layout: expected a subcarrier for each of {pairs} columns, found {len(hints.layout)}; state them all"
            )
        return hints.layout
    found: list[SubcarrierMap] = []
    for chip in chips if hints.chip is None else (hints.chip,):
        for packet in facts:
            told = PLAIN_CHANNEL if packet == NO_FACTS and hints.chip is not None else packet
            named = dict(zip(HT_COLUMNS, told, strict=True))
            layout = layout_of(chip, pairs, twelve_bits=twelve_bits, **named)
            if layout is not None:
                found.append(layout)
            elif packet != NO_FACTS:
                return None
    numbers = {layout.numbers for layout in found}
    if len(numbers) != 1:
        return None
    return found[0] if len({layout.bands for layout in found}) == 1 else SubcarrierMap.of(found[0].numbers)


def settled_subcarriers(
    said: SubcarrierMap | None,
    hints: Hints,
    chips: Sequence[str],
    pairs: int,
    facts: Iterable[PacketFacts] = (NO_FACTS,),
    *,
    twelve_bits: bool = False,
) -> tuple[SubcarrierMap | None, tuple[str, ...]]:
    """The subcarriers of frames, and a note where the user says something else of them than the recording, which names
    them one by one (`said`) or comes from one of `chips`. The user's layout counts more than what a recording says, the
    user's chip less than names. Errors of `subcarriers_by`."""
    facts = tuple(facts)
    by_recording = said or subcarriers_by(NOTHING, chips, pairs, facts, twelve_bits=twelve_bits)
    if hints.layout is None and hints.chip is None:
        return by_recording, ()
    by_user = subcarriers_by(hints, chips, pairs, facts, twelve_bits=twelve_bits)
    used = said if said is not None and hints.layout is None else by_user
    if by_recording is not None and by_user is not None and _differ(by_recording, by_user):
        option = "--layout" if hints.layout is not None else f"--chip {hints.chip}"
        counts = option if used is by_user else "the recording"
        return used, (
            f"the recording says that its subcarriers are {by_recording}, {option} says {by_user}: {counts} counts",
        )
    if hints.layout is None and hints.chip is not None and chips and not same_order(hints.chip, chips):
        return used, (f"the recording comes from chip {' or '.join(chips)}, --chip says {hints.chip}: --chip counts",)
    return used, ()


def _differ(one: SubcarrierMap, other: SubcarrierMap) -> bool:
    """Not, where one of both knows less: it may be L-LTF or HT-LTF."""
    bands = zip(one.bands, other.bands, strict=False)
    return one.numbers != other.numbers or any(a != b and Band.ANY not in (a, b) for a, b in bands)
