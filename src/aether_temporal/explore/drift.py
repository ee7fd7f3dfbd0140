"""How a channel, and a model's predictions on it, change from session to session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aether_temporal._internal.figures import time_axis
from aether_temporal.model import Dtype, TemporalModel
from aether_temporal.recordings import Recording, RecordingError
from aether_temporal.recordings.quality import Remarks
from aether_temporal.recordings.recording import Selection
from aether_temporal.running import Gallery, Result, model_frames, model_input, run
from aether_temporal.running.label_matching import match_subject

from .picture_sources import has_classifier, no_frames, session_of

Floats = NDArray[np.float64]
_TINY = 2.0**-126


@dataclass(frozen=True, eq=False)
class Window:
    """Figures of `frames` consecutive frames, centred `at` seconds after their recording's begin.

    amplitude: mean over frames and features. margin, confidence: means over the frames; the confidence is the largest
    softmax probability or, with a gallery, the largest cosine. correct: predictions among the `labelled` frames.
    """

    frames: int
    at: float
    amplitude: float
    margin: float
    confidence: float
    correct: int
    labelled: int


@dataclass(frozen=True, eq=False)
class RecordingWindows:
    """The windows of one recording, and its length in seconds (or frames, where time is unknown)."""

    title: str
    length: float
    windows: tuple[Window, ...]

    @property
    def accuracy(self) -> float | None:
        """Share of correct predictions; None without labels."""
        return _accuracy(self.windows)


@dataclass(frozen=True, eq=False)
class Session:
    """`mean`, `spread` [F]: mean and standard deviation of each feature over all `frames` frames, without AGC if
    `Drift.agc_removed`. `between` [F]: standard deviation of the recordings' means."""

    name: str
    frames: int
    mean: Floats
    spread: Floats
    between: Floats
    recordings: tuple[RecordingWindows, ...]

    def shift(self, other: Session) -> Floats:
        """[F]: difference of the means from `other`'s, in `other.spread`; nan where that is 0."""
        shifted = np.full(len(self.mean), np.nan)
        np.divide(self.mean - other.mean, other.spread, out=shifted, where=other.spread > 0)
        return shifted

    @property
    def windows(self) -> list[Window]:
        return [window for recording in self.recordings for window in recording.windows]

    def average(self, what: Literal["amplitude", "margin", "confidence"]) -> float:
        """Mean over all frames."""
        windows = self.windows
        return float(np.average([getattr(w, what) for w in windows], weights=[w.frames for w in windows]))

    @property
    def accuracy(self) -> float | None:
        """Share of correct predictions; None without labels."""
        return _accuracy(self.windows)


def _accuracy(windows: Sequence[Window]) -> float | None:
    labelled = sum(window.labelled for window in windows)
    return sum(window.correct for window in windows) / labelled if labelled else None


