"""What others read later: metrics for Prometheus, a log of changes, a history in SQLite.

The metrics are those of the newest view. Nothing is kept between two readings, so labels do not pile up. Log and
history are written in the thread that shows: what they write is little. A full disk ends them, `error` says so, and
listening continues.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from aether_temporal._internal.os_errors import describe
from aether_temporal.errors import InvalidArgumentError
from aether_temporal.listening import AppendFile
from aether_temporal.listening.documents import Events
from aether_temporal.listening.engine import Observer

from .serve_settings import History, Log
from .state import View

_NODE = ("node", "address")


class _OfView(Collector):
    def __init__(self, view: View | None) -> None:
        self._view = view

    def collect(self) -> Iterator[Metric]:
        if self._view is None:
            return
        yield from self._of_server(self._view)
        yield from self._of_nodes(self._view)

    @staticmethod
    def _of_server(view: View) -> Iterator[Metric]:
        snapshot, model = view.status.snapshot, view.status.model
        yield _counter("aether_datagrams", "Datagrams received.", snapshot.received)
        rejected = CounterMetricFamily("aether_rejected", "Datagrams rejected.", labels=("reason",))
        for reason, count in snapshot.rejected.items():
            rejected.add_metric((str(reason),), count)
        yield rejected
        yield _counter("aether_evicted_nodes", "Nodes removed for new ones.", snapshot.evicted)
        if snapshot.system_drops is not None:
            yield _counter("aether_system_drops", "Datagrams dropped: the buffer was full.", snapshot.system_drops)
        if model is not None:
            yield _counter("aether_predictions", "Predictions made here.", model.predicted)
            yield _counter("aether_frames_not_classified", "Frames that the model had no time for.", model.dropped)
            yield _counter("aether_unsuitable_frames", "Frames that do not suit the model.", model.unsuitable)

    @staticmethod
    def _of_nodes(view: View) -> Iterator[Metric]:
        packets = CounterMetricFamily("aether_packets", "Packets accepted.", labels=(*_NODE, "kind"))
        missing = CounterMetricFamily("aether_missing_packets", "Packets that did not arrive.", labels=_NODE)
        restarts = CounterMetricFamily("aether_restarts", "Restarts of a node.", labels=_NODE)
        receipts = CounterMetricFamily("aether_receipts", "Receipts checked.", labels=(*_NODE, "verdict"))
        rate = GaugeMetricFamily("aether_packet_rate", "Packets a second.", labels=_NODE)
        rssi = GaugeMetricFamily("aether_rssi_dbm", "Signal strength.", labels=_NODE)
        silent = GaugeMetricFamily("aether_silent_seconds", "Seconds since the last packet.", labels=_NODE)
        movement = GaugeMetricFamily("aether_movement", "Movement score, 0 to 1.", labels=_NODE)
        probability = GaugeMetricFamily(
            "aether_class_probability", "Probability of the class.", labels=(*_NODE, "class")
        )
        held = GaugeMetricFamily("aether_class_seconds", "Seconds that the class holds.", labels=(*_NODE, "class"))
        for node in view.nodes:
            row, key = node.snapshot, (str(node.key.node_id), node.key.address)
            for kind, count in row.accepted.items():
                packets.add_metric((*key, kind), count)
            missing.add_metric(key, row.missing)
            for verdict, count in () if row.check is None else row.check.counts.items():
                receipts.add_metric((*key, verdict), count)
            restarts.add_metric(key, row.restarts)
            rate.add_metric(key, row.rate)
            silent.add_metric(key, row.silent)
            if row.rssi is not None:
                rssi.add_metric(key, row.rssi)
            if node.movement is not None:
                movement.add_metric(key, node.movement)
            if node.name is not None and node.held is not None:
                held.add_metric((*key, node.name), node.held)
                if node.probability is not None:
                    probability.add_metric((*key, node.name), node.probability)
        yield from (packets, missing, restarts, receipts, rate, rssi, silent, movement, probability, held)


def _counter(name: str, about: str, value: float) -> Metric:
    found = CounterMetricFamily(name, about)
    found.add_metric((), value)
    return found


def metrics_text(view: View | None) -> tuple[bytes, str]:
    """The metrics, and their content type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_OfView(view))
    return generate_latest(registry), CONTENT_TYPE_LATEST


