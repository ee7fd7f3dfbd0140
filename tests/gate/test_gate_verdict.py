"""A limit decides only where the noise leaves no doubt, and what would decide is computed as documented."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch")

from aether_temporal.gate.gate_config import GateConfig
from aether_temporal.gate.latency import CACHED, PREFILL, STEP, Ratio, median_interval
from aether_temporal.gate.verdict import (
    Gate,
    by_identity,
    decide,
    fast_enough,
    identities_needed,
    judge,
    latency_gate,
    overall,
    seeds_needed,
)
from aether_temporal.train.evaluation import mean_of, student
from aether_temporal.train.retrieval import Interval


@pytest.mark.parametrize(
    ("low", "high", "at_most", "expected"),
    [
        (0.98, 1.01, True, "pass"),
        (0.98, 1.0101, True, "undecided"),
        (1.0101, 1.2, True, "fail"),
        (0.95, 0.99, False, "pass"),
        (0.9, 0.96, False, "undecided"),
        (0.2, 0.9499, False, "fail"),
        (math.nan, math.nan, True, "undecided"),
        (math.nan, math.nan, False, "undecided"),
    ],
)
def test_an_interval_on_one_side_decides(low: float, high: float, at_most: bool, expected: str) -> None:
    assert judge(low, high, 1.01 if at_most else 0.95, at_most=at_most) == expected


def test_one_seed_never_decides() -> None:
    for value in (0.2, 1.0, 5.0):
        gate = decide(
            1, "loss", [value], 1.01, at_most=True, identities=Interval(value, value, value), identity_count=9
        )
        assert (gate.outcome, gate.seeds, gate.identities) == ("undecided", 2, None)
        assert gate.advice == "needs at least 2 seeds"


def test_the_number_of_seeds_is_the_smallest_that_would_decide() -> None:
    values = [0.99, 1.012, 1.004, 1.001]
    mean, spread = np.mean(values), np.std(values, ddof=1)
    needed = seeds_needed(values, 1.01 - float(mean))
    assert needed is not None
    assert needed > 4
    for n, decides in ((needed, True), (needed - 1, False)):
        assert bool(student(n) * spread / math.sqrt(n) <= 1.01 - mean) is decides
    assert decide(1, "loss", values, 1.01, at_most=True).seeds == needed
    assert seeds_needed([1.0, 1.02], 0.0) is None  # on the limit: no number of seeds
    assert "more than 10000 seeds" in decide(1, "loss", [1.0, 1.02], 1.01, at_most=True).advice
    far = decide(1, "loss", [1.0, 1.02], 1.01, at_most=True, identities=Interval(1.01, 0.9, 1.1), identity_count=9)
    assert far.advice == "needs more than 10000 seeds and more than 10000 identities"


def test_drawn_seeds_of_that_number_do_decide() -> None:
    """As far as the estimate is correct: half of such experiments decide, a fifth of the number hardly any."""
    rng = np.random.default_rng(3)
    values = [0.0, 0.01, -0.01, 0.005, -0.005, 0.012, -0.012]
    needed, spread = seeds_needed(values, 0.004), float(np.std(values, ddof=1))
    assert needed is not None

    def share(count: int) -> float:
        outcomes = [
            decide(2, "rank", rng.normal(0, spread, count).tolist(), 0.004, at_most=True).outcome for _ in range(300)
        ]
        return outcomes.count("pass") / 300

    assert 0.35 < share(needed) < 0.65
    assert share(needed // 5) < 0.25


def test_identities_and_seeds_must_both_decide() -> None:
    values = [0.0, 0.001, -0.001, 0.0]
    sure, unsure = Interval(0.0, -0.004, 0.004), Interval(0.0, -0.03, 0.03)
    assert decide(2, "rank", values, 0.01, at_most=True, identities=sure, identity_count=30).outcome == "pass"
    gate = decide(2, "rank", values, 0.01, at_most=True, identities=unsure, identity_count=30)
    assert (gate.outcome, gate.seeds) == ("undecided", None)
    half = mean_of(values).high
    assert (gate.low, gate.high) == pytest.approx((-math.hypot(half, 0.03), math.hypot(half, 0.03)))
    assert gate.identities == math.ceil(30 * 0.03**2 / (0.01**2 - half**2))  # what the seeds leave of the distance
    assert gate.advice == f"needs about {gate.identities} identities; more seeds alone would not do"
    assert identities_needed(0.01, 0.0, 30) is None
    assert identities_needed(0.5, 0.001, 30) is None  # millions
    assert identities_needed(0.004, 0.01, 30) == 31  # never fewer than there were


def test_neither_seeds_nor_identities_alone_would_undecide_but_both_do() -> None:
    values, identities = [0.0, 0.004, -0.004, 0.003, -0.003], Interval(0.0, -0.009, 0.009)
    assert mean_of(values).high < 0.01
    gate = decide(2, "rank", values, 0.01, at_most=True, identities=identities, identity_count=30)
    assert gate.outcome == "undecided"
    assert "identities" in gate.advice
    assert gate.identities is not None
    renewed = Interval(0.0, *(x * math.sqrt(30 / gate.identities) for x in (-0.009, 0.009)))
    assert decide(2, "rank", values, 0.01, at_most=True, identities=renewed, identity_count=60).outcome == "pass"


def test_as_many_seeds_as_are_told_decide_where_they_are_what_is_missing() -> None:
    values, identities = [0.0, 0.02, -0.02, 0.01, -0.01], Interval(0.0, -0.006, 0.006)
    gate = decide(2, "rank", values, 0.01, at_most=True, identities=identities, identity_count=30)
    assert gate.outcome == "undecided"
    assert gate.identities is None
    assert gate.seeds is not None
    spread = float(np.std(values, ddof=1))
    for count, decides in ((gate.seeds, True), (gate.seeds - 1, False)):
        assert (math.hypot(student(count) * spread / math.sqrt(count), 0.006) <= 0.01) is decides


def test_the_interval_covers_where_trainings_and_identities_differ() -> None:
    """Sixty identities, of whom every training asks about thirty: what its interval says is to hold for other
    identities and other trainings alike. Neither source alone does, nor an interval that just holds both."""
    rng = np.random.default_rng(0)
    covered = {"together": 0, "seeds": 0, "identities": 0, "both held": 0}
    rounds = 600
    for _ in range(rounds):
        identity = rng.normal(0, 0.1, 60)
        values, owners = [], []
        for _ in range(10):
            chosen = rng.permutation(60)[:30]
            values.append(rng.normal(0, 0.025) + np.repeat(identity[chosen] + rng.normal(0, 0.05, 30), 4))
            owners.append([str(one) for one in chosen for _ in range(4)])
        means, identities = [float(x.mean()) for x in values], by_identity(values, owners)
        gate, seeds = decide(2, "rank", means, 9.0, at_most=True, identities=identities), mean_of(means)
        for name, found in (("together", gate), ("seeds", seeds), ("identities", identities)):
            covered[name] += found.low <= 0 <= found.high
        covered["both held"] += min(seeds.low, identities.low) <= 0 <= max(seeds.high, identities.high)
    assert covered.pop("together") / rounds > 0.932, covered  # 0.95 less two standard errors
    assert max(covered.values()) / rounds < 0.92, covered


def test_an_interval_ends_where_values_do() -> None:
    gate = decide(3, "order", [0.99, 0.9], 0.95, at_most=False, bounds=(-1.0, 1.0))
    assert (gate.high, gate.outcome) == (1.0, "undecided")
    assert math.isnan(decide(3, "order", [0.99], 0.95, at_most=False, bounds=(-1.0, 1.0)).high)


def test_a_quotient_by_identity_is_that_of_the_sums() -> None:
    rng = np.random.default_rng(7)
    below = rng.uniform(1, 3, 80)
    owners = [str(i // 4) for i in range(80)]
    same = by_identity([1.2 * below], [owners], over=[below])
    assert (same.low, same.high) == pytest.approx((1.2, 1.2))
    found = by_identity([1.2 * below + np.repeat(rng.normal(0, 0.5, 20), 4)], [owners], over=[below])
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(1.2, abs=0.3)


def test_identities_are_drawn_whole() -> None:
    """Ten probes of an identity are one piece of evidence: the interval is that of the identities' means."""
    rng = np.random.default_rng(0)
    means = rng.uniform(0, 1, 25)
    found = by_identity([np.repeat(means, 10)], [[str(i) for i in range(25) for _ in range(10)]])
    expected = 1.96 * means.std() / 5
    assert found.value == pytest.approx(means.mean())
    assert found.high - found.low == pytest.approx(2 * expected, rel=0.1)
    twice = by_identity([np.repeat(means, 10)] * 2, [[str(i) for i in range(25) for _ in range(10)]] * 2)
    assert twice.high - twice.low == pytest.approx(2 * expected, rel=0.1)  # a second training of them is no more


