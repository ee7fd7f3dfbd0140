"""The confusion matrix of a model over labelled recordings: counts, and the figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal._internal.figures import SHARES, Picture, new_figure, text
from aether_temporal.model import Dtype, TemporalModel
from aether_temporal.recordings import Recording, RecordingError
from aether_temporal.recordings.quality import Remarks
from aether_temporal.recordings.recording import Selection
from aether_temporal.running import Gallery, Result, run
from aether_temporal.running.label_matching import match_subject
from aether_temporal.running.stream import delay_of

from .picture_sources import counted, dropped_line, listed, no_frames

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Counts = NDArray[np.int64]

_WITH_COUNTS = 16
"""Up to this many classes, every cell shows its count."""
_TICKS = 80


@dataclass(frozen=True, eq=False)
class Confusion:
    """`counts` [C, C]: frames, or windows of `window` frames; rows are labels, columns predictions.

    label_delay: a prediction is compared with the label this many frames before it. recordings: all of them; `counted`
    of them contribute to `counts`. unmatched: labels that are no class, or identities that are not enrolled.
    """

    names: tuple[str, ...]
    counts: Counts
    window: int | None
    label_delay: int
    enrolled: bool
    recordings: int
    counted: int
    unmatched: tuple[str, ...]
    dropped: Counter[str]
    notes: tuple[str, ...]

    @property
    def accuracy(self) -> float:
        """Share of correct predictions."""
        return float(np.trace(self.counts) / self.counts.sum())

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall over the classes that occur."""
        total = self.counts.sum(axis=1)
        return float((np.diag(self.counts)[total > 0] / total[total > 0]).mean())

    def document(self) -> dict[str, Any]:
        """The figures as JSON (docs/guide/explore.md)."""
        return {
            "names": list(self.names),
            "counts": self.counts.tolist(),
            "window": self.window,
            "label_delay": self.label_delay,
            "recordings": self.recordings,
            "recordings_counted": self.counted,
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "unmatched_identities" if self.enrolled else "unmatched_labels": list(self.unmatched),
            "dropped": dict(self.dropped),
            "notes": list(self.notes),
        }


