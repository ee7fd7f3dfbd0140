"""Which recordings are trained on and which are tested on: by recording, by session, by subject, never by window. A
copy of a recording on both sides is found by its fingerprints.

A row's hash says of 32 pairs of features which is larger: no gain, and hardly any rounding, changes that. A fingerprint
is the hash of eight rows, kept where it falls into an eighth of all hashes: a segment keeps its fingerprints when
something is cut off around it. Fingerprints only say where to look; the frames themselves decide.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from aether_temporal.errors import TemporalError
from aether_temporal.recordings import RecordingError

from .dataset import Dataset, Track

Marks = NDArray[np.int64]

ROWS = 8
_PAIRS = 32
_KEPT = 8  # one mark in so many is kept
_CHANGES = 4  # rows of a mark that must differ from the one before: what stands still tells nothing
_ALIKE = 8.0  # copies differ so many times less from each other than from frame to frame


def marks(frames: NDArray[np.float32]) -> Marks:
    """Of frames [T, F], int64 [n, 2]: hash and first frame of each mark, by first frame."""
    count, width = frames.shape
    if count < ROWS or width < 2:
        return np.zeros((0, 2), np.int64)
    pairs = np.random.Generator(np.random.PCG64(width)).integers(0, width, (2, _PAIRS))
    rows = np.zeros(count, np.uint64)
    for bit, (one, other) in enumerate(pairs.T.tolist()):
        rows |= (frames[:, one] > frames[:, other]).astype(np.uint64) << np.uint64(bit)
    last = count - ROWS + 1
    hashes, changes = np.zeros(last, np.uint64), np.zeros(last, np.int64)
    for row in range(ROWS):
        hashes = _mixed(hashes ^ rows[row : row + last])
        if row:
            changes += rows[row : row + last] != rows[row - 1 : row - 1 + last]
    first = np.flatnonzero((hashes % _KEPT == 0) & (changes >= _CHANGES))
    return np.stack([hashes[first].view(np.int64), first], axis=1)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A permutation of the 64-bit numbers (the finaliser of SplitMix64)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class Known:
    """Frames [T, F] with their marks, in which those of others are looked for. The frames may be mapped: only where
    marks agree are they read."""

    def __init__(self, found: Sequence[tuple[NDArray[np.float32], Marks]]) -> None:
        self._frames = [frames for frames, _ in found]
        every = np.concatenate([np.zeros((0, 2), np.int64), *(its for _, its in found)])
        self._hashes, first = np.unique(every[:, 0], return_index=True)
        self._starts = every[first, 1]
        self._owners = np.repeat(np.arange(len(found)), [len(its) for _, its in found])[first]

    def find(self, frames: NDArray[np.float32], own: Marks) -> tuple[int, int, int] | None:
        """The first stretch of `frames` that is also here, two marks at least: (its first frame, in which, the first
        frame there), or None."""
        _, mine, here = np.intersect1d(own[:, 0], self._hashes, return_indices=True)
        seen: dict[int, tuple[int, int]] = {}
        order = np.argsort(own[mine, 1])
        for start, place in zip(own[mine[order], 1].tolist(), here[order].tolist(), strict=True):
            owner, there = int(self._owners[place]), int(self._starts[place])
            if _same(frames[start : start + ROWS], self._frames[owner][there : there + ROWS]):
                if owner in seen:
                    first, began = seen[owner]
                    return first, owner, began
                seen[owner] = (start, there)
        return None


def _same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether these rows [ROWS, F] are the same but for their gain and rounding."""
    a, b = (_without_gain(rows.astype(np.float64)) for rows in (one, other))
    return bool(np.abs(a - b).mean() * _ALIKE < np.abs(np.diff(a, axis=0)).mean())


