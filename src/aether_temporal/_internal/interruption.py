"""Ctrl-C at moments that a program chooses, so that what was done so far is neither lost nor half done.

Inside `interruptible`, SIGINT sets an event that loops look at between two steps. Where a program waits for input, it
says so with `raising`, and SIGINT raises KeyboardInterrupt there.

One Ctrl-C may send several signals (`timeout -s INT` sends two, an impatient user more). Those that follow the first
one within `PATIENCE` are ignored, up to the end of the program where it has called `take_interrupts`. A later one
raises KeyboardInterrupt anywhere.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["Stop", "end_of_program", "interrupted", "interruptible", "sleep", "stop_asked", "take_interrupts"]

PATIENCE = 5.0
"""Seconds from the first signal, in which others are ignored."""

_first: float | None = None
"""When the first signal of this program, or of the outermost `interruptible`, came."""


def _repeated() -> bool:
    """Whether this signal is to be ignored. The first one starts the time."""
    global _first
    now = time.monotonic()
    if _first is None:
        _first = now
        return False
    return now - _first < PATIENCE


def _raise(number: int, frame: FrameType | None) -> None:
    if not _repeated():
        raise KeyboardInterrupt


def take_interrupts() -> None:
    """From now on, SIGINT outside `interruptible` raises KeyboardInterrupt once. For the entry point of a program."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _raise)


def end_of_program() -> None:
    """After an interrupt, ignores more of them: its exit status must not change while the interpreter ends."""
    if interrupted() and signal.getsignal(signal.SIGINT) is _raise:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def interrupted() -> bool:
    """Whether a signal has come, in this program or in the outermost `interruptible`."""
    return _first is not None


class Stop:
    """An event that a signal handler may set while its own thread waits. threading.Event would deadlock there."""

    def __init__(self) -> None:
        self._asked = self._raises = False
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        self._asked = True
        self._wake.put(None)

    def is_set(self) -> bool:
        return self._asked

    def wait(self, seconds: float) -> None:
        """Waits so long, or until it is set."""
        if not self._asked:
            with suppress(queue.Empty):
                self._wake.get(timeout=seconds)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """While this waits for something else than the event, SIGINT raises KeyboardInterrupt; also one from before."""
        self._raises = True
        try:
            if self._asked:
                raise KeyboardInterrupt
            yield
        finally:
            self._raises = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        again = self._asked
        if _repeated():
            return
        self.set()
        if self._raises or (again and number == signal.SIGINT):
            raise KeyboardInterrupt


_active: list[Stop] = []


@contextmanager
def interruptible(*numbers: signal.Signals) -> Iterator[Stop]:
    """An event that SIGINT, and other signals given, set. The event of an `interruptible` around this one is shared; no
    signal sets it in other threads than the main one, and where the program handles SIGINT in another way."""
    if _active:
        yield _active[-1]
        return
    stop = Stop()
    main = threading.current_thread() is threading.main_thread()
    outside = signal.getsignal(signal.SIGINT)
    if not main or outside not in (signal.default_int_handler, _raise):
        yield stop
        return
    global _first
    if outside is signal.default_int_handler:
        _first = None
    before = {number: signal.signal(number, stop._on_signal) for number in (signal.SIGINT, *numbers)}
    _active.append(stop)
    try:
        yield stop
    finally:
        _active.pop()
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_asked() -> bool:
    """Whether a signal has set the event of the `interruptible` around this, if there is one."""
    return bool(_active) and _active[-1].is_set()


def sleep(seconds: float) -> None:
    """Waits so long; inside `interruptible`, no longer than until its event is set."""
    if _active and threading.current_thread() is threading.main_thread():
        _active[-1].wait(seconds)
    else:
        time.sleep(seconds)
