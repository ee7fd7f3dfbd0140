"""From measurements to pass, fail or undecided: a limit decides only where the whole interval is on one side of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aether_temporal.train.retrieval import Interval
from aether_temporal.train.statistics import Mean, mean_of, student

Outcome = Literal["pass", "fail", "undecided"]

MOST = 10_000
"""Seeds, or persons, beyond which nobody is told a number."""

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


def by_person(
    values: Sequence[NDArray[np.float64]],
    owners: Sequence[Sequence[str]],
    *,
    over: Sequence[NDArray[np.float64]] | None = None,
    seed: int = 0,
) -> Interval:
    """The mean of per-probe values over all seeds (with `over`, the quotient of both sums), with a bootstrap over
    persons: what is drawn with replacement is whom probes belong to, with all probes of a person and all seeds in which
    the person is one."""
    names = sorted({name for owner in owners for name in owner})
    place = {name: index for index, name in enumerate(names)}
    who = np.concatenate([[place[name] for name in owner] for owner in owners])
    below = None if over is None else np.concatenate(over)
    sums, counts = (np.bincount(who, x, len(names)) for x in (np.concatenate(values), below))
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = generator.multinomial(len(names), np.full(len(names), 1.0 / len(names)), DRAWS)
    low, high = np.quantile((drawn @ sums) / (drawn @ counts), (0.025, 0.975))
    return Interval(float(sums.sum() / counts.sum()), float(low), float(high))


def together(seeds: Mean, persons: Interval | None) -> tuple[float, float]:
    """The interval of a mean that other seeds and other persons would both change. The two sources are independent, so
    that distances from the mean add as squares do; nan for one seed."""
    if persons is None or seeds.count < 2:
        return seeds.low, seeds.high
    below = math.hypot(seeds.mean - seeds.low, persons.value - persons.low)
    above = math.hypot(seeds.high - seeds.mean, persons.high - persons.value)
    return seeds.mean - below, seeds.mean + above


def seeds_needed(values: Sequence[float], distance: float) -> int | None:
    """The smallest n for which t(n) · s / sqrt(n) is at most `distance`, s being the standard deviation of `values`
    and t(n) Student's at 97.5 %. None beyond MOST; 2 for one value, which says nothing of the spread."""
    if len(values) < 2:
        return 2
    spread = float(np.std(values, ddof=1))
    for n in range(2, MOST + 1):
        if student(n) * spread <= distance * math.sqrt(n):
            return n
    return None


def persons_needed(half: float, distance: float, count: int) -> int | None:
    """How many persons would bring an interval that reaches `half` with `count` of them within `distance`: it shrinks
    with their square root. None beyond MOST."""
    needed = math.inf if distance == 0 else count * (half / distance) ** 2
    return None if needed > MOST else max(count + 1, math.ceil(needed))


def decide(
    number: int,
    name: str,
    values: Sequence[float],
    limit: float,
    *,
    at_most: bool,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    persons: Interval | None = None,
    person_count: int = 0,
    beside: dict[str, float] | None = None,
) -> Gate:
    """A gate of one value a seed. Its interval is Student's over seeds and, where given, the bootstrap's over persons
    together: trainings differ, and so do persons, and a verdict has to stand both. bounds: what no value is beyond."""
    seeds = mean_of(values)
    low, high = (float(x) for x in np.clip(together(seeds, persons), *bounds))
    outcome = judge(low, high, limit, at_most=at_most)
    gate = Gate(number, name, seeds.mean, low, high, limit, at_most, outcome, beside=beside or {})
    if outcome != "undecided":
        return gate
    more_seeds, more_persons, advice = _needed(values, limit, persons, person_count)
    return dataclasses.replace(gate, seeds=more_seeds, persons=more_persons, advice=advice)


def _needed(
    values: Sequence[float], limit: float, persons: Interval | None, count: int
) -> tuple[int | None, int | None, str]:
    """Seeds, persons (each where more of them are missing), and the words.

    Seeds and persons may each take up sqrt(1/2) of the distance from the mean to the limit; what one leaves of its
    share, the other may use.
    """
    seeds = mean_of(values)
    distance = abs(seeds.mean - limit)
    share = distance / math.sqrt(2)
    half = math.inf if seeds.count < 2 else seeds.high - seeds.mean
    reach = 0.0
    if persons is not None:
        reach = persons.high - persons.value if seeds.mean < limit else persons.value - persons.low
    more_seeds = more_persons = None
    parts = []
    if half > share or reach <= share:
        left = math.sqrt(distance**2 - min(reach, share) ** 2)
        more_seeds = seeds_needed(values, left)
        word = f"more than {MOST}" if more_seeds is None else "at least 2" if half == math.inf else more_seeds
        parts.append(f"{word} seeds" if isinstance(word, str) else f"about {word} seeds")
    if reach > share:
        left = math.sqrt(distance**2 - min(half, share) ** 2)
        more_persons = persons_needed(reach, left, count)
        alone = "" if parts else "; more seeds alone would not do"
        parts.append((f"more than {MOST}" if more_persons is None else f"about {more_persons}") + f" persons{alone}")
    return more_seeds, more_persons, "needs " + " and ".join(parts)


def overall(gates: Sequence[Gate]) -> Outcome:
    """Fail where one fails; else undecided where one is."""
    outcomes = {gate.outcome for gate in gates}
    return "fail" if "fail" in outcomes else "undecided" if "undecided" in outcomes else "pass"
