"""Subcarriers by band and signed number (docs/spec/subcarriers.md).

The pairs of a frame come in an order that differs by chip, packet and channel; a number means the same subcarrier in
all of them. The table of orders is the core's, which a chip shares.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._internal.convert import expect_choice
from .errors import InvalidArgumentError, ShapeError

__all__ = ["CHIPS", "Band", "SubcarrierMap", "find_subcarriers", "layout_of", "parse_layout", "parse_subcarriers"]

MOST = 511
"""Numbers reach from -511 to 511."""


class Band(StrEnum):
    """The training field that a subcarrier was measured in. ANY, of a recording: L-LTF or HT-LTF of 20 MHz, not known
    which; of a model: either. HTLTF40 and STBC40 are those of 40 MHz, counted from the centre of both channels."""

    ANY = "any"
    LLTF = "lltf"
    HTLTF = "htltf"
    HTLTF40 = "htltf40"
    HELTF = "heltf"
    STBC = "stbc"
    STBC40 = "stbc40"


BANDS = tuple(Band)
"""In the order of the core's codes."""
_CODES = {band: code for code, band in enumerate(BANDS)}

_Run = tuple[int, int, int, int]  # band, first, step, count


@dataclass(frozen=True)
class SubcarrierMap:
    """Which subcarrier each column (or I/Q pair) is: a band and a signed number, each subcarrier once."""

    bands: tuple[Band, ...]
    numbers: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.bands) != len(self.numbers):
            raise ShapeError.of("subcarriers", f"a number for each of {len(self.bands)} bands", len(self.numbers))
        seen = set()
        for band, number in zip(self.bands, self.numbers, strict=True):
            if not -MOST <= number <= MOST:
                raise InvalidArgumentError.of("subcarriers", f"numbers from -{MOST} to {MOST}", number)
            if (band, number) in seen:
                raise InvalidArgumentError.of("subcarriers", "each subcarrier once", f"{band}:{number} twice")
            seen.add((band, number))

    @classmethod
    def of(cls, numbers: Iterable[int], band: Band = Band.ANY) -> SubcarrierMap:
        """Numbers of one band."""
        found = tuple(int(number) for number in numbers)
        return cls((band,) * len(found), found)

    @classmethod
    def _of_runs(cls, runs: Sequence[_Run]) -> SubcarrierMap:
        bands: list[Band] = []
        numbers: list[int] = []
        for band, first, step, count in runs:
            bands += [BANDS[band]] * count
            numbers += range(first, first + step * count, step)
        return cls(tuple(bands), tuple(numbers))

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, columns: slice) -> SubcarrierMap:
        """Those of neighbouring columns."""
        return SubcarrierMap(self.bands[columns], self.numbers[columns])

    def select(self, columns: Sequence[int]) -> SubcarrierMap:
        """Those of some columns, in this order."""
        return SubcarrierMap(tuple(self.bands[i] for i in columns), tuple(self.numbers[i] for i in columns))

    def runs(self) -> list[_Run]:
        """The columns as the core takes them: (code of the band, first number, step, count)."""
        runs: list[_Run] = []
        for band, number in zip(self.bands, self.numbers, strict=True):
            code = _CODES[band]
            if runs:
                last, first, step, count = runs[-1]
                grows = number - (first + step * (count - 1))
                if last == code and ((count == 1 and 1 <= grows <= 255) or grows == step):
                    runs[-1] = (code, first, grows, count + 1)
                    continue
            runs.append((code, number, 1, 1))
        return runs

    def __str__(self) -> str:
        """As `--subcarriers` and `--layout` take it: "lltf:-26..-1,1..26"."""
        parts, before = [], ""
        for code, first, step, count in self.runs():
            last = first + step * (count - 1)
            body = str(first) if count == 1 else f"{first}..{last}" if step == 1 else f"{first}..{last}/{step}"
            band = "" if BANDS[code] == Band.ANY else f"{BANDS[code]}:"
            parts.append((band if band != before else "") + body if band or not before else f"any:{body}")
            before = band
        return ",".join(parts)


def find_subcarriers(there: SubcarrierMap, wanted: SubcarrierMap) -> NDArray[np.uint16]:
    """The column of each wanted subcarrier among those that are there. ShapeError names the first that is not.

    Wanted subcarriers of band ANY are all taken from one band: the first of L-LTF, HT-LTF and ANY that has them all.
    """
    bands = np.array([_CODES[band] for band in wanted.bands], dtype=np.uint8)
    found = _core.find_pairs(there.runs(), bands, np.array(wanted.numbers, dtype=np.int16))
    if isinstance(found, int):
        raise ShapeError.of("subcarriers", str(wanted[found : found + 1]), there)
    return found


