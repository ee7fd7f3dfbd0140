"""The four gates, over all seeds: from measurements to pass, fail or undecided. A limit decides only where the whole
interval is on one side of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from aether_temporal.train.evaluation import Mean, mean_of
from aether_temporal.train.retrieval import Interval

from .gate_config import GateConfig
from .latency import DECISIVE, Ratio
from .study import CONTROLS, DENSE_NAME, SPARSE, SeedResult

Outcome = Literal["pass", "fail", "undecided"]

MOST = 10_000
"""The largest number of seeds or identities that an estimate names."""

DRAWS = 2000


@dataclasses.dataclass(frozen=True)
class Gate:
    """One gate. low, high: 95 % interval of `value` (nan: one seed says nothing of it). at_most: `value` is to be at
    most `limit`, else at least. margin: how far inside the limit `value` is, negative where outside, in its own units.
    seeds, identities: how many would decide, where more of them could; None where that is not what is missing. beside:
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
    identities: int | None = None
    advice: str = ""
    beside: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def margin(self) -> float:
        return self.limit - self.value if self.at_most else self.value - self.limit


def judge(low: float, high: float, limit: float, *, at_most: bool) -> Outcome:
    """Undecided also where the interval is nan."""
    inside, outside = (high <= limit, low > limit) if at_most else (low >= limit, high < limit)
    return "pass" if inside else "fail" if outside else "undecided"


def by_identity(
    values: Sequence[NDArray[np.float64]],
    owners: Sequence[Sequence[str]],
    *,
    over: Sequence[NDArray[np.float64]] | None = None,
    seed: int = 0,
) -> Interval:
    """The mean of per-probe values over all seeds (with `over`, the quotient of both sums), with a bootstrap over
    identities: what is drawn with replacement is whom probes belong to, with all probes of an identity and all seeds in
    which the identity is one."""
    names = sorted({name for owner in owners for name in owner})
    place = {name: index for index, name in enumerate(names)}
    who = np.concatenate([[place[name] for name in owner] for owner in owners])
    below = None if over is None else np.concatenate(over)
    sums, counts = (np.bincount(who, x, len(names)) for x in (np.concatenate(values), below))
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = generator.multinomial(len(names), np.full(len(names), 1.0 / len(names)), DRAWS)
    low, high = np.quantile((drawn @ sums) / (drawn @ counts), (0.025, 0.975))
    return Interval(float(sums.sum() / counts.sum()), float(low), float(high))


def together(seeds: Mean, identities: Interval | None) -> tuple[float, float]:
    """The interval of a mean that other seeds and other identities would both change. The two sources are independent,
    so that distances from the mean add as squares do; nan for one seed."""
    if identities is None or seeds.count < 2:
        return seeds.low, seeds.high
    below = math.hypot(seeds.mean - seeds.low, identities.value - identities.low)
    above = math.hypot(seeds.high - seeds.mean, identities.high - identities.value)
    return seeds.mean - below, seeds.mean + above


def seeds_needed(values: Sequence[float], distance: float) -> int | None:
    """The smallest n for which t(n) · s / sqrt(n) is at most `distance`, s being the standard deviation of `values`
    and t(n) Student's at 97.5 %. None beyond MOST; 2 for one value, which says nothing of the spread."""
    if len(values) < 2:
        return 2
    spread = float(np.std(values, ddof=1))
    counts = np.arange(2, MOST + 1)
    enough = np.flatnonzero(stats.t.ppf(0.975, counts - 1) * spread <= distance * np.sqrt(counts))
    return int(counts[enough[0]]) if len(enough) else None


def identities_needed(half: float, distance: float, count: int) -> int | None:
    """How many identities would bring an interval that reaches `half` with `count` of them within `distance`: it
    shrinks with their square root. None beyond MOST."""
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
    identities: Interval | None = None,
    identity_count: int = 0,
    beside: dict[str, float] | None = None,
) -> Gate:
    """A gate of one value a seed. Its interval is Student's over seeds and, where given, the bootstrap's over
    identities together: trainings differ, and so do identities, and a verdict has to stand both. bounds: the
    range of possible values."""
    seeds = mean_of(values)
    low, high = (float(x) for x in np.clip(together(seeds, identities), *bounds))
    outcome = judge(low, high, limit, at_most=at_most)
    gate = Gate(number, name, seeds.mean, low, high, limit, at_most, outcome, beside=beside or {})
    if outcome != "undecided":
        return gate
    more_seeds, more_identities, advice = _needed(values, limit, identities, identity_count)
    return dataclasses.replace(gate, seeds=more_seeds, identities=more_identities, advice=advice)


