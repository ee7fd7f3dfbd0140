"""Who is trained on and who is asked for: galleries against probes, identities met and never met; the linear
discriminant analysis and the other baselines that a model is compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aether_temporal.model import TemporalModel
from aether_temporal.recordings import RecordingError

from . import splits
from .dataset import Dataset, LabelledRecording, Stack, windows
from .retrieval import Array, Matches, match
from .splits import Split


@dataclasses.dataclass(frozen=True, eq=False)
class Discriminant:
    """`x @ matrix + bias`: features [n, w] to directions [n, E], the mean of the identities at 0, spread within an
    identity 1."""

    matrix: Array
    bias: Array

    def __call__(self, features: Array) -> Array:
        return features @ self.matrix + self.bias


_STILL = 1e-12
"""Of the spread of all, what the spread within identities must exceed."""


SHRINKAGE = 0.1
"""Of every discriminant: share of an equal spread in all (standardised) features."""


def fit_discriminant(
    features: Array, identities: NDArray[np.int64], *, dim: int | None = None, shrinkage: float = SHRINKAGE
) -> Discriminant:
    """Fits the `dim` most discriminative directions of features [n, w], whose rows show `identities` [n].

    dim None: identities - 1. Directions beyond that are whitened too, because they help to distinguish identities that
    training does not see, above all when it sees few. shrinkage: `SHRINKAGE`. ValueError: fewer
    than two identities, or no spread within any.
    """
    names, index = np.unique(identities, return_inverse=True)
    width = features.shape[1]
    if len(names) < 2:
        raise ValueError(f"identities: expected at least two to tell apart, found {len(names)}")
    if dim is None:
        dim = len(names) - 1
    dim = min(dim, width)
    scale = features.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    x = (features - features.mean(axis=0)) / scale
    count = np.bincount(index)
    centres = np.stack([np.bincount(index, x[:, c]) for c in range(width)], axis=1) / count[:, None]
    weight = (1.0 / count)[index][:, None]  # every identity counts the same, however long the captures
    inside = x - centres[index]
    within = (inside * weight).T @ inside / len(names)
    if not np.trace(within) / width > _STILL:
        raise ValueError(
            "frames: expected windows of one identity that differ, found all the same but for their amplitude scale; "
            "check that the recordings hold motion"
        )
    middle = centres.mean(axis=0)
    between = (centres - middle).T @ (centres - middle) / len(names)
    within = (1 - shrinkage) * within + shrinkage * (np.trace(within) / width) * np.eye(width)
    inverse = np.linalg.inv(np.linalg.cholesky(within))
    _, directions = np.linalg.eigh(inverse @ between @ inverse.T)
    matrix = (inverse.T @ directions)[:, ::-1][:, :dim]
    matrix = matrix * np.where(matrix[np.abs(matrix).argmax(axis=0), np.arange(dim)] < 0, -1.0, 1.0)  # one of two signs
    origin = features.mean(axis=0) / scale + middle
    matrix = matrix / scale[:, None]
    return Discriminant(matrix, -(origin * scale) @ matrix)


Captures = Literal["gallery", "all"]
TINY = 2.0**-126


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A gallery and its probes: windows float32 [length, F], none overlapping another, and whose each is."""

    gallery: Stack
    gallery_of: list[str]
    probes: Stack
    probes_of: list[str]


@dataclasses.dataclass(frozen=True, eq=False)
class Protocol:
    """`train`: what is trained on. parts: what is asked for, by name: "trained identities" (their probes, unless those
    were trained on too) and "unseen identities", of whom training has met nothing."""

    train: Dataset
    parts: dict[str, Part]


def identities_of(dataset: Sequence[LabelledRecording]) -> list[str]:
    """All identities. RecordingError for a recording without one, or fewer than three identities."""
    nameless = next((recording for recording in dataset if recording.subject is None), None)
    if nameless is not None:
        raise RecordingError(f"{nameless.title}: subject: expected one, to tell apart, found none")
    identities = sorted({str(recording.subject) for recording in dataset})
    if len(identities) < 3:
        raise RecordingError(f"subject: expected at least three to tell apart, found {', '.join(identities)}")
    return identities


def sessions_of(dataset: Sequence[LabelledRecording]) -> tuple[str, list[str]]:
    """The gallery session (the first) and the probe sessions (all others). RecordingError for one session only."""
    first, *others = splits.sessions(dataset)
    if not others:
        raise RecordingError(
            f"session: expected at least two, a gallery and a probe, found {first or 'none'}: windows of one capture "
            "cannot tell whether an identity is known again"
        )
    return first, others


def arrange(dataset: Dataset, *, length: int, unseen: Collection[str], captures: Captures) -> Protocol:
    """The protocol: the `unseen` identities are left out of training entirely; of the others the gallery captures are
    trained on, or with captures="all" the probes too (then only the unseen are asked for).

    RecordingError, LeakError (a recording on both sides, under whatever name).
    """
    identities_of(dataset)
    gallery, _ = sessions_of(dataset)
    known = [i for i, recording in enumerate(dataset) if recording.subject not in unseen]
    strange = [i for i, recording in enumerate(dataset) if recording.subject in unseen]
    train = [i for i in known if captures == "all" or dataset[i].session == gallery]
    probes = [i for i in known if i not in set(train)]
    if strange:
        splits.check(dataset, Split(tuple(train), tuple(strange)), open_set=True)
    if probes:
        splits.check(dataset, Split(tuple(train), tuple(probes)))
    parts = {}
    if probes:
        parts["trained identities"] = cut(dataset.subset(known), length)
    if strange:
        parts["unseen identities"] = cut(dataset.subset(strange), length)
    return Protocol(dataset.subset(train), parts)


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Whom each training does not meet, by the group's name; by_day: groups are days, which identities do not share."""

    groups: dict[str, tuple[str, ...]]
    by_day: bool

    def lines(self) -> list[str]:
        """As text."""
        if not self.groups:
            return ["held out: nobody, for there are fewer than four identities; there are no figures of unseen ones"]
        counts = ", ".join(f"{name} ({len(names)} identities)" for name, names in self.groups.items())
        if self.by_day:
            return [f"held out by day of recording, in turn: {counts}"]
        return [
            f"held out in turn: {counts}",
            "warning: the recordings do not say that they are of several days (rec_start), or all identities share "
            "them: the same day is trained on and asked for, which flatters",
        ]


