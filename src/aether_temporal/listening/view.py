"""What is to be seen of a station at one moment: numbers that nobody changes any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .nodes import Kind, Node, Said
from .station import Station


@dataclass(frozen=True, slots=True)
class NodeView:
    """A row. `rate` in packets a second, `silent` in seconds."""

    node_id: int
    address: str
    said: Said | None
    rssi: int | None
    rate: float
    silent: float
    first_seen: float
    last_seen: float
    accepted: Mapping[str, int]
    refused: Mapping[str, int]
    missing: int
    late: int
    duplicates: int
    restarts: int
    clock_jumps: int

    def document(self) -> dict[str, object]:
        """For JSON."""
        said = self.said
        return {
            "node": self.node_id,
            "address": self.address,
            "class": None if said is None else said.best,
            "logit": None if said is None else said.logit,
            "margin": None if said is None else said.margin,
            "classified": None if said is None else "here" if said.here else "node",
            "rssi": self.rssi,
            "rate_hz": self.rate,
            "first_seen": self.first_seen,
            "last_seen": self.last_seen,
            "accepted": dict(self.accepted),
            "refused": dict(self.refused),
            "missing": self.missing,
            "late": self.late,
            "duplicates": self.duplicates,
            "restarts": self.restarts,
            "clock_jumps": self.clock_jumps,
        }


@dataclass(frozen=True, slots=True)
class View:
    """A station. `overrun`: datagrams that the system dropped, because its buffer was full or their address held back
    (None: it does not tell). `held`: addresses that flood."""

    nodes: tuple[NodeView, ...]
    received: int
    accepted: Mapping[str, int]
    refused: Mapping[str, int]
    last_refused: str | None
    evicted: int
    overrun: int | None
    held: tuple[str, ...]

    def document(self) -> dict[str, object]:
        """For JSON."""
        return {
            "received": self.received,
            "accepted": dict(self.accepted),
            "refused": dict(self.refused),
            "evicted_nodes": self.evicted,
            "dropped_by_system": self.overrun,
            "held_back": list(self.held),
            "nodes": [node.document() for node in self.nodes],
        }


def view_of(station: Station, now: float, overrun: int | None) -> View:
    """To be called where the station is fed."""
    last = station.last_refused
    return View(
        nodes=tuple(_row(node, now) for node in station.table.nodes()),
        received=station.received,
        accepted={str(kind): station.accepted[kind] for kind in Kind if station.accepted[kind]},
        refused=dict(station.refused),
        last_refused=None if last is None else f"{last[0]}: {last[1]}",
        evicted=station.table.evicted,
        overrun=overrun,
        held=station.gate.held,
    )


def _row(node: Node, now: float) -> NodeView:
    return NodeView(
        node_id=node.key.node_id,
        address=node.key.address,
        said=node.said,
        rssi=node.rssi,
        rate=node.rate.value(now),
        silent=max(0.0, now - node.heard),
        first_seen=node.first_seen,
        last_seen=node.last_seen,
        accepted={str(kind): count for kind, count in node.accepted.items()},
        refused=dict(node.refused),
        missing=node.total("missing"),
        late=node.total("late"),
        duplicates=node.total("duplicates"),
        restarts=node.total("restarts"),
        clock_jumps=node.clock_jumps,
    )
