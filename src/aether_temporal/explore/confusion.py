"""What a model answers where something else is true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal.model import Dtype, TemporalModel
from aether_temporal.recordings import Recording, RecordingError
from aether_temporal.running import Gallery, Result, run
from aether_temporal.running.label_matching import match_subject

from .sources import Remarks, no_frames

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Confusion:
    """`counts` [C, C]: row the truth, column the answer; frames, or windows of `window` frames. lag: an answer is
    compared with the label of so many frames before. recordings: how many there are; `counted` of them have something
    in `counts`. unmatched: labels that are no class, persons that are not enrolled."""

    names: tuple[str, ...]
    counts: Counts
    window: int | None
    lag: int
    enrolled: bool
    recordings: int
    counted: int
    unmatched: tuple[str, ...]
    dropped: Counter[str]
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
            "recordings_counted": self.counted,
            "accuracy": self.accuracy,
            "balanced": self.balanced,
            "unmatched_persons" if self.enrolled else "unmatched_labels": list(self.unmatched),
            "dropped": dict(self.dropped),
            "notes": list(self.notes),
        }


def pairs(result: Result, window: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(truth, answer) of every frame with a label; of windows as `Result.windows` counts them: the most frequent label
    (of equals the first), the answer after the last frame."""
    if result.labels is None:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    if window is None:
        known = result.labels >= 0
        return result.labels[known], result.predictions[known]
    found = []
    for stop in range(window, len(result) + 1, window):
        labels = result.labels[stop - window : stop]
        labels = labels[labels >= 0]
        if len(labels):
            found.append((int(np.bincount(labels).argmax()), int(result.predictions[stop - 1])))
    truth, answer = np.array(found, dtype=np.int64).reshape(-1, 2).T
    return truth, answer


def confuse(
    model: TemporalModel,
    recordings: Iterable[Recording],
    *,
    window: int | None = None,
    gallery: Gallery | None = None,
    context: int,
    dtype: Dtype = "float32",
    lag: int | None = None,
    select: Sequence[int] | None = None,
) -> Confusion:
    """Every recording from its beginning, as `aether run` does; window None: frame by frame. lag None: the delay that
    the blob states. RecordingError when there are no frames, or not one frame (or window) has a label that is a class
    of the model, or a person of the gallery."""
    counts: Counts = np.zeros((0, 0), dtype=np.int64)
    names: tuple[str, ...] = ()
    unmatched: set[str] = set()
    remarks = Remarks()
    total = counted = frames = 0
    sources: dict[str, None] = {}
    last: Recording | None = None
    for recording in recordings:
        result = run(model, recording, context=context, dtype=dtype, gallery=gallery, select=select, label_delay=lag)
        if not total:
            names = result.names
            counts = np.zeros((len(names), len(names)), dtype=np.int64)
        total, frames, last = total + 1, frames + len(result), result.recording
        sources[recording.source] = None
        found = pairs(result, window)
        np.add.at(counts, found, 1)
        counted += bool(len(found[0]))
        unmatched.update(result.unmatched_labels if gallery is None else _stranger(names, recording))
        remarks.add(result.recording, result.notes)
    if last is not None and not frames:
        raise no_frames(last)
    if not counts.sum():
        what = "persons that are enrolled" if gallery is not None else f"labels that are classes ({', '.join(names)})"
        length = "" if window is None else f", in windows of {window} frames"
        late = f", {lag} frames before an answer" if lag and gallery is None else ""
        kind = "labels" if gallery is None else "persons"
        there = f"none; {kind} there: {', '.join(sorted(unmatched))}" if unmatched else "none"
        raise RecordingError(f"{', '.join(sources)}: expected {what}{length}{late}, found {there}")
    lag = model.delay if lag is None else lag
    return Confusion(
        names=names,
        counts=counts,
        window=window,
        lag=0 if gallery is not None else lag,
        enrolled=gallery is not None,
        recordings=total,
        counted=counted,
        unmatched=tuple(sorted(unmatched)),
        dropped=remarks.dropped,
        notes=remarks.notes(),
    )


def _stranger(names: Sequence[str], recording: Recording) -> set[str]:
    """The recording's person, who is not among the names."""
    if recording.subject is None or match_subject(names, recording.subject) is not None:
        return set()
    return {recording.subject}
