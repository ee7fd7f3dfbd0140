"""One stream of events, and who observes it. Nodes are heard, checked and classified here, whoever shows them: a table
on a terminal, a page, files, a broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aether_temporal._internal.interruption import Stop
from aether_temporal.errors import TemporalError
from aether_temporal.model import TemporalModel
from aether_temporal.recordings import RecordingShapeError
from aether_temporal.recordings.csi_buffers import settled_subcarriers
from aether_temporal.recordings.node_packets import RawHeader
from aether_temporal.recordings.recording_file import NOTHING, Hints
from aether_temporal.running.stream import Prediction
from aether_temporal.subcarriers import SubcarrierMap

from .documents import Events, Snapshot
from .node_table import ListedNode, NodeTable
from .packet_receiver import Arrival, Network, PacketReceiver
from .packets import RawFrame
from .predictor import NodePredictor, PredictorStatus
from .recent_frames import RecentFrames
from .recorder import AppendFile, Recorder, packet_record
from .twin import Check
from .udp_listener import UdpListener
from .verifier import Verifier

_MUCH_UNUSED = 0.1
_EXAMINE = 5.0  # seconds between two looks at the newest frames for what is wrong with them


class Observer:
    """Sees each accepted packet in the thread that listens, and each prediction in the thread that predicts; it must
    not block. This one sees nothing."""

    @property
    def error(self) -> str | None:
        """Why it has ended early, if it has."""
        return None

    def arrived(self, arrival: Arrival) -> None:
        return None

    def predicted(self, arrival: Arrival, prediction: Prediction) -> None:
        return None

    def checked(self, arrival: Arrival, check: Check) -> None:
        """A receipt was verified; called in the thread that verifies."""
        return

    def close(self) -> None:
        """Called once, after the last event."""
        return


@dataclass(frozen=True)
class Status:
    """What a display shows. recorded: file, packets in it, packets lost because the disk was slow, error."""

    snapshot: Snapshot
    where: tuple[str, int]
    recorded: tuple[str, int, int, str | None] | None
    model: PredictorStatus | None = None
    model_name: str = ""
    warnings: tuple[str, ...] = ()  # of what is wrong with the frames


class Display(Protocol):
    """Shows the state every `period` seconds."""

    period: float

    def show(self, status: Status, /) -> None: ...


class Engine:
    """Listens at an address and port, and classifies with a model, where there is one."""

    def __init__(
        self,
        bind: tuple[str | None, int],
        *,
        allow: Sequence[Network] = (),
        nodes: Iterable[ListedNode] = (),
        model: TemporalModel | None = None,
        model_name: str = "",
        verify: TemporalModel | None = None,
        max_bytes: int = 1 << 30,
        hints: Hints = NOTHING,
    ) -> None:
        """verify: the model that the nodes' receipts are checked with.

        InvalidArgumentError; OSError: the address or port is not available."""
        self.model, self.model_name = model, model_name
        known = model if model is not None else verify
        self.names: tuple[str, ...] = () if known is None else tuple(known.class_names or ())
        self.recent = RecentFrames()
        self._hints = hints
        self.capture: Capture | None = None
        self.predictor: NodePredictor | None = None
        self.verifier: Verifier | None = None
        self._observers: tuple[Observer, ...] = ()
        self._warnings: tuple[float, tuple[str, ...]] = (0.0, ())  # when, and what is wrong with the newest frames
        self._warned: set[str] = set()
        self.receiver = PacketReceiver(NodeTable(listed=nodes), allow=allow, on_arrival=self._arrived)
        self.listener = UdpListener(self.receiver, *bind)
        self.where = self.listener.address
        try:
            if model is not None:
                self.predictor = NodePredictor(
                    model,
                    max_nodes=self.receiver.table.max_nodes,
                    max_bytes=max_bytes,
                    hints=hints,
                    on_prediction=self._predicted,
                )
            if verify is not None:
                self.verifier = Verifier(
                    verify,
                    max_nodes=self.receiver.table.max_nodes,
                    max_bytes=max_bytes,
                    hints=hints,
                    on_check=self._checked,
                )
        except BaseException:
            self.listener.close()
            raise

    def observe(self, observer: Observer) -> None:
        """The observer sees all events from now on."""
        self._observers = (*self._observers, observer)
        if isinstance(observer, Capture):
            self.capture = observer

    def run(
        self,
        display: Display,
        stop: Stop,
        *,
        duration: float | None = None,
        warn: Callable[[str], None] = lambda text: None,
    ) -> float:
        """Listens until the duration is over, `stop` is set, or a thread fails (`failure`); then takes what has arrived
        and shows it. Returns the seconds that it took. warn: is told why an observer has ended, once."""
        began = time.monotonic()
        self.listener.start()
        while not stop.is_set() and self.failure is None:
            left = float("inf") if duration is None else began + duration - time.monotonic()
            if left <= 0:
                break
            stop.wait(min(display.period, left))
            display.show(self.status())
            self._warn_once(warn)
        self.close()
        display.show(self.status())
        self._warn_once(warn)
        return time.monotonic() - began

    def close(self) -> None:
        """Takes the datagrams that have arrived, then ends the threads that work on them. May be repeated."""
        self.listener.close()
        if self.predictor is not None:
            self.predictor.close()
        if self.verifier is not None:
            self.verifier.close()
        for observer in self._observers:
            observer.close()

    @property
    def errors(self) -> list[str]:
        """Why observers have ended early."""
        found = [each.error for each in self._observers]
        if self.verifier is not None:
            found.append(self.verifier.error)
        return [error for error in found if error is not None]

    @property
    def failure(self) -> BaseException | None:
        """The error that ended a thread, where one has."""
        if self.listener.failure is not None:
            return self.listener.failure
        error = None if self.predictor is None else self.predictor.failure
        if error is None or isinstance(error, TemporalError | OSError | MemoryError):
            return error
        said = TemporalError(f"model: expected predictions, found {type(error).__name__} ({error}); report this error")
        said.__cause__ = error
        return said

    def status(self, *, last: bool = False) -> Status:
        """What to show; the newest frames are examined every few seconds, and at last."""
        now = time.monotonic()
        if last or now - self._warnings[0] > _EXAMINE:
            notes = () if self.predictor is None else self.predictor.notes
            self._warnings = (now, (*self.recent.warnings(self.model), *self._unused(), *notes))
        return Status(
            snapshot=self.listener.snapshot,
            where=self.where,
            recorded=None if self.capture is None else self.capture.recorded,
            model=None if self.predictor is None else self.predictor.status(),
            model_name=self.model_name,
            warnings=self._warnings[1],
        )

    def _arrived(self, arrival: Arrival) -> None:
        if isinstance(arrival.packet, RawFrame) and arrival.order.in_order:  # as replays take them
            key, header = arrival.node.key, arrival.packet.header
            self.recent.add(
                f"node {key.node_id} at {key.address}",
                header.values(arrival.packet.values),
                arrival.time,
                subcarriers=self._subcarriers(header),
            )
        if self.predictor is not None:
            self.predictor.offer(arrival)
        if self.verifier is not None:
            self.verifier.offer(arrival)
        for observer in self._observers:
            observer.arrived(arrival)

    def _subcarriers(self, header: RawHeader) -> SubcarrierMap | None:
        """Which subcarrier each pair is: as the node or the user says."""
        try:
            return settled_subcarriers(header.subcarriers, self._hints, (), header.pairs)[0]
        except RecordingShapeError:  # the user's layout is of other frames
            return header.subcarriers

    def _unused(self) -> list[str]:
        """Nodes of which more than a tenth of the packets came late or twice, and are not used."""
        found = []
        for row in self.listener.snapshot.nodes:
            unused, taken = row.late + row.duplicates, sum(row.accepted.values())
            if unused > _MUCH_UNUSED * taken:
                share = f"{unused} of {taken} packets ({unused / taken:.0%})"
                found.append(f"node {row.node_id} at {row.address}: {share} came late or twice and are not used")
        return found

    def _checked(self, arrival: Arrival, check: Check) -> None:
        for observer in self._observers:
            observer.checked(arrival, check)

    def _predicted(self, arrival: Arrival, prediction: Prediction) -> None:
        for observer in self._observers:
            observer.predicted(arrival, prediction)

    def _warn_once(self, warn: Callable[[str], None]) -> None:
        for error in self.errors:
            if error not in self._warned:
                self._warned.add(error)
                warn(error)


class Capture(Observer):
    """Writes accepted packets to a packet capture. where: the address and port that they are sent to."""

    def __init__(self, file: AppendFile, where: tuple[str, int]) -> None:
        self._recorder, self._where = Recorder(file), where

    @property
    def error(self) -> str | None:
        return self._recorder.error

    @property
    def recorded(self) -> tuple[str, int, int, str | None]:
        """File, packets in it, packets lost because the disk was slow, error."""
        return self._recorder.path, self._recorder.written, self._recorder.lost, self._recorder.error

    def arrived(self, arrival: Arrival) -> None:
        source = (arrival.node.key.address, arrival.port)
        self._recorder.add(packet_record(arrival.data, source, self._where, arrival.time))

    def close(self) -> None:
        self._recorder.close()


class EventSink(Observer):
    """Gives each classification, feature state and prediction to `take`, as a JSON document."""

    def __init__(self, events: Events, take: Callable[[dict[str, Any]], None]) -> None:
        self._events, self._take = events, take

    def arrived(self, arrival: Arrival) -> None:
        event = self._events.of_arrival(arrival)
        if event is not None:
            self._take(event)

    def predicted(self, arrival: Arrival, prediction: Prediction) -> None:
        self._take(self._events.of_prediction(arrival, prediction))

    def checked(self, arrival: Arrival, check: Check) -> None:
        self._take(self._events.of_check(arrival, check))


class PredictionsFile(EventSink):
    """Appends classifications and predictions to a file, as JSON lines."""

    def __init__(self, file: AppendFile, events: Events) -> None:
        super().__init__(events, self._write)
        self._recorder = Recorder(file)

    @property
    def error(self) -> str | None:
        return self._recorder.error

    def close(self) -> None:
        self._recorder.close()

    def _write(self, event: dict[str, Any]) -> None:
        if event["event"] != "features":
            self._recorder.add(Events.line(event))
