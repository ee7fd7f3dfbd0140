"""Token buckets, and a meter of packets a second. Every function takes the time; none reads a clock."""

from __future__ import annotations

import math
from collections import OrderedDict


class TokenBucket:
    """Tokens that fill up at `rate` a second, to at most `burst`. Each packet takes one."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = burst, now

    def take(self, now: float) -> bool:
        """Takes a token; False when there is none. A clock that goes back adds no tokens."""
        elapsed = max(0.0, now - self._at)
        self._at = now
        self._tokens = min(self._burst, self._tokens + elapsed * self._rate)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class AddressLimits:
    """One token bucket per address, for at most `max_addresses`. The address that was silent longest is forgotten."""

    def __init__(self, rate: float, burst: float, max_addresses: int = 1024) -> None:
        self.rate = rate
        self._burst, self._max_addresses = burst, max_addresses
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, address: str, now: float) -> bool:
        """Takes a token of that address; False when it has none."""
        bucket = self._buckets.get(address)
        if bucket is None:
            if len(self._buckets) >= self._max_addresses:
                self._buckets.popitem(last=False)
            bucket = self._buckets[address] = TokenBucket(self.rate, self._burst, now)
        else:
            self._buckets.move_to_end(address)
        return bucket.take(now)


class RateMeter:
    """Packets a second, averaged over the last few seconds with exponential weights. Constant memory."""

    __slots__ = ("_at", "_begin", "_sum")

    _SPAN = 3.0  # seconds

    def __init__(self) -> None:
        self._sum = 0.0
        self._begin: float | None = None
        self._at = 0.0

    def count(self, now: float) -> None:
        """Counts one packet that arrived now."""
        if self._begin is None:  # the first packet begins the time in which the others are counted
            self._begin = self._at = now
            return
        self._sum = self._decayed(now) + 1
        self._at = now

    def value(self, now: float) -> float:
        """Packets a second; 0 during the first 50 ms."""
        if self._begin is None or now - self._begin < 0.05:
            return 0.0
        weight = self._SPAN * -math.expm1((self._begin - now) / self._SPAN)
        return self._decayed(now) / weight

    def _decayed(self, now: float) -> float:
        return self._sum * math.exp(min(0.0, self._at - now) / self._SPAN)
