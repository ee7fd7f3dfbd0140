"""What is known of each node beyond the newest packet: since when its class holds, how much moves, the last hour,
the newest amplitudes. `LiveState` observes the engine, and gives a view of all nodes to whatever shows it. Memory is
bounded by the table of nodes: a node takes at most about 200 KB."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aether_temporal.listening.documents import NodeSnapshot
from aether_temporal.listening.engine import Observer, Status
from aether_temporal.listening.nodes import KNOWN_AFTER, NodeKey
from aether_temporal.listening.packet_receiver import Arrival
from aether_temporal.listening.packets import Classification, RawFrame
from aether_temporal.running.stream import Prediction

BIN_SECONDS, BINS = 10, 360
"""The hour that is shown: so many parts of so many seconds."""

NOTHING = 255
"""In a part of the hour: no class, or no movement score."""

ROWS, COLUMNS = 300, 128
"""Of a node's waterfall: at most so many rows are kept, and at most so many columns wide."""

_PENDING = 256  # frames between two views
_CHANGES = 8192
_FAR, _SPAN = 10, 100  # frames
_ROWS_A_VIEW = 2
_ABSENT, _MOST_STATES = 25, 512

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Change:
    """A node's class has changed. lasted: seconds that the one before it held; None for the first."""

    time: float  # seconds since 1970
    key: NodeKey
    class_index: int
    name: str
    probability: float | None
    margin: float
    before: str | None
    lasted: float | None

    def document(self) -> dict[str, object]:
        """As a JSON document."""
        return {
            "time": self.time,
            "node": self.key.node_id,
            "address": self.key.address,
            "class": self.class_index,
            "name": self.name,
            "probability": self.probability,
            "margin": self.margin,
            "before": self.before,
            "lasted": self.lasted,
        }


@dataclass(frozen=True)
class NodeView:
    """One node. held: seconds that its class holds; movement: 0 to 1, None without raw frames; lost: share of the
    packets that did not arrive."""

    key: NodeKey
    snapshot: NodeSnapshot
    name: str | None
    probability: float | None
    held: float | None
    movement: float | None
    moving: bool | None
    lost: float
    silent: bool

    def document(self) -> dict[str, object]:
        """As a JSON document, numbers rounded for display."""
        row, found = self.snapshot, self.snapshot.prediction
        return {
            "node": self.key.node_id,
            "address": self.key.address,
            "name": self.name,
            "class": None if found is None else found.class_index,
            "probability": _rounded(self.probability, 4),
            "margin": None if found is None else _rounded(found.margin, 4),
            "predicted_by": None if found is None else "host" if found.local else "node",
            "held": _rounded(self.held, 1),
            "movement": _rounded(self.movement, 3),
            "moving": self.moving,
            "lost": round(self.lost, 5),
            "missing": row.missing,
            "rate": round(row.rate, 1),
            "rssi": row.rssi,
            "silent": self.silent,
            "last": round(row.silent, 1),
            "restarts": row.restarts,
            "rejected": sum(row.rejected.values()),
            "trouble": row.trouble,
            "receipts": None if row.check is None else row.check.document(),
            "shared": row.shared,
        }


@dataclass(frozen=True)
class View:
    """What there is to show. number: of this view; hour: the number of the newest part of the hour."""

    number: int
    hour: int
    nodes: tuple[NodeView, ...]
    changes: tuple[Change, ...]
    dropped_changes: int
    status: Status
    notes: tuple[str, ...] = ()  # of what is handed on: a broker that cannot be reached


class Sink(Protocol):
    """Takes each view: a page, a broker, a file."""

    def show(self, view: View, /) -> None: ...


class Movement:
    """How much moves: 1 - (how far the amplitudes move in one frame) / (how far in ten), over the last hundred frames.

    Noise moves as far in one frame as in ten, which gives 0; a body adds up, which gives up to 0.9. Each frame is
    divided by its mean, so that the receiver's gain does not count. None: too few frames, or nothing moves at all.
    """

    def __init__(self) -> None:
        self._tail: Floats = np.zeros((0, 0), np.float32)
        self._moved: deque[tuple[float, float]] = deque(maxlen=_SPAN)

    def push(self, amplitudes: Floats) -> None:
        """Frames by subcarriers, in order."""
        level = amplitudes.mean(axis=1, keepdims=True)
        profiles = amplitudes / np.maximum(level, np.float32(1e-9))
        if self._tail.shape[1] != profiles.shape[1]:
            self._tail = profiles[:0]
            self._moved.clear()
        known = len(self._tail)
        rows = np.concatenate([self._tail, profiles])
        first = max(known, _FAR)
        if len(rows) > first:
            now = rows[first:]
            near = np.abs(now - rows[first - 1 : -1]).mean(axis=1)
            far = np.abs(now - rows[first - _FAR : -_FAR]).mean(axis=1)
            self._moved.extend(zip(near.tolist(), far.tolist(), strict=True))
        self._tail = rows[-_FAR:]

    @property
    def score(self) -> float | None:
        if len(self._moved) < _SPAN // 4:
            return None
        near, far = (sum(each) for each in zip(*self._moved, strict=True))
        return min(1.0, max(0.0, 1.0 - near / far)) if far > 0 else None


