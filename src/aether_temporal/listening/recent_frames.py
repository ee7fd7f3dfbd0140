"""The newest frames of each sender, in bounded memory: for a picture of them, and to see what is wrong with them."""

from __future__ import annotations

from array import array
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal.model import TemporalModel
from aether_temporal.recordings import Recording, RecordingShapeError
from aether_temporal.recordings.csi_buffers import is_12_bit, words_of
from aether_temporal.recordings.quality import quality_of
from aether_temporal.recordings.recording import rate_of
from aether_temporal.running.inputs import columns_for
from aether_temporal.subcarriers import SubcarrierMap

_SENDERS = 16
_FRAMES = 1024
_BYTES = 512 << 10


@dataclass
class _Sender:
    frames: deque[tuple[float, bytes]] = field(default_factory=deque)
    bytes: int = 0
    wide: bool = False  # values of 16 bits
    words: bool = False  # bytes that may be words of 12 bits
    subcarriers: SubcarrierMap | None = None


class RecentFrames:
    """Up to 1024 frames and 512 KiB of each of 16 senders; those heard last are kept. Threads may share it."""

    def __init__(self) -> None:
        self._senders: OrderedDict[str, _Sender] = OrderedDict()
        self._lock = Lock()

    def add(
        self,
        sender: str,
        values: bytes | array[int],
        seconds: float,
        *,
        words: bool = False,
        subcarriers: SubcarrierMap | None = None,
    ) -> None:
        """One frame: I/Q pairs of signed bytes, or an array of signed values; words: may be words of 12 bits.
        subcarriers: of each pair, where they are known."""
        with self._lock:
            found = self._senders.setdefault(sender, _Sender())
            self._senders.move_to_end(sender)
            if len(self._senders) > _SENDERS:
                self._senders.popitem(last=False)
            wide = isinstance(values, array) and values.itemsize > 1
            if (found.wide, found.subcarriers) != (wide, subcarriers):
                found.frames.clear()
                found.bytes, found.wide, found.subcarriers = 0, wide, subcarriers
            found.words = words
            data = bytes(values)
            found.frames.append((seconds, data))
            found.bytes += len(data)
            while len(found.frames) > _FRAMES or found.bytes > _BYTES:
                found.bytes -= len(found.frames.popleft()[1])

    def recordings(self) -> list[Recording]:
        """The newest frames of each sender as a recording; of several sizes the most frequent."""
        with self._lock:
            taken = [
                (name, list(each.frames), each.wide, each.words, each.subcarriers)
                for name, each in self._senders.items()
            ]
        return [_recording(*each) for each in taken if each[1]]

    def warnings(self, model: TemporalModel | None = None) -> list[str]:
        """What is wrong with the frames that came last, by sender: with the subcarriers that the model takes, as a run
        of these frames says it, or with all."""
        return [
            f"{each.name}: {text}"
            for each in self.recordings()
            for text in quality_of(each, _taken(model, each)).warnings
        ]


def _taken(model: TemporalModel | None, recording: Recording) -> list[int] | None:
    """The columns that the model takes; None: all, also where the frames do not suit it."""
    if model is None:
        return None
    try:
        there, width = recording.subcarriers, recording.width
        return columns_for(model, there, width, raw=True, where=recording.name).index
    except RecordingShapeError:
        return None


def _recording(
    name: str, frames: list[tuple[float, bytes]], wide: bool, words: bool, subcarriers: SubcarrierMap | None
) -> Recording:
    size = Counter(len(data) for _, data in frames).most_common(1)[0][0]
    kept = [(seconds, data) for seconds, data in frames if len(data) == size]
    data = b"".join(data for _, data in kept)
    values: NDArray[Any] = np.frombuffer(data, np.int16 if wide else np.int8).reshape(len(kept), -1)
    iq: NDArray[Any] = values.reshape(len(kept), -1, 2)
    if words and not wide and is_12_bit(values, "c6"):
        iq = words_of(values)
    stamps = np.array([seconds for seconds, _ in kept], dtype=np.float64)
    known = subcarriers if subcarriers is not None and len(subcarriers) == iq.shape[1] else None
    return Recording("", name, "live", iq=iq, timestamps=stamps, frame_rate=rate_of(stamps), subcarriers=known)
