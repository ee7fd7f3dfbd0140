"""From measurements to pass, fail or undecided: a limit decides only where the whole interval is on one side of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aether_temporal.train.retrieval import Interval
from aether_temporal.train.statistics import mean_of, student

Outcome = Literal["pass", "fail", "undecided"]

MOST_SEEDS = 10_000
DRAWS = 2000


@dataclasses.dataclass(frozen=True)
class Gate:
    """One gate. low, high: 95 % interval of `value` (nan: one seed says nothing of it). at_most: `value` is to be at
    most `limit`, else at least. margin: how far inside the limit `value` is, negative where outside, in its own units.
    seeds, persons: how many would decide, where more of them could; None where that is not what is missing. beside:
    figures that decide nothing."""

    number: int
    name: str
    value: float
    low: float
    high: float
    limit: float
    at_most: bool
    outcome: Outcome
    seeds: int | None = None
    persons: int | None = None
    advice: str = ""
    beside: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def margin(self) -> float:
        return self.limit - self.value if self.at_most else self.value - self.limit


def judge(low: float, high: float, limit: float, *, at_most: bool) -> Outcome:
    """Undecided also where the interval is nan."""
    inside, outside = (high <= limit, low > limit) if at_most else (low >= limit, high < limit)
    return "pass" if inside else "fail" if outside else "undecided"


def by_person(values: Sequence[NDArray[np.float64]], owners: Sequence[Sequence[str]], *, seed: int = 0) -> Interval:
    """The mean of per-probe values over all seeds, with a bootstrap over persons: what is drawn with replacement is
    whom probes belong to, with all probes of a person and all seeds in which the person is one."""
    names = sorted({name for owner in owners for name in owner})
    place = {name: index for index, name in enumerate(names)}
    who = np.concatenate([[place[name] for name in owner] for owner in owners])
    found = np.concatenate(values)
    sums, counts = np.bincount(who, found, len(names)), np.bincount(who, minlength=len(names))
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = generator.multinomial(len(names), np.full(len(names), 1.0 / len(names)), DRAWS)
    low, high = np.quantile((drawn @ sums) / (drawn @ counts), (0.025, 0.975))
    return Interval(float(found.mean()), float(low), float(high))


def seeds_needed(values: Sequence[float], limit: float) -> int | None:
    """The smallest n for which t(n) · s / sqrt(n) is no more than the distance of the mean from the limit: mean and
    standard deviation s being those of `values`, t(n) Student's at 97.5 %. None beyond MOST_SEEDS; 2 for one value,
    which says nothing of the spread."""
    if len(values) < 2:
        return 2
    distance, spread = abs(float(np.mean(values)) - limit), float(np.std(values, ddof=1))
    for n in range(2, MOST_SEEDS + 1):
        if student(n) * spread <= distance * math.sqrt(n):
            return n
    return None


def decide(
    number: int,
    name: str,
    values: Sequence[float],
    limit: float,
    *,
    at_most: bool,
    persons: Interval | None = None,
    person_count: int = 0,
    beside: dict[str, float] | None = None,
) -> Gate:
    """A gate of one value a seed. The interval holds Student's over seeds and, where given, the bootstrap's over
    persons: trainings differ, and so do persons, and a verdict has to stand both."""
    seeds = mean_of(values)
    low, high = seeds.low, seeds.high
    if persons is not None and len(values) > 1:
        low, high = min(low, persons.low), max(high, persons.high)
    outcome = judge(low, high, limit, at_most=at_most)
    gate = Gate(number, name, seeds.mean, low, high, limit, at_most, outcome, beside=beside or {})
    if outcome != "undecided":
        return gate
    more_seeds = more_persons = None
    parts = []
    if judge(seeds.low, seeds.high, limit, at_most=at_most) == "undecided":
        more_seeds = seeds_needed(values, limit)
        parts.append(f"more than {MOST_SEEDS} seeds" if more_seeds is None else f"about {more_seeds} seeds")
    if persons is not None and judge(persons.low, persons.high, limit, at_most=at_most) == "undecided":
        more_persons = persons_needed(persons, limit, person_count)
        parts.append("no number of persons" if more_persons is None else f"about {more_persons} persons")
    return dataclasses.replace(gate, seeds=more_seeds, persons=more_persons, advice="needs " + " and ".join(parts))


def persons_needed(found: Interval, limit: float, count: int) -> int | None:
    """How many persons would bring the limit out of the interval, whose half-width shrinks with their square root.
    None where the value is on the limit."""
    distance = abs(found.value - limit)
    if distance == 0:
        return None
    half = (found.high - found.low) / 2
    return max(count + 1, math.ceil(count * (half / distance) ** 2))


def overall(gates: Sequence[Gate]) -> Outcome:
    """Fail where one fails; else undecided where one is."""
    outcomes = {gate.outcome for gate in gates}
    return "fail" if "fail" in outcomes else "undecided" if "undecided" in outcomes else "pass"
