"""How good a model is, measured on the core that will run, never on torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal.model import TemporalModel
from aether_temporal.recordings import RecordingError

from .answers import logits_of
from .dataset import Track

WINDOW = 50


@dataclasses.dataclass(frozen=True)
class Scores:
    """Shares of right answers.

    streamed: windows, the stream running over the whole recording; fresh: windows, a new stream for each; frames: all
    frames of the streamed recording against their own labels; delayed: against the label `delay` frames earlier.
    """

    streamed: float
    fresh: float
    frames: float
    delayed: float
    windows: int
    confusion: NDArray[np.int64]  # of streamed windows: [truth, answer]

    def document(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {**dataclasses.asdict(self), "confusion": self.confusion.tolist()}

    def __str__(self) -> str:
        return (
            f"windows streamed {self.streamed:.3f}, fresh {self.fresh:.3f} (of {self.windows}); "
            f"frames {self.frames:.3f}, delayed {self.delayed:.3f}"
        )


def majority(labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """The most frequent label of each row of labels [n, window]; of equals the smallest."""
    counts = np.stack([(labels == c).sum(axis=1) for c in range(classes)], axis=1)
    found: NDArray[np.int64] = counts.argmax(axis=1)
    return found


def expect_scorable(tracks: Sequence[Track], *, delay: int, warm_up: int, window: int = WINDOW) -> None:
    """RecordingError, before anything is trained, where these recordings have no label that `score`, or `answers` after
    `warm_up` frames, could compare with."""
    first = max(0, warm_up - delay)
    for track in tracks:
        labels = np.asarray(track.labels)
        whole = len(labels) // window * window
        if (labels[:whole] >= 0).any() and (labels[first : max(0, len(labels) - delay)] >= 0).any():
            return
    names = ", ".join(track.title for track in tracks[:3]) + (" …" if len(tracks) > 3 else "")
    raise RecordingError(
        f"{names}: labels: expected some between frame {first} and {delay} frames before the end, and some in a whole "
        f"window of {window} frames, to score by, found none; label these recordings, or leave them out"
    )


def score(
    model: TemporalModel,
    tracks: Sequence[Track],
    *,
    delay: int,
    window: int = WINDOW,
    context: int | None = None,
) -> Scores:
    """Windows of `window` frames, one after the other from a recording's first frame (the rest left out): the truth is
    the window's most frequent label, the answer the model's largest logit after the window's last frame. Frames without
    a label, and windows of none but such, do not count. ValueError: nothing counts."""
    classes = model.n_classes
    confusion = np.zeros((classes, classes), dtype=np.int64)
    fresh = frames = delayed = frame_count = delayed_count = 0
    for track in tracks:
        answers = logits_of(model, track.frames, context).argmax(axis=1)
        frames += int((answers == track.labels).sum())
        frame_count += int((track.labels >= 0).sum())
        late = track.labels[: max(0, len(answers) - delay)]
        delayed += int((answers[delay:] == late).sum())
        delayed_count += int((late >= 0).sum())
        count = len(answers) // window
        rows = track.labels[: count * window].reshape(count, window)
        truth = majority(rows, classes)
        known = np.flatnonzero((rows >= 0).any(axis=1))
        np.add.at(confusion, (truth[known], answers[window - 1 :: window][known]), 1)
        for index in known.tolist():
            part = track.frames[index * window : (index + 1) * window]
            fresh += int(model.forward(part, context)[-1].argmax() == truth[index])
    windows = int(confusion.sum())
    if not windows or not delayed_count:
        raise ValueError(f"labels: expected at least one window of {window} frames with one, found none")
    return Scores(
        streamed=float(np.trace(confusion) / windows),
        fresh=fresh / windows,
        frames=frames / frame_count,
        delayed=delayed / delayed_count,
        windows=windows,
        confusion=confusion,
    )
