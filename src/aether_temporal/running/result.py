"""The predictions for a recording, frame by frame and in sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal.recordings import Recording

WINDOW = 50
"""Frames of a window, for accuracy by window."""


def window_of(label_delay: int) -> int:
    """Frames of a window for a model whose predictions are `label_delay` frames late: so many that the prediction after
    the last is for the middle, or for a later frame."""
    return max(WINDOW, 2 * label_delay)


def labelled_windows(
    labels: NDArray[np.int64], length: int, starts: Sequence[int] = (0,)
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The label and the last frame of each window with a label, of labels [T].

    Windows of `length` frames follow one another from the start of each segment; an incomplete last one is left out. A
    window's label is its most frequent one, of equals the first class.
    """
    found, last = [], []
    for start, stop in zip(starts, [*starts[1:], len(labels)], strict=False):
        count = max(0, stop - start) // length
        rows = labels[start : start + count * length].reshape(count, length)
        classes = range(int(rows.max(initial=-1)) + 1)
        if classes:
            counts = np.stack([(rows == c).sum(axis=1) for c in classes], axis=1)
            known = np.flatnonzero(counts.any(axis=1))
            found.append(counts[known].argmax(axis=1))
            last.append(start + (known + 1) * length - 1)
    empty = [np.zeros(0, dtype=np.int64)]
    return np.concatenate(found or empty), np.concatenate(last or empty)


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """Predictions for T frames. `names` are classes, or identities where a gallery was used.

    `scores` float32 [T, len(names)]: logits, or cosine similarities. `latency` [T]: seconds that each push took.
    `labels` [T]: what each prediction is compared with, an index into names, -1 unknown: the label `label_delay` frames
    before. `own_labels` [T]: the label of each frame itself. Both are None where no frame has a label.
    `segment_starts`: frames before which the stream was reset. `window`: frames of a window, for accuracy by window
    (`window_of`).
    """

    recording: Recording
    names: tuple[str, ...]
    enrolled: bool
    scores: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    own_labels: NDArray[np.int64] | None
    latency: NDArray[np.float64]
    segment_starts: tuple[int, ...] = (0,)
    unmatched_labels: tuple[str, ...] = ()  # labels that are no class of the model
    window: int = WINDOW
    interrupted: bool = False  # by the user, before the recording's end
    notes: tuple[str, ...] = ()  # what does not fit, for people

    def __len__(self) -> int:
        return int(self.scores.shape[0])

    def __repr__(self) -> str:
        accuracy = accuracy_summary([self])
        known = f", {accuracy['fraction']:.1%} correct" if accuracy else ""
        kind = "identities" if self.enrolled else "classes"
        return f"<Result of {self.recording.title}: {len(self)} frames, {kind} {', '.join(self.names)}{known}>"

    @property
    def predictions(self) -> NDArray[np.int64]:
        """Index of the largest score after each frame, [T]; of equal scores the first."""
        return self.scores.argmax(axis=1) if len(self) else np.zeros(0, dtype=np.int64)

    @property
    def margins(self) -> NDArray[np.float32]:
        """Largest score minus the second largest, [T]."""
        if self.scores.shape[1] < 2:
            return np.zeros(len(self), dtype=np.float32)
        ordered = np.partition(self.scores, -2, axis=1)
        return ordered[:, -1] - ordered[:, -2]

    @property
    def period(self) -> float | None:
        """Seconds from one frame to the next, by the recording's rate."""
        return 1 / self.recording.frame_rate if self.recording.frame_rate else None

    @property
    def majority(self) -> int | None:
        """The most frequent prediction."""
        return int(np.bincount(self.predictions, minlength=len(self.names)).argmax()) if len(self) else None

    def tally(self) -> dict[str, tuple[int, int]]:
        """For each name that occurs among the labels: correctly predicted frames, and frames."""
        if self.labels is None:
            return {}
        correct = self.predictions == self.labels
        return {
            name: (int((correct & (self.labels == index)).sum()), int((self.labels == index).sum()))
            for index, name in enumerate(self.names)
            if (self.labels == index).any()
        }

    def windows(self, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(labels, predictions) of windows of `length` frames, as `labelled_windows` counts them: the prediction is the
        one after the window's last frame, whatever the label delay. This is how classifiers of windows are scored."""
        if self.own_labels is None:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        labels, last = labelled_windows(self.own_labels, length, self.segment_starts)
        return labels, self.predictions[last]

    def summary(self, window: int | None = None) -> dict[str, Any]:
        """Everything but the frames themselves, ready for JSON. `window`: frames of a window instead of its own."""
        counts = np.bincount(self.predictions, minlength=len(self.names))
        return {
            "source": self.recording.source,
            "recording": self.recording.name,
            "format": self.recording.format,
            "subject": self.recording.subject,
            "session": self.recording.session,
            "frames": len(self),
            "duration_s": self.recording.duration,
            "frame_rate_hz": self.recording.frame_rate,
            "dropped": dict(self.recording.dropped),
            "notes": [*self.recording.notes, *self.notes],
            "latency": latency_summary(self.latency, self.period),
            "predictions": {name: int(count) for name, count in zip(self.names, counts, strict=True) if count},
            "majority": None if self.majority is None else self.names[self.majority],
            "mean_margin": float(self.margins.mean()) if len(self) else None,
            "accuracy": accuracy_summary([self], window),
        }


@dataclass(frozen=True, eq=False)
class Total:
    """Several recordings taken together."""

    results: Sequence[Result]

    def summary(self, window: int | None = None) -> dict[str, Any]:
        """Frames, latency and accuracy over all recordings, ready for JSON."""
        latency = np.concatenate([result.latency for result in self.results]) if self.results else np.zeros(0)
        periods = [result.period for result in self.results]
        period = min((p for p in periods if p is not None), default=None)
        return {
            "recordings": len(self.results),
            "frames": sum(len(result) for result in self.results),
            "latency": latency_summary(latency, period),
            "accuracy": accuracy_summary(self.results, window),
        }


def latency_summary(latency: NDArray[np.float64], period: float | None) -> dict[str, Any] | None:
    """Microseconds a frame, and the 99th percentile as a share of the frame period. None without frames."""
    if not len(latency):
        return None
    p99 = float(np.quantile(latency, 0.99, method="higher"))
    return {
        "median_us": float(np.median(latency)) * 1e6,
        "p99_us": p99 * 1e6,
        "max_us": float(latency.max()) * 1e6,
        "period_us": None if period is None else period * 1e6,
        "p99_of_period": None if period is None else p99 / period,
    }


def accuracy_summary(results: Sequence[Result], window: int | None = None) -> dict[str, Any] | None:
    """Correctly predicted frames, windows and recordings. None where no frame has a label.

    A recording of a single label counts as correct where its most frequent prediction is that label.
    """
    known = [result for result in results if result.labels is not None and (result.labels >= 0).any()]
    if not known:
        return None
    tally: dict[str, list[int]] = {}
    for result in known:
        for name, (correct, frames) in result.tally().items():
            entry = tally.setdefault(name, [0, 0])
            entry[0] += correct
            entry[1] += frames
    correct, frames = (sum(entry[i] for entry in tally.values()) for i in (0, 1))
    by_class = {name: {"correct": c, "frames": n, "fraction": c / n} for name, (c, n) in tally.items()}
    whole = [result for result in known if _has_one_label(result)]
    return {
        "correct": correct,
        "frames": frames,
        "fraction": correct / frames,
        "balanced": float(np.mean([entry["fraction"] for entry in by_class.values()])),
        "windows": _windows_summary(known, known[0].window if window is None else window),
        "by_class": by_class,
        "recordings_correct": sum(result.majority == int(_known(result)[0]) for result in whole) if whole else None,
        "recordings": len(whole) or None,
        "unmatched_labels": sorted({label for result in results for label in result.unmatched_labels}),
    }


def _windows_summary(results: Sequence[Result], length: int) -> dict[str, Any]:
    found = [result.windows(length) for result in results]
    correct = sum(int((labels == predictions).sum()) for labels, predictions in found)
    windows = sum(len(labels) for labels, _ in found)
    return {
        "length": length,
        "correct": correct,
        "windows": windows,
        "fraction": correct / windows if windows else None,
    }


def _known(result: Result) -> NDArray[np.int64]:
    assert result.labels is not None
    return result.labels[result.labels >= 0]


def _has_one_label(result: Result) -> bool:
    known = _known(result)
    return bool((known == known[0]).all())
