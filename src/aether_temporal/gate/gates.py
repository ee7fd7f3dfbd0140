"""The four gates, over all seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from .config import GateConfig
from .latency import DECISIVE, Ratio
from .study import SeedResult
from .verdict import Gate, Outcome, by_person, decide, judge, overall

LOSS_LIMIT, RANK_LIMIT, ORDER_LIMIT, LATENCY_LIMIT = 1.01, 0.01, 0.95, 5.0


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
            "latency": [dataclasses.asdict(ratio) for ratio in self.latency],
        }


def verdict(config: GateConfig, seeds: Sequence[SeedResult], latency: Sequence[Ratio]) -> Verdict:
    """Asks all four."""
    gates = (loss_gate(seeds), rank_gate(seeds), order_gate(config, seeds), latency_gate(config, latency))
    return Verdict(gates, tuple(seeds), tuple(latency))


def loss_gate(seeds: Sequence[SeedResult]) -> Gate:
    """1: the contrastive loss on held-out windows, sparse over dense."""
    ratios = [found.loss["sparse"] / found.loss["dense"] for found in seeds]
    whole = float(np.mean([found.total["sparse"] / found.total["dense"] for found in seeds]))
    return decide(
        1,
        "contrastive loss, sparse / dense",
        ratios,
        LOSS_LIMIT,
        at_most=True,
        beside={"with the VICReg terms": whole, **_means("", seeds, "loss")},
    )


def rank_gate(seeds: Sequence[SeedResult]) -> Gate:
    """2: rank-1 on persons not met, dense less sparse."""
    lost = [found.hits["dense"] - found.hits["sparse"] for found in seeds]
    owners = [found.owners for found in seeds]
    means = {
        backend: float(np.mean([found.hits[backend].mean() for found in seeds])) for backend in ("dense", "sparse")
    }
    return decide(
        2,
        "rank-1, dense - sparse",
        [float(x.mean()) for x in lost],
        RANK_LIMIT,
        at_most=True,
        persons=by_person(lost, owners),
        person_count=len({name for owner in owners for name in owner}),
        beside=means,
    )


def order_gate(config: GateConfig, seeds: Sequence[SeedResult]) -> Gate:
    """3: Spearman of the nearest neighbours' order, the kernel exchanged under the weights trained dense. Of the
    weights trained sparse it is told beside.

    Undecided where it would pass but a broken kernel would too: such a network hardly uses its kernel.
    """
    agreed = [found.orders["dense"].spearman for found in seeds]
    owners = [found.owners for found in seeds]
    control = float(np.mean([found.control.spearman.mean() for found in seeds]))
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
        persons=by_person(agreed, owners),
        person_count=len({name for owner in owners for name in owner}),
        beside=beside,
    )
    if gate.outcome == "pass" and control >= ORDER_LIMIT:
        advice = "a broken kernel passes too; needs a network that uses its kernel, or more steps"
        return dataclasses.replace(gate, outcome="undecided", advice=advice)
    return gate


def latency_gate(config: GateConfig, latency: Sequence[Ratio]) -> Gate:
    """4: the smaller of the two ratios at the deployed window, prefill and streaming."""
    deployed = [ratio for ratio in latency if ratio.frames == config.deployed]
    worst = min((ratio for ratio in deployed if ratio.job in DECISIVE), key=lambda ratio: ratio.ratio)
    outcome = judge(worst.low, worst.high, LATENCY_LIMIT, at_most=False)
    beside = {
        f"{ratio.job}, {ratio.frames}": ratio.ratio for ratio in latency if ratio.job in DECISIVE or ratio in deployed
    }
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
        beside=beside,
    )


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
        "spearman_of_a_broken_kernel": float(found.control.spearman.mean()),
    }


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """JSON has no nan: null."""
    return {name: None if isinstance(x, float) and not np.isfinite(x) else x for name, x in document.items()}
