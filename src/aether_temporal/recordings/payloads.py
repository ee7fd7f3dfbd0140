"""Raw CSI frames one after the other in a file, as a program that writes each UDP payload away leaves them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .drops import Drop, Drops
from .raw_collect import RawCollector
from .raw_frame import HEADER, MAGIC_BYTES, MAX_FRAME, RawHeader, parse_header
from .recording import Recording, RecordingInfo

FORMAT = "raw-frames"
_CHUNK = 1 << 20


def read_frames(file: BinaryIO, dropped: Drops) -> Iterator[tuple[RawHeader, bytes]]:
    """Every whole frame. Where the next one does not begin where it should, goes on at the next magic and counts why.

    Memory is bounded by the largest frame, whatever sizes the file declares.
    """
    data, at, ended = b"", 0, False

    def fill() -> bool:
        """At least one whole frame more to look at, unless the file has ended."""
        nonlocal data, at, ended
        while not ended and len(data) - at < MAX_FRAME + len(MAGIC_BYTES):
            more = file.read(_CHUNK)
            ended = not more
            data, at = data[at:] + more, 0
        return at < len(data)

    in_garbage = False
    while fill():
        header = parse_header(data, at)
        if header is not None:
            end = at + header.size
            follows = data[end : end + len(MAGIC_BYTES)]
            # Whole: another follows, or the file ends, or no other begins inside it (a byte may be lost).
            stop = end + len(MAGIC_BYTES) - 1
            inside = -1 if follows == MAGIC_BYTES else data.find(MAGIC_BYTES, at + 1, stop)
            if end <= len(data) and (follows == MAGIC_BYTES or inside < 0):
                yield header, data[at + HEADER.size : end]
                at, in_garbage = end, False
                continue
            dropped[Drop.CUT] += 1
            if inside < 0:
                return
            at, in_garbage = inside, False
            continue
        if data.startswith(MAGIC_BYTES, at):
            cut = len(data) - at < HEADER.size
            dropped[Drop.CUT if cut else Drop.HEADER] += 1
            in_garbage = True  # what follows belongs to this frame
        elif not in_garbage:
            dropped[Drop.GARBAGE] += 1
            in_garbage = True
        found = data.find(MAGIC_BYTES, at + 1)
        # The last three bytes may be the beginning of a magic that the next read completes.
        at = found if found >= 0 else len(data) if ended else max(at + 1, len(data) - len(MAGIC_BYTES) + 1)


def _collect(path: Path) -> RawCollector:
    collector = RawCollector(path, FORMAT)
    with path.open("rb") as file:
        for header, values in read_frames(file, collector.dropped):
            collector.add(header, values, None)
    return collector


def list_payloads(path: Path) -> list[RecordingInfo]:
    """One entry for each node in the file."""
    return _collect(path).infos()


def open_payloads(path: Path, recording: int | str | None = None) -> Recording:
    """The frames of one node. There are no timestamps in this format."""
    return _collect(path).recording(recording)
