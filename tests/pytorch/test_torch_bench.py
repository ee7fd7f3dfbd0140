"""aether bench training: a small run, its figures in order. How fast it is, the documentation says."""

from __future__ import annotations

import functools
import json
import sys

import pytest
from click.testing import CliRunner

from aether_temporal import TemporalHeadConfig
from aether_temporal.cli.group import aether

torch = pytest.importorskip("torch", reason="torch (extra train) is not installed")

from aether_temporal.torch import training_bench  # noqa: E402


def test_groups_and_ratios() -> None:
    before = torch.get_num_threads()
    config = TemporalHeadConfig(q_heads=2, head_dim=8)
    document = training_bench.bench_training(config=config, shapes=((2, 16), (1, 40)), threads=(1,), rounds=3)
    assert torch.get_num_threads() == before
    assert [group["name"] for group in document["groups"]] == [
        "training step, 2 sequences of 16 tokens, 1 thread",
        "training step, 1 sequences of 40 tokens, 1 thread",
    ]
    for group in document["groups"]:
        names = [result["name"] for result in group["results"]]
        assert names[:4] == ["pyramid", "reference", "dense", "torch scaled_dot_product_attention"]
        assert group["results"][0]["ratio"] == 1.0
        for result in group["results"]:
            assert 0 < result["best_us"] <= result["median_us"]
            assert result["ratio"] == pytest.approx(result["median_us"] / group["results"][0]["median_us"])


def test_candidates_do_the_same_job() -> None:
    candidates = training_bench._candidates(TemporalHeadConfig(), 2, 50)
    _, _, ours, *others = (call() for call in candidates.values())  # the patterns compute something else
    for other in others:
        for mine, theirs in zip(ours, other, strict=True):  # type: ignore[call-overload]
            torch.testing.assert_close(mine.transpose(1, 2), theirs, rtol=1e-4, atol=1e-5)


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        training_bench, "bench_training", functools.partial(training_bench.bench_training, shapes=((1, 8),))
    )
    done = CliRunner().invoke(aether, ["bench", "training", "--rounds", "1", "--json"])
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)["groups"]) == 2
    assert CliRunner().invoke(aether, ["bench", "training", "--step", "4"]).exit_code == 2


def test_the_command_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "aether_temporal.torch.training_bench", raising=False)
    done = CliRunner().invoke(aether, ["bench", "training"])
    assert done.exit_code == 2
    assert "pip install torch" in done.output
