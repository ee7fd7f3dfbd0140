"""Raw frames of one or several nodes to recordings: order, gaps, sizes."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .drops import Drop, Drops, describe
from .errors import RecordingFormatError
from .raw_frame import RawHeader
from .recording import Recording, RecordingInfo, rate_of
from .selection import choose

_LATE = 1024
"""A sequence number up to this far back is a late frame; farther back, the node has started again."""


@dataclass
class _Node:
    sizes: dict[tuple[int, int], tuple[bytearray, array[float]]] = field(default_factory=dict)
    dropped: Drops = field(default_factory=Drops)
    sequence: int | None = None
    missing: int = 0
    restarts: int = 0

    def frames(self) -> int:
        return sum(len(times) for _, times in self.sizes.values())


class RawCollector:
    """Takes frames in the order of arrival; gives the recording of one node."""

    def __init__(self, path: Path, format_: str) -> None:
        self._path, self._format = path, format_
        self._nodes: dict[int, _Node] = {}
        self.dropped = Drops()  # what cannot be laid to one node's charge

    def add(self, header: RawHeader, values: bytes, seconds: float | None) -> None:
        node = self._nodes.setdefault(header.node_id, _Node())
        if node.sequence is not None:
            step = (header.sequence - node.sequence) % (1 << 32)
            if step == 0:
                node.dropped[Drop.DUPLICATE] += 1
                return
            if step >= (1 << 32) - _LATE:
                node.dropped[Drop.LATE] += 1
                return
            if step < 1 << 31:
                node.missing += step - 1
            else:
                node.restarts += 1
        node.sequence = header.sequence
        data, times = node.sizes.setdefault((header.n_antennas, header.n_subcarriers), (bytearray(), array("d")))
        data += values
        times.append(float("nan") if seconds is None else seconds)

    def infos(self) -> list[RecordingInfo]:
        if not self._nodes:
            raise RecordingFormatError(
                f"{self._path}: expected raw CSI frames (magic 0xC5110001), found none that is whole "
                f"({describe(self.dropped)})"
            )
        ordered = sorted(self._nodes.items())
        return [RecordingInfo(index, f"node{node}", found.frames()) for index, (node, found) in enumerate(ordered)]

    def recording(self, selection: int | str | None) -> Recording:
        """RecordingSelectionError: several nodes, and none is chosen ("node3", or its place in the list)."""
        infos = self.infos()
        chosen = choose(str(self._path), infos, selection)
        node = self._nodes[int(chosen.name.removeprefix("node"))]
        (antennas, subcarriers), (data, times) = max(node.sizes.items(), key=lambda item: len(item[1][1]))
        dropped = Drops(self.dropped)
        dropped.update(node.dropped)
        dropped[Drop.OTHER_SENDER] += sum(info.frames for info in infos) - chosen.frames
        dropped[Drop.OTHER_SHAPE] += chosen.frames - len(times)
        stamps = np.array(times, dtype=np.float64)
        timestamps = None if np.isnan(stamps).any() else stamps - stamps[0]
        notes = [f"{node.missing} frames that the node numbered are missing"] if node.missing else []
        if node.restarts:
            notes.append(f"the node started again {node.restarts} times")
        if antennas > 1:
            notes.append(f"{antennas} antennas of {subcarriers} carriers each, one after the other")
        return Recording(
            source=str(self._path),
            name=chosen.name,
            format=self._format,
            iq=np.frombuffer(bytes(data), dtype=np.int8).reshape(len(times), antennas * subcarriers, 2),
            timestamps=timestamps,
            frame_rate=rate_of(timestamps),
            dropped={str(reason): count for reason, count in dropped.items() if count},
            notes=tuple(notes),
        )
