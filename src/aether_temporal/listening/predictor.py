"""Predictions of a model for the frames of many nodes, each node with its own stream."""

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
from aether_temporal.recordings.node_packets import FEATURES, FeatureState
from aether_temporal.recordings.recording import amplitude
from aether_temporal.running.inputs import subcarriers_of
from aether_temporal.running.stream import Prediction, Predictor

from .nodes import KNOWN_AFTER, Node, NodePrediction
from .packet_receiver import Arrival
from .packets import Packet, RawFrame

_PENDING = 64
"""Frames of one node that may wait. More are dropped."""


@dataclass(eq=False)
class _NodeStream:
    predictor: Predictor | None = None
    kind: type[Packet] | None = None  # of its first frame; frames of the other kind are unsuitable
    scheduled: bool = False
    waiting: deque[Arrival] = field(default_factory=deque)


class NodePredictor:
    """Pushes frames through the model in a thread. Nodes take turns, one frame each, so that a fast node does not delay
    the others.

    `on_prediction` is called in that thread. Raw frames must suit the model as in `aether run`; feature states suit a
    model with nine features. Other frames are counted in `unsuitable`. Predictions start with a node's third packet
    and cover all of its frames.
    """

    def __init__(
        self,
        model: TemporalModel,
        *,
        context: int | None = None,
        on_prediction: Callable[[Arrival, Prediction], None] | None = None,
    ) -> None:
        self.model = model
        self.dropped = 0  # frames of a node that arrived while 64 others waited
        self.unsuitable = 0
        self.overflowed = 0  # frames for which the model's numbers left their range
        self._context, self._on_prediction = context, on_prediction
        self._takes_features = model.input_dim == len(FEATURES) and not model.n_pairs
        self._streams: weakref.WeakKeyDictionary[Node, _NodeStream] = weakref.WeakKeyDictionary()
        self._turns: deque[_NodeStream] = deque()
        self._open = True
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="predictor", daemon=True)
        self._thread.start()

    def offer(self, arrival: Arrival) -> None:
        """Never blocks. Ignores packets that are out of order, and classifications."""
        if not arrival.order.in_order or not isinstance(arrival.packet, RawFrame | FeatureState):
            return
        stream = self._streams.get(arrival.node)
        if stream is None:
            stream = self._streams[arrival.node] = _NodeStream()
        with self._changed:
            if len(stream.waiting) >= _PENDING:
                self.dropped += 1
                return
            stream.waiting.append(arrival)
            # Frames of an unknown node wait until it is known: a flood of invented nodes creates no streams.
            if not stream.scheduled and arrival.node.packets >= KNOWN_AFTER:
                stream.scheduled = True
                self._turns.append(stream)
                self._changed.notify()

    def close(self) -> None:
        """Predicts for the frames that wait, then ends the thread."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    def _frame(self, packet: Packet) -> NDArray[np.float32] | None:
        """The model's input from a packet; None when it is unsuitable."""
        if isinstance(packet, FeatureState):
            return np.array(packet.features, dtype=np.float32) if self._takes_features else None
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
            self._predict(stream, arrival)
            with self._changed:
                stream.waiting.popleft()
                stream.scheduled = bool(stream.waiting)
                if stream.scheduled:
                    self._turns.append(stream)

    def _predict(self, stream: _NodeStream, arrival: Arrival) -> None:
        frame = self._frame(arrival.packet) if stream.kind in (None, type(arrival.packet)) else None
        if frame is None:
            self.unsuitable += 1
            return
        stream.kind = type(arrival.packet)
        if stream.predictor is None:
            stream.predictor = Predictor(self.model, context=self._context)
        try:
            prediction = stream.predictor.push(frame)
        except ResultOverflowError:
            self.overflowed += 1
            return
        arrival.node.prediction = NodePrediction(
            class_index=prediction.best,
            logit=float(prediction.scores[prediction.best]),
            margin=prediction.margin,
            n_classes=len(prediction.scores),
            local=True,
            time=arrival.time,
        )
        if self._on_prediction is not None:
            self._on_prediction(arrival, prediction)
