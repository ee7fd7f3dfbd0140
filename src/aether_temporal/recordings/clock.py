"""A counter of 32-bit microseconds that wraps every 71.6 minutes, made into seconds that do not."""

from __future__ import annotations

_PERIOD = 1 << 32


class Clock:
    """Seconds since the first reading.

    A step forward of less than half a period is taken as time (wraps included). A step back is a sender that started
    again: time stands still for that one frame and goes on from the new count.
    """

    def __init__(self) -> None:
        self.restarts = 0
        self._last: int | None = None
        self._elapsed = 0

    def seconds(self, microseconds: int) -> float:
        if self._last is not None:
            step = (microseconds - self._last) % _PERIOD
            if step < _PERIOD // 2:
                self._elapsed += step
            else:
                self.restarts += 1
        self._last = microseconds
        return self._elapsed / 1e6
