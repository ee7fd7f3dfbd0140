"""How a channel, and what a model makes of it, changes from session to session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aether_temporal.model import Dtype, TemporalModel
from aether_temporal.recordings import Recording, RecordingError
from aether_temporal.running import Gallery, Result, model_frames, model_input, run
from aether_temporal.running.label_matching import match_subject

from .sources import Remarks, no_frames, session_of
from .style import seconds
from .tracing import has_classes

Floats = NDArray[np.float64]
_TINY = 2.0**-126


@dataclass(frozen=True, eq=False)
class Piece:
    """A window of `frames` frames on end: seconds from its recording's begin to its middle, gain (mean amplitude of a
    frame), what the model says of it (mean margin; mean confidence, the largest softmax probability, or with a gallery
    the largest cosine), and the frames answered right among those with a label."""

    frames: int
    at: float
    gain: float
    margin: float
    confidence: float
    right: int
    known: int


@dataclass(frozen=True, eq=False)
class Part:
    """One recording of a session: its pieces, its length in seconds (or frames, where time is unknown)."""

    title: str
    length: float
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, eq=False)
class Session:
    """`mean`, `spread` [F]: of each feature (after the gain is removed, where `Drift.amplitudes`), over all frames;
    `between` [F]: standard deviation of the recordings' means. `frames` counts them all."""

    name: str
    frames: int
    mean: Floats
    spread: Floats
    between: Floats
    parts: tuple[Part, ...]

    def shift(self, other: Session) -> Floats:
        """[F]: how far the means have moved since `other`, in its standard deviations over frames; nan where it has
        none."""
        moved = np.full(len(self.mean), np.nan)
        np.divide(self.mean - other.mean, other.spread, out=moved, where=other.spread > 0)
        return moved

    @property
    def pieces(self) -> list[Piece]:
        return [piece for part in self.parts for piece in part.pieces]

    def average(self, what: str) -> float:
        """Of gain, margin or confidence, over all frames."""
        pieces = self.pieces
        return float(np.average([getattr(piece, what) for piece in pieces], weights=[p.frames for p in pieces]))

    @property
    def accuracy(self) -> float | None:
        """Frames answered right; None without labels."""
        known = sum(piece.known for piece in self.pieces)
        return sum(piece.right for piece in self.pieces) / known if known else None