def test_students_interval_is_the_one_of_the_statistics_module() -> None:
    gate = decide(1, "loss", [1.0, 1.1, 1.3], 1.01, at_most=True)
    assert (gate.low, gate.high) == (mean_of([1.0, 1.1, 1.3]).low, mean_of([1.0, 1.1, 1.3]).high)
    assert gate.margin == pytest.approx(1.01 - gate.value)
    assert decide(3, "order", [0.99, 0.99], 0.95, at_most=False).margin == pytest.approx(0.04)


def test_the_median_lies_in_its_interval_nineteen_times_of_twenty() -> None:
    rng = np.random.default_rng(1)
    intervals = [median_interval(rng.exponential(size=31)) for _ in range(2000)]
    covered = np.mean([low <= math.log(2) <= high for low, high in intervals])
    assert 0.95 <= covered < 0.99


def test_one_failure_fails_and_one_doubt_leaves_open() -> None:
    def gates(*outcomes: str) -> list[Gate]:
        return [Gate(1, "", 0, 0, 0, 0, True, outcome) for outcome in outcomes]  # type: ignore[arg-type]

    assert overall(gates("pass", "pass")) == "pass"
    assert overall(gates("pass", "undecided")) == "undecided"
    assert overall(gates("undecided", "fail", "pass")) == "fail"


@pytest.mark.parametrize(
    ("prefill", "step", "job", "outcome"),
    [
        ((5.5, 5.3, 5.7), (900.0, 800.0, 950.0), PREFILL, "pass"),
        ((5.5, 5.3, 5.7), (5.6, 4.5, 7.0), STEP, "undecided"),  # the larger of the two, but not sure
        ((4.9, 4.5, 5.2), (4.95, 4.9, 4.99), STEP, "fail"),
        ((3.0, 2.9, 3.1), (900.0, 800.0, 950.0), PREFILL, "fail"),
    ],
)
def test_latency_is_decided_by_the_job_that_is_worse_off(
    prefill: tuple[float, float, float], step: tuple[float, float, float], job: str, outcome: str
) -> None:
    slow = (0.1, 0.1, 0.1)
    ratios = [
        Ratio(frames, name, 1.0, 1.0, *figures)
        for frames, name, figures in (
            (100, PREFILL, slow),
            (1000, PREFILL, prefill),
            (1000, STEP, step),
            (1000, CACHED, slow),
        )
    ]
    gate = latency_gate(GateConfig(), ratios)
    assert (gate.outcome, gate.name.split(", ")[2]) == (outcome, f"{job} at 1000 frames")
    assert fast_enough(ratios[0]) == "fail"
