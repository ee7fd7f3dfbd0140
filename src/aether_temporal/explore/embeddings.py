"""Windows of recordings as points among the persons of a gallery."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal.errors import InvalidArgumentError, ResultOverflowError
from aether_temporal.model import Dtype, TemporalModel
from aether_temporal.recordings import Recording, RecordingError
from aether_temporal.running import Gallery, model_input
from aether_temporal.running.label_matching import match_subject
from aether_temporal.running.stream import rate_notes

from .sources import Remarks, no_frames, person_of
from .style import listed

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Points:
    """`rows` [N, E] of length 1, `person` [N] index into the gallery's names (-1: not enrolled)."""

    rows: Floats
    person: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Projection:
    """Principal components: `mean` [E], `axes` [C, E] by falling `share` [C] of the variance of what they were fitted
    to."""

    mean: Floats
    axes: Floats
    share: Floats

    def __call__(self, rows: Floats) -> Floats:
        """[N, C]."""
        result: Floats = (rows - self.mean) @ self.axes.T
        return result


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """persons: names, `means` [P, E] of length 1; windows of the gallery's and of other sessions; the projection,
    fitted to the gallery. nearest [probe windows]: index of the nearest mean, by cosine in all dimensions."""

    names: tuple[str, ...]
    means: Floats
    gallery: Points
    probe: Points
    projection: Projection
    window: int
    dropped: Counter[str]
    notes: tuple[str, ...]

    @property
    def nearest(self) -> NDArray[np.int64]:
        result: NDArray[np.int64] = (self.probe.rows @ self.means.T).argmax(axis=1)
        return result

    @property
    def rank1(self) -> tuple[int, int]:
        """Probe windows of enrolled persons nearest to their own person, and how many there are."""
        known = self.probe.person >= 0
        return int((self.nearest == self.probe.person)[known].sum()), int(known.sum())

    def document(self) -> dict[str, Any]:
        """As JSON takes it: every window's place in the map."""
        right, known = self.rank1
        places = {"gallery": self.gallery, "probe": self.probe}
        return {
            "persons": list(self.names),
            "window": self.window,
            "variance_shares": self.projection.share.tolist(),
            "means": self.projection(self.means).tolist(),
            "windows": [
                {
                    "part": part,
                    "person": None if who < 0 else self.names[who],
                    "place": place,
                    **({"nearest": self.names[self.nearest[index]]} if part == "probe" else {}),
                }
                for part, points in places.items()
                for index, (who, place) in enumerate(
                    zip(points.person.tolist(), self.projection(points.rows).tolist(), strict=True)
                )
            ],
            "rank1": {"right": right, "windows": known},
            "dropped": dict(self.dropped),
            "notes": list(self.notes),
        }