@dataclass(eq=False)
class _NodeState:
    """What is remembered of a node."""

    frames: deque[RawFrame] = field(default_factory=lambda: deque(maxlen=_PENDING))
    movement: Movement = field(default_factory=Movement)
    rows: deque[bytes] = field(default_factory=lambda: deque(maxlen=ROWS))
    n_rows: int = 0  # so many have been made
    current: tuple[int, str] | None = None  # the class
    since: float = 0.0
    local: bool = False
    hour: int = -1
    classes: bytearray = field(default_factory=lambda: bytearray([NOTHING]) * BINS)
    moved: bytearray = field(default_factory=lambda: bytearray([NOTHING]) * BINS)
    counts: Counter[int] = field(default_factory=Counter)
    most: float = -1.0
    absent: int = 0  # views since its node had a row


class LiveState(Observer):
    """names: of the model's classes. clock: seconds that never go back."""

    period = 0.2

    def __init__(
        self,
        names: Sequence[str] = (),
        sinks: Sequence[Sink] = (),
        *,
        moving_above: float = 0.25,
        silent_after: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.names, self.sinks = tuple(names), list(sinks)
        self.notes: list[Callable[[], str | None]] = []
        self.moving_above, self.silent_after = moving_above, silent_after
        self._clock = clock
        self._lock = threading.Lock()
        self._states: dict[NodeKey, _NodeState] = {}
        self._changes: deque[Change] = deque(maxlen=_CHANGES)
        self._dropped = self._number = 0

    # -- in the threads that listen and predict --

    def arrived(self, arrival: Arrival) -> None:
        packet = arrival.packet
        if not arrival.order.in_order or arrival.node.packets < KNOWN_AFTER:
            return
        if isinstance(packet, RawFrame):
            with self._lock:
                self._state(arrival.node.key).frames.append(packet)
        elif isinstance(packet, Classification):
            self._note(arrival, packet.argmax, packet.n_classes, None, packet.margin, local=False)

    def predicted(self, arrival: Arrival, prediction: Prediction) -> None:
        self._note(
            arrival, prediction.best, len(prediction.scores), prediction.probability, prediction.margin, local=True
        )

    def _note(
        self, arrival: Arrival, best: int, n_classes: int, probability: float | None, margin: float, *, local: bool
    ) -> None:
        """Notes a class. A node's own predictions do not count beside those made here."""
        key, now = arrival.node.key, self._clock()
        with self._lock:
            state = self._state(key)
            if state.local and not local:
                return
            name = self.names[best] if len(self.names) == n_classes else f"class {best}"
            before, state.local = state.current, local
            if before == (best, name):
                return
            lasted = None if before is None else now - state.since
            state.current, state.since = (best, name), now
            self._dropped += len(self._changes) == _CHANGES
            self._changes.append(
                Change(arrival.time, key, best, name, probability, margin, before and before[1], lasted)
            )

    def _state(self, key: NodeKey) -> _NodeState:
        found = self._states.get(key)
        if found is None:
            found = self._states[key] = _NodeState()
        return found

    # -- in the thread that shows --

    def show(self, status: Status) -> None:
        """Gives a view to all sinks."""
        view = self.take_view(status)
        for sink in self.sinks:
            sink.show(view)

    def take_view(self, status: Status) -> View:
        """What has become of the nodes. States of nodes that have lost their row are forgotten."""
        now = self._clock()
        hour = int(now // BIN_SECONDS)
        rows = {NodeKey(row.address, row.node_id): row for row in status.snapshot.nodes}
        with self._lock:
            self._forget(rows)
            taken = {key: self._taken(state) for key, state in self._states.items()}
            changes = tuple(self._changes)
            self._changes.clear()
        drawn = {key: self._measured(key, frames) for key, frames in taken.items() if frames}
        with self._lock:
            nodes = tuple(self._view(key, row, drawn.get(key, []), now, hour) for key, row in rows.items())
            self._number += 1
        notes = tuple(said for note in self.notes if (said := note()) is not None)
        return View(self._number, hour, nodes, changes, self._dropped, status, notes)

    def rows(self, key: NodeKey, after: int) -> tuple[int, list[bytes]]:
        """The waterfall's rows of a node that came after row number `after`, and the newest number."""
        with self._lock:
            state = self._states.get(key)
            if state is None:
                return 0, []
            count = state.n_rows - after if 0 <= after <= state.n_rows else state.n_rows
            return state.n_rows, list(state.rows)[len(state.rows) - min(count, len(state.rows)) :]

    def hours(self, count: int) -> dict[NodeKey, tuple[bytes, bytes]]:
        """Of each node, the class and the movement (0 to 100) in the newest parts of the hour."""
        with self._lock:
            return {
                key: (bytes(each.classes[-count:]), bytes(each.moved[-count:])) for key, each in self._states.items()
            }

    def _forget(self, rows: Mapping[NodeKey, NodeSnapshot]) -> None:
        """Removes states of nodes without a row: a snapshot may be older than a new node's first packets, so they may
        stay a little, as long as they are few."""
        for key in [key for key in self._states if key not in rows]:
            state = self._states[key]
            state.absent += 1
            if state.absent > _ABSENT or len(self._states) > _MOST_STATES:
                del self._states[key]
        for key in rows:
            if key in self._states:
                self._states[key].absent = 0

    @staticmethod
    def _taken(state: _NodeState) -> list[RawFrame]:
        frames = list(state.frames)
        state.frames.clear()
        return frames

    def _measured(self, key: NodeKey, frames: list[RawFrame]) -> list[bytes]:
        """Counts the frames in the node's movement, and draws rows of them. Only one thread does: it needs no lock."""
        same = [each for each in frames if _shape(each) == _shape(frames[-1])]
        amplitudes = amplitudes_of(same)
        self._states[key].movement.push(amplitudes)
        scale = 4 if same[0].header.words else 16
        return [row_of(part, scale) for part in np.array_split(amplitudes, min(_ROWS_A_VIEW, len(amplitudes)))]

    def _view(self, key: NodeKey, row: NodeSnapshot, drawn: list[bytes], now: float, hour: int) -> NodeView:
        state = self._states.get(key)
        silent = row.silent >= self.silent_after
        score = None if state is None or silent else state.movement.score
        if state is not None:
            state.rows.extend(drawn)
            state.n_rows += len(drawn)
            _note_hour(state, hour, None if silent or state.current is None else state.current[0], score)
        current = None if state is None else state.current
        held = None if state is None or current is None else max(0.0, now - state.since)
        heard = sum(row.accepted.values())
        return NodeView(
            key,
            row,
            None if current is None else current[1],
            None if row.prediction is None else row.prediction.probability,
            held,
            score,
            None if score is None else score > self.moving_above,
            row.missing / (row.missing + heard) if row.missing else 0.0,
            silent,
        )


def _shape(frame: RawFrame) -> tuple[int, int, int]:
    return frame.header.n_antennas, frame.header.n_subcarriers, frame.header.layout


def amplitudes_of(frames: Sequence[RawFrame]) -> Floats:
    """Frames of one size, as frames by pairs; in the order of the subcarriers where a node states it."""
    header = frames[0].header
    kind = np.int16 if header.words else np.int8
    values = np.frombuffer(b"".join(bytes(header.values(each.values)) for each in frames), kind)
    pairs = values.reshape(len(frames), -1, 2).astype(np.float32)
    amplitudes: Floats = np.hypot(pairs[..., 0], pairs[..., 1])
    numbers = header.subcarriers
    if numbers is None or len(numbers.numbers) != amplitudes.shape[1]:
        return amplitudes
    return amplitudes[:, np.argsort(numbers.numbers, kind="stable")]


def row_of(amplitudes: Floats, scale: int) -> bytes:
    """A row of the waterfall: the mean of some frames, a byte for each column, `scale` times the square root of the
    amplitude."""
    mean = amplitudes.mean(axis=0)
    if len(mean) > COLUMNS:
        mean = np.array([part.mean() for part in np.array_split(mean, COLUMNS)])
    return bytes(np.clip(np.sqrt(mean) * scale, 0, 255).astype(np.uint8))


def _note_hour(state: _NodeState, hour: int, current: int | None, score: float | None) -> None:
    """Notes class and movement in the newest part of the hour; parts in which nothing was noted stay empty."""
    if state.hour < 0:
        state.hour = hour
    if hour > state.hour:
        gone = min(hour - state.hour, BINS)
        for line in (state.classes, state.moved):
            del line[:gone]
            line.extend([NOTHING] * gone)
        state.hour = hour
        state.counts.clear()
        state.most = -1.0
    if current is not None:
        state.counts[current] += 1
        state.classes[-1] = min(state.counts.most_common(1)[0][0], NOTHING - 1)
    if score is not None:
        state.most = max(state.most, score)
        state.moved[-1] = round(state.most * 100)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
