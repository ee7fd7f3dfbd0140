"""Checks the receipts of many nodes while they run, each with a twin of its own, in a thread. Memory is bounded."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable

from aether_temporal.model import TemporalModel
from aether_temporal.recordings.recording_file import NOTHING, Hints

from .nodes import KNOWN_AFTER, Node, NodeCheck
from .packet_receiver import Arrival
from .packets import Classification, RawFrame, Receipt
from .twin import Check, NodeTwin, Verdict

_WAITING = 4096  # packets; more are dropped, and their nodes are behind


class Verifier:
    """Each node's newest verdict is in `node.check`. on_check: called in the thread with the receipt's arrival.

    A stream of a node takes at most `max_bytes` divided by `max_nodes`; a node whose receipts name a larger context is
    not verified, and its verdict says so.
    """

    def __init__(
        self,
        model: TemporalModel,
        *,
        max_nodes: int = 256,
        max_bytes: int = 1 << 30,
        hints: Hints = NOTHING,
        on_check: Callable[[Arrival, Check], None] | None = None,
    ) -> None:
        self._model, self._hints, self._on_check = model, hints, on_check
        self._stream_bytes = max_bytes // max_nodes
        self._twins: weakref.WeakKeyDictionary[Node, NodeTwin] = weakref.WeakKeyDictionary()
        self._waiting: deque[Arrival] = deque()
        self._first: weakref.WeakKeyDictionary[Node, list[Arrival]] = weakref.WeakKeyDictionary()
        self._receipts: weakref.WeakKeyDictionary[Node, deque[Arrival]] = weakref.WeakKeyDictionary()
        self._changed = threading.Condition()
        self._open, self._failed = True, ""
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="verifier", daemon=True)
        self._thread.start()

    @property
    def error(self) -> str | None:
        """Why it has ended early, if it has."""
        return self._failed or None

    def offer(self, arrival: Arrival) -> None:
        """Never blocks. Ignores feature states."""
        packet = arrival.packet
        if not isinstance(packet, RawFrame | Classification | Receipt):
            return
        with self._changed:
            if self._failed:
                return
            # Packets of an unknown node wait until it is known: a flood of invented nodes makes no twins.
            first = self._first.get(arrival.node, [])
            if arrival.node.packets < KNOWN_AFTER:
                self._first[arrival.node] = [*first, arrival][-KNOWN_AFTER:]
                return
            if len(self._waiting) >= _WAITING:
                self.dropped += 1
                return
            self._waiting += [*first, arrival]
            self._first.pop(arrival.node, None)
            self._changed.notify()

    def close(self) -> None:
        """Judges what has arrived, then ends the thread."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._waiting or not self._open)
                    if not self._waiting:
                        break
                    arrival = self._waiting.popleft()
                self._take(arrival)
            for node in list(self._twins):
                self._judge(node, final=True)
        except Exception as error:
            with self._changed:
                self._failed = f"receipts are verified no more: {error or type(error).__name__}; report this error"
                self._waiting.clear()

    def _take(self, arrival: Arrival) -> None:
        node = arrival.node
        twin = self._twins.get(node)
        if twin is None:
            twin = self._twins[node] = NodeTwin(self._model, hints=self._hints, max_bytes=self._stream_bytes)
            self._receipts[node] = deque()
        assert isinstance(arrival.packet, RawFrame | Classification | Receipt)
        if isinstance(arrival.packet, Receipt):
            if not arrival.order.in_order:
                return
            self._receipts[node].append(arrival)
        twin.take(arrival.packet)
        self._judge(node)

    def _judge(self, node: Node, *, final: bool = False) -> None:
        for check in self._twins[node].checks(final=final):
            arrival = self._receipts[node].popleft()
            counts = dict(node.check.counts) if node.check is not None else dict.fromkeys(map(str, Verdict), 0)
            counts[str(check.verdict)] += 1
            different = None if node.check is None else node.check.different
            if check.verdict is Verdict.DIFFERENT:
                different = (arrival.time, describe_difference(check))
            node.check = NodeCheck(str(check.verdict), check.why, check.behind, arrival.time, counts, different)
            if self._on_check is not None:
                self._on_check(arrival, check)


def describe_difference(check: Check) -> str:
    """What differs, in words."""
    parts = [check.why]
    parts += [
        f"{each.field} of classification {each.sequence}: host {each.host:08x}, node {each.node:08x}"
        for each in check.differences[:4]
    ]
    return "; ".join(parts)
