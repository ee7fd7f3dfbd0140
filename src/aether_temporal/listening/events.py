"""Answers and feature states as they come, for programs."""

from __future__ import annotations

import json
import threading
from collections import deque
from typing import Any

from aether_temporal.model import TemporalModel
from aether_temporal.recordings.feature_state import FEATURES, FeatureState
from aether_temporal.running.stream import Prediction

from .packets import Classification
from .station import Arrival

_WAITING = 8192
"""Events that wait for a slow reader; more are dropped, the oldest first."""


class Events:
    """A bounded queue between those who listen and whoever prints."""

    def __init__(self, model: TemporalModel | None = None) -> None:
        self._names = tuple(model.class_names or ()) if model is not None else ()
        self._waiting: deque[dict[str, Any]] = deque(maxlen=_WAITING)
        self._lock = threading.Lock()
        self.dropped = 0

    def of_arrival(self, arrival: Arrival) -> dict[str, Any] | None:
        """Of a classification or feature state that came in order; None of others."""
        packet = arrival.packet
        if not arrival.order.in_order or not isinstance(packet, Classification | FeatureState):
            return None
        what = "classification" if isinstance(packet, Classification) else "features"
        event = self._event(what, arrival) | {"ts_us": packet.ts_us}
        if isinstance(packet, FeatureState):
            return event | {
                "mode": packet.mode,
                "quality_flags": packet.quality_flags,
                **dict(zip(FEATURES, packet.features, strict=True)),
            }
        return event | {
            "class": packet.argmax,
            "name": self.name(packet.argmax, packet.n_classes),
            "n_classes": packet.n_classes,
            "logit": packet.top_logit,
            "margin": packet.margin,
        }

    def of_answer(self, arrival: Arrival, answer: Prediction) -> dict[str, Any]:
        """Of what the model here says after a frame."""
        return self._event("answer", arrival) | {
            "frame": answer.index,
            "class": answer.best,
            "name": self.name(answer.best, len(answer.scores)),
            "scores": [float(score) for score in answer.scores],
            "margin": answer.margin,
        }

    def name(self, best: int, n_classes: int) -> str | None:
        """The class's name where it is known: the model has names, and as many classes."""
        return self._names[best] if len(self._names) == n_classes else None

    def _event(self, what: str, arrival: Arrival) -> dict[str, Any]:
        key = arrival.node.key
        return {
            "event": what,
            "time": arrival.time,
            "node": key.node_id,
            "address": key.address,
            "sequence": arrival.packet.sequence,
        }

    @staticmethod
    def line(event: dict[str, Any]) -> bytes:
        """As a line of JSON."""
        return (json.dumps(event, allow_nan=False) + "\n").encode()

    def add(self, event: dict[str, Any]) -> None:
        """Never waits."""
        with self._lock:
            self.dropped += len(self._waiting) == _WAITING
            self._waiting.append(event)

    def take(self) -> list[dict[str, Any]]:
        """All that wait."""
        with self._lock:
            found = list(self._waiting)
            self._waiting.clear()
        return found
