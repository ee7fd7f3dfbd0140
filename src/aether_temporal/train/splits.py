"""Which recordings are trained on and which are tested on: by recording, by session, by subject, never by window. A
copy of a recording on both sides is found by its fingerprints.

A row's hash says of 32 pairs of features which is larger: scaling a row never changes that, and rounding hardly ever.
A fingerprint is the hash of eight rows, kept where it falls into an eighth of all hashes: a segment keeps its
fingerprints when something is cut off around it. Fingerprints only say where to look; the frames themselves decide.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aether_temporal import crc32
from aether_temporal.errors import TemporalError
from aether_temporal.recordings import RecordingError

from .dataset import Dataset, Joined, LabelledRecording, class_counts

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
    other. by: what is on one side only. how: the split in a sentence, where it was not asked for."""

    train: tuple[int, ...]
    test: tuple[int, ...]
    by: Literal["session", "subject", "file", "recording", "time"] = dataclasses.field(default="session", compare=False)
    how: str = dataclasses.field(default="", compare=False)

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


def origin(dataset: Sequence[LabelledRecording]) -> str:
    """Sessions, where they have names, and files, for the provenance of what is trained on them."""
    files = ", ".join(sorted({Path(recording.source).name for recording in dataset}))
    names = ", ".join(filter(None, sessions(dataset)))
    return f"session {names} of {files}" if names else files


def by_session(dataset: Sequence[LabelledRecording], train: Sequence[str], test: Sequence[str] | None = None) -> Split:
    """Trained on these sessions, tested on those (None: all others). RecordingError, LeakError."""
    others = [name for name in sessions(dataset) if name not in train] if test is None else test
    chosen = _select(dataset, lambda t: t.session, train, "session")
    return check(dataset, Split(chosen, _select(dataset, lambda t: t.session, others, "session")))


def by_subject(dataset: Sequence[LabelledRecording], test: Sequence[str]) -> Split:
    """Tested on these subjects, trained on all others: an open set. RecordingError, LeakError."""
    chosen = _select(dataset, lambda t: t.subject, test, "subject")
    return check(dataset, Split(_others(dataset, chosen), chosen, "subject"), open_set=True)


def _others(dataset: Sequence[LabelledRecording], held: Iterable[int]) -> tuple[int, ...]:
    known = set(held)
    return tuple(index for index in range(len(dataset)) if index not in known)


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
    return check(dataset, Split(_others(dataset, test), tuple(sorted(set(test))), "recording"))


def by_file(train: Dataset, test: Dataset) -> tuple[Dataset, Split]:
    """One dataset of both, tested on `test` alone. RecordingError: a class of `test` that `train` lacks, or frames
    that are not alike; LeakError."""
    dataset = Joined(train, test)
    count = len(train)
    return dataset, check(dataset, Split(tuple(range(count)), tuple(range(count, len(dataset))), "file"))


# -- a part held out where nobody named one ---------------------------------------------------------------------------

PARTS = 5
"""One part in so many is held out."""
GAP_SECONDS = 2.0
GAP_FRAMES = 100
"""Left out between what is trained on and what is held out, where nobody knows the frame rate."""


def hold_out(dataset: Dataset, shortest: int) -> tuple[Dataset, Split]:
    """A part of a dataset of one session: every fifth recording of those with the same classes; where no recording can
    be spared, the last fifth of each class's frames. The dataset is then another one, of parts of its recordings.

    shortest: frames of the shortest recording that is of use. RecordingError: too little to hold anything out.
    """
    held = [names[i] for names in _alike(dataset).values() for i in _every_fifth(len(names))]
    if not held:
        return _by_time(dataset, shortest)
    test = [index for index, recording in enumerate(dataset) if recording.recording_id in set(held)]
    count = len({recording.recording_id for recording in dataset})
    how = (
        f"held out to test, since there is only one session: {len(held)} of {count} recordings, "
        "every fifth of each kind"
    )
    return dataset, dataclasses.replace(by_recording(dataset, test), how=how)


def _every_fifth(count: int) -> list[int]:
    return list(range(PARTS - 1, count, PARTS)) or ([count - 1] if count > 1 else [])


