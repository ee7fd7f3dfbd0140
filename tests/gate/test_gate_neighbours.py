"""Neighbour orders, against scipy and by hand; attention maps, against the operators."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from gate.gate_task import BROKEN, EVERY, with_pattern

from aether_temporal.gate.kernel_comparison import attention_weights, compare_orders, cosines, effective_entries
from aether_temporal.gate.study import exchanged
from aether_temporal.settings import PatternSettings
from aether_temporal.torch import TemporalClassifier, attention


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
    window = torch.rand(40, 16) + 0.5
    for backend in ("dense", "sparse"):
        other = exchanged(network, config.head(backend))
        weights, gathered = attention_weights(other, window)
        assert weights.sum(-1) == pytest.approx(1)
        assert weights.shape[2] == 40 + (10 if backend == "sparse" and pattern.use_landmarks else 0) or not (
            weights[..., 40:].any()
        )
        with torch.no_grad():
            layer = other.layers[0]
            x = (other.remove_agc(window) - other.normalisation.mean) * other.normalisation.scale
            x = x @ other.projection["weight"] + other.projection["bias"]
            h = x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-5) * layer.norm["weight"]
            a = layer.attention
            heads = [(h @ a[f"w{name}"] + a[f"b{name}"]).view(40, -1, 8) for name in "qkv"]
            torch.testing.assert_close(gathered, attention(*heads, layer.head), rtol=1e-5, atol=1e-6)


def test_a_query_that_weighs_all_alike_spreads_over_all_it_sees() -> None:
    config = with_pattern(PatternSettings(window=5, block_size=4, global_tokens=()))
    network = TemporalClassifier(config.shape(16, config.pattern)).eval()
    with torch.no_grad():
        network.layers[0].attention["wq"].zero_()
    windows = (torch.rand(3, 40, 16) + 0.5).numpy()
    seen = config.head("sparse").mask(40)
    for backend, entries in (("dense", 40), ("sparse", int(seen.tokens[-1].sum() + seen.blocks[-1].sum()))):
        assert effective_entries(exchanged(network, config.head(backend)), windows) == pytest.approx(entries, rel=1e-5)