@dataclass(frozen=True, eq=False)
class Drift:
    """Sessions in the order of the recordings; the first is what the others are compared with. amplitudes: nothing is
    negative, and each frame was divided by its mean; otherwise features are compared as they are. gain_removed: by the
    model itself. strangers: persons that are not enrolled. answers: what confidence and margin are of; None where the
    model has no classifier and no gallery was given, and they mean nothing."""

    sessions: tuple[Session, ...]
    unit: str
    window: int
    amplitudes: bool
    gain_removed: bool
    answers: Literal["classes", "persons"] | None
    strangers: tuple[str, ...]
    dropped: Counter[str]
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """As JSON takes it."""
        first = self.sessions[0]
        return {
            "window": self.window,
            "unit": self.unit,
            "answers": self.answers,
            "gain_divided_out": self.amplitudes,
            "unmatched_persons": list(self.strangers),
            "dropped": dict(self.dropped),
            "sessions": [
                {
                    "session": session.name,
                    "recordings": len(session.parts),
                    "frames": session.frames,
                    "gain": session.average("gain"),
                    "margin": session.average("margin") if self.answers else None,
                    "confidence": session.average("confidence") if self.answers else None,
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
    """Root mean square of those that are not nan; 0 of none."""
    there = values[~np.isnan(values)]
    return float(np.sqrt((there**2).mean())) if len(there) else 0.0


def without_gain(frames: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """(frames divided by their mean [T, F], the means [T]); a frame without amplitude stays as it is."""
    wide = frames.astype(np.float64)
    gain = wide.mean(axis=1)
    return wide / np.where(gain >= _TINY, gain, 1.0)[:, None], gain


def _confidence(result: Result) -> Floats:
    """Largest softmax probability, or largest cosine, [T]."""
    scores = result.scores.astype(np.float64)
    largest = scores.max(axis=1, keepdims=True)
    sure: Floats = largest[:, 0] if result.enrolled else 1.0 / np.exp(scores - largest).sum(axis=1)
    return sure


def drift(
    model: TemporalModel,
    recordings: Iterable[Recording],
    *,
    window: int = 100,
    gallery: Gallery | None = None,
    context: int,
    dtype: Dtype = "float32",
    lag: int | None = None,
    select: Sequence[int] | None = None,
) -> Drift:
    """Each recording from its beginning, as `aether run` does. RecordingError for a recording without a session, or
    without frames, or fewer than two sessions."""
    gathered: dict[str, _Gathered] = {}
    remarks = Remarks()
    units: set[str] = set()
    strangers: set[str] = set()
    for recording in recordings:
        session = gathered.setdefault(session_of(recording), _Gathered())
        given = model_input(model, recording, select)
        result = run(model, given, context=context, dtype=dtype, gallery=gallery, label_delay=lag)
        if not len(result):
            raise no_frames(result.recording)
        remarks.add(result.recording, result.notes)
        taken = model_frames(model, result.recording, select if given.recording is recording else None)
        gain = session.add(taken)
        if gallery is not None and recording.subject and match_subject(gallery.names, recording.subject) is None:
            strangers.add(recording.subject)
        time, unit, step = seconds(result.recording)
        units.add(unit)
        sure = _confidence(result)
        truth = np.full(len(result), -1) if result.labels is None else result.labels
        pieces = []
        for begin in range(0, len(result), window):
            part = slice(begin, begin + window)
            pieces.append(
                Piece(
                    frames=len(time[part]),
                    at=float(time[part].mean()),
                    gain=float(gain[part].mean()),
                    margin=float(result.margins[part].mean()),
                    confidence=float(sure[part].mean()),
                    right=int(((result.predictions == truth) & (truth >= 0))[part].sum()),
                    known=int((truth[part] >= 0).sum()),
                )
            )
        session.parts.append(Part(recording.title, float(time[-1]) + step, tuple(pieces)))
    if len(gathered) < 2:
        raise RecordingError(
            f"session: expected recordings of at least two sessions, found {', '.join(gathered)} alone"
        )
    unit = "seconds" if units == {"seconds"} else "frames" if units == {"frames"} else "seconds or frames"
    removed = model.settings is not None and model.settings.gain == "mean"
    amplitudes = all(g.positive for g in gathered.values())
    sessions = tuple(g.session(name, amplitudes) for name, g in gathered.items())
    answers: Literal["classes", "persons"] | None = "persons" if gallery is not None else "classes"
    if gallery is None and not has_classes(model):
        answers = None
    return Drift(
        sessions=sessions,
        unit=unit,
        window=window,
        amplitudes=amplitudes,
        gain_removed=removed,
        answers=answers,
        strangers=tuple(sorted(strangers)),
        dropped=remarks.dropped,
        notes=remarks.notes(),
    )


class _Gathered:
    """Sums over a session's frames, a recording at a time; with and without the gain, since only the last frame says
    whether all are amplitudes."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.positive = True
        self._plain, self._shapes = _Moments(), _Moments()

    def add(self, taken: NDArray[np.float32]) -> Floats:
        """The frames' gain."""
        frames, gain = without_gain(taken)
        self.positive = self.positive and not bool((taken < 0).any())
        self._plain.add(taken.astype(np.float64))
        self._shapes.add(frames)
        return gain

    def session(self, name: str, amplitudes: bool) -> Session:
        moments = self._shapes if amplitudes else self._plain
        return Session(name, sum(moments.counts), *moments.total(), tuple(self.parts))


class _Moments:
    """Mean and variance of each recording, and of all together."""

    def __init__(self) -> None:
        self.means: list[Floats] = []
        self.squares: list[Floats] = []
        self.counts: list[int] = []

    def add(self, frames: Floats) -> None:
        self.means.append(frames.mean(axis=0))
        self.squares.append(frames.var(axis=0))
        self.counts.append(len(frames))

    def total(self) -> tuple[Floats, Floats, Floats]:
        """Mean, standard deviation over frames, and of the recordings' means."""
        weight = np.array(self.counts)[:, None] / sum(self.counts)
        means = np.stack(self.means)
        mean = (means * weight).sum(axis=0)
        variance = ((np.stack(self.squares) + (means - mean) ** 2) * weight).sum(axis=0)
        return mean, np.sqrt(variance), means.std(axis=0)