_FAMILIES = (("esp32", "esp32s2", "esp32s3", "esp32c3"), ("esp32c5", "esp32c61"), ("esp32c6",))
_FAMILY_OF = {chip: family for family, chips in enumerate(_FAMILIES) for chip in chips}
CHIPS = tuple(_FAMILY_OF)
"""The chips whose orders are known. "esp32-s3" and "s3" name the same."""

_UNKNOWN = 0xFF


def chip_name(chip: str) -> str:
    """One of CHIPS. InvalidConfigError lists them."""
    plain = re.sub(r"[^a-z0-9]", "", chip.lower())
    name = plain if plain.startswith("esp32") else f"esp32{plain}"
    expect_choice(name if name in CHIPS else chip, CHIPS, "chip")
    return name


def layout_of(
    chip: str,
    pairs: int,
    *,
    twelve_bits: bool = False,
    sig_mode: int | None = None,
    bandwidth: int | None = None,
    stbc: int | None = None,
    secondary: int | None = None,
) -> SubcarrierMap | None:
    """The subcarriers of a frame of `pairs` I/Q pairs as the driver delivers it; None where these facts do not decide.

    sig_mode: 0 without HT (or only L-LTF is recorded), 1 HT, 3 VHT, 4 HE. bandwidth: 0 or 20, 1 or 40. stbc: 0 or
    more. secondary: 0 none, 1 above, 2 below. None: not known. InvalidConfigError: no such chip.
    """
    formats = {None: _UNKNOWN, 0: 0, 1: 1, 3: 1, 4: 2}
    facts = (
        _FAMILY_OF[chip_name(chip)],
        int(twelve_bits),
        formats.get(sig_mode, 7),
        _UNKNOWN if bandwidth is None else {0: 0, 20: 0, 1: 1, 40: 1}.get(bandwidth, 7),
        _UNKNOWN if stbc is None else int(stbc > 0),
        _UNKNOWN if secondary is None else secondary if secondary in (0, 1, 2) else 7,
    )
    runs = _core.layout_of(facts, pairs)
    return SubcarrierMap._of_runs(runs) if runs else None


def same_order(chip: str, chips: Iterable[str]) -> bool:
    """Whether a chip orders subcarriers as one of others does."""
    return _FAMILY_OF[chip_name(chip)] in {_FAMILY_OF[chip_name(other)] for other in chips}


_PART = re.compile(
    r"(?:(?P<band>[a-z0-9]+):)?(?P<first>[+-]?\d{1,3})(?:\.\.(?P<last>[+-]?\d{1,3})(?:/(?P<step>\d{1,3}))?)?"
)


def _parts(text: str, field: str) -> Iterator[tuple[Band, range]]:
    band = Band.ANY
    for part in text.replace(" ", "").split(","):
        match = _PART.fullmatch(part)
        names = tuple(map(str, BANDS))
        if match is None or (match["band"] or "any") not in names:
            expected = f"numbers and ranges such as -26..26 or htltf:-28..28 (bands {', '.join(names)})"
            raise InvalidArgumentError.of(field, expected, repr(part))
        band = Band(match["band"]) if match["band"] else band
        first, step = int(match["first"]), int(match["step"] or 1)
        last = first if match["last"] is None else int(match["last"])
        if step < 1 or last < first:
            raise InvalidArgumentError.of(field, "ascending ranges", repr(part))
        yield band, range(first, last + 1, step)


def _joined(found: list[tuple[Band, int]]) -> SubcarrierMap:
    return SubcarrierMap(tuple(band for band, _ in found), tuple(number for _, number in found))


def parse_subcarriers(text: str) -> SubcarrierMap:
    """Wanted subcarriers: "-26..26", "lltf:-26..-1,1..26", "-26..26/2,htltf:-28". A range leaves out 0, the centre,
    which carries nothing; "0" alone asks for it. InvalidArgumentError."""
    numbers = ((band, n) for band, part in _parts(text, "subcarriers") for n in part if n or len(part) == 1)
    return _joined(list(numbers))


def parse_layout(text: str) -> SubcarrierMap:
    """What each column is, in the same words, 0 included: "lltf:0..31,-32..-1". InvalidArgumentError."""
    return _joined(list(itertools.chain.from_iterable(zip(itertools.repeat(b), p) for b, p in _parts(text, "layout"))))
