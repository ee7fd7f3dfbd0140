"""What programs and displays read: an immutable copy of what a receiver has counted, and classifications, feature
states and predictions as JSON documents."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aether_temporal.model import TemporalModel
from aether_temporal.recordings.node_packets import FEATURES, FeatureState
from aether_temporal.running.stream import Prediction

from .nodes import Kind, Node, NodeCheck, NodePrediction
from .packet_receiver import Arrival, PacketReceiver
from .packets import Classification
from .twin import Check

_WAITING = 8192
"""Events that may wait for a slow reader. More are dropped, the oldest first."""


@dataclass(frozen=True, slots=True)
class NodeSnapshot:
    """One node. `rate` in packets a second; `silent`: seconds since its last accepted packet. `shared`: two senders use
    its name at once. `trouble`: why the model on this computer does not classify its frames."""

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
    shared: bool
    trouble: str | None
    check: NodeCheck | None = None

    def document(self) -> dict[str, object]:
        """As a JSON document."""
        prediction = self.prediction
        return {
            "node": self.node_id,
            "address": self.address,
            "class": None if prediction is None else prediction.class_index,
            "logit": None if prediction is None else prediction.logit,
            "margin": None if prediction is None else prediction.margin,
            "probability": None if prediction is None else prediction.probability,
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
            "shared_by_two_senders": self.shared,
            "not_classified_because": self.trouble,
            "receipts": None if self.check is None else self.check.document(),
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
        shared=node.shared,
        trouble=node.trouble,
        check=node.check,
    )


class Events:
    """A bounded queue between the threads that listen and predict, and the one that prints."""

    def __init__(self, model: TemporalModel | None = None) -> None:
        self._names = tuple(model.class_names or ()) if model is not None else ()
        self._waiting: deque[dict[str, Any]] = deque(maxlen=_WAITING)
        self._lock = threading.Lock()
        self.dropped = 0

    def of_arrival(self, arrival: Arrival) -> dict[str, Any] | None:
        """The event of a classification or feature state that came in order; None for other packets."""
        packet = arrival.packet
        if not arrival.order.in_order or not isinstance(packet, Classification | FeatureState):
            return None
        what = "classification" if isinstance(packet, Classification) else "features"
        event = self._event(what, arrival) | {"ts_us": packet.ts_us}
        if isinstance(packet, FeatureState):
            return event | {
                "mode": packet.mode,
                "quality_flags": packet.quality_flags,
                **dict(zip(FEATURES, packet.features, strict=True)),
            }
        return event | {
            "class": packet.argmax,
            "name": self.name(packet.argmax, packet.n_classes),
            "n_classes": packet.n_classes,
            "logit": packet.top_logit,
            "margin": packet.margin,
        }

    def of_prediction(self, arrival: Arrival, prediction: Prediction) -> dict[str, Any]:
        """The event of a prediction made on this computer."""
        return self._event("prediction", arrival) | {
            "frame": prediction.index,
            "class": prediction.best,
            "name": self.name(prediction.best, len(prediction.scores)),
            "probability": prediction.probability,
            "scores": [float(score) for score in prediction.scores],
            "margin": prediction.margin,
        }

    def of_check(self, arrival: Arrival, check: Check) -> dict[str, Any]:
        """The event of a receipt that was verified."""
        return self._event("receipt", arrival) | check.document()

    def name(self, best: int, n_classes: int) -> str | None:
        """The class's name; None unless the model has names and as many classes."""
        return self._names[best] if len(self._names) == n_classes else None

    def _event(self, what: str, arrival: Arrival) -> dict[str, Any]:
        key = arrival.node.key
        return {
            "event": what,
            "time": arrival.time,
            "node": key.node_id,
            "address": key.address,
            "sequence": arrival.packet.sequence,
        }

    @staticmethod
    def line(event: dict[str, Any]) -> bytes:
        """The event as a line of JSON."""
        return (json.dumps(event, allow_nan=False) + "\n").encode()

    def add(self, event: dict[str, Any]) -> None:
        """Never blocks."""
        with self._lock:
            self.dropped += len(self._waiting) == _WAITING
            self._waiting.append(event)

    def take(self) -> list[dict[str, Any]]:
        """Returns and removes all waiting events."""
        with self._lock:
            found = list(self._waiting)
            self._waiting.clear()
        return found
