"""Numbers that a sender gives its packets, one more for each: what is missing, late, repeated, or begun again."""

from __future__ import annotations

from enum import Enum

_LATE = 1024
_SEEN = (1 << _LATE) - 1
_JUMP = 100_000
_AGAIN = 4


class Order(Enum):
    """What a number says of its packet."""

    NEW = "new"  # newer than all before
    LATE = "late"  # older than the newest, and not seen yet
    DUPLICATE = "duplicate"  # seen already
    RESTART = "restart"  # the sender counts from somewhere else: it has started again

    @property
    def in_order(self) -> bool:
        """Whether the packet comes after all before it."""
        return self in (Order.NEW, Order.RESTART)


class Sequence:
    """The numbers of one sender, `bits` wide; they wrap.

    A number up to 1024 back is late or a duplicate, one farther back is a start from somewhere else, and so is one that
    leaves out 100 000 or (in a narrow number) half of all there are. A sender that starts again within those 1024
    betrays itself by four old numbers that follow each other: the fourth one is the restart.
    """

    __slots__ = ("_again", "_mask", "_old", "_seen", "_span", "duplicates", "late", "missing", "newest", "restarts")

    def __init__(self, bits: int) -> None:
        self._mask = (1 << bits) - 1
        self.newest: int | None = None
        self._seen = 0  # bit i: newest - i has been seen
        self._span = 0  # numbers from the first one to the newest
        self._old, self._again = -1, 0
        self.missing = self.late = self.duplicates = self.restarts = 0

    def take(self, number: int) -> Order:
        """Counts one packet."""
        newest = self.newest
        if newest is None:
            self._begin(number)
            return Order.NEW
        step = (number - newest) & self._mask
        if 0 < step <= min(self._mask >> 1, _JUMP):
            self.missing += step - 1
            self._seen = (self._seen << step | 1) & _SEEN if step < _LATE else 1
            self._span += step
            self.newest, self._again = number, 0
            return Order.NEW
        back = -step & self._mask
        if back >= _LATE:
            return self._restart(number)
        self._again = self._again + 1 if number == (self._old + 1) & self._mask else 1
        self._old = number
        if self._again == _AGAIN:
            return self._restart(number)
        if self._seen >> back & 1:
            self.duplicates += 1
            return Order.DUPLICATE
        self._seen |= 1 << back
        self.late += 1
        if back < self._span:
            self.missing -= 1  # it was counted as such
        return Order.LATE

    def _restart(self, number: int) -> Order:
        self.restarts += 1
        self._begin(number)
        return Order.RESTART

    def _begin(self, number: int) -> None:
        self.newest, self._seen, self._span = number, 1, 0
        self._old, self._again = -1, 0
