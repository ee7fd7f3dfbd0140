"""An immutable copy of what a receiver has counted, for displays and programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .nodes import Kind, Node, NodePrediction
from .packet_receiver import PacketReceiver


@dataclass(frozen=True, slots=True)
class NodeSnapshot:
    """One node. `rate` in packets a second; `silent`: seconds since its last accepted packet."""

    node_id: int
    address: str
    prediction: NodePrediction | None
    rssi: int | None
    rate: float
    silent: float
    first_seen: float
    last_seen: float
    accepted: Mapping[str, int]
    rejected: Mapping[str, int]
    missing: int
    late: int
    duplicates: int
    restarts: int
    clock_jumps: int

    def document(self) -> dict[str, object]:
        """As a JSON document."""
        prediction = self.prediction
        return {
            "node": self.node_id,
            "address": self.address,
            "class": None if prediction is None else prediction.class_index,
            "logit": None if prediction is None else prediction.logit,
            "margin": None if prediction is None else prediction.margin,
            "predicted_by": None if prediction is None else "host" if prediction.local else "node",
            "rssi": self.rssi,
            "rate_hz": self.rate,
            "first_seen": self.first_seen,
            "last_seen": self.last_seen,
            "accepted": dict(self.accepted),
            "rejected": dict(self.rejected),
            "missing": self.missing,
            "late": self.late,
            "duplicates": self.duplicates,
            "restarts": self.restarts,
            "clock_jumps": self.clock_jumps,
        }


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All nodes and totals. `system_drops`: datagrams that the system dropped because its buffer was full (None: the
    system does not count them)."""

    nodes: tuple[NodeSnapshot, ...]
    received: int
    accepted: Mapping[str, int]
    rejected: Mapping[str, int]
    last_rejected: str | None
    evicted: int
    system_drops: int | None

    def document(self) -> dict[str, object]:
        """As a JSON document."""
        return {
            "received": self.received,
            "accepted": dict(self.accepted),
            "rejected": dict(self.rejected),
            "evicted_nodes": self.evicted,
            "dropped_by_system": self.system_drops,
            "nodes": [node.document() for node in self.nodes],
        }


def take_snapshot(receiver: PacketReceiver, now: float, system_drops: int | None) -> Snapshot:
    """A copy of the receiver's state. Call it in the thread that calls `PacketReceiver.take`."""
    last = receiver.last_rejected
    return Snapshot(
        nodes=tuple(_node_snapshot(node, now) for node in receiver.table.nodes()),
        received=receiver.received,
        accepted={str(kind): receiver.accepted[kind] for kind in Kind if receiver.accepted[kind]},
        rejected=dict(receiver.rejected),
        last_rejected=None if last is None else f"{last[0]}: {last[1]}",
        evicted=receiver.table.evicted,
        system_drops=system_drops,
    )


def _node_snapshot(node: Node, now: float) -> NodeSnapshot:
    return NodeSnapshot(
        node_id=node.key.node_id,
        address=node.key.address,
        prediction=node.prediction,
        rssi=node.rssi,
        rate=node.rate.value(now),
        silent=max(0.0, now - node.heard),
        first_seen=node.first_seen,
        last_seen=node.last_seen,
        accepted={str(kind): count for kind, count in node.accepted.items()},
        rejected=dict(node.rejected),
        missing=node.total("missing"),
        late=node.total("late"),
        duplicates=node.total("duplicates"),
        restarts=node.total("restarts"),
        clock_jumps=node.clock_jumps,
    )