def _alike(dataset: Iterable[LabelledRecording]) -> dict[tuple[int, ...], list[str]]:
    """The recordings, each once, by the classes that occur in them."""
    classes: dict[str, set[int]] = {}
    for recording in dataset:
        found = np.unique(recording.labels)
        classes.setdefault(recording.recording_id, set()).update(found[found >= 0].tolist())
    groups: dict[tuple[int, ...], list[str]] = {}
    for name, its in classes.items():
        groups.setdefault(tuple(sorted(its)), []).append(name)
    return groups


def _by_time(dataset: Dataset, shortest: int) -> tuple[Dataset, Split]:
    rate = dataset.features.frame_rate
    gap = GAP_FRAMES if rate is None else max(1, round(GAP_SECONDS * rate))
    parts: list[LabelledRecording] = []
    test: list[int] = []
    for recording in dataset:
        held = _last_fifths(np.asarray(recording.labels), shortest, gap)
        near = held.copy()
        for start, stop in _runs(held):
            near[max(0, start - gap) : stop + gap] = True
        for mask, is_test in ((~near, False), (held, True)):
            for start, stop in _runs(mask):
                if stop - start >= shortest:
                    test += [len(parts)] if is_test else []
                    parts.append(part(recording, start, stop, f"[{start}:{stop}]"))
    split = Split(_others(parts, test), tuple(test), "time")
    there = class_counts(dataset, len(dataset.classes))
    left = class_counts([parts[index] for index in split.train], len(dataset.classes))
    if not test or (left[there > 0] == 0).any():
        names = ", ".join(dict.fromkeys(recording.recording_id for recording in dataset))
        found = ", ".join(f"{count} of {name}" for count, name in zip(there.tolist(), dataset.classes, strict=True))
        raise RecordingError(
            f"{names}: frames: expected enough of each class to hold {shortest} or more out and {gap} on either side, "
            f"found {found}; record more, or name other recordings to test on (--test)"
        )
    made = Dataset(parts, dataset.classes, dataset.features)
    tested = sum(len(parts[index]) for index in test)
    seconds = "" if rate is None else f" ({gap / rate:.3g} s)"
    how = (
        f"held out to test, for no whole recording can be spared: at least the last fifth of each class, {tested} of "
        f"{dataset.frames} frames, with a gap of {gap} frames{seconds} to what is trained on"
    )
    return made, check(made, dataclasses.replace(split, how=how))


def _last_fifths(labels: NDArray[np.int64], shortest: int, gap: int) -> NDArray[np.bool_]:
    """The last fifth of each class's frames, at least `shortest`, where as many are left. What is between two of them
    belongs to them where it is too short for a gap on either side and anything to train on."""
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels[labels >= 0]):
        places = np.flatnonzero(labels == label)
        count = max(len(places) // PARTS, shortest)
        if len(places) >= count + shortest:
            held[places[-count:]] = True
    for start, stop in _runs(~held):
        if start > 0 and stop < len(held) and stop - start < 2 * gap + shortest:
            held[start:stop] = True
    return held


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def part(recording: LabelledRecording, start: int, stop: int, where: str) -> LabelledRecording:
    """These frames as a recording of its own; `where` is added to its name."""
    frames = recording.frames[start:stop]
    return dataclasses.replace(
        recording,
        name=f"{recording.name}{where}",
        frames=frames,
        labels=recording.labels[start:stop],
        recording_name=f"{recording.recording_id}{where}",
        digest=crc32(np.ascontiguousarray(frames).data),
        fingerprints=fingerprint(frames),
    )


def folds(dataset: Sequence[LabelledRecording], count: int) -> Iterator[Split]:
    """Every recording tested on once: fold `k` holds out every `count`-th recording from the k-th on, those of the same
    classes one after the other, so that a fold is spread over classes and over the time of the session. RecordingError:
    fewer recordings than folds."""
    names = [name for alike in _alike(dataset).values() for name in alike]
    if len(names) < 2:
        raise RecordingError(
            f"recordings: expected at least two, to hold one out, found {', '.join(names) or 'none'} alone"
        )
    if not 2 <= count <= len(names):
        raise RecordingError(f"folds: expected 2 to {len(names)}, the number of recordings, found {count}")
    for fold in range(count):
        held = set(names[fold::count])
        yield by_recording(dataset, [i for i, recording in enumerate(dataset) if recording.recording_id in held])
