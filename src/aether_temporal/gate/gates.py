"""The four gates, over all seeds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .config import GateConfig
from .latency import DECISIVE, Ratio
from .study import SeedResult
from .training import BACKENDS
from .verdict import Gate, Outcome, by_person, decide, judge, overall

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
    dense, sparse = ([found.views[backend] for found in seeds] for backend in ("dense", "sparse"))
    means = _means("", seeds, "loss")
    if min(float(x.mean()) for x in dense) < LEAST_LOSS:
        advice = f"a dense loss below {LEAST_LOSS} leaves nothing to compare with; needs a harder task"
        value = math.nan
        return Gate(1, name, value, value, value, LOSS_LIMIT, True, "undecided", advice=advice, beside=means)
    control = float(np.mean([found.control.loss / found.loss["dense"] for found in seeds]))
    guessing = math.log(2 * min(config.batch, config.held_out) - 1)
    whole = float(np.mean([found.total["sparse"] / found.total["dense"] for found in seeds]))
    gate = decide(
        1,
        name,
        [float(x.mean() / y.mean()) for x, y in zip(sparse, dense, strict=True)],
        LOSS_LIMIT,
        at_most=True,
        bounds=(0.0, math.inf),
        persons=by_person(sparse, [found.viewed for found in seeds], over=dense),
        person_count=_persons([found.viewed for found in seeds]),
        beside={**means, "guessing": guessing, "with the VICReg terms": whole, "a broken kernel": control},
    )
    if gate.outcome == "pass" and means["dense"] >= guessing:
        return dataclasses.replace(
            gate, outcome="undecided", advice="dense is no better than guessing; needs more steps, or more recordings"
        )
    return _tried(gate, control)


def rank_gate(seeds: Sequence[SeedResult]) -> Gate:
    """2: rank-1 on persons not met, dense less sparse. Undecided as `order_gate`."""
    lost = [found.hits["dense"] - found.hits["sparse"] for found in seeds]
    owners = [found.owners for found in seeds]
    dense, sparse = (float(np.mean([found.hits[backend].mean() for found in seeds])) for backend in BACKENDS)
    broken = float(np.mean([found.control.hits.mean() for found in seeds]))
    gate = decide(
        2,
        "rank-1, dense - sparse",
        [float(x.mean()) for x in lost],
        RANK_LIMIT,
        at_most=True,
        bounds=(-1.0, 1.0),
        persons=by_person(lost, owners),
        person_count=_persons(owners),
        beside={"rank-1 dense": dense, "rank-1 sparse": sparse, "rank-1 of a broken kernel": broken},
    )
    return _tried(gate, dense - broken)


def order_gate(config: GateConfig, seeds: Sequence[SeedResult]) -> Gate:
    """3: Spearman of the nearest neighbours' order, the kernel exchanged under the weights trained dense. Of the
    weights trained sparse it is told beside.

    Undecided where it would pass but a broken kernel would too: such a network hardly uses its kernel.
    """
    agreed = [found.orders["dense"].spearman for found in seeds]
    owners = [found.owners for found in seeds]
    control = float(np.mean([found.control.orders.spearman.mean() for found in seeds]))
    beside = {
        "worst decile": float(np.mean([found.orders["dense"].worst_decile for found in seeds])),
        f"share of the {config.neighbours} kept": float(np.mean([f.orders["dense"].overlap.mean() for f in seeds])),
        "weights trained sparse": float(np.mean([f.orders["sparse"].spearman.mean() for f in seeds])),
        "the same, worst decile": float(np.mean([f.orders["sparse"].worst_decile for f in seeds])),
        "a broken kernel": control,
        **_means("entries read, ", seeds, "spread"),
    }
    gate = decide(
        3,
        f"Spearman of the {config.neighbours} nearest",
        [float(x.mean()) for x in agreed],
        ORDER_LIMIT,
        at_most=False,
        bounds=(-1.0, 1.0),
        persons=by_person(agreed, owners),
        person_count=_persons(owners),
        beside=beside,
    )
    return _tried(gate, control)


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


def _tried(gate: Gate, control: float) -> Gate:
    """The gate; undecided where it passes, but would also if the kernel were broken on purpose. Where it is undecided
    anyway, it says that more of the same would not let it pass."""
    if gate.outcome == "fail" or judge(control, control, gate.limit, at_most=gate.at_most) != "pass":
        return gate
    network = "a network that uses its kernel, or more steps"
    if gate.outcome == "pass":
        advice = f"a broken kernel passes too; needs {network}"
    else:
        advice = f"{gate.advice}; a broken kernel does no worse: to pass it needs {network}"
    return dataclasses.replace(gate, outcome="undecided", advice=advice)


def _persons(owners: Sequence[Sequence[str]]) -> int:
    return len({name for owner in owners for name in owner})


def _means(prefix: str, seeds: Sequence[SeedResult], field: str) -> dict[str, float]:
    found = [getattr(seed, field) for seed in seeds]
    return {f"{prefix}{name}": float(np.mean([one[name] for one in found])) for name in found[0]}


def _seed(found: SeedResult) -> dict[str, Any]:
    return {
        "seed": found.seed,
        "held_out": list(found.held_out),
        "contrastive_loss": found.loss,
        "whole_loss": found.total,
        "rank1": {backend: float(hits.mean()) for backend, hits in found.hits.items()},
        "spearman": {weights: float(orders.spearman.mean()) for weights, orders in found.orders.items()},
        "spearman_worst_decile": {weights: orders.worst_decile for weights, orders in found.orders.items()},
        "neighbours_kept": {weights: float(orders.overlap.mean()) for weights, orders in found.orders.items()},
        "effective_entries": found.spread,
        "broken_kernel": {
            "contrastive_loss": found.control.loss,
            "rank1": float(found.control.hits.mean()),
            "spearman": float(found.control.orders.spearman.mean()),
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
