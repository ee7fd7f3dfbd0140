"""Nodes that send, and the state, the page and the process that take it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hang import HANG
from listening.wire import classification

from aether_temporal.listening import PacketReceiver
from aether_temporal.listening.documents import take_snapshot
from aether_temporal.listening.engine import Status
from aether_temporal.listening.packet_receiver import Arrival
from aether_temporal.live.state import LiveState, Sink, View

AETHER = [sys.executable, "-m", "aether_temporal"]
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Nodes:
    """A state with nodes that send to it, without a socket; time is the clock's."""

    def __init__(self, *sinks: Sink, names: tuple[str, ...] = ("sit", "walk"), **options: float) -> None:
        self.clock = Clock()
        self.state = LiveState(names, sinks, clock=self.clock, **options)
        self.observers: list[Callable[[Arrival], None]] = [self.state.arrived]
        self.receiver = PacketReceiver(on_arrival=self._arrived)

    def _arrived(self, arrival: Arrival) -> None:
        for each in self.observers:
            each(arrival)

    def send(self, *datagrams: bytes, address: str = "10.0.0.1", seconds: float = 0.02) -> None:
        for data in datagrams:
            self.clock.now += seconds
            rejected = self.receiver.take(data, address, 4000, 1e9 + self.clock.now, self.clock.now)
            assert rejected is None, rejected

    def status(self) -> Status:
        return Status(take_snapshot(self.receiver, self.clock.now, None), ("127.0.0.1", 5005), None)

    def view(self) -> View:
        return self.state.take_view(self.status())

    def show(self) -> None:
        self.state.show(self.status())


def classes(*found: int, first: int = 0) -> list[bytes]:
    """Predictions of node 3, one a frame."""
    return [classification(3, first + i, argmax=best, classes=2) for i, best in enumerate(found)]


def frames(count: int, moving: float, seed: int = 1, pairs: int = 64) -> list[bytes]:
    """I/Q pairs of frames: a profile and noise; `moving`: how far the profile moves in a frame."""
    rng = np.random.default_rng(seed)
    phase = np.arange(count)[:, None] * moving + np.linspace(0, 6, pairs)
    amplitude = 40 + 12 * np.sin(phase) + rng.normal(0, 0.5, (count, pairs))
    values = np.zeros((count, pairs, 2), np.int8)
    values[..., 0] = np.round(amplitude)
    return [each.tobytes() for each in values]


def wait_until(condition: Callable[[], object]) -> None:
    """The limit is for what hangs."""
    deadline = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def send(port: int, *datagrams: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for data in datagrams:
            out.sendto(data, ("127.0.0.1", port))


class Serve:
    """`aether serve` as a process; `port` is where it hears nodes, `url` where the page is."""

    def __init__(self, *arguments: object, cwd: Path) -> None:
        command = [*AETHER, "serve", "--bind", "127.0.0.1:0", "--http", "127.0.0.1:0", *map(str, arguments)]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            command, env=environment, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.port, self.url, self.said = 0, "", ""
        assert self.process.stdout is not None
        while not self.url:
            line = self.process.stdout.readline()
            assert line, self.process.communicate()[1]
            self.said += line
            if found := re.search(r"port (\d+) \(UDP\)", line):
                self.port = int(found[1])
            if found := re.search(r"page is at (\S+)", line):
                self.url = found[1]

    def stop(self) -> tuple[int, str]:
        """Exit status and what stands on standard error."""
        self.process.terminate()
        _, error = self.process.communicate(timeout=HANG)
        return self.process.returncode, error


@contextmanager
def serving(*arguments: object, cwd: Path) -> Iterator[Serve]:
    """A process that ends well, or is ended."""
    found = Serve(*arguments, cwd=cwd)
    try:
        yield found
        assert found.stop() == (0, "")
    finally:
        if found.process.poll() is None:
            found.process.kill()
            found.process.communicate()