def map_embeddings(
    model: TemporalModel,
    recordings: Iterable[Recording],
    *,
    gallery: Gallery | None = None,
    gallery_session: str | None = None,
    window: int = 100,
    context: int,
    dtype: Dtype = "float32",
    select: Sequence[int] | None = None,
) -> EmbeddingMap:
    """A point is the mean of the embeddings after `window` frames, one window after the other, scaled to length 1.

    gallery: enrolled before; every recording is then probe. Otherwise the persons are enrolled from the recordings of
    `gallery_session` (None: the session of the first recording; where sessions are unknown, all). RecordingError for a
    recording without a person or shorter than a window, InvalidArgumentError for a model without an embedding.
    """
    if not model.embed_dim:
        raise InvalidArgumentError("model: expected one with an embedding, found one without")
    if gallery is not None and gallery.embeddings.shape[1] != model.embed_dim:
        raise InvalidArgumentError(
            f"gallery: expected embeddings of {model.embed_dim} values, as the model has them, "
            f"found {gallery.embeddings.shape[1]}"
        )
    enrolled: dict[str, list[Floats]] = {}
    probes: list[tuple[str, Floats]] = []
    notes: list[str] = []
    remarks = Remarks()
    first: str | None = gallery_session
    for index, recording in enumerate(recordings):
        person = person_of(recording)
        if index == 0 and first is None:
            first = recording.session
        rows = _windows(model, recording, window, context, dtype, select, remarks)
        if gallery is None and recording.session == first:
            enrolled.setdefault(person, []).append(rows)
        else:
            probes.append((person, rows))
    if gallery is not None:
        names, means = gallery.names, gallery.embeddings.astype(np.float64)
        points = Points(means[:0], np.zeros(0, dtype=np.int64))
    else:
        if not enrolled:
            raise RecordingError(f"gallery session: expected recordings of session {first!r}, found none")
        names = tuple(enrolled)
        groups = [np.concatenate(parts) for parts in enrolled.values()]
        means = np.stack([_unit(group.mean(axis=0)) for group in groups])
        points = Points(np.concatenate(groups), np.repeat(np.arange(len(groups)), [len(group) for group in groups]))
        if not probes:
            notes.append("no probe: all recordings are of the gallery's session")
    probe = _probe(names, probes, model.embed_dim)
    if unknown := sorted({person for person, _ in probes if match_subject(names, person) is None}):
        notes.append(f"not enrolled: {listed(unknown, 20)}")
    if len(points) + len(probe) < 2 and len(names) < 2:
        raise RecordingError("gallery: expected at least two points to draw a map of, found one")
    fitted = points.rows if len(points) > len(names) else np.concatenate([means, probe.rows])
    return EmbeddingMap(
        names, means, points, probe, principal(fitted), window, remarks.dropped, (*notes, *remarks.notes())
    )


def principal(rows: Floats, most: int = 4) -> Projection:
    """The first components of [N, E], at least two. Each points to where its largest coefficient is positive."""
    mean = rows.mean(axis=0)
    _, scale, axes = np.linalg.svd(rows - mean, full_matrices=False)
    count = min(most, len(axes))
    axes, share = axes[:count], scale**2 / max(float((scale**2).sum()), np.finfo(np.float64).tiny)
    largest = np.abs(axes).argmax(axis=1)
    axes = axes * np.sign(axes[np.arange(count), largest])[:, None]
    if count < 2:  # everything on a line, or fewer than two points
        axes, share = np.pad(axes, ((0, 2 - count), (0, 0))), np.pad(share, (0, 2 - count))
    return Projection(mean, axes, share[: len(axes)])


def _unit(row: Floats) -> Floats:
    length = float(np.linalg.norm(row))
    return row / length if length > 0 else row


def _probe(names: tuple[str, ...], probes: Sequence[tuple[str, Floats]], dim: int) -> Points:
    if not probes:
        return Points(np.zeros((0, dim)), np.zeros(0, dtype=np.int64))
    who = [match_subject(names, person) for person, _ in probes]
    index = np.array([-1 if found is None else found for found in who], dtype=np.int64)
    return Points(np.concatenate([rows for _, rows in probes]), np.repeat(index, [len(rows) for _, rows in probes]))


def _windows(
    model: TemporalModel,
    recording: Recording,
    window: int,
    context: int,
    dtype: Dtype,
    select: Sequence[int] | None,
    remarks: Remarks,
) -> Floats:
    """[windows, E]; a window does not reach over a gap at which the stream begins anew."""
    rows = []
    given = model_input(model, recording, select)
    if not len(given.frames):
        raise no_frames(given.recording)
    remarks.add(given.recording, (*given.notes, *rate_notes(model, given.recording)))
    for frames in given.segments():
        try:
            found = model.embeddings(frames, context=context, dtype=dtype).astype(np.float64)
        except ResultOverflowError as error:
            raise ResultOverflowError(f"{recording.title}: {error}") from None
        rows += [_unit(found[at : at + window].mean(axis=0)) for at in range(0, len(found) - window + 1, window)]
    if not rows:
        longest = max(map(len, given.segments()))
        raise RecordingError(f"{recording.title}: expected at least {window} frames on end, a window, found {longest}")
    return np.stack(rows)