def _needed(
    values: Sequence[float], limit: float, identities: Interval | None, count: int
) -> tuple[int | None, int | None, str]:
    """Seeds, identities (each where more of them are missing), and the words.

    Seeds and identities may each take up sqrt(1/2) of the distance from the mean to the limit; what one leaves of its
    share, the other may use.
    """
    seeds = mean_of(values)
    distance = abs(seeds.mean - limit)
    share = distance / math.sqrt(2)
    half = math.inf if seeds.count < 2 else seeds.high - seeds.mean
    reach = 0.0
    if identities is not None:
        reach = identities.high - identities.value if seeds.mean < limit else identities.value - identities.low
    more_seeds = more_identities = None
    parts = []
    if half > share or reach <= share:
        left = math.sqrt(distance**2 - min(reach, share) ** 2)
        more_seeds = seeds_needed(values, left)
        word = f"more than {MOST}" if more_seeds is None else "at least 2" if half == math.inf else more_seeds
        parts.append(f"{word} seeds" if isinstance(word, str) else f"about {word} seeds")
    if reach > share:
        left = math.sqrt(distance**2 - min(half, share) ** 2)
        more_identities = identities_needed(reach, left, count)
        alone = "" if parts else "; more seeds alone would not do"
        parts.append(
            (f"more than {MOST}" if more_identities is None else f"about {more_identities}") + f" identities{alone}"
        )
    return more_seeds, more_identities, "needs " + " and ".join(parts)


def overall(gates: Sequence[Gate]) -> Outcome:
    """Fail where one fails; else undecided where one is."""
    outcomes = {gate.outcome for gate in gates}
    return "fail" if "fail" in outcomes else "undecided" if "undecided" in outcomes else "pass"


LOSS_LIMIT, RANK_LIMIT, ORDER_LIMIT, LATENCY_LIMIT = 1.01, 0.01, 0.95, 5.0

LEAST_LOSS = 1e-3
"""Nats. A dense loss below is rounding and luck, and no measure for another's."""


@dataclasses.dataclass(frozen=True, eq=False)
class Verdict:
    """All gates, and what they were decided by."""

    gates: tuple[Gate, ...]
    seeds: tuple[SeedResult, ...]
    latency: tuple[Ratio, ...]

    @property
    def outcome(self) -> Outcome:
        """Sparse may be the default where this is "pass"."""
        return overall(self.gates)

    def document(self) -> dict[str, Any]:
        """As JSON takes it, beside what was configured."""
        return {
            "verdict": self.outcome,
            "gates": [_plain(dataclasses.asdict(gate) | {"margin": gate.margin}) for gate in self.gates],
            "networks": compared(self.seeds),
            "seeds": [_seed(found) for found in self.seeds],
            "latency": [dataclasses.asdict(ratio) | _judged(ratio) for ratio in self.latency],
        }


def verdict(config: GateConfig, seeds: Sequence[SeedResult], latency: Sequence[Ratio]) -> Verdict:
    """Asks all four."""
    gates = (loss_gate(config, seeds), rank_gate(seeds), order_gate(config, seeds), latency_gate(config, latency))
    return Verdict(gates, tuple(seeds), tuple(latency))


def loss_gate(config: GateConfig, seeds: Sequence[SeedResult]) -> Gate:
    """1: the contrastive loss on held-out windows, sparse over dense.

    Undecided where the dense network has learned nothing that a kernel could lose, or so well that a quotient says
    nothing.
    """
    name = "contrastive loss, sparse / dense"
    dense, sparse = [found.dense.views for found in seeds], [found.sparse.views for found in seeds]
    means = {"dense": _mean(x.mean() for x in dense), "sparse": _mean(x.mean() for x in sparse)}
    if min(float(x.mean()) for x in dense) < LEAST_LOSS:
        advice = f"a dense loss below {LEAST_LOSS} leaves nothing to compare with; needs a harder task"
        value = math.nan
        return Gate(1, name, value, value, value, LOSS_LIMIT, True, "undecided", advice=advice, beside=means)
    controls = {each: _mean(found.measured[each].loss / found.dense.loss for found in seeds) for each in CONTROLS}
    guessing = math.log(2 * min(config.batch, config.held_out) - 1)
    whole = _mean(found.sparse.whole / found.dense.whole for found in seeds)
    gate = decide(
        1,
        name,
        [float(x.mean() / y.mean()) for x, y in zip(sparse, dense, strict=True)],
        LOSS_LIMIT,
        at_most=True,
        bounds=(0.0, math.inf),
        identities=by_identity(sparse, [found.viewed for found in seeds], over=dense),
        identity_count=_identities([found.viewed for found in seeds]),
        beside={**means, "guessing": guessing, "with the VICReg terms": whole, **controls},
    )
    if gate.outcome == "pass" and means["dense"] >= guessing:
        return dataclasses.replace(
            gate, outcome="undecided", advice="dense is no better than guessing; needs more steps, or more recordings"
        )
    return _tried(gate, controls)


def rank_gate(seeds: Sequence[SeedResult]) -> Gate:
    """2: rank-1 on identities not met, dense less sparse. Undecided as `order_gate`."""
    lost = [found.dense.hits - found.sparse.hits for found in seeds]
    owners = [found.owners for found in seeds]
    dense, sparse = (_mean(f.measured[name].hits.mean() for f in seeds) for name in (DENSE_NAME, SPARSE))
    controls = {each: _mean(found.measured[each].hits.mean() for found in seeds) for each in CONTROLS}
    gate = decide(
        2,
        "rank-1, dense - sparse",
        [float(x.mean()) for x in lost],
        RANK_LIMIT,
        at_most=True,
        bounds=(-1.0, 1.0),
        identities=by_identity(lost, owners),
        identity_count=_identities(owners),
        beside={"rank-1 dense": dense, "rank-1 sparse": sparse} | {f"rank-1, {k}": v for k, v in controls.items()},
    )
    return _tried(gate, {name: dense - value for name, value in controls.items()})


