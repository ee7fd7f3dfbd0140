"""What every reader takes and gives: `Hints`, what a user says of a file; `RecordingFile`, the recordings of a file
that was parsed once; `RecordingFormat`, the description of a reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from aether_temporal.subcarriers import SubcarrierMap

from .containers import Source
from .recording import Recording, RecordingInfo, choose


@dataclass(frozen=True)
class Hints:
    """None: the reader finds out. csi_bits: of one I or Q in the device's buffer. chip: one of `subcarriers.CHIPS`.
    layout: which subcarrier each I/Q pair or feature is."""

    csi_bits: Literal[8, 12] | None = None
    chip: str | None = None
    layout: SubcarrierMap | None = None


NOTHING = Hints()


@dataclass(frozen=True, eq=False)
class RecordingFile:
    """The recordings of one file. The file has been parsed once; each recording is made when it is asked for.

    `default` is the one that is taken where none is chosen; None: a choice is needed where there are several.
    """

    source: str
    format: str
    infos: tuple[RecordingInfo, ...]
    open: Callable[[RecordingInfo], Recording]
    default: int | None = None

    def recording(self, choice: int | str | None = None) -> Recording:
        """The recording of this index or name. RecordingSelectionError lists them."""
        if choice is None and self.default is not None:
            return self.open(self.infos[self.default])
        return self.open(choose(self.source, self.infos, choice))

    def __iter__(self) -> Iterator[Recording]:
        """Every recording, one at a time."""
        return map(self.open, self.infos)


@dataclass(frozen=True)
class RecordingFormat:
    """A file format and its reader.

    `find` takes the first bytes of a file and returns where the format's content starts, -1 where there is none.
    """

    name: str  # in --format, FORMATS and Recording.format
    description: str  # in the error about a file that no format recognises
    find: Callable[[bytes], int]
    read: Callable[[Source, Hints], RecordingFile]
