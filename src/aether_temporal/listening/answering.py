"""A model's answers to the frames of many nodes, each through a stream of its own."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from aether_temporal.errors import ResultOverflowError
from aether_temporal.model import TemporalModel
from aether_temporal.recordings.amplitude import amplitude
from aether_temporal.recordings.feature_state import FEATURES, FeatureState
from aether_temporal.running.inputs import subcarriers_of
from aether_temporal.running.stream import Prediction, Predictor

from .nodes import Node, Said
from .packets import Packet, RawFrame
from .station import Arrival
from .table import KNOWN_AFTER

_PENDING = 64
"""Frames of one node that wait; more are dropped."""


@dataclass(eq=False)
class _Stream:
    answers: Predictor | None = None
    kind: type[Packet] | None = None  # it is fed with one kind of packet, that of its first frame
    waits: bool = False  # for its turn
    waiting: deque[Arrival] = field(default_factory=deque)


class Answering:
    """Pushes frames in a thread of its own; nodes take turns, one frame each, so that a fast one delays no other.

    `on_answer` is called in that thread. A raw frame suits the model as it does in `aether run`; a feature state suits
    one that takes nine features. Others are counted in `unsuited`. A node is answered from its third packet on, then
    for all of its frames.
    """

    def __init__(
        self,
        model: TemporalModel,
        *,
        context: int | None = None,
        on_answer: Callable[[Arrival, Prediction], None] | None = None,
    ) -> None:
        self.model = model
        self.dropped = 0  # a node's frames that came while 64 others waited
        self.unsuited = 0
        self.overflowed = 0  # at which the model's numbers left their range
        self._context, self._on_answer = context, on_answer
        self._takes_states = model.input_dim == len(FEATURES) and not model.n_pairs
        self._streams: weakref.WeakKeyDictionary[Node, _Stream] = weakref.WeakKeyDictionary()
        self._turns: deque[_Stream] = deque()
        self._open = True
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="answering", daemon=True)
        self._thread.start()

    def offer(self, arrival: Arrival) -> None:
        """Never waits. Packets that are out of order, and classifications, are passed over."""
        if not arrival.order.in_order or not isinstance(arrival.packet, RawFrame | FeatureState):
            return
        stream = self._streams.get(arrival.node)
        if stream is None:
            stream = self._streams[arrival.node] = _Stream()
        with self._changed:
            if len(stream.waiting) >= _PENDING:
                self.dropped += 1
                return
            stream.waiting.append(arrival)
            # A stranger's frames wait until it is one no more: a flood of made-up nodes costs no streams.
            if not stream.waits and arrival.node.packets >= KNOWN_AFTER:
                stream.waits = True
                self._turns.append(stream)
                self._changed.notify()

    def close(self) -> None:
        """Answers what waits, then ends."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    def _frame(self, packet: Packet) -> NDArray[np.float32] | None:
        """What the model takes of a packet; None: it does not suit."""
        if isinstance(packet, FeatureState):
            return np.array(packet.features, dtype=np.float32) if self._takes_states else None
        assert isinstance(packet, RawFrame)
        select = subcarriers_of(self.model, packet.header.pairs)
        if select is None:
            return None
        iq = np.frombuffer(packet.values, dtype=np.int8).reshape(1, -1, 2)
        row: NDArray[np.float32] = amplitude(iq[:, list(select)])[0]
        return row

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._turns or not self._open)
                if not self._turns:
                    return
                stream = self._turns.popleft()
                arrival = stream.waiting[0]
            self._answer(stream, arrival)
            with self._changed:
                stream.waiting.popleft()
                stream.waits = bool(stream.waiting)
                if stream.waits:
                    self._turns.append(stream)

    def _answer(self, stream: _Stream, arrival: Arrival) -> None:
        frame = self._frame(arrival.packet) if stream.kind in (None, type(arrival.packet)) else None
        if frame is None:
            self.unsuited += 1
            return
        stream.kind = type(arrival.packet)
        if stream.answers is None:
            stream.answers = Predictor(self.model, context=self._context)
        try:
            answer = stream.answers.push(frame)
        except ResultOverflowError:
            self.overflowed += 1
            return
        logit = float(answer.scores[answer.best])
        arrival.node.said = Said(answer.best, logit, answer.margin, len(answer.scores), True, arrival.time)
        if self._on_answer is not None:
            self._on_answer(arrival, answer)