@dataclass(frozen=True, eq=False)
class Drift:
    """Sessions in the order of the recordings; all are compared with the first.

    unit: of times. agc_removed: no feature is negative, so each frame was divided by its mean; else features are
    compared as they are. model_removes_agc: the model divides by the mean too. predictions: what confidence and margin
    refer to; None, and both mean nothing, for a model without a classifier and no gallery. not_enrolled: identities.
    """

    sessions: tuple[Session, ...]
    unit: str
    window: int
    agc_removed: bool
    model_removes_agc: bool
    predictions: Literal["classes", "identities"] | None
    not_enrolled: tuple[str, ...]
    dropped: Counter[str]
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The figures as JSON (docs/guide/explore.md)."""
        first = self.sessions[0]
        return {
            "window": self.window,
            "unit": self.unit,
            "predictions": self.predictions,
            "agc_removed": self.agc_removed,
            "unmatched_identities": list(self.not_enrolled),
            "dropped": dict(self.dropped),
            "sessions": [
                {
                    "session": session.name,
                    "recordings": len(session.recordings),
                    "frames": session.frames,
                    "amplitude": session.average("amplitude"),
                    "margin": session.average("margin") if self.predictions else None,
                    "confidence": session.average("confidence") if self.predictions else None,
                    "accuracy": session.accuracy,
                    "shift_rms": rms(session.shift(first)),
                    "mean": session.mean.tolist(),
                    "spread": session.spread.tolist(),
                }
                for session in self.sessions
            ],
            "notes": list(self.notes),
        }


def rms(values: Floats) -> float:
    """Root mean square of the values that are not nan; 0 if all are."""
    there = values[~np.isnan(values)]
    return float(np.sqrt((there**2).mean())) if len(there) else 0.0


def without_agc(frames: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """(frames divided by their mean [T, F], the means [T]). A frame whose mean is 0 stays as it is."""
    wide = frames.astype(np.float64)
    mean = wide.mean(axis=1)
    return wide / np.where(mean >= _TINY, mean, 1.0)[:, None], mean


def _confidence(result: Result) -> Floats:
    """[T]: largest softmax probability or, with a gallery, largest cosine."""
    scores = result.scores.astype(np.float64)
    largest = scores.max(axis=1, keepdims=True)
    confidence: Floats = largest[:, 0] if result.enrolled else 1.0 / np.exp(scores - largest).sum(axis=1)
    return confidence


def drift_of(
    model: TemporalModel,
    recordings: Iterable[Recording],
    *,
    window: int = 100,
    gallery: Gallery | None = None,
    context: int,
    dtype: Dtype = "float32",
    label_delay: int | None = None,
    select: Selection | None = None,
) -> Drift:
    """Runs the model over each recording from its beginning, as `aether run` does, and compares the sessions.

    RecordingError for a recording without a session or without frames, or for fewer than two sessions.
    """
    sums: dict[str, _SessionSums] = {}
    remarks = Remarks()
    units: set[str] = set()
    not_enrolled: set[str] = set()
    for recording in recordings:
        session = sums.setdefault(session_of(recording), _SessionSums())
        given = model_input(model, recording, select)
        result = run(model, given, context=context, dtype=dtype, gallery=gallery, label_delay=label_delay)
        if not len(result):
            raise no_frames(result.recording)
        remarks.add(result.recording, result.notes)
        amplitude = session.add(model_frames(model, result.recording, select if given.recording is recording else None))
        if gallery is not None and recording.subject and match_subject(gallery.names, recording.subject) is None:
            not_enrolled.add(recording.subject)
        time, unit, step = time_axis(result.recording.timestamps, result.recording.frame_rate, len(result))
        units.add(unit)
        windows = _windows(result, time, amplitude, window)
        session.recordings.append(RecordingWindows(recording.title, float(time[-1]) + step, windows))
    if len(sums) < 2:
        raise RecordingError(f"session: expected recordings of at least two sessions, found {', '.join(sums)} alone")
    unit = "seconds" if units == {"seconds"} else "frames" if units == {"frames"} else "seconds or frames"
    agc_removed = all(each.positive for each in sums.values())
    predictions: Literal["classes", "identities"] | None = "identities" if gallery is not None else "classes"
    if gallery is None and not has_classifier(model):
        predictions = None
    return Drift(
        sessions=tuple(each.session(name, agc_removed) for name, each in sums.items()),
        unit=unit,
        window=window,
        agc_removed=agc_removed,
        model_removes_agc=model.settings is not None and model.settings.agc == "mean",
        predictions=predictions,
        not_enrolled=tuple(sorted(not_enrolled)),
        dropped=remarks.dropped,
        notes=remarks.notes(),
    )


def _windows(result: Result, time: Floats, amplitude: Floats, length: int) -> tuple[Window, ...]:
    confidence = _confidence(result)
    labels = np.full(len(result), -1) if result.labels is None else result.labels
    correct = (result.predictions == labels) & (labels >= 0)
    windows = []
    for begin in range(0, len(result), length):
        part = slice(begin, begin + length)
        windows.append(
            Window(
                frames=len(time[part]),
                at=float(time[part].mean()),
                amplitude=float(amplitude[part].mean()),
                margin=float(result.margins[part].mean()),
                confidence=float(confidence[part].mean()),
                correct=int(correct[part].sum()),
                labelled=int((labels[part] >= 0).sum()),
            )
        )
    return tuple(windows)


class _SessionSums:
    """Moments of a session's frames, with and without AGC: only the last frame tells whether all are amplitudes."""

    def __init__(self) -> None:
        self.recordings: list[RecordingWindows] = []
        self.positive = True
        self._as_they_are, self._without_agc = _Moments(), _Moments()

    def add(self, frames: NDArray[np.float32]) -> Floats:
        """Adds a recording's frames [T, F]. Returns the mean of each frame [T]."""
        shapes, mean = without_agc(frames)
        self.positive = self.positive and not bool((frames < 0).any())
        self._as_they_are.add(frames.astype(np.float64))
        self._without_agc.add(shapes)
        return mean

    def session(self, name: str, agc_removed: bool) -> Session:
        moments = self._without_agc if agc_removed else self._as_they_are
        return Session(name, sum(moments.counts), *moments.total(), tuple(self.recordings))


class _Moments:
    """Mean and variance of each recording, and of all together."""

    def __init__(self) -> None:
        self.means: list[Floats] = []
        self.variances: list[Floats] = []
        self.counts: list[int] = []

    def add(self, frames: Floats) -> None:
        self.means.append(frames.mean(axis=0))
        self.variances.append(frames.var(axis=0))
        self.counts.append(len(frames))

    def total(self) -> tuple[Floats, Floats, Floats]:
        """Mean and standard deviation over all frames, and standard deviation of the recordings' means."""
        weight = np.array(self.counts)[:, None] / sum(self.counts)
        means = np.stack(self.means)
        mean = (means * weight).sum(axis=0)
        variance = ((np.stack(self.variances) + (means - mean) ** 2) * weight).sum(axis=0)
        return mean, np.sqrt(variance), means.std(axis=0)
