"""A map of identities: windows of recordings as points in the principal components of a gallery."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal._internal.figures import COLOURS, GREY, Picture, class_styles, new_figure, plain, text
from aether_temporal.errors import InvalidArgumentError, ResultOverflowError
from aether_temporal.model import Dtype, TemporalModel
from aether_temporal.recordings import Recording, RecordingError
from aether_temporal.recordings.quality import Remarks
from aether_temporal.recordings.recording import Selection
from aether_temporal.running import Gallery, model_input
from aether_temporal.running.label_matching import match_subject
from aether_temporal.running.stream import rate_notes

from .picture_sources import dropped_line, identity_of, listed, no_frames

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

_NAMED = 100
"""Up to this many identities, each name is drawn at its place."""

_PANEL = np.array([6.5, 5.9])
"""Approximate width and height of a map, in inches."""

_LEAST_SHARE = 0.01
"""A second map is drawn if the third component has at least this share of the variance."""


@dataclass(frozen=True, eq=False)
class Points:
    """`rows` [N, E] of length 1; `identity` [N]: index into the gallery's names, -1 if not enrolled."""

    rows: Floats
    identity: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Projection:
    """Principal components: `mean` [E], and `axes` [C, E] by falling `share` [C] of the fitted rows' variance."""

    mean: Floats
    axes: Floats
    share: Floats

    def __call__(self, rows: Floats) -> Floats:
        """[N, C]."""
        result: Floats = (rows - self.mean) @ self.axes.T
        return result


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """`names` and `means` [P, E] (of length 1) of the enrolled identities; the windows of the gallery and of the probe;
    the projection, fitted to the gallery."""

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
        """Index of the nearest mean of each probe window, by cosine in all dimensions."""
        result: NDArray[np.int64] = (self.probe.rows @ self.means.T).argmax(axis=1)
        return result

    @property
    def rank1(self) -> tuple[int, int]:
        """Probe windows that are nearest to their own identity, and all probe windows of enrolled identities."""
        known = self.probe.identity >= 0
        return int((self.nearest == self.probe.identity)[known].sum()), int(known.sum())

    def document(self) -> dict[str, Any]:
        """The figures as JSON (docs/guide/explore.md), each window with its place in the map."""
        correct, known = self.rank1
        nearest = [self.names[index] for index in self.nearest]
        return {
            "identities": list(self.names),
            "window": self.window,
            "variance_shares": self.projection.share.tolist(),
            "means": self.projection(self.means).tolist(),
            "gallery": self._places(self.gallery),
            "probe": [
                {**place, "nearest": name} for place, name in zip(self._places(self.probe), nearest, strict=True)
            ],
            "rank1": {"correct": correct, "windows": known},
            "dropped": dict(self.dropped),
            "notes": list(self.notes),
        }

    def _places(self, points: Points) -> list[dict[str, Any]]:
        return [
            {"identity": None if who < 0 else self.names[who], "place": place}
            for who, place in zip(points.identity.tolist(), self.projection(points.rows).tolist(), strict=True)
        ]


def map_embeddings(
    model: TemporalModel,
    recordings: Iterable[Recording],
    *,
    gallery: Gallery | None = None,
    gallery_session: str | None = None,
    window: int = 100,
    context: int,
    dtype: Dtype = "float32",
    select: Selection | None = None,
) -> EmbeddingMap:
    """Maps windows of `window` frames; a point is the mean of the window's embeddings, scaled to length 1.

    With `gallery`, every recording is a probe. Without, the identities are enrolled from the recordings of
    `gallery_session` (None: the session of the first recording; if that has none, all recordings). RecordingError for a
    recording without an identity or shorter than a window, InvalidArgumentError for a model without an embedding.
    """
    if not model.embed_dim:
        raise InvalidArgumentError("model: expected a model with an embedding, found one without")
    if gallery is not None and gallery.embeddings.shape[1] != model.embed_dim:
        raise InvalidArgumentError(
            f"gallery: expected embeddings of {model.embed_dim} values, found {gallery.embeddings.shape[1]}; enrol it "
            "with this model"
        )
    enrolled: dict[str, list[Floats]] = {}
    probes: list[tuple[str, Floats]] = []
    notes: list[str] = []
    remarks = Remarks()
    first: str | None = gallery_session
    for index, recording in enumerate(recordings):
        identity = identity_of(recording)
        if index == 0 and first is None:
            first = recording.session
        rows = _windows(model, recording, window, context, dtype, select, remarks)
        if gallery is None and recording.session == first:
            enrolled.setdefault(identity, []).append(rows)
        else:
            probes.append((identity, rows))
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
            notes.append("no probe: all recordings belong to the gallery's session")
    probe = _probe(names, probes, model.embed_dim)
    if unknown := sorted({identity for identity, _ in probes if match_subject(names, identity) is None}):
        notes.append(f"not enrolled: {listed(unknown, 20)}")
    if len(points) + len(probe) < 2 and len(names) < 2:
        raise RecordingError("gallery: expected at least two points for a map, found one")
    fitted = points.rows if len(points) > len(names) else np.concatenate([means, probe.rows])
    return EmbeddingMap(
        names, means, points, probe, principal_components(fitted), window, remarks.dropped, (*notes, *remarks.notes())
    )


