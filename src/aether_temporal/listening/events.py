"""Classifications, feature states and predictions as JSON documents, for programs."""

from __future__ import annotations

import json
import threading
from collections import deque
from typing import Any

from aether_temporal.model import TemporalModel
from aether_temporal.recordings.node_packets import FEATURES, FeatureState
from aether_temporal.running.stream import Prediction

from .packet_receiver import Arrival
from .packets import Classification

_WAITING = 8192
"""Events that may wait for a slow reader. More are dropped, the oldest first."""


class Events:
    """A bounded queue between the threads that listen and predict, and the one that prints."""

    def __init__(self, model: TemporalModel | None = None) -> None:
        self._names = tuple(model.class_names or ()) if model is not None else ()
        self._waiting: deque[dict[str, Any]] = deque(maxlen=_WAITING)
        self._lock = threading.Lock()
        self.dropped = 0

    def of_arrival(self, arrival: Arrival) -> dict[str, Any] | None:
        """The event of a classification or feature state that came in order; None for other packets."""
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

    def of_prediction(self, arrival: Arrival, prediction: Prediction) -> dict[str, Any]:
        """The event of a prediction made on this computer."""
        return self._event("prediction", arrival) | {
            "frame": prediction.index,
            "class": prediction.best,
            "name": self.name(prediction.best, len(prediction.scores)),
            "scores": [float(score) for score in prediction.scores],
            "margin": prediction.margin,
        }

    def name(self, best: int, n_classes: int) -> str | None:
        """The class's name; None unless the model has names and as many classes."""
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
        """The event as a line of JSON."""
        return (json.dumps(event, allow_nan=False) + "\n").encode()

    def add(self, event: dict[str, Any]) -> None:
        """Never blocks."""
        with self._lock:
            self.dropped += len(self._waiting) == _WAITING
            self._waiting.append(event)

    def take(self) -> list[dict[str, Any]]:
        """Returns and removes all waiting events."""
        with self._lock:
            found = list(self._waiting)
            self._waiting.clear()
        return found