def order_gate(config: GateConfig, seeds: Sequence[SeedResult]) -> Gate:
    """3: Spearman of the nearest neighbours' order, the dense network's against the sparse one's.

    Undecided where it would pass but a broken kernel would too: such a network hardly uses its kernel.
    """
    orders = [found.sparse.orders for found in seeds]
    owners = [found.owners for found in seeds]
    controls = {each: _mean(found.measured[each].orders.spearman.mean() for found in seeds) for each in CONTROLS}
    beside = {
        "worst decile": _mean(order.worst_decile for order in orders),
        f"share of the {config.neighbours} kept": _mean(order.overlap.mean() for order in orders),
        **controls,
        **{f"entries read, {name}": _mean(found.spread[name] for found in seeds) for name in seeds[0].spread},
    }
    gate = decide(
        3,
        f"Spearman of the {config.neighbours} nearest",
        [float(order.spearman.mean()) for order in orders],
        ORDER_LIMIT,
        at_most=False,
        bounds=(-1.0, 1.0),
        identities=by_identity([order.spearman for order in orders], owners),
        identity_count=_identities(owners),
        beside=beside,
    )
    return _tried(gate, controls)


def latency_gate(config: GateConfig, latency: Sequence[Ratio]) -> Gate:
    """4: of the two ratios at the deployed window, prefill and streaming, the one that is worse off: that fails, else
    that is undecided, else the smaller."""
    deployed = [ratio for ratio in latency if ratio.frames == config.deployed and ratio.job in DECISIVE]
    worst = min(deployed, key=lambda ratio: (("fail", "undecided", "pass").index(fast_enough(ratio)), ratio.ratio))
    outcome = fast_enough(worst)
    return Gate(
        4,
        f"latency, dense / sparse, {worst.job} at {config.deployed} frames",
        worst.ratio,
        worst.low,
        worst.high,
        LATENCY_LIMIT,
        False,
        outcome,
        advice="needs a quieter machine, or more rounds" if outcome == "undecided" else "",
    )


def fast_enough(ratio: Ratio) -> Outcome:
    """What the limit says of one ratio."""
    return judge(ratio.low, ratio.high, LATENCY_LIMIT, at_most=False)


def _tried(gate: Gate, controls: Mapping[str, float]) -> Gate:
    """The gate; undecided where it passes, but would also if the kernel were broken on purpose, distilled or not.

    Where it is undecided anyway, it says that more of the same would not let it pass.
    """
    passing = [each for each, x in controls.items() if judge(x, x, gate.limit, at_most=gate.at_most) == "pass"]
    if gate.outcome == "fail" or not passing:
        return gate
    network = "a network that uses its kernel, or more steps"
    if gate.outcome == "pass":
        advice = f"a {passing[0]}, passes too; needs {network}"
    else:
        advice = f"{gate.advice}; a {passing[0]}, does no worse: to pass it needs {network}"
    return dataclasses.replace(gate, outcome="undecided", advice=advice)


def _identities(owners: Sequence[Sequence[str]]) -> int:
    return len({name for owner in owners for name in owner})


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def compared(seeds: Sequence[SeedResult]) -> list[dict[str, Any]]:
    """What every network gives, means over the seeds: contrastive loss over the dense one's (None where that is no
    measure), rank-1 lost, Spearman of the neighbours' order."""
    measurable = min(found.dense.loss for found in seeds) >= LEAST_LOSS
    return [
        {
            "network": name,
            "loss_ratio": _mean(found.measured[name].loss / found.dense.loss for found in seeds)
            if measurable
            else None,
            "rank1_lost": _mean(float(found.dense.hits.mean() - found.measured[name].hits.mean()) for found in seeds),
            "spearman": _mean(float(found.measured[name].orders.spearman.mean()) for found in seeds),
        }
        for name in seeds[0].measured
    ]


def _seed(found: SeedResult) -> dict[str, Any]:
    return {
        "seed": found.seed,
        "held_out": list(found.held_out),
        "effective_entries": found.spread,
        "networks": {
            name: {
                "contrastive_loss": one.loss,
                "whole_loss": one.whole,
                "rank1": float(one.hits.mean()),
                "spearman": float(one.orders.spearman.mean()),
                "spearman_worst_decile": one.orders.worst_decile,
                "neighbours_kept": float(one.orders.overlap.mean()),
            }
            for name, one in found.measured.items()
        },
    }


def _judged(ratio: Ratio) -> dict[str, Any]:
    """What gate 4 says, or would say at this length."""
    if ratio.job not in DECISIVE:
        return {"outcome": None, "margin": None}
    return {"outcome": fast_enough(ratio), "margin": ratio.ratio - LATENCY_LIMIT}


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """JSON has no nan: null."""
    return {name: None if isinstance(x, float) and not np.isfinite(x) else x for name, x in document.items()}
