"""Receipts in a packet capture, checked afterwards."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aether_temporal.errors import RecordingError
from aether_temporal.model import TemporalModel
from aether_temporal.recordings.node_packets import RAW_MAGIC_BYTES
from aether_temporal.recordings.raw_frames import payloads
from aether_temporal.recordings.recording import Drops
from aether_temporal.recordings.recording_file import Source

from .packets import CLASSIFICATION_MAGIC, RECEIPT_MAGIC, Classification, RawFrame, Receipt, Rejected, parse
from .twin import Check, NodeTwin

_MAGICS = (RAW_MAGIC_BYTES, *(magic.to_bytes(4, "little") for magic in (CLASSIFICATION_MAGIC, RECEIPT_MAGIC)))
_MOST_NODES = 1024


@dataclass(eq=False)
class NodeChecks:
    """What became of a node's receipts: when each was captured (seconds since 1970), and its check."""

    node_id: int
    address: str
    checks: list[tuple[float, Check]] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Of each verdict."""
        return dict(Counter(str(check.verdict) for _, check in self.checks))

    def document(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "node": self.node_id,
            "address": self.address,
            "counts": self.counts(),
            "receipts": [{"time": at, **check.document()} for at, check in self.checks],
        }


@dataclass(frozen=True)
class Captured:
    """What a capture holds. rejected: datagrams that are none of a node's packets, by reason."""

    nodes: tuple[NodeChecks, ...]
    rejected: dict[str, int]


def captured_checks(model: TemporalModel, path: str | os.PathLike[str]) -> Captured:
    """Checks every receipt of a pcap or pcapng file, node by node. RecordingError: no receipt, or more than 1024
    nodes; RecordingFormatError, MissingExtraError (dpkt), OSError."""
    twins: dict[tuple[str, int], NodeTwin] = {}
    found: dict[tuple[str, int], NodeChecks] = {}
    times: dict[tuple[str, int], list[float]] = {}
    rejected: Counter[str] = Counter()
    for seconds, address, payload in payloads(Source(Path(path)), Drops(), _MAGICS):
        packet = parse(payload)
        if isinstance(packet, Rejected):
            rejected[packet.reason] += 1
            continue
        if not isinstance(packet, RawFrame | Classification | Receipt):
            continue
        key = (address, packet.node_id)
        if key not in twins:
            if len(twins) >= _MOST_NODES:
                raise RecordingError(f"{os.fspath(path)}: nodes: expected at most {_MOST_NODES}, found more")
            twins[key], found[key], times[key] = NodeTwin(model), NodeChecks(packet.node_id, address), []
        twins[key].take(packet)
        if isinstance(packet, Receipt):
            times[key].append(seconds)
            _note(twins[key], found[key], times[key], final=False)
    for key, twin in twins.items():
        _note(twin, found[key], times[key], final=True)
    nodes = tuple(each for each in found.values() if each.checks)
    if not nodes:
        raise RecordingError(
            f"{os.fspath(path)}: expected receipts of a node, found none; build the node with RUV_TEMPORAL_RECEIPTS "
            "and AETHER_SEND_RAW"
        )
    return Captured(nodes, dict(rejected))


def _note(twin: NodeTwin, found: NodeChecks, times: list[float], *, final: bool) -> None:
    for check in twin.checks(final=final):
        found.checks.append((times.pop(0), check))
