"""Which recordings are trained on and which are tested on: by recording, by session, by subject, never by window. A
copy of a recording on both sides is found by its fingerprints.

A row's hash says of 32 pairs of features which is larger: scaling a row never changes that, and rounding hardly ever.
A fingerprint is the hash of eight rows, kept where it falls into an eighth of all hashes: a segment keeps its
fingerprints when something is cut off around it. Fingerprints only say where to look; the frames themselves decide.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from aether_temporal.errors import TemporalError
from aether_temporal.recordings import RecordingError

from .dataset import Dataset, LabelledRecording

Fingerprints = NDArray[np.int64]

ROWS = 8
_PAIRS = 32
_KEPT = 8  # one fingerprint in so many is kept
_CHANGES = 4  # rows of a fingerprint that must differ from the one before: what stands still tells nothing
_ALIKE = 8.0  # copies differ so many times less from each other than from frame to frame


def fingerprint(frames: NDArray[np.float32]) -> Fingerprints:
    """Of frames [T, F], int64 [n, 2]: hash and first frame of each fingerprint, by first frame."""
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
    """Frames [T, F] with their fingerprints, in which those of others are looked for. The frames may be mapped: only
    where fingerprints agree are they read."""

    def __init__(self, found: Sequence[tuple[NDArray[np.float32], Fingerprints]]) -> None:
        self._frames = [frames for frames, _ in found]
        every = np.concatenate([np.zeros((0, 2), np.int64), *(its for _, its in found)])
        self._hashes, first = np.unique(every[:, 0], return_index=True)
        self._starts = every[first, 1]
        self._owners = np.repeat(np.arange(len(found)), [len(its) for _, its in found])[first]

    def find(self, frames: NDArray[np.float32], own: Fingerprints) -> tuple[int, int, int] | None:
        """The first segment of `frames` that is also here, two fingerprints at least: (its first frame, in which, the
        first frame there), or None."""
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
    """Whether these rows [ROWS, F] are the same but for scale and rounding."""
    a, b = (_without_agc(rows.astype(np.float64)) for rows in (one, other))
    return bool(np.abs(a - b).mean() * _ALIKE < np.abs(np.diff(a, axis=0)).mean())


def _without_agc(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    mean = np.abs(rows).mean(axis=1, keepdims=True)
    found: NDArray[np.float64] = rows / np.where(mean > 0, mean, 1.0)
    return found


class LeakError(TemporalError, ValueError):
    """A split would test on what it trains on; the message names the recording, or the subject."""


@dataclasses.dataclass(frozen=True)
class Split:
    """Indices into a dataset. Made by the functions here, which reject what would leak; `check` says so for any
    other."""

    train: tuple[int, ...]
    test: tuple[int, ...]

    def parts(self, dataset: Dataset) -> tuple[Dataset, Dataset]:
        """The two datasets."""
        return dataset.subset(self.train), dataset.subset(self.test)


def check(dataset: Sequence[LabelledRecording], split: Split, *, open_set: bool = False) -> Split:
    """The split itself, or LeakError naming a recording that is on both sides (or a copy of it, whatever its name,
    scale and ends), or, for an open set, a subject that is. RecordingError: a side is empty; open_set: a recording
    without a subject."""
    for side, indices in (("train", split.train), ("test", split.test)):
        if not indices:
            raise RecordingError(f"{side}: expected at least one recording, found none")
    trained = [dataset[index] for index in split.train]
    tested = [dataset[index] for index in split.test]
    known = {recording.recording_id: recording for recording in trained}
    digests = {recording.digest: recording for recording in trained if recording.digest is not None and len(recording)}
    for recording in tested:
        if recording.recording_id in known:
            raise LeakError(
                f"{recording.recording_id}: expected on one side of the split, found in train and in test; keep whole "
                "recordings together"
            )
        if recording.digest in digests and np.array_equal(digests[recording.digest].frames, recording.frames):
            raise LeakError(
                f"{recording.title}: expected on one side of the split, found in test and, with the same frames, in "
                f"train as {digests[recording.digest].title}; remove one of the two"
            )
    _reject_copies(trained, tested)
    if open_set:
        nameless = next((recording for recording in (*trained, *tested) if recording.subject is None), None)
        if nameless is not None:
            raise RecordingError(f"{nameless.title}: subject: expected one, to split by, found none")
        both = {recording.subject for recording in trained} & {recording.subject for recording in tested}
        if both:
            names = ", ".join(sorted(map(str, both))[:12])
            raise LeakError(
                f"subject {names}: expected on one side of an open-set split, found in train and in test; hold "
                "these subjects' recordings out of training"
            )
    return split


def _reject_copies(trained: Sequence[LabelledRecording], tested: Sequence[LabelledRecording]) -> None:
    """LeakError where frames of a tested recording are in one that is trained on too, with another scale or rounding,
    or with something cut off before or after."""
    pairs = [(recording, recording.fingerprints) for recording in trained if recording.fingerprints is not None]
    known = Known([(recording.frames, its) for recording, its in pairs])
    for recording in tested:
        found = None if recording.fingerprints is None else known.find(recording.frames, recording.fingerprints)
        if found is not None:
            start, index, there = found
            raise LeakError(
                f"{recording.title}: expected on one side of the split, found in test and, cut or scaled, in train: "
                f"its frames from {start} on are those of {pairs[index][0].title} from {there} on; remove one"
            )


def _select(
    dataset: Sequence[LabelledRecording],
    key: Callable[[LabelledRecording], str | None],
    wanted: Iterable[str],
    what: str,
) -> tuple[int, ...]:
    names = list(dict.fromkeys(wanted))
    there = {key(recording) for recording in dataset}
    for name in names:
        if name not in there:
            found = ", ".join(sorted(str(value) for value in there if value is not None)) or "none"
            raise RecordingError(f"{what}: expected one of those there are ({found}), found {name!r}")
    return tuple(index for index, recording in enumerate(dataset) if key(recording) in names)


def sessions(dataset: Iterable[LabelledRecording]) -> list[str]:
    """The sessions that occur, in order: numbers by value, then names by their letters."""
    names = {recording.session for recording in dataset}
    return sorted(names, key=lambda name: (0, int(name), name) if name.isdecimal() else (1, 0, name))


def by_session(dataset: Sequence[LabelledRecording], train: Sequence[str], test: Sequence[str] | None = None) -> Split:
    """Trained on these sessions, tested on those (None: all others). RecordingError, LeakError."""
    others = [name for name in sessions(dataset) if name not in train] if test is None else test
    chosen = _select(dataset, lambda t: t.session, train, "session")
    return check(dataset, Split(chosen, _select(dataset, lambda t: t.session, others, "session")))


def by_subject(dataset: Sequence[LabelledRecording], test: Sequence[str]) -> Split:
    """Tested on these subjects, trained on all others: an open set. RecordingError, LeakError."""
    chosen = _select(dataset, lambda t: t.subject, test, "subject")
    held = set(chosen)
    return check(dataset, Split(tuple(i for i in range(len(dataset)) if i not in held), chosen), open_set=True)


def held_out_subjects(dataset: Sequence[LabelledRecording], share: float, seed: int) -> Split:
    """An open set of a random share of the subjects (at least one), the same for the same seed and subjects."""
    subjects = sorted({recording.subject for recording in dataset if recording.subject is not None})
    count = max(1, round(share * len(subjects)))
    if count >= len(subjects):
        raise RecordingError(
            f"subject: expected more than {count} subjects to hold {count} of them out, found {len(subjects)}"
        )
    order = np.random.Generator(np.random.PCG64([seed, 0x5EED])).permutation(len(subjects))
    return by_subject(dataset, [subjects[i] for i in sorted(order[:count].tolist())])


def by_recording(dataset: Sequence[LabelledRecording], test: Sequence[int]) -> Split:
    """Tested on these recordings, trained on the others. LeakError: a segment of the same recording remains in
    train."""
    held = set(test)
    return check(dataset, Split(tuple(i for i in range(len(dataset)) if i not in held), tuple(sorted(held))))


def folds(dataset: Sequence[LabelledRecording], count: int) -> Iterator[Split]:
    """Every recording tested on once: fold `k` holds out every `count`-th recording from the k-th on, so that a fold is
    spread over the time of the session. RecordingError: fewer recordings than folds."""
    names = list(dict.fromkeys(recording.recording_id for recording in dataset))
    if len(names) < 2:
        raise RecordingError(
            f"recordings: expected at least two, to hold one out, found {', '.join(names) or 'none'} alone"
        )
    if not 2 <= count <= len(names):
        raise RecordingError(f"folds: expected 2 to {len(names)}, the number of recordings, found {count}")
    for fold in range(count):
        held = set(names[fold::count])
        yield by_recording(dataset, [i for i, recording in enumerate(dataset) if recording.recording_id in held])
