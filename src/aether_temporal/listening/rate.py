"""How fast packets come, and how fast they may."""

from __future__ import annotations

import math


class Bucket:
    """Tokens that fill up at `rate` a second, to at most `burst`; each packet takes one."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = burst, now

    def take(self, now: float) -> bool:
        """Whether there was a token. Time that goes back counts as none."""
        passed = max(0.0, now - self._at)
        self._at = now
        self._tokens = min(self._burst, self._tokens + passed * self._rate)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Rate:
    """Packets a second, the last few seconds weighing most. Constant memory."""

    __slots__ = ("_at", "_begin", "_sum")

    _SPAN = 3.0  # seconds

    def __init__(self) -> None:
        self._sum = 0.0
        self._begin: float | None = None
        self._at = 0.0

    def count(self, now: float) -> None:
        """One packet, now."""
        if self._begin is None:  # the first packet begins the time in which the others are counted
            self._begin = self._at = now
            return
        self._sum = self._faded(now) + 1
        self._at = now

    def value(self, now: float) -> float:
        """Packets a second; 0 until time has passed."""
        if self._begin is None or now - self._begin < 0.05:
            return 0.0
        whole = self._SPAN * -math.expm1((self._begin - now) / self._SPAN)
        return self._faded(now) / whole

    def _faded(self, now: float) -> float:
        return self._sum * math.exp(min(0.0, self._at - now) / self._SPAN)
