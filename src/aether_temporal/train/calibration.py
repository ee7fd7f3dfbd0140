"""How sure a model is, and how often it is right then: measured, and made to agree by one number."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from aether_temporal.blob import CORE_NAMES, WeightBlob

from .answers import Answers

BINS = 15


def probabilities(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float64]:
    """Softmax of logits / temperature."""
    scaled = logits.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    found: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return found


def likelihood_loss(given: Answers, temperature: float = 1.0) -> float:
    """Mean negative log likelihood of the truth."""
    total = 0.0
    for part in given.chunks():
        scaled = part.logits.astype(np.float64) / temperature
        scaled -= scaled.max(axis=1, keepdims=True)
        right = scaled[np.arange(len(scaled)), part.truth]
        total += float((np.log(np.exp(scaled).sum(axis=1)) - right).sum())
    return total / len(given)


class Confidence:
    """How sure answers are at a temperature, and how often right then. Answers are added part by part; of them only
    sums are kept."""

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = temperature
        self._sums = np.zeros((3, BINS))  # frames, confidence, right answers

    def add(self, given: Answers) -> None:
        """Counts these too."""
        for part in given.chunks():
            p = probabilities(part.logits, self.temperature)
            sure, right = p.max(axis=1), p.argmax(axis=1) == part.truth
            place = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
            for sums, values in zip(self._sums, (None, sure, right), strict=True):
                sums += np.bincount(place, values, BINS)

    @property
    def reliability(self) -> NDArray[np.float64]:
        """[BINS, 3]: frames, mean confidence and share of right answers in each bin of confidence."""
        count, sure, right = self._sums
        most = np.maximum(count, 1)
        return np.stack([count, sure / most, right / most], axis=1)

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of confidence and accuracy over 15 bins, weighted by their
        frames."""
        count, sure, right = self.reliability.T
        return float((count * np.abs(sure - right)).sum() / count.sum())


def confidence(parts: Iterable[Answers], temperatures: Sequence[float]) -> tuple[Confidence, ...]:
    """Of all parts, at each of these temperatures; a part is let go before the next is asked for."""
    found = tuple(map(Confidence, temperatures))
    for part in parts:
        for one in found:
            one.add(part)
    return found


def calibration_error(given: Answers, temperature: float = 1.0) -> float:
    """`Confidence.error` of these answers."""
    return confidence([given], [temperature])[0].error


def fit_temperature(given: Answers) -> float:
    """The temperature of the least likelihood loss, between 1/20 and 20, by golden section: the loss has one minimum in
    1 / temperature."""
    low, high = np.log(1 / 20), np.log(20.0)
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(60):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        if likelihood_loss(given, float(np.exp(a))) <= likelihood_loss(given, float(np.exp(b))):
            high = b
        else:
            low = a
    return float(np.exp((low + high) / 2))


def with_temperature(blob: WeightBlob, temperature: float) -> WeightBlob:
    """The blob whose logits are this one's divided by `temperature`: classifier and its bias, nothing else."""
    arrays = blob.arrays()
    settings = blob.settings
    layers = [{name: arrays[f"layers.{i}.{name}"] for name in CORE_NAMES} for i in range(blob.header.n_layers)]
    if settings is not None and settings.bias is not None:
        bias = np.asarray(settings.bias.classifier, dtype=np.float64) / temperature
        settings = settings.replace(bias=dataclasses.replace(settings.bias, classifier=bias.astype(np.float32)))
    classifier = arrays["classifier"].astype(np.float64) / temperature
    return WeightBlob.from_arrays(blob.header, layers, classifier.astype(np.float32), settings)
