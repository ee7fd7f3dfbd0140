"""Sequence numbers of a sender's packets: which are missing, late or repeated, and where the sender restarted."""

from __future__ import annotations

from enum import Enum

_LATE = 1024
_SEEN = (1 << _LATE) - 1
_JUMP = 100_000
_AGAIN = 4
_AHEAD = 16  # numbers that one sender may skip at once
_BEHIND = 16  # numbers by which packets may swap places on their way
_RETURNS = 6
_PERIOD = 32


class Order(Enum):
    """Where a packet stands in its sender's sequence."""

    NEW = "new"  # newer than all before
    LATE = "late"  # older than the newest, and not seen yet
    DUPLICATE = "duplicate"  # seen already
    RESTART = "restart"  # the sender counts from another number: it has restarted

    @property
    def in_order(self) -> bool:
        """Whether the packet comes after all before it."""
        return self in (Order.NEW, Order.RESTART)


class Sequence:
    """The numbers of one sender, `bits` wide; they wrap. Constant memory.

    A number up to 1024 back is late or a duplicate. One farther back is a restart, and so is one that is more than
    100 000 ahead or more than half of the number's range. Four old numbers that follow each other are a restart too,
    counted at the fourth.
    """

    __slots__ = ("_again", "_mask", "_old", "_seen", "_span", "duplicates", "late", "missing", "newest", "restarts")

    def __init__(self, bits: int) -> None:
        self._mask = (1 << bits) - 1
        self.newest: int | None = None
        self._seen = 0  # bit i: newest - i has been seen
        self._span = 0  # numbers from the first one to the newest
        self._old, self._again = -1, 0
        self.missing = self.late = self.duplicates = self.restarts = 0

    def order_of(self, number: int) -> Order:
        """What `take` would say of this number. Changes nothing."""
        if self.newest is None:
            return Order.NEW
        step = (number - self.newest) & self._mask
        if 0 < step <= min(self._mask >> 1, _JUMP):
            return Order.NEW
        back = -step & self._mask
        if back >= _LATE or self._old_run(number) == _AGAIN:
            return Order.RESTART
        return Order.DUPLICATE if self._seen >> back & 1 else Order.LATE

    def take(self, number: int) -> Order:
        """Counts one packet."""
        order = self.order_of(number)
        if self.newest is None:
            self._begin(number)
        elif order is Order.RESTART:
            self.restarts += 1
            self._begin(number)
        elif order is Order.NEW:
            step = (number - self.newest) & self._mask
            self.missing += step - 1
            self._seen = (self._seen << step | 1) & _SEEN if step < _LATE else 1
            self._span += step
            self.newest, self._again = number, 0
        else:
            self._again, self._old = self._old_run(number), number
            back = (self.newest - number) & self._mask
            self.duplicates += order is Order.DUPLICATE
            if order is Order.LATE:
                self._seen |= 1 << back
                self.late += 1
                self.missing -= back < self._span  # it was counted as missing before
        return order

    def _old_run(self, number: int) -> int:
        """How many old numbers, with this one, have followed each other."""
        return self._again + 1 if number == (self._old + 1) & self._mask else 1

    def _begin(self, number: int) -> None:
        self.newest, self._seen, self._span = number, 1, 0
        self._old, self._again = -1, 0


class Interleaving:
    """Notices two senders behind one name: numbers of two ranges that alternate, while each range counts on. Constant
    memory.

    `found` is set by six returns to a range that was left, among 32 numbers. Where `port`, the sender's, differs as
    well, six returns of any time suffice. Packets that swap places, that come twice, or that one sender sends from two
    ports under one count, are no returns.
    """

    __slots__ = ("_count", "_mask", "_ranges", "_returns", "_returns_to_port", "found")

    def __init__(self, bits: int) -> None:
        self._mask = (1 << bits) - 1
        self._ranges: list[tuple[int, int]] = []  # newest number and port of two ranges, the current one last
        self._count = self._returns = self._returns_to_port = 0
        self.found = False

    def take(self, number: int, port: int = 0) -> None:
        """Counts one packet."""
        self._count = self._count % _PERIOD + 1
        self._returns *= self._count > 1
        old, current = self._ranges[:-1], self._ranges[-1:]
        place = self._range_of(number, port)
        if place is None:
            self._ranges = [*current, (number, port)]
        elif place == len(old):
            self._ranges = [*old, (number, port)]
        else:
            self._ranges = [*current, (number, port)]
            self._note_return(number, port, *current[0])

    def _range_of(self, number: int, port: int) -> int | None:
        """The range that the number continues: best the one whose next number it is."""
        best, nearest = None, _AHEAD + 1
        for place, (newest, its_port) in enumerate(self._ranges):
            ahead = (number - newest) & self._mask
            if port == its_port and 0 < ahead < nearest:
                best, nearest = place, ahead
        return best

    def _note_return(self, number: int, port: int, newest: int, other_port: int) -> None:
        """A return from the range that has reached `newest`."""
        ahead = (number - newest) & self._mask
        elsewhere = _AHEAD < ahead < self._mask + 1 - _BEHIND
        if port != other_port:
            self._returns_to_port += not 0 < ahead <= _AHEAD
        else:
            self._returns += elsewhere
        self.found = self.found or self._returns >= _RETURNS or self._returns_to_port >= _RETURNS