def principal_components(rows: Floats, most: int = 4) -> Projection:
    """The first components of [N, E], at least two and at most `most`. Each one's largest coefficient is positive."""
    mean = rows.mean(axis=0)
    _, scale, axes = np.linalg.svd(rows - mean, full_matrices=False)
    count = min(most, len(axes))
    axes, share = axes[:count], scale**2 / max(float((scale**2).sum()), np.finfo(np.float64).tiny)
    largest = np.abs(axes).argmax(axis=1)
    axes = axes * np.sign(axes[np.arange(count), largest])[:, None]
    if count < 2:  # all points on one line, or fewer than two points
        axes, share = np.pad(axes, ((0, 2 - count), (0, 0))), np.pad(share, (0, 2 - count))
    return Projection(mean, axes, share[: len(axes)])


def _unit(row: Floats) -> Floats:
    length = float(np.linalg.norm(row))
    return row / length if length > 0 else row


def _probe(names: tuple[str, ...], probes: Sequence[tuple[str, Floats]], dim: int) -> Points:
    if not probes:
        return Points(np.zeros((0, dim)), np.zeros(0, dtype=np.int64))
    who = [match_subject(names, identity) for identity, _ in probes]
    index = np.array([-1 if found is None else found for found in who], dtype=np.int64)
    return Points(np.concatenate([rows for _, rows in probes]), np.repeat(index, [len(rows) for _, rows in probes]))


def _windows(
    model: TemporalModel,
    recording: Recording,
    window: int,
    context: int,
    dtype: Dtype,
    select: Selection | None,
    remarks: Remarks,
) -> Floats:
    """[windows, E]. A window does not span a gap at which the stream restarts."""
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
        raise RecordingError(
            f"{recording.title}: expected at least {window} frames without a gap, found {longest}; choose a shorter "
            "window"
        )
    return np.stack(rows)


