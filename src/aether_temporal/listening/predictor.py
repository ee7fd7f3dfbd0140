"""Predictions of a model for the frames of many nodes, each node with its own stream. Memory is bounded."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from aether_temporal.errors import InvalidArgumentError, ResultOverflowError
from aether_temporal.model import TemporalModel
from aether_temporal.recordings.csi_buffers import pairs_of
from aether_temporal.recordings.node_packets import FEATURES, FeatureState
from aether_temporal.recordings.recording_file import NOTHING, Hints
from aether_temporal.running.inputs import FrameMapper, wanted_frames
from aether_temporal.running.live_frames import LiveFrames
from aether_temporal.running.stream import Prediction, Predictor

from .nodes import KNOWN_AFTER, Node, NodePrediction
from .packet_receiver import Arrival
from .packets import Packet, RawFrame

WAITING_BYTES = 64 << 20
"""Most memory of all frames that wait."""

_PENDING = 64
"""Frames of one node that may wait. More are dropped."""

_PENDING_BYTES = WAITING_BYTES // 256  # of one node
_OBJECTS = 1024  # bytes of the objects around a frame that waits, and around a stream: more than they take
_FAILURES = 3  # after which a node gets no new stream


def _has_numbers(model: TemporalModel) -> bool:
    return model.settings is not None and model.settings.subcarrier_numbers is not None


@dataclass(eq=False)
class _Queue:
    """The frames of a node that wait."""

    waiting: deque[Arrival] = field(default_factory=deque)
    bytes: int = 0
    scheduled: bool = False
    kind: type[Packet] | None = None  # of its first frame; frames of the other kind are unsuitable
    failures: int = 0


@dataclass(eq=False)
class _Stream:
    """The stream of a node. `first_us`: when its first frame arrived, in microseconds since 1970."""

    predictor: Predictor
    frames: LiveFrames
    first_us: int


@dataclass(frozen=True, slots=True)
class PredictorStatus:
    """What a predictor has done. `unsuitable`: frames of another shape, `why` of the last one. `replaced`: streams that
    gave way to those of other nodes; `failed`: streams that were dropped because of an error, `trouble` of the last."""

    predicted: int
    dropped: int
    unsuitable: int
    why: str | None
    overflowed: int
    replaced: int
    failed: int
    trouble: str | None


class NodePredictor:
    """Pushes frames through the model in a thread. Nodes take turns, one frame each, so that a fast node does not delay
    the others.

    `on_prediction` is called in that thread. Raw frames must suit the model as in `aether run` (hints: which
    subcarriers their pairs are, where a node does not say); feature states suit a model with nine features. Other
    frames are counted in `unsuitable`, and the node's `trouble` says what was expected and found. Predictions start
    with a node's third packet and cover all of its frames.

    There are at most `max_streams` streams of `stream_bytes` bytes: as many as `max_bytes` hold, and no more than
    `max_nodes`. For another node, the stream that was used longest ago is given up; the next frame of its node starts a
    new stream. An error at one node's frame drops that node's stream. Any other error ends the thread, and `failure`
    holds it. InvalidArgumentError: a stream takes more than `max_bytes`.

    Frames are put on a grid by their times of arrival where the model asks for one, as those of a capture of the same
    packets are: a packet then gives as many predictions as grid frames are due, or none.
    """

    def __init__(
        self,
        model: TemporalModel,
        *,
        context: int | None = None,
        max_nodes: int = 256,
        max_bytes: int = 1 << 30,
        hints: Hints = NOTHING,
        on_prediction: Callable[[Arrival, Prediction], None] | None = None,
    ) -> None:
        self.model = model
        self.stream_bytes = model.memory(context=context).ram + _OBJECTS
        self.max_streams = min(max_nodes, max_bytes // self.stream_bytes)
        if not self.max_streams:
            raise InvalidArgumentError.of(
                "memory", f"at least {self.stream_bytes} bytes, for the stream of one node", max_bytes
            )
        self.failure: BaseException | None = None
        self.predicted = 0
        self.dropped = 0  # frames of a node that arrived while 64 others waited
        self.unsuitable = 0
        self.overflowed = 0  # frames for which the model's numbers left their range
        self.replaced = 0
        self.failed = 0
        self._mapper = FrameMapper(model, hints=hints)
        self._why: str | None = None
        self._trouble: str | None = None
        self._context, self._on_prediction = context, on_prediction
        self._takes_features = model.input_dim == len(FEATURES) and not model.n_pairs and not _has_numbers(model)
        self._queues: weakref.WeakKeyDictionary[Node, _Queue] = weakref.WeakKeyDictionary()
        self._turns: deque[_Queue] = deque()
        self._waiting = 0  # bytes
        self._streams: OrderedDict[Node, _Stream] = OrderedDict()  # used by the thread alone; the latest last
        self._open = True
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="predictor", daemon=True)
        self._thread.start()

    def offer(self, arrival: Arrival) -> None:
        """Never blocks. Ignores packets that are out of order, and classifications."""
        if not arrival.order.in_order or not isinstance(arrival.packet, RawFrame | FeatureState):
            return
        with self._changed:
            if self.failure is not None:
                return
            queue = self._queues.get(arrival.node)
            if queue is None:
                queue = self._queues[arrival.node] = _Queue()
            size = _bytes_of(arrival)
            crowded = len(queue.waiting) >= _PENDING or (queue.waiting and queue.bytes + size > _PENDING_BYTES)
            if crowded or self._waiting + size > WAITING_BYTES:
                self.dropped += 1
                return
            queue.waiting.append(arrival)
            queue.bytes += size
            self._waiting += size
            # Frames of an unknown node wait until it is known: a flood of invented nodes creates no streams.
            if not queue.scheduled and arrival.node.packets >= KNOWN_AFTER:
                queue.scheduled = True
                self._turns.append(queue)
                self._changed.notify()

    def close(self) -> None:
        """Predicts for the frames that wait, then ends the thread."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was only plausible about the frames that it took."""
        return tuple(self._mapper.notes)

    def status(self) -> PredictorStatus:
        """What was done so far."""
        return PredictorStatus(
            predicted=self.predicted,
            dropped=self.dropped,
            unsuitable=self.unsuitable,
            why=self._why,
            overflowed=self.overflowed,
            replaced=self.replaced,
            failed=self.failed,
            trouble=self._trouble,
        )

    def _run(self) -> None:
        try:
            self._predict_all()
        except BaseException as error:
            with self._changed:
                self.failure = error
                self._queues.clear()
                self._turns.clear()

    def _predict_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._turns or not self._open)
                if not self._turns:
                    return
                queue = self._turns.popleft()
                arrival = queue.waiting[0]
            for prediction in self._predict(queue, arrival):
                if self._on_prediction is not None:
                    self._on_prediction(arrival, prediction)
            with self._changed:
                size = _bytes_of(queue.waiting.popleft())
                queue.bytes -= size
                self._waiting -= size
                queue.scheduled = bool(queue.waiting)
                if queue.scheduled:
                    self._turns.append(queue)

    def _predict(self, queue: _Queue, arrival: Arrival) -> Iterator[Prediction]:
        """The predictions that are due after a packet; the last is the node's newest."""
        if queue.failures >= _FAILURES:
            self.dropped += 1
            return
        try:
            frame = self._frame(queue, arrival)
            if frame is None:
                return
            queue.kind = type(arrival.packet)
            stream = self._stream(arrival)
            steps = stream.frames.push(frame, round(arrival.time * 1e6) - stream.first_us)
        except Exception as error:
            self._drop(queue, arrival.node, error)
            return
        for step in steps:
            try:
                if step.resets:
                    stream.predictor.reset()
                prediction = stream.predictor.push(step.frame, step.time)
            except ResultOverflowError:
                self.overflowed += 1
                continue
            except Exception as error:
                self._drop(queue, arrival.node, error)
                return
            self._take(arrival, prediction)
            yield prediction

    def _take(self, arrival: Arrival, prediction: Prediction) -> None:
        self.predicted += 1
        arrival.node.trouble = None
        arrival.node.prediction = NodePrediction(
            class_index=prediction.best,
            logit=float(prediction.scores[prediction.best]),
            margin=prediction.margin,
            n_classes=len(prediction.scores),
            local=True,
            time=arrival.time,
            probability=prediction.probability,
        )

    def _frame(self, queue: _Queue, arrival: Arrival) -> NDArray[np.float32] | None:
        """The model's input from a packet; None when it is unsuitable."""
        packet, node = arrival.packet, arrival.node
        if queue.kind not in (None, type(packet)):
            self._unsuitable(node, f"{_kind(queue.kind)}, as before", _kind(type(packet)))
            return None
        if isinstance(packet, FeatureState):
            if self._takes_features:
                return np.array(packet.features, dtype=np.float32)
            self._unsuitable(node, wanted_frames(self.model), f"a feature state of {len(FEATURES)}")
            return None
        assert isinstance(packet, RawFrame)
        iq = pairs_of(np.frombuffer(packet.values, dtype=np.int8)[None], packet.header.words)[0]
        row = self._mapper.frame(iq, packet.header.subcarriers)
        if row is None:
            self.unsuitable += 1
            self._why = node.trouble = self._mapper.why
        return row

    def _unsuitable(self, node: Node, expected: str, found: str) -> None:
        self.unsuitable += 1
        self._why = node.trouble = f"expected {expected}, found {found}"

    def _stream(self, arrival: Arrival) -> _Stream:
        """The node's stream; a new one takes the place of the one that was used longest ago, where there are enough."""
        node = arrival.node
        found = self._streams.get(node)
        if found is None:
            if len(self._streams) >= self.max_streams:
                self._streams.popitem(last=False)
                self.replaced += 1
            found = _Stream(
                Predictor(self.model, context=self._context), LiveFrames(self.model), round(arrival.time * 1e6)
            )
            self._streams[node] = found
        self._streams.move_to_end(node)
        return found

    def _drop(self, queue: _Queue, node: Node, error: Exception) -> None:
        """Ends the node's stream; its next frame begins another, unless that has failed three times."""
        self._streams.pop(node, None)
        self.failed += 1
        queue.failures += 1
        said = str(error) or type(error).__name__
        ends = "; it is classified no more" if queue.failures >= _FAILURES else ""
        self._trouble = node.trouble = f"its stream was dropped: {said}{ends}"


def _kind(kind: type[Packet] | None) -> str:
    return "feature states" if kind is FeatureState else "raw frames"


def _bytes_of(arrival: Arrival) -> int:
    """An upper bound of what a waiting frame takes: the datagram, and its values once more."""
    return 2 * len(arrival.data) + _OBJECTS
