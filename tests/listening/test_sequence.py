"""Sequence numbers: gaps, order, wraps, restarts."""

from __future__ import annotations

import random

import pytest

from aether_temporal.recordings.sequence import Order, Sequence

NEW, LATE, DUPLICATE, RESTART = Order.NEW, Order.LATE, Order.DUPLICATE, Order.RESTART


def taken(numbers: list[int], bits: int = 32) -> tuple[list[Order], Sequence]:
    sequence = Sequence(bits)
    return [sequence.take(number) for number in numbers], sequence


@pytest.mark.parametrize("bits", [16, 32])
def test_wraps(bits: int) -> None:
    top = 1 << bits
    orders, sequence = taken([top - 2, top - 1, 0, 1, 5], bits)
    assert orders == [NEW] * 5
    assert (sequence.missing, sequence.restarts) == (3, 0)


def test_a_late_number_is_not_missing() -> None:
    orders, sequence = taken([10, 13, 11, 11, 13, 12])
    assert orders == [NEW, NEW, LATE, DUPLICATE, DUPLICATE, LATE]
    assert (sequence.missing, sequence.late, sequence.duplicates, sequence.restarts) == (0, 2, 2, 0)


def test_a_number_before_the_first_is_late_but_not_missing() -> None:
    orders, sequence = taken([10, 8, 11])
    assert orders == [NEW, LATE, NEW]
    assert sequence.missing == 0


def test_restarts_far_back_or_far_ahead() -> None:
    orders, sequence = taken([5000, 5001, 0, 1, 3_000_000, 3_000_001])
    assert orders == [NEW, NEW, RESTART, NEW, RESTART, NEW]
    assert (sequence.missing, sequence.restarts) == (0, 2)
    orders, sequence = taken([0, 40_000, 40_001], 16)
    assert orders == [NEW, RESTART, NEW]
    assert sequence.missing == 0


def test_detects_an_early_restart_at_the_fourth_number() -> None:
    for joined in (0, 30):  # whether the first numbers were seen
        orders, sequence = taken([*range(joined, 60), 0, 1, 2, 3, 4, 5])
        assert orders[-3:] == [RESTART, NEW, NEW]
        assert all(not order.in_order for order in orders[-6:-3])
        assert sequence.restarts == 1


def test_every_packet_twice_is_no_restart() -> None:
    orders, sequence = taken([n for n in range(50) for _ in (0, 1)])
    assert orders == [NEW, DUPLICATE] * 50
    assert (sequence.duplicates, sequence.restarts, sequence.missing) == (50, 0, 0)


@pytest.mark.parametrize("bits", [16, 32])
def test_shuffled_numbers_are_all_accounted_for(bits: int) -> None:
    """Compared with a plain count of what a sender without restarts sent."""
    random.seed(3)
    top = 1 << bits
    first = top - 700
    numbers = [first + i for i in range(2000) if random.random() > 0.1]
    arriving = sorted(numbers, key=lambda n: n + random.choice((0, 0, 0, 0, 3.5, 9.5)))
    arriving = [n for n in arriving for _ in range(2 if random.random() < 0.05 else 1)]
    orders, sequence = taken([n % top for n in arriving], bits)
    assert sequence.restarts == 0
    seen: set[int] = set()
    newest = -1
    for number, order in zip(arriving, orders, strict=True):
        expected = DUPLICATE if number in seen else NEW if number > newest else LATE
        assert order is expected, number
        seen.add(number)
        newest = max(newest, number)
    assert sequence.missing == newest - arriving[0] + 1 - len({n for n in seen if n >= arriving[0]})
