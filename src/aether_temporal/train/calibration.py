"""How sure a model is, and how often it is right then: measured, and made to agree by one number."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aether_temporal.blob import CORE_NAMES, WeightBlob
from aether_temporal.model import TemporalModel

from .corpus import Track

BINS = 15


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """Logits float32 [n, classes] and the true classes [n] of frames with a label."""

    logits: NDArray[np.float32]
    truth: NDArray[np.int64]


def answers(
    model: TemporalModel, tracks: Sequence[Track], *, delay: int, warm_up: int, capacity: int | None = None
) -> Answers:
    """What the core answers after every frame from `warm_up` on, against the label `delay` frames before. ValueError:
    no frame with a label."""
    logits, truth = [], []
    for track in tracks:
        begin = max(warm_up, delay)
        if len(track) <= begin:
            continue
        labels = np.asarray(track.labels[begin - delay : len(track) - delay])
        found = model.forward(track.frames, capacity)[begin:]
        logits.append(found[labels >= 0])
        truth.append(labels[labels >= 0])
    if not sum(map(len, truth)):
        raise ValueError(f"labels: expected frames with one after the first {warm_up}, found none")
    return Answers(np.concatenate(logits), np.concatenate(truth))


def probabilities(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float64]:
    """Softmax of logits / temperature."""
    scaled = logits.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    found: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return found


def likelihood_loss(given: Answers, temperature: float = 1.0) -> float:
    """Mean negative log likelihood of the truth."""
    scaled = given.logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    right = scaled[np.arange(len(scaled)), given.truth]
    return float((np.log(np.exp(scaled).sum(axis=1)) - right).mean())


def reliability(given: Answers, temperature: float = 1.0) -> NDArray[np.float64]:
    """[BINS, 3]: frames, mean confidence and share of right answers in each bin of confidence."""
    p = probabilities(given.logits, temperature)
    sure, right = p.max(axis=1), p.argmax(axis=1) == given.truth
    place = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    most = np.maximum(count, 1)
    return np.stack(
        [count, np.bincount(place, sure, BINS) / most, np.bincount(place, right.astype(np.float64), BINS) / most],
        axis=1,
    )


def calibration_error(given: Answers, temperature: float = 1.0) -> float:
    """Expected calibration error: the mean distance of confidence and accuracy over 15 bins, weighted by their
    frames."""
    count, sure, right = reliability(given, temperature).T
    return float((count * np.abs(sure - right)).sum() / count.sum())


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