FIFTHS = 5


def held_out_in_turn(dataset: Sequence[LabelledRecording]) -> HeldOut:
    """By day of recording, identities that share a day together; where there is one such group at most, by fifths. A
    group of a single identity is always trained on: nobody is there to distinguish it from."""
    identities = identities_of(dataset)
    days: dict[str, set[str]] = {name: set() for name in identities}
    for recording in dataset:
        days[str(recording.subject)].add(recording.day)
    groups: list[tuple[set[str], list[str]]] = []
    for name in identities:
        shared = [group for group in groups if group[0] & days[name]]
        groups = [group for group in groups if not group[0] & days[name]]
        groups.append((days[name].union(*(its for its, _ in shared)), [*(n for _, its in shared for n in its), name]))
    known = all(day for its in days.values() for day in its)
    found = {" and ".join(sorted(its)): tuple(sorted(names)) for its, names in groups if len(names) > 1}
    if known and len(found) > 1:
        return HeldOut(dict(sorted(found.items())), True)
    count = min(FIFTHS, len(identities) // 2)
    parts = {f"part {k + 1} of {count}": tuple(identities[k::count]) for k in range(count)} if count > 1 else {}
    return HeldOut(parts, False)


def take(dataset: Dataset, length: int, stride: int) -> tuple[Stack, list[str]]:
    """All windows, each `stride` frames after the one before, and whose they are. RecordingError for a recording
    shorter than a window."""
    found = windows(dataset, length, stride)
    return Stack(dataset, found), [str(dataset[recording].subject) for recording in found.places[:, 0].tolist()]


def cut(dataset: Dataset, length: int) -> Part:
    """The gallery and probe windows of these identities. RecordingError for an identity without one of the two
    captures."""
    gallery, _ = sessions_of(dataset)
    first = [i for i, recording in enumerate(dataset) if recording.session == gallery]
    later = [i for i, recording in enumerate(dataset) if recording.session != gallery]
    for what, has, other in (("gallery", first, later), ("probe", later, first)):
        lacking = {dataset[i].subject for i in other} - {dataset[i].subject for i in has}
        if lacking:
            names = ", ".join(sorted(map(str, lacking))[:12])
            raise RecordingError(
                f"subject {names}: expected a {what} capture too, found none; leave these identities out"
            )
    return Part(*take(dataset.subset(first), length, length), *take(dataset.subset(later), length, length))


# -- three ways to compare windows ------------------------------------------------------------------------------------


def embeddings(model: TemporalModel, frames: Iterable[NDArray[np.float32]], context: int) -> Array:
    """What the core embeds each window [length, F] as, a stream of its own for each: [n, E]."""
    return np.stack([model.embeddings(window, context=context)[-1] for window in frames]).astype(np.float64)


def profiles(frames: Stack) -> Array:
    """The median over each window of the frames, each divided by its mean: [n, F]."""
    found = []
    for batch in frames.batches(256):
        wide = batch.astype(np.float64)
        mean = wide.mean(axis=2, keepdims=True)
        found.append(np.median(wide / np.where(mean >= TINY, mean, 1.0), axis=1))
    return np.concatenate(found)


@dataclasses.dataclass(frozen=True, eq=False)
class Baselines:
    """What a model must beat: the cosine of profiles less the training's mean profile, and linear discriminant
    analysis of the same profiles, fitted on the training windows."""

    mean: Array
    discriminant: Discriminant
    centres: Array
    names: tuple[str, ...]

    @classmethod
    def fit(cls, train: Dataset, length: int, stride: int) -> Baselines:
        """Of the windows that the model is trained on."""
        frames, of = take(train, length, stride)
        x, whose = profiles(frames), np.array(of)
        names, index = np.unique(whose, return_inverse=True)
        found = fit_discriminant(x, index.astype(np.int64))
        y = found(x)
        centres = np.stack([y[index == i].mean(axis=0) for i in range(len(names))])
        return cls(x.mean(axis=0), found, centres, tuple(names.tolist()))

    def matches(self, part: Part) -> dict[str, Matches]:
        """By the name of the baseline."""
        g, q = profiles(part.gallery), profiles(part.probes)
        return {
            "cosine": match(g - self.mean, part.gallery_of, q - self.mean, part.probes_of),
            "LDA": match(self.discriminant(g), part.gallery_of, self.discriminant(q), part.probes_of),
        }

    def decisions(self, part: Part) -> float:
        """Share of probes of trained identities that LDA decides rightly, as the classifier it is (equal priors)."""
        y = self.discriminant(profiles(part.probes))
        distance = ((y[:, None, :] - self.centres[None]) ** 2).sum(axis=2)
        predictions = np.array(self.names)[distance.argmin(axis=1)]
        return float((predictions == np.array(part.probes_of)).mean())


def entry(recording: LabelledRecording) -> list[Any]:
    """A recording in a run's configuration: by name and contents."""
    return [recording.name, recording.subject, recording.session, recording.digest]