class ChangeLog(Observer):
    """A JSON line for each change of a class. The file is renamed when it is large or old enough, by the time of its
    first line, and the oldest of the renamed ones are removed. OSError, InvalidArgumentError: of the file."""

    def __init__(self, settings: Log, clock: Callable[[], float] = time.time) -> None:
        assert settings.file is not None
        self._settings, self._clock = settings, clock
        self._path = Path(settings.file)
        self._file = AppendFile.continue_lines(self._path)
        self._size, self._began = self._stand()
        self._error: str | None = None
        self._open = True

    @property
    def error(self) -> str | None:
        return self._error

    def show(self, view: View) -> None:
        """Writes the view's changes."""
        if self._error is not None or not self._open:
            return
        try:
            data = b"".join(Events.line(change.document()) for change in view.changes)
            old = self._size and self._clock() - self._began >= self._settings.max_hours * 3600
            if self._size and (old or self._size + len(data) > self._settings.max_bytes):
                self._rotate()
            if data:
                self._began = self._began if self._size else self._clock()
                self._file.write(data)
                self._size += len(data)
        except (OSError, InvalidArgumentError) as error:
            why = describe(error) if isinstance(error, OSError) else str(error)
            self._error = f"{self._path}: the log of changes ended: {why}"

    def close(self) -> None:
        self._open = False
        self._file.close()

    def _stand(self) -> tuple[int, float]:
        """Size, and when the file began: the time in its first line, where it has one."""
        with self._path.open("rb") as file:
            first = file.readline(1 << 16)
        try:
            began = float(json.loads(first)["time"])
        except (ValueError, TypeError, KeyError):
            began = self._clock()
        return self._path.stat().st_size, min(began, self._clock())

    def _rotate(self) -> None:
        """changes.jsonl becomes changes-20261130T181500Z.jsonl; the oldest ones go."""
        self._file.close()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock()))
        path, count = self._renamed(stamp), 1
        while path.exists():
            path, count = self._renamed(f"{stamp}-{count}"), count + 1
        self._path.rename(path)
        kept = sorted(self._path.parent.glob(self._renamed("*").name), key=lambda each: each.stat().st_mtime_ns)
        for each in kept[: max(0, len(kept) - self._settings.keep)]:
            each.unlink()
        self._file = AppendFile.continue_lines(self._path)
        self._size = 0

    def _renamed(self, stamp: str) -> Path:
        return self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")


_TABLES = """
CREATE TABLE IF NOT EXISTS changes (
    time REAL NOT NULL, node INTEGER NOT NULL, address TEXT NOT NULL, class INTEGER NOT NULL, name TEXT NOT NULL,
    probability REAL, margin REAL NOT NULL, lasted REAL);
CREATE INDEX IF NOT EXISTS changes_by_time ON changes (time);
CREATE TABLE IF NOT EXISTS minutes (
    time REAL NOT NULL, node INTEGER NOT NULL, address TEXT NOT NULL, name TEXT, probability REAL, movement REAL,
    rate REAL NOT NULL, missing INTEGER NOT NULL, rssi INTEGER, silent INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS minutes_by_time ON minutes (time);
"""
_MINUTE, _DAY = 60.0, 86400.0


class HistoryFile(Observer):
    """Changes, and each node's state once a minute, in SQLite; what is older than the settings say is removed once an
    hour. InvalidArgumentError: the file holds something else, or cannot be opened."""

    def __init__(self, settings: History, clock: Callable[[], float] = time.time) -> None:
        assert settings.file is not None
        self._settings, self._clock = settings, clock
        self._error: str | None = None
        self._minute = self._cleaned = float("-inf")
        self._open = True
        try:
            self._base = sqlite3.connect(settings.file, check_same_thread=False)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.executescript(_TABLES)
        except sqlite3.Error as error:
            raise InvalidArgumentError.of(settings.file, "a new file or an SQLite database", f"{error}") from None

    @property
    def error(self) -> str | None:
        return self._error

    def show(self, view: View) -> None:
        """Writes the view's changes, and once a minute the nodes."""
        now = self._clock()
        due = not 0 <= now - self._minute < _MINUTE  # a clock that goes back starts again
        if self._error is not None or not self._open or not (view.changes or due):
            return
        try:
            with self._base:
                self._base.executemany(
                    "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        (c.time, c.key.node_id, c.key.address, c.class_index, c.name, c.probability, c.margin, c.lasted)
                        for c in view.changes
                    ],
                )
                if due:
                    self._write_minute(view, now)
                if not 0 <= now - self._cleaned < 60 * _MINUTE:
                    self._cleaned = now
                    for table in ("changes", "minutes"):
                        self._base.execute(
                            f"DELETE FROM {table} WHERE time < ?", (now - self._settings.keep_days * _DAY,)
                        )
        except sqlite3.Error as error:
            self._error = f"{self._settings.file}: the history ended: {error}; make room there, or name another file"

    def close(self) -> None:
        self._open = False
        self._base.close()

    def _write_minute(self, view: View, now: float) -> None:
        self._minute = now
        self._base.executemany(
            "INSERT INTO minutes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    now,
                    node.key.node_id,
                    node.key.address,
                    node.name,
                    node.probability,
                    node.movement,
                    node.snapshot.rate,
                    node.snapshot.missing,
                    node.snapshot.rssi,
                    int(node.silent),
                )
                for node in view.nodes
            ],
        )
