"""What a model answers where something else is true."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal.model import Dtype, TemporalModel
from aether_temporal.recordings import Recording, RecordingError
from aether_temporal.running import Gallery, Result, run

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Confusion:
    """`counts` [C, C]: row the truth, column the answer; frames, or windows of `window` frames. lag: an answer is
    compared with the label of so many frames before."""

    names: tuple[str, ...]
    counts: Counts
    window: int | None
    lag: int
    enrolled: bool
    recordings: int
    unmatched: tuple[str, ...]
    dropped: int
    notes: tuple[str, ...]

    @property
    def accuracy(self) -> float:
        """Right ones among all."""
        return float(np.trace(self.counts) / self.counts.sum())

    @property
    def balanced(self) -> float:
        """Mean over the classes that occur, each counted the same."""
        total = self.counts.sum(axis=1)
        return float((np.diag(self.counts)[total > 0] / total[total > 0]).mean())

    def document(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "names": list(self.names),
            "counts": self.counts.tolist(),
            "window": self.window,
            "lag": self.lag,
            "recordings": self.recordings,
            "accuracy": self.accuracy,
            "balanced": self.balanced,
            "unmatched_labels": list(self.unmatched),
            "dropped": self.dropped,
            "notes": list(self.notes),
        }


def pairs(result: Result, window: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(truth, answer) of every frame with a label; of windows as `Result.windows` counts them: the most frequent label
    (of equals the first), the answer after the last frame."""
    if result.truth is None:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    if window is None:
        known = result.truth >= 0
        return result.truth[known], result.answers[known]
    found = []
    for stop in range(window, len(result) + 1, window):
        labels = result.truth[stop - window : stop]
        labels = labels[labels >= 0]
        if len(labels):
            found.append((int(np.bincount(labels).argmax()), int(result.answers[stop - 1])))
    truth, answer = np.array(found, dtype=np.int64).reshape(-1, 2).T
    return truth, answer


def confuse(
    model: TemporalModel,
    recordings: Iterable[Recording],
    *,
    window: int | None = None,
    gallery: Gallery | None = None,
    capacity: int,
    dtype: Dtype = "float32",
    lag: int | None = None,
    pick: Sequence[int] | None = None,
) -> Confusion:
    """Every recording from its beginning, as `aether run` does; window None: frame by frame. lag None: the delay that
    the blob states. RecordingError when not one frame (or window) has a label that is a class of the model, or a person
    of the gallery."""
    counts: Counts = np.zeros((0, 0), dtype=np.int64)
    names: tuple[str, ...] = ()
    unmatched: set[str] = set()
    notes: dict[str, None] = {}
    count = dropped = 0
    sources: dict[str, None] = {}
    for recording in recordings:
        result = run(model, recording, capacity=capacity, dtype=dtype, gallery=gallery, pick=pick, lag=lag)
        if not count:
            names = result.names
            counts = np.zeros((len(names), len(names)), dtype=np.int64)
        count += 1
        sources[recording.source] = None
        np.add.at(counts, pairs(result, window), 1)
        unmatched.update(result.unmatched)
        dropped += sum(result.recording.dropped.values())
        notes.update(dict.fromkeys(result.notes))
    if not counts.sum():
        what = "persons that are enrolled" if gallery is not None else f"labels that are classes ({', '.join(names)})"
        length = "" if window is None else f", in windows of {window} frames"
        found = f"none; labels there: {', '.join(sorted(unmatched))}" if unmatched else "none"
        raise RecordingError(f"{', '.join(sources)}: expected {what}{length}, found {found}")
    lag = model.delay if lag is None else lag
    return Confusion(
        names, counts, window, lag, gallery is not None, count, tuple(sorted(unmatched)), dropped, tuple(notes)
    )
