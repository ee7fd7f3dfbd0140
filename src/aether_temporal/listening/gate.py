"""How much one address may send, before anything else is done with it."""

from __future__ import annotations

_ADDRESSES = 1024
_HELD = 64
_BURST = 0.25  # seconds whose datagrams may come at once
_FLOOD = 500  # datagrams beyond the rate, within a second
_HOLD, _LONGEST_HOLD = 2.0, 32.0  # seconds
_AGAIN = 10.0  # seconds after a hold within which a flood is the same one


class _Address:
    __slots__ = ("at", "hold", "over", "since", "tokens", "until")

    def __init__(self, tokens: float, now: float) -> None:
        self.tokens, self.at = tokens, now
        self.over, self.since = 0, now
        self.hold, self.until = 0.0, now  # the last hold and its end


class Gate:
    """Lets `rate` datagrams a second of each address pass, a quarter of them at once.

    An address that goes beyond by 500 within a second floods: for two seconds it is in `held`, for the system to drop
    what it sends before it takes up the buffer that all share; twice as long each time that it floods on, at most 32
    seconds. Remembers 1024 addresses; one that is forgotten begins
    anew.
    """

    def __init__(self, rate: float) -> None:
        self.rate, self._burst = rate, max(1.0, _BURST * rate)
        self.version = 0  # changes with `held`
        self._addresses: dict[str, _Address] = {}
        self._held: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._addresses)

    @property
    def held(self) -> tuple[str, ...]:
        """Addresses that flood, at most 64."""
        return tuple(self._held)

    def admit(self, address: str, now: float) -> bool:
        """Whether a datagram of that address may pass. Time that goes back counts as none."""
        found = self._addresses.get(address)
        if found is None:
            if len(self._addresses) >= _ADDRESSES:
                del self._addresses[next(iter(self._addresses))]
            found = self._addresses[address] = _Address(self._burst, now)
        passed = now - found.at
        if passed > 0:
            found.tokens = min(self._burst, found.tokens + passed * self.rate)
            found.at = now
        if found.tokens >= 1:
            found.tokens -= 1
            return True
        self._over(address, found, now)
        return False

    def release(self, now: float) -> None:
        """Ends the holds whose time is up."""
        for address in [address for address, until in self._held.items() if until <= now]:
            del self._held[address]
            self.version += 1

    def _over(self, address: str, found: _Address, now: float) -> None:
        if now - found.since >= 1:
            found.over, found.since = 0, now
        found.over += 1
        if found.over >= _FLOOD and address not in self._held and len(self._held) < _HELD:
            again = found.hold > 0 and now - found.until < _AGAIN
            found.hold = min(_LONGEST_HOLD, 2 * found.hold) if again else _HOLD
            found.until = self._held[address] = now + found.hold
            self.version += 1
            # Nothing is saved up meanwhile: an address that floods on is known for it at once.
            found.tokens, found.at, found.over, found.since = 0.0, found.until, 0, found.until
