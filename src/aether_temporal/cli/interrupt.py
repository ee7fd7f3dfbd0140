"""How Ctrl-C ends a command: with what it has done so far, at any moment."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType


class Stop:
    """An event that a signal handler may set while its own thread waits. threading.Event would deadlock there."""

    def __init__(self) -> None:
        self._asked = False
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        self._asked = True
        self._wake.put(None)

    def is_set(self) -> bool:
        return self._asked

    def wait(self, seconds: float) -> None:
        """Waits so long, or until it is set."""
        with suppress(queue.Empty):
            self._wake.get(timeout=seconds)


@contextmanager
def interruptible(*numbers: signal.Signals) -> Iterator[Stop]:
    """An event that SIGINT, and other signals given, set, so that files and threads are closed in order.

    A second SIGINT raises KeyboardInterrupt.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():  # signal handlers can be set there only
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, *numbers)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