def labelled_predictions(result: Result, window: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(labels, predictions) of every frame that has a label.

    With `window`, of every window of so many frames, as `Result.windows` counts them.
    """
    if result.labels is None:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    if window is None:
        known = result.labels >= 0
        return result.labels[known], result.predictions[known]
    return result.windows(window)


def confusion_of(
    model: TemporalModel,
    recordings: Iterable[Recording],
    *,
    window: int | None = None,
    gallery: Gallery | None = None,
    context: int,
    dtype: Dtype = "float32",
    label_delay: int | None = None,
    select: Selection | None = None,
) -> Confusion:
    """Runs the model over each recording from its beginning, as `aether run` does, and counts.

    window None: counts frames. label_delay None: the delay that the blob states. InvalidConfigError for one that is no
    number of frames. RecordingError if there are no frames, or no frame (or window) has a label that is a class of the
    model or an identity of the gallery.
    """
    delay = delay_of(model, label_delay)
    counts: Counts = np.zeros((0, 0), dtype=np.int64)
    names: tuple[str, ...] = ()
    unmatched: set[str] = set()
    remarks = Remarks()
    total = contributing = frames = 0
    sources: dict[str, None] = {}
    last: Recording | None = None
    for recording in recordings:
        result = run(model, recording, context=context, dtype=dtype, gallery=gallery, select=select, label_delay=delay)
        if not total:
            names = result.names
            counts = np.zeros((len(names), len(names)), dtype=np.int64)
        total, frames, last = total + 1, frames + len(result), result.recording
        sources[recording.source] = None
        found = labelled_predictions(result, window)
        np.add.at(counts, found, 1)
        contributing += bool(len(found[0]))
        unmatched.update(result.unmatched_labels if gallery is None else _not_enrolled(names, recording))
        remarks.add(result.recording, result.notes)
    if last is not None and not frames:
        raise no_frames(last)
    if not counts.sum():
        what = "enrolled identities" if gallery is not None else f"labels that are classes ({', '.join(names)})"
        length = "" if window is None else f", in windows of {window} frames"
        late = f", {label_delay} frames before a prediction" if label_delay and gallery is None else ""
        kind = "labels" if gallery is None else "identities"
        there = f"none; {kind} there: {', '.join(sorted(unmatched))}" if unmatched else "none"
        raise RecordingError(f"{', '.join(sources)}: expected {what}{length}{late}, found {there}")
    return Confusion(
        names=names,
        counts=counts,
        window=window,
        label_delay=0 if gallery is not None else delay,
        enrolled=gallery is not None,
        recordings=total,
        counted=contributing,
        unmatched=tuple(sorted(unmatched)),
        dropped=remarks.dropped,
        notes=remarks.notes(),
    )


def _not_enrolled(names: Sequence[str], recording: Recording) -> set[str]:
    """The recording's identity, if it is not among the names."""
    if recording.subject is None or match_subject(names, recording.subject) is not None:
        return set()
    return {recording.subject}


def confusion_picture(found: Confusion) -> Picture:
    """Cells coloured by their share of the row; up to 16 classes, each with its count."""
    many = len(found.names)
    side = min(15.0, max(4.2, 0.62 * many if many <= _WITH_COUNTS else 3.0 + 0.19 * many))
    figure = new_figure(side + 2.4, side + 1.3)
    axes = figure.add_subplot()
    total = found.counts.sum(axis=1, keepdims=True)
    shares = np.ma.masked_where(np.broadcast_to(total == 0, found.counts.shape), found.counts / np.maximum(total, 1))
    drawn = axes.imshow(shares, cmap=SHARES, vmin=0, vmax=1, interpolation="nearest")
    if many <= _WITH_COUNTS:
        _cells(axes, found, shares)
    _ticks(axes, found)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("share of the row", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    unit = "frames" if found.window is None else f"windows of {found.window} frames"
    count = f"{found.counts.sum():,}".replace(",", " ")
    title = [
        f"{found.accuracy:.1%} of {count} {unit} correct",
        f"{found.balanced_accuracy:.1%} averaged over {'identities' if found.enrolled else 'classes'}",
        *([f"labels {found.label_delay} frames before the predictions"] if found.label_delay else []),
    ]
    figure.suptitle("\n".join(title), fontsize=10, x=0.02, ha="left")
    return Picture("Confusion", figure, _lines(found), _table(found))


def _cells(axes: Axes, found: Confusion, shares: np.ma.MaskedArray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    for (row, column), count in np.ndenumerate(found.counts):
        if count:
            share = float(shares[row, column])
            ink = "white" if share > 0.55 else "black"
            axes.text(
                column, row, f"{count}\n{share:.0%}", ha="center", va="center", color=ink, fontsize=8, linespacing=1.1
            )


def _ticks(axes: Axes, found: Confusion) -> None:
    many = len(found.names)
    size = 9 if many <= _WITH_COUNTS else 7
    step = -(-many // _TICKS)
    names = [text(name if len(name) <= 24 else name[:23] + "…") for name in found.names[::step]]
    long = max(map(len, names)) > 3
    axes.set_xticks(range(0, many, step), names, rotation=45 if long else 0, ha="right" if long else "center")
    axes.set_yticks(range(0, many, step), names)
    axes.tick_params(labelsize=size, length=2)
    axes.set_xlabel("prediction", fontsize=10)
    axes.set_ylabel("identity" if found.enrolled else "label", fontsize=10)
    axes.set_xticks(np.arange(many + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(many + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="0.92", lw=0.6)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)


def _lines(found: Confusion) -> list[str]:
    kind = "an identity" if found.enrolled else "a class"
    lines = [f"{counted(found.recordings, 'recording')}, each run from its beginning."]
    if not found.counts.sum(axis=1).all():
        lines.append(f"The row of {kind} that does not occur is empty.")
    if found.unmatched:
        what = "Not enrolled" if found.enrolled else "Not classes of this model"
        lines.append(f"{what}, and not counted: {listed(found.unmatched, 20)}.")
    if left := found.recordings - found.counted:
        lines.append(f"Not counted, for lack of labels: {counted(left, 'recording')}.")
    return [*lines, *dropped_line(found.dropped), *found.notes]


def _table(found: Confusion) -> list[list[str]]:
    unit = "frames" if found.window is None else "windows"
    rows = [["", unit, "recall", "precision", "most often confused with"]]
    for index, name in enumerate(found.names):
        row, predicted = found.counts[index], int(found.counts[:, index].sum())
        others = np.delete(row, index)
        most = found.names[[i for i in range(len(row)) if i != index][int(others.argmax())]] if others.any() else ""
        recall = f"{row[index] / row.sum():.1%}" if row.sum() else ""
        rows.append([name, str(int(row.sum())), recall, f"{row[index] / predicted:.1%}" if predicted else "", most])
    return rows
