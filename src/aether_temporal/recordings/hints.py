"""What a user says of a file that the file does not say itself, and the subcarriers that follow from all that is
known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from aether_temporal.errors import RecordingShapeError
from aether_temporal.subcarriers import SubcarrierMap, layout_of


@dataclass(frozen=True)
class Hints:
    """None: the reader finds out. csi_bits: of one I or Q in the device's buffer. chip: one of `subcarriers.CHIPS`.
    layout: which subcarrier each I/Q pair or feature is."""

    csi_bits: Literal[8, 12] | None = None
    chip: str | None = None
    layout: SubcarrierMap | None = None


NOTHING = Hints()

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
