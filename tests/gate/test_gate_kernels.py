"""The gates tell kernels apart; neighbour orders against scipy and by hand; attention maps against the operators."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from gate.gate_task import BROKEN, EVERY, NEAR, REACHING, save_task, with_pattern
from numpy.typing import NDArray

from aether_temporal.gate.command import gate
from aether_temporal.gate.contrastive import ContrastConfig, contrastive_loss
from aether_temporal.gate.gate_config import GateConfig
from aether_temporal.gate.kernel_comparison import (
    attention_map,
    compare_orders,
    cosines,
    effective_entries,
    first_layer,
)
from aether_temporal.gate.page import gate_row
from aether_temporal.gate.pictures import attention as attention_pictures
from aether_temporal.gate.study import (
    BROKEN_DISTILLED,
    BROKEN_NAME,
    CONTROLS,
    DENSE_NAME,
    EXCHANGED,
    SPARSE,
    TRAINED,
    SeedResult,
    exchanged,
    study,
    view_terms,
)
from aether_temporal.gate.verdict import Verdict, loss_gate, order_gate, rank_gate
from aether_temporal.settings import PatternSettings
from aether_temporal.torch import TemporalClassifier, attention
from aether_temporal.train.distillation import DistillConfig
from aether_temporal.train.prepared import read_dataset
from aether_temporal.train.runs import Run


def outcomes(document: dict[str, Any]) -> list[str]:
    return [found["outcome"] for found in document["gates"]]


def with_views(
    found: SeedResult,
    *,
    dense: NDArray[np.float64],
    sparse: NDArray[np.float64],
    more: Mapping[str, NDArray[np.float64]] | None = None,
) -> SeedResult:
    """The result as if these were the contrastive terms."""
    views = {DENSE_NAME: dense, SPARSE: sparse, **(more or {})}
    measured = {
        name: dataclasses.replace(one, views=views.get(name, one.views)) for name, one in found.measured.items()
    }
    return dataclasses.replace(found, measured=measured)


@pytest.mark.slow
def test_a_kernel_that_does_what_dense_does_passes(tmp_path: Path) -> None:
    data = save_task(tmp_path)
    found = gate([str(data)], with_pattern(REACHING), seeds=range(2), out=str(tmp_path / "run"), show_progress=False)
    assert outcomes(found) == ["pass"] * 4, found["gates"]
    loss, rank, order, latency = found["gates"]
    assert loss["value"] == pytest.approx(1.0, abs=1e-3)  # there is nothing to learn from a teacher that does the same
    assert rank["value"] == pytest.approx(0.0, abs=1e-3)
    assert order["value"] == pytest.approx(1.0, abs=1e-2)
    assert latency["low"] >= 5
    assert rank["beside"]["rank-1 dense"] > 0.3  # it learned; chance is 1 in 12
    assert loss["beside"]["dense"] < loss["beside"]["guessing"]
    # so the gates could have failed
    for control in CONTROLS:
        assert loss["beside"][control] > 1.01
        assert rank["beside"][f"rank-1, {control}"] < rank["beside"]["rank-1 dense"] - 0.01
        assert order["beside"][control] < 0.8


@pytest.mark.slow
@pytest.mark.parametrize("pattern", [BROKEN, NEAR], ids=["two frames", "window 1, no landmarks"])
def test_a_broken_kernel_fails_the_gates(tmp_path: Path, pattern: PatternSettings) -> None:
    data = save_task(tmp_path)
    found = gate([str(data)], with_pattern(pattern), seeds=range(3), out=str(tmp_path / "run"), show_progress=False)
    rank_says, order_says = outcomes(found)[1:3]
    assert order_says == "fail", found["gates"]
    assert rank_says == "fail" or (pattern == NEAR and rank_says == "undecided"), found["gates"]
    assert found["verdict"] == "fail"
    _, rank, order, _ = found["gates"]
    assert rank["beside"]["rank-1 dense"] > rank["beside"]["rank-1 sparse"] + 0.1
    assert order["beside"][BROKEN_NAME] <= order["value"] < 0.9
    assert (order["value"] == order["beside"][BROKEN_DISTILLED]) is (pattern == BROKEN)


def test_a_kernel_that_is_not_used_decides_nothing(tmp_path: Path) -> None:
    """Two frames a window: a broken kernel sees all of them, so that even it passes; the gate says so."""
    data = save_task(tmp_path)
    config = dataclasses.replace(
        with_pattern(BROKEN),
        window=2,
        deployed=64,
        contrast=ContrastConfig(steps=2, projection=16),
        distillation=DistillConfig(steps=1, learning_rate=0.0),  # it could only learn rounding
    )
    found = gate([str(data)], config, seeds=range(2), out=str(tmp_path / "run"), show_progress=False)
    loss, rank, order, _ = found["gates"]
    assert order["value"] == order["beside"][BROKEN_NAME] == 1.0
    assert outcomes(found)[:3] == ["undecided"] * 3
    assert (loss["value"], loss["beside"][BROKEN_NAME], rank["value"]) == (1.0, 1.0, 0.0)
    for one in (rank, order):
        assert f"a {BROKEN_NAME}, passes too" in one["advice"]


def test_networks_that_have_learned_nothing_pass_no_loss_gate(tmp_path: Path) -> None:
    """Two kernels that do the same on weights that nobody trained: alike, and no evidence. The view of an
    unknown subject is no nearer to its twin than to others."""
    config = dataclasses.replace(with_pattern(REACHING), contrast=ContrastConfig(steps=1, projection=16))
    found = [
        study(config, read_dataset(save_task(tmp_path)), s, run=Run(None, {}), show_progress=False) for s in (0, 1)
    ]
    gate = loss_gate(config, found)
    assert (gate.low, gate.high) == pytest.approx((1.0, 1.0), abs=1e-3)
    assert gate.beside["dense"] >= gate.beside["guessing"] == pytest.approx(math.log(23))
    assert gate.outcome == "undecided"
    assert "dense is no better than guessing" in gate.advice


def test_a_loss_of_next_to_nothing_is_no_measure(tmp_path: Path) -> None:
    config = dataclasses.replace(with_pattern(REACHING), contrast=ContrastConfig(steps=1, projection=16))
    one = study(config, read_dataset(save_task(tmp_path)), 0, run=Run(None, {}), show_progress=False)
    easy = with_views(one, dense=np.zeros_like(one.dense.views), sparse=np.full_like(one.dense.views, 1e-9))
    found = loss_gate(config, [easy, easy])
    assert found.outcome == "undecided"
    assert "leaves nothing to compare with" in found.advice
    document = Verdict((found,), (easy, easy), ()).document()
    assert document["gates"][0]["value"] is None
    assert gate_row(document["gates"][0])[1] == "–"


def test_more_seeds_are_not_all_that_is_missing_where_a_broken_kernel_does_as_well(tmp_path: Path) -> None:
    config = dataclasses.replace(with_pattern(REACHING), contrast=ContrastConfig(steps=1, projection=16))
    one = study(config, read_dataset(save_task(tmp_path)), 0, run=Run(None, {}), show_progress=False)
    half = np.full_like(one.dense.views, 0.5)

    def advice(broken: float) -> str:
        controls = {BROKEN_NAME: half * 3, BROKEN_DISTILLED: np.full_like(half, broken)}
        seeds = [with_views(one, dense=half, sparse=half * ratio, more=controls) for ratio in (0.99, 1.02, 1.0)]
        gate = loss_gate(config, seeds)
        assert (gate.outcome, gate.value) == ("undecided", pytest.approx(1.00333, abs=1e-5))
        return gate.advice

    assert advice(0.9) == "needs about 23 seeds"
    assert (
        advice(0.502) == "needs about 23 seeds; a broken kernel, distilled, does no worse: to pass it needs a network "
        "that uses its kernel, or more steps"
    )


def test_the_terms_of_views_are_the_loss_that_is_trained() -> None:
    torch.manual_seed(3)
    projected = torch.randn(24, 16)
    identities = torch.arange(24) // 2
    expected = contrastive_loss(projected, identities, ContrastConfig())[1]["contrast"]
    assert view_terms(projected, 0.07).mean() == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_a_broken_kernel_fails_on_real_recordings(recordings_dir: Path) -> None:
    dataset = read_dataset(recordings_dir / "wiper_persons_0_59.npz")
    budget = ContrastConfig(steps=50, learning_rate=4e-3, head_learning_rate=4e-3, warm_up_steps=10)
    whole = GateConfig(window=60, batch=15, held_out_batches=4, contrast=budget)
    broken = dataclasses.replace(whole, pattern=BROKEN)
    run = Run(None, {})
    found = [study(broken, dataset, seed, run=run, show_progress=False) for seed in range(3)]
    order = order_gate(broken, found)
    assert order.outcome == "fail", order
    assert order.value < 0.8
    rank, loss = rank_gate(found), loss_gate(broken, found)
    assert rank.outcome != "pass", rank
    assert loss.value > 1.01
    assert rank.beside["rank-1 dense"] > 0.2  # chance is 1 in 30


def test_both_kernels_begin_with_the_same_weights_and_see_the_same_batches(tmp_path: Path) -> None:
    """Over windows that the sparse kernel sees whole, whatever differs would be the harness."""
    dataset = read_dataset(save_task(tmp_path))
    config = with_pattern(PatternSettings(window=48, use_log_stride=True, use_landmarks=False))
    short = dataclasses.replace(config, contrast=dataclasses.replace(config.contrast, steps=3))
    found = study(short, dataset, 7, run=Run(None, {}), show_progress=False)
    assert found.dense.loss == found.measured[EXCHANGED].loss == found.measured[TRAINED].loss


def test_only_a_kernel_with_block_means_is_drawn_with_them(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    config = with_pattern(PatternSettings(window=5, block_size=8))
    short = dataclasses.replace(config, contrast=dataclasses.replace(config.contrast, steps=1))
    found = study(short, read_dataset(save_task(tmp_path)), 0, run=Run(None, {}), show_progress=False)
    figure = attention_pictures(short, Verdict((), (found,), ()))
    titles = {axes.get_title(): [text.get_text() for text in axes.texts] for axes in figure.axes if axes.get_title()}
    assert titles == {"dense kernel": [], "sparse kernel": ["block means"]}
    columns = [axes.get_images()[0].get_array().shape[1] for axes in figure.axes if axes.get_title()]
    assert columns == [48, 48 + 6]


def test_orders_by_hand() -> None:
    first = np.array([[9.0, 8, 7, 6, 5, 4], [9, 8, 7, 6, 5, 4]])
    second = np.array([[9.0, 8, 7, 6, 5, 4], [1, 2, 3, 9, 8, 7]])
    found = compare_orders(first, second, 3)
    assert found.spearman.tolist() == [1.0, -1.0]
    assert found.overlap.tolist() == [1.0, 0.0]
    assert found.ranks.tolist() == [[1, 2, 3], [6, 5, 4]]
    assert found.worst_decile == -1.0


def test_spearman_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(2)
    first = rng.standard_normal((20, 60))
    second = np.round(first + rng.standard_normal((20, 60)), 1)  # with equals
    found = compare_orders(first, second, 25)
    for row in range(20):
        nearest = np.argsort(-first[row], kind="stable")[:25]
        expected = stats.spearmanr(first[row, nearest], second[row, nearest]).statistic
        assert found.spearman[row] == pytest.approx(expected, abs=1e-12)


def test_a_kernel_that_orders_nothing_agrees_with_nothing() -> None:
    first = np.random.default_rng(4).standard_normal((3, 30))
    assert compare_orders(first, np.ones((3, 30)), 10).spearman.tolist() == [0.0] * 3


def test_cosines_do_not_see_lengths() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((4, 6)), rng.standard_normal((7, 6))
    np.testing.assert_allclose(cosines(a * 3, b * 0.2), cosines(a, b))
    assert cosines(a, a).diagonal() == pytest.approx(1)


@pytest.mark.parametrize("pattern", [PatternSettings(window=5, block_size=4), BROKEN, EVERY])
def test_maps_show_the_weights_that_attention_uses(pattern: PatternSettings) -> None:
    config = with_pattern(pattern)
    torch.manual_seed(0)
    network = TemporalClassifier(config.shape(16, pattern)).eval()
    window = (torch.rand(40, 16) + 0.5).numpy()
    for backend in ("dense", "sparse"):
        other = exchanged(network, config.head(backend))
        layer = first_layer(other, window)
        found = layer.weights(0, 40)
        assert found.values.sum(axis=-1) == pytest.approx(1)
        assert len(found.spans) == (10 if backend == "sparse" and pattern.use_landmarks else 0)
        assert layer.difference(found) < 1e-6 * max(1, layer.largest)
        assert np.array_equal(attention_map(other, window).values, found.values)
        with torch.no_grad():
            first = other.layers[0]
            x = (other.remove_agc(torch.from_numpy(window)) - other.normalisation.mean) * other.normalisation.scale
            x = x @ other.projection["weight"] + other.projection["bias"]
            h = x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-5) * first.norm["weight"]
            a = first.attention
            heads = [(h @ a[f"w{name}"] + a[f"b{name}"]).view(40, -1, 8) for name in "qkv"]
            torch.testing.assert_close(
                torch.from_numpy(layer.trace.out), attention(*heads, first.head), rtol=1e-5, atol=1e-6
            )


def test_a_query_that_weighs_all_alike_spreads_over_all_it_sees() -> None:
    config = with_pattern(PatternSettings(window=5, block_size=4, global_tokens=()))
    network = TemporalClassifier(config.shape(16, config.pattern)).eval()
    with torch.no_grad():
        network.layers[0].attention["wq"].zero_()
    windows = (torch.rand(3, 40, 16) + 0.5).numpy()
    seen = config.head("sparse").mask(40)
    for backend, entries in (("dense", 40), ("sparse", int(seen.tokens[-1].sum() + seen.blocks[-1].sum()))):
        assert effective_entries(exchanged(network, config.head(backend)), windows) == pytest.approx(entries, rel=1e-5)
