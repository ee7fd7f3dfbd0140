"""Confidence is measured as defined, and one number makes it right."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aether_temporal import TemporalModel, WeightBlob, WeightBlobHeader
from aether_temporal.shipped import shipped_models
from aether_temporal.train.calibration import (
    Answers,
    calibration_error,
    fit_temperature,
    likelihood_loss,
    probabilities,
    with_temperature,
)
from aether_temporal.train.statistics import mean_of, share_of, student


def drawn(temperature: float, n: int = 40_000) -> Answers:
    """Truths drawn from the probabilities that logits / temperature say."""
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 2, (n, 3)).astype(np.float32)
    edges = probabilities(logits, temperature).cumsum(axis=1)
    truth = (rng.uniform(size=(n, 1)) > edges[:, :2]).sum(axis=1)
    return Answers(logits, truth)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_made_the_truth_is_found(temperature: float) -> None:
    given = drawn(temperature)
    found = fit_temperature(given)
    assert found == pytest.approx(temperature, rel=0.04)
    assert likelihood_loss(given, found) <= likelihood_loss(given, temperature)
    assert calibration_error(given, found) < 0.012
    if temperature != 1:
        assert calibration_error(given) > 0.1


def test_errors_by_hand() -> None:
    logits = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]], np.float32))
    given = Answers(logits, np.array([0, 1, 0]))
    assert calibration_error(given) == pytest.approx((2 * abs(0.9 - 0.5) + abs(0.6 - 1)) / 3, abs=1e-6)
    assert likelihood_loss(given) == pytest.approx(-np.log([0.9, 0.1, 0.6]).mean(), abs=1e-6)


def test_a_blob_takes_the_temperature_and_nothing_else() -> None:
    blob = WeightBlob.load(shipped_models()["activity"])
    cooler = with_temperature(blob, 1.7)
    before, after = blob.arrays(), cooler.arrays()
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed == {"classifier", "classifier.b"}
    assert cooler.settings is not None
    assert blob.settings is not None
    assert cooler.settings.timing == blob.settings.timing
    assert cooler.settings.provenance == blob.settings.provenance
    frames = np.random.default_rng(0).uniform(1, 20, (80, 56)).astype(np.float32)
    a, b = TemporalModel.from_blob(blob).forward(frames), TemporalModel.from_blob(cooler).forward(frames)
    np.testing.assert_allclose(b, a / 1.7, rtol=1e-4, atol=1e-5)
    plain = WeightBlob(WeightBlobHeader("float32", 1, 1, 1, 1, 1, 2), np.ones(6, "<f4").tobytes())
    assert with_temperature(plain, 2.0).arrays()["classifier"].tolist() == [[0.5, 0.5]]


def test_means_and_their_intervals() -> None:
    found = mean_of([1.0, 2.0, 3.0, 4.0, 5.0])
    half = 2.776 * math.sqrt(2.5) / math.sqrt(5)  # Student's t for four degrees of freedom
    assert (found.mean, found.low, found.high) == pytest.approx((3, 3 - half, 3 + half))
    assert math.isnan(mean_of([1.0]).low)
    share = share_of([9, 5, 10, 8], [10, 10, 10, 10])
    assert share.mean == 0.8
    assert 0.5 < share.low < 0.8 < share.high <= 1.0
    assert share_of([5, 5], [10, 10]).low == 0.5


@pytest.mark.parametrize(
    ("count", "t"), [(2, 12.706), (5, 2.776), (31, 2.042), (32, 2.0395), (50, 2.0096), (1000, 1.9623)]
)
def test_student_at_975_per_mille(count: int, t: float) -> None:
    assert student(count) == pytest.approx(t, abs=2e-4 if count > 2 else 1e-3)