def embedding_picture(found: EmbeddingMap) -> Picture:
    """Identities by colour and name, gallery and probe by marker: in the first two components and, if the third has
    a noticeable share of the variance, in the next two."""
    share = found.projection.share
    pairs = [(0, 1), (2, 3)] if len(share) >= 4 and share[2] >= _LEAST_SHARE else [(0, 1)]
    figure = new_figure(7.4 * len(pairs), 7.0)
    for place, (x, y) in zip(figure.subplots(1, len(pairs), squeeze=False)[0], pairs, strict=True):
        _map(place, found, x, y)
    columns = 5 if len(pairs) == 2 else 2
    figure.legend(*_legend(found), loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    correct, known = found.rank1
    rank1 = f"; {correct} of {known} probe windows ({correct / known:.1%}) nearest to their identity" if known else ""
    people = "1 identity" if len(found.names) == 1 else f"{len(found.names)} identities"
    figure.suptitle(f"{people}, windows of {found.window} frames{rank1}", fontsize=11, x=0.01, ha="left")
    return Picture("Embedding map", figure, _lines(found), _table(found))


def _map(axes: Axes, found: EmbeddingMap, x: int, y: int) -> None:
    gallery, probe = found.projection(found.gallery.rows), found.projection(found.probe.rows)
    means, share = found.projection(found.means), found.projection.share
    colours = [style.colour for style in class_styles(found.names)]
    own = [colours[who] for who in found.gallery.identity]
    axes.scatter(gallery[:, x], gallery[:, y], s=16, c=own, alpha=0.55, lw=0)
    known = found.probe.identity >= 0
    wrong = known & (found.nearest != found.probe.identity)
    edge = [colours[who] for who in found.probe.identity[known]]
    axes.scatter(probe[known, x], probe[known, y], s=26, marker="^", facecolors="none", edgecolors=edge, lw=1)
    axes.scatter(probe[~known, x], probe[~known, y], s=26, marker="^", facecolors="none", edgecolors=GREY, lw=1)
    axes.scatter(probe[wrong, x], probe[wrong, y], s=22, marker="x", c="black", lw=0.9)
    axes.update_datalim(means[:, [x, y]])  # a mean has length 1 and may lie beyond its windows
    axes.autoscale_view()
    _widen(axes)
    _names(axes, found, means[:, [x, y]], colours)
    plain(
        axes, "", f"component {x + 1} ({share[x]:.0%} of variance)", f"component {y + 1} ({share[y]:.0%} of variance)"
    )
    axes.axhline(0, color="0.9", lw=0.8, zorder=0)
    axes.axvline(0, color="0.9", lw=0.8, zorder=0)


def _widen(axes: Axes) -> None:
    """Gives an axis along which the points differ by rounding alone a tenth of the other's length."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    if right - left < 1e-6 * (high - low):
        axes.set_xlim((left + right) / 2 - 0.05 * (high - low), (left + right) / 2 + 0.05 * (high - low))
    if high - low < 1e-6 * (right - left):
        axes.set_ylim((low + high) / 2 - 0.05 * (right - left), (low + high) / 2 + 0.05 * (right - left))


def _names(axes: Axes, found: EmbeddingMap, places: Floats, colours: list[str]) -> None:
    from matplotlib.patheffects import withStroke

    if len(found.names) > _NAMED:
        axes.scatter(places[:, 0], places[:, 1], s=60, marker="*", c=colours, edgecolors="white", lw=0.5)
        return
    size = 11 if len(found.names) <= 12 else 8.5
    names = [name if len(name) <= 14 else name[:13] + "…" for name in found.names]
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    inch = (high - low) / _PANEL
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))  # names must not change the limits
    boxes = np.array([(0.62 * len(name) + 0.3, 1.25) for name in names]) * size / 72
    moved = moved_apart(places / inch, boxes) * inch
    for name, place, mean, own in zip(names, moved, places, colours, strict=True):
        if np.linalg.norm((place - mean) / inch) > 0.1:
            axes.plot(*zip(mean, place, strict=True), color=own, lw=0.7, alpha=0.8, zorder=2.5)
        label = axes.text(
            place[0], place[1], text(name), color=own, fontsize=size, weight="bold", ha="center", va="center"
        )
        label.set_path_effects([withStroke(linewidth=2.5, foreground="white")])


def moved_apart(centres: Floats, sizes: Floats, rounds: int = 300) -> Floats:
    """Centres [N, 2] of boxes of these sizes [N, 2], moved until they hardly overlap. Boxes without overlap stay."""
    places = centres + 1e-6 * np.arange(len(centres))[:, None]  # separates two boxes at the same place
    reach = (sizes[:, None] + sizes[None]) / 2
    for _ in range(rounds):
        away = places[:, None] - places[None]
        over = reach - np.abs(away)
        over[np.arange(len(places)), np.arange(len(places))] = 0.0
        both = (over > 0).all(axis=2)
        if not both.any():
            break
        shorter = over.argmin(axis=2)[..., None] == np.arange(2)  # along the axis with the smaller overlap
        places = places + (np.where(both[..., None] & shorter, over * np.sign(away), 0.0) * 0.3).sum(axis=1)
    return places


def _legend(found: EmbeddingMap) -> tuple[list[Artist], list[str]]:
    from matplotlib.lines import Line2D

    named = len(found.names) <= _NAMED
    entries: list[tuple[Artist, str]] = [
        (
            Line2D([], [], ls="", marker="$A$" if named else "*", ms=8, color="0.2"),
            ("name: " if named else "")
            + "mean of an identity"
            + (" (colours repeat)" if len(found.names) > len(COLOURS) else ""),
        )
    ]
    if len(found.gallery):
        entries.append((Line2D([], [], ls="", marker="o", ms=4, color="0.2"), "gallery window"))
    if len(found.probe):
        entries.append((Line2D([], [], ls="", marker="^", ms=5, color="0.2", mfc="none"), "probe window"))
    if (found.probe.identity < 0).any():
        entries.append((Line2D([], [], ls="", marker="^", ms=5, color=GREY, mfc="none"), "probe window, not enrolled"))
    known = found.probe.identity >= 0
    if (found.nearest[known] != found.probe.identity[known]).any():
        entries.append((Line2D([], [], ls="", marker="x", ms=5, color="black"), "nearest to another identity"))
    return [mark for mark, _ in entries], [label for _, label in entries]


def _lines(found: EmbeddingMap) -> list[str]:
    shares = listed([f"{share:.1%}" for share in found.projection.share])
    where = "the gallery's windows" if len(found.gallery) > len(found.names) else "all points"
    return [
        f"The axes are principal components of {where}, with {shares} of the variance. The map shortens distances; the "
        "nearest identity is found by cosine in all dimensions.",
        *dropped_line(found.dropped),
        *found.notes,
    ]


def _table(found: EmbeddingMap) -> list[list[str]]:
    rows = [["identity", "gallery windows", "probe windows", "correct", "most often confused with"]]
    for index, name in enumerate(found.names):
        mine = found.probe.identity == index
        taken = found.nearest[mine & (found.nearest != index)]
        most = found.names[int(np.bincount(taken).argmax())] if len(taken) else ""
        correct = int((found.nearest[mine] == index).sum())
        share = f"{correct} ({correct / mine.sum():.0%})" if mine.any() else ""
        rows.append([name, str(int((found.gallery.identity == index).sum())), str(int(mine.sum())), share, most])
    return rows