def _without_gain(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    mean = np.abs(rows).mean(axis=1, keepdims=True)
    found: NDArray[np.float64] = rows / np.where(mean > 0, mean, 1.0)
    return found


class LeakError(TemporalError, ValueError):
    """A split would test on what it trains on; the message names the recording, or the subject."""


@dataclasses.dataclass(frozen=True)
class Split:
    """Indices into a dataset. Made by the functions here, which refuse what would leak; `check` says so for any
    other."""

    train: tuple[int, ...]
    test: tuple[int, ...]

    def parts(self, dataset: Dataset) -> tuple[Dataset, Dataset]:
        """The two datasets."""
        return dataset.subset(self.train), dataset.subset(self.test)


def check(dataset: Sequence[Track], split: Split, *, open_set: bool = False) -> Split:
    """The split itself, or LeakError naming a recording that is on both sides (or a copy of it, whatever its name, gain
    and ends), or, for an open set, a person that is. RecordingError: a side is empty; open_set: a recording without a
    person."""
    for side, indices in (("train", split.train), ("test", split.test)):
        if not indices:
            raise RecordingError(f"{side}: expected at least one recording, found none")
    trained = [dataset[index] for index in split.train]
    tested = [dataset[index] for index in split.test]
    known = {track.identity: track for track in trained}
    digests = {track.digest: track for track in trained if track.digest is not None and len(track)}
    for track in tested:
        if track.identity in known:
            raise LeakError(
                f"{track.identity}: expected on one side of the split, found in train and in test; keep whole "
                "recordings together"
            )
        if track.digest in digests and np.array_equal(digests[track.digest].frames, track.frames):
            raise LeakError(
                f"{track.title}: expected on one side of the split, found in test and, with the same frames, in train "
                "as "
                f"{digests[track.digest].title}; remove one of the two"
            )
    _refuse_copies(trained, tested)
    if open_set:
        nameless = next((track for track in (*trained, *tested) if track.person is None), None)
        if nameless is not None:
            raise RecordingError(f"{nameless.title}: person: expected one, to split by, found none")
        both = {track.person for track in trained} & {track.person for track in tested}
        if both:
            names = ", ".join(sorted(map(str, both))[:12])
            raise LeakError(
                f"person {names}: expected on one side of an open-set split, found in train and in test; hold these "
                "persons' "
                "recordings out of training, or evaluate a closed set"
            )
    return split


def _refuse_copies(trained: Sequence[Track], tested: Sequence[Track]) -> None:
    """LeakError where frames of a tested recording are in one that is trained on too, with another gain or rounding, or
    with something cut off before or after."""
    pairs = [(track, track.marks) for track in trained if track.marks is not None]
    known = Known([(track.frames, its) for track, its in pairs])
    for track in tested:
        found = None if track.marks is None else known.find(track.frames, track.marks)
        if found is not None:
            start, index, there = found
            raise LeakError(
                f"{track.title}: expected on one side of the split, found in test and, cut or scaled, in train: its "
                f"frames from {start} on are those from {there} on of {pairs[index][0].title}; remove one of the two"
            )


def _select(
    dataset: Sequence[Track], key: Callable[[Track], str | None], wanted: Iterable[str], what: str
) -> tuple[int, ...]:
    names = list(dict.fromkeys(wanted))
    there = {key(track) for track in dataset}
    for name in names:
        if name not in there:
            found = ", ".join(sorted(str(value) for value in there if value is not None)) or "none"
            raise RecordingError(f"{what}: expected one of those there are ({found}), found {name!r}")
    return tuple(index for index, track in enumerate(dataset) if key(track) in names)


def sessions(dataset: Iterable[Track]) -> list[str]:
    """The sessions that occur, in order: numbers by value, then names by their letters."""
    names = {track.session for track in dataset}
    return sorted(names, key=lambda name: (0, int(name), name) if name.isdecimal() else (1, 0, name))


def by_session(dataset: Sequence[Track], train: Sequence[str], test: Sequence[str] | None = None) -> Split:
    """Trained on these sessions, tested on those (None: all others). RecordingError, LeakError."""
    others = [name for name in sessions(dataset) if name not in train] if test is None else test
    chosen = _select(dataset, lambda t: t.session, train, "session")
    return check(dataset, Split(chosen, _select(dataset, lambda t: t.session, others, "session")))


def by_person(dataset: Sequence[Track], test: Sequence[str]) -> Split:
    """Tested on these persons, trained on all others: an open set. RecordingError, LeakError."""
    chosen = _select(dataset, lambda t: t.person, test, "person")
    held = set(chosen)
    return check(dataset, Split(tuple(i for i in range(len(dataset)) if i not in held), chosen), open_set=True)


def held_out_persons(dataset: Sequence[Track], share: float, seed: int) -> Split:
    """An open set of a random share of the persons (at least one), the same for the same seed and persons."""
    persons = sorted({track.person for track in dataset if track.person is not None})
    count = max(1, round(share * len(persons)))
    if count >= len(persons):
        raise RecordingError(
            f"person: expected more than {count} persons to hold {count} of them out, found {len(persons)}"
        )
    order = np.random.Generator(np.random.PCG64([seed, 0x5EED])).permutation(len(persons))
    return by_person(dataset, [persons[i] for i in sorted(order[:count].tolist())])


def by_recording(dataset: Sequence[Track], test: Sequence[int]) -> Split:
    """Tested on these tracks, trained on the others. LeakError: a stretch of the same recording remains in train."""
    held = set(test)
    return check(dataset, Split(tuple(i for i in range(len(dataset)) if i not in held), tuple(sorted(held))))


def folds(dataset: Sequence[Track], count: int) -> Iterator[Split]:
    """Every recording tested on once: fold `k` holds out every `count`-th recording from the k-th on, so that a fold is
    spread over the time of the session. RecordingError: fewer recordings than folds."""
    names = list(dict.fromkeys(track.identity for track in dataset))
    if len(names) < 2:
        raise RecordingError(
            f"recordings: expected at least two, to hold one out, found {', '.join(names) or 'none'} alone"
        )
    if not 2 <= count <= len(names):
        raise RecordingError(f"folds: expected 2 to {len(names)}, the number of recordings, found {count}")
    for fold in range(count):
        held = set(names[fold::count])
        yield by_recording(dataset, [i for i, track in enumerate(dataset) if track.identity in held])
