"""The gates can tell kernels apart: one that sees what dense sees passes, a broken one does not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from gate.gate_task import BROKEN, REACHING, save_task, with_pattern

from aether_temporal.gate.command import gate
from aether_temporal.gate.config import GateConfig
from aether_temporal.gate.gates import loss_gate, order_gate, rank_gate
from aether_temporal.gate.study import study
from aether_temporal.settings import PatternSettings
from aether_temporal.train.contrastive import ContrastConfig
from aether_temporal.train.corpus import Corpus
from aether_temporal.train.run import Run


def outcomes(document: dict[str, Any]) -> list[str]:
    return [found["outcome"] for found in document["gates"]]


@pytest.mark.slow
def test_a_kernel_that_does_what_dense_does_passes(tmp_path: Path) -> None:
    data = save_task(tmp_path)
    found = gate(str(data), with_pattern(REACHING), seeds=range(2), out=str(tmp_path / "run"), show_progress=False)
    assert outcomes(found) == ["pass"] * 4, found["gates"]
    loss, rank, order, latency = found["gates"]
    assert (loss["value"], rank["value"], order["value"]) == (1.0, 0.0, 1.0)  # the same bits all along
    assert latency["low"] >= 5
    assert rank["beside"]["dense"] > 0.3  # it learned; chance is 1 in 12
    assert order["beside"]["a broken kernel"] < 0.8  # so the gate could have failed


@pytest.mark.slow
def test_a_broken_kernel_fails_the_gates(tmp_path: Path) -> None:
    data = save_task(tmp_path)
    found = gate(str(data), with_pattern(BROKEN), seeds=range(3), out=str(tmp_path / "run"), show_progress=False)
    assert outcomes(found)[1:3] == ["fail", "fail"], found["gates"]
    assert found["verdict"] == "fail"
    _, rank, order, _ = found["gates"]
    assert rank["beside"]["dense"] > rank["beside"]["sparse"] + 0.1
    assert order["value"] == order["beside"]["a broken kernel"] < 0.8


def test_a_kernel_that_is_not_used_decides_nothing(tmp_path: Path) -> None:
    """Two frames a window: a broken kernel sees all of them, so that even it passes; the gate says so."""
    data = save_task(tmp_path)
    config = dataclasses.replace(
        with_pattern(BROKEN), window=2, deployed=64, contrast=ContrastConfig(steps=2, projection=16)
    )
    found = gate(str(data), config, seeds=range(2), out=str(tmp_path / "run"), show_progress=False)
    order = found["gates"][2]
    assert order["value"] == order["beside"]["a broken kernel"] == 1.0
    assert (order["outcome"], found["verdict"]) in {("undecided", "undecided"), ("undecided", "fail")}
    assert "a broken kernel passes too" in order["advice"]


@pytest.mark.slow
def test_a_broken_kernel_fails_on_real_recordings(recordings_dir: Path) -> None:
    corpus = Corpus.read(recordings_dir / "wiper_persons_0_59.npz")
    budget = ContrastConfig(steps=50, learning_rate=4e-3, head_learning_rate=4e-3, rise=10)
    whole = GateConfig(window=60, batch=15, held_out_batches=4, contrast=budget)
    broken = dataclasses.replace(whole, pattern=BROKEN)
    run = Run(None, {})
    found = [study(broken, corpus, seed, run=run, show_progress=False) for seed in range(3)]
    order = order_gate(broken, found)
    assert order.outcome == "fail", order
    assert order.value < 0.8
    rank, loss = rank_gate(found), loss_gate(found)
    assert rank.outcome != "pass", rank
    assert loss.value > 1.01
    assert rank.beside["dense"] > 0.2  # chance is 1 in 30


def test_both_kernels_begin_with_the_same_weights_and_see_the_same_batches(tmp_path: Path) -> None:
    """Over windows that the sparse kernel sees whole, whatever differs would be the harness."""
    corpus = Corpus.read(save_task(tmp_path))
    config = with_pattern(PatternSettings(window=48, use_log_stride=True, use_landmarks=False))
    short = dataclasses.replace(config, contrast=dataclasses.replace(config.contrast, steps=3))
    found = study(short, corpus, 7, run=Run(None, {}), show_progress=False)
    states = [network.state_dict() for network in found.networks.values()]
    assert all((states[0][name] == states[1][name]).all() for name in states[0])
    assert found.loss["dense"] == found.loss["sparse"]
