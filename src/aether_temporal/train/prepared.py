"""A dataset in a folder of its own, from which frames are mapped as they are needed: it need not fit in memory."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from aether_temporal import crc32
from aether_temporal._internal.atomic_files import claim, make_folders, remove_empty, write_atomic
from aether_temporal.recordings import Recording, RecordingError, RecordingShapeError, Sources

from .dataset import Dataset, Features, LabelledRecording
from .reading import Reading, Reporter, classes_of, label_recording
from .splits import fingerprint

INDEX = "index.json"
_FRAMES, _LABELS, _FINGERPRINTS = "frames.f32", "labels.i64", "fingerprints.i64"
_VERSION = 2
_AGAIN = "prepare the dataset again"

VERIFIED = 1 << 28
"""Bytes of frames up to which reading a prepared dataset compares it with its checksums, which takes a moment."""


class Prepared(Dataset):
    """A prepared folder, or some recordings of it. Pickled as its path and their numbers: a worker maps the files
    itself."""

    def __init__(
        self,
        folder: Path,
        recordings: Sequence[LabelledRecording],
        classes: Sequence[str],
        features: Features,
        label_digests: Sequence[int | None],
        numbers: Sequence[int] | None = None,
    ) -> None:
        super().__init__(recordings, classes, features)
        self.folder = folder
        self._label_digests = list(label_digests)
        self._numbers = list(range(len(recordings)) if numbers is None else numbers)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.folder, self._numbers)

    def subset(self, indices: Iterable[int]) -> Prepared:
        """These recordings, in this order."""
        chosen = list(indices)
        return Prepared(
            self.folder,
            [self._recordings[i] for i in chosen],
            self.classes,
            self.features,
            [self._label_digests[i] for i in chosen],
            [self._numbers[i] for i in chosen],
        )

    @classmethod
    def open(cls, folder: Path, classes: Sequence[str] | None = None) -> Self:
        """The dataset, mapped; nothing but the index is read. RecordingError naming the file that does not fit."""
        index = _index(folder)
        names, width, total, fingerprint_count = (index[key] for key in ("classes", "width", "frames", "fingerprints"))
        frames = _map(folder / _FRAMES, np.dtype("<f4"), (total, width))
        labels = _map(folder / _LABELS, np.dtype("<i8"), (total,))
        prints = _map(folder / _FINGERPRINTS, np.dtype("<i8"), (fingerprint_count, 2))
        if classes is not None and list(classes) != names:
            raise RecordingError(f"{folder}: classes: expected {', '.join(classes)}; found {', '.join(names)}")
        try:
            features = Features(**index["features"] | {"select": _tuple_or_none(index["features"].get("select"))})
            recordings, digests = [], []
            for entry in index["recordings"]:
                rows, its = _slice(entry.pop("rows"), total), _slice(entry.pop("fingerprints"), fingerprint_count)
                digests.append(entry.pop("labels_digest", None))
                recordings.append(
                    LabelledRecording(frames=frames[rows], labels=labels[rows], fingerprints=prints[its], **entry)
                )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RecordingError(
                f"{folder / INDEX}: recordings, features: expected the entries that `aether train prepare` writes, "
                f"found others ({error}); {_AGAIN}"
            ) from None
        return cls(folder, recordings, names, features, digests)

    def verify(self) -> None:
        """Reads all of it. RecordingError naming the file and the first recording that is not as it was prepared."""
        for labelled, labels_digest in zip(self, self._label_digests, strict=True):
            for name, values, expected in (
                (_FRAMES, labelled.frames, labelled.digest),
                (_LABELS, labelled.labels, labels_digest),
            ):
                found = crc32(np.ascontiguousarray(values).data)
                if expected is not None and found != expected:
                    raise RecordingError(
                        f"{self.folder / name}: {labelled.title}: expected CRC 0x{expected:08X}, "
                        f"found 0x{found:08X}; {_AGAIN}"
                    )
            if labelled.digest is not None and not np.array_equal(
                fingerprint(labelled.frames), _given(labelled.fingerprints)
            ):
                raise RecordingError(
                    f"{self.folder / _FINGERPRINTS}: {labelled.title}: expected the fingerprints of its frames, "
                    f"found others; {_AGAIN}"
                )


def _reopen(folder: Path, numbers: Sequence[int]) -> Prepared:
    return Prepared.open(folder).subset(numbers)


def open_prepared(folder: Path, classes: Sequence[str] | None = None) -> Prepared:
    """A prepared folder, compared with its checksums where it is small. RecordingError."""
    found = Prepared.open(folder, classes)
    if len(found) and found.frames * found.width * 4 <= VERIFIED:
        found.verify()
    return found


Paths = Sequence[str | os.PathLike[str]]


def read_dataset(
    *paths: str | os.PathLike[str],
    rename: Callable[[str], str] | None = None,
    classes: Sequence[str] | None = None,
    reading: Reading | None = None,
) -> Dataset:
    """Recordings of files, manifests, folders and wildcards (`Sources`) into memory, or of a prepared folder, mapped.

    rename: from a recording's label to a class (such as `without_side`). classes: all that may occur (None: those that
    occur, in alphabetical order). RecordingError and its kinds, each naming the file and recording.
    """
    how = reading or Reading()
    prepared = [path for path in paths if is_prepared(path)]
    if prepared:
        if len(paths) > 1:
            raise RecordingError(
                f"{os.fspath(prepared[0])}: expected a prepared dataset alone, found {len(paths) - 1} more beside it; "
                "prepare all of them together"
            )
        if how != Reading():
            raise RecordingError(
                f"{os.fspath(prepared[0])}: expected no settings of reading, for it is prepared already, found some; "
                "leave them out, or prepare it again"
            )
        return open_prepared(Path(prepared[0]), classes)
    sources = Sources(paths, label_from=how.label_from or None, hints=how.hints)
    about = Reporter(how)
    found = [part for recording in sources for part in about.segments(recording)]
    if not found:
        raise RecordingError(f"{_listed(paths)}: expected recordings with frames, found none; name others")
    names = classes_of(found, rename, classes)
    recordings = [label_recording(recording, recording_id, names, rename) for recording, recording_id in found]
    dataset = Dataset(recordings, names, about.features())
    dataset.notes = (*sources.notes, *about.notes)
    return dataset


def is_prepared(path: str | os.PathLike[str]) -> bool:
    """Whether this is a folder that `prepare` made."""
    return (Path(path) / INDEX).is_file()


def file_names(paths: Paths) -> str:
    """What was read, without the folders that it is in."""
    return ", ".join(Path(path).name for path in paths)


def _listed(paths: Paths) -> str:
    return ", ".join(os.fspath(path) for path in paths)


def _tuple_or_none(value: Any) -> tuple[Any, ...] | None:
    return None if value is None else tuple(value)


def _given(found: NDArray[np.int64] | None) -> NDArray[np.int64]:
    return np.zeros((0, 2), np.int64) if found is None else found


def _slice(rows: Any, total: int) -> slice:
    start, stop = rows
    if not 0 <= start <= stop <= total:
        raise ValueError(f"rows {start} … {stop} of 0 … {total}")
    return slice(start, stop)


def _map(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    wanted = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    found = path.stat().st_size if path.is_file() else None
    if found != wanted:
        raise RecordingError(f"{path}: expected {wanted} bytes, found {found}; {_AGAIN}")
    if wanted == 0:
        return np.zeros(shape, dtype)
    return np.asarray(np.memmap(path, dtype, "r", shape=shape))


def _index(folder: Path) -> dict[str, Any]:
    kinds = {"classes": list, "width": int, "frames": int, "fingerprints": int, "recordings": list, "features": dict}
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if index["version"] != _VERSION:
            raise ValueError(f"version {index['version']}")
        for key, kind in kinds.items():
            if not isinstance(index[key], kind):
                raise ValueError(f"{key} {index[key]!r:.40}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordingError(
            f"{folder}: expected a prepared dataset ({INDEX} of version {_VERSION}), found none ({error}); "
            "make one with `aether train prepare`"
        ) from None
    found: dict[str, Any] = index
    return found


def prepare(
    paths: Paths,
    folder: str | os.PathLike[str],
    *,
    rename: Callable[[str], str] | None = None,
    classes: Sequence[str] | None = None,
    reading: Reading | None = None,
    on_recording: Callable[[str], None] | None = None,
) -> Dataset:
    """What `Sources` takes into one prepared folder, a recording at a time: what does not fit in memory can be trained
    on. Whatever interrupts it, `folder` is not there or whole; what a process that was killed left beside it, the next
    one removes. RecordingError (also where it is there, is being prepared, or the disk is full), OSError.
    """
    target = Path(folder)
    how = reading or Reading()
    sources = Sources(paths, label_from=how.label_from or None, hints=how.hints)
    work = target.with_name(f".{target.name}.preparing")
    made = make_folders(target.parent)
    try:
        held = claim(work)
    except BlockingIOError:
        raise RecordingError(
            f"{target}: another process is preparing this dataset; wait for it, or name another folder"
        ) from None
    except BaseException:
        remove_empty(made)
        raise
    try:
        if os.path.lexists(target):
            raise RecordingError(f"{target}: expected a new folder, found one; remove it or name another")
        names = list(classes) if classes is not None else _all_classes(sources, rename)
        about = Reporter(how)
        if not _fill(work, sources, names, rename, about, on_recording):
            raise RecordingError(f"{_listed(paths)}: expected recordings with frames, found none; name others")
        os.rename(work, target)
    except BaseException as error:
        shutil.rmtree(work, ignore_errors=True)
        remove_empty(made)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise RecordingError(
                f"{target}: no space left ({error.strerror}); nothing was kept: make room, or name another folder"
            ) from error
        raise
    finally:
        if held is not None:
            os.close(held)
    made_of = Prepared.open(target)
    made_of.notes = (*sources.notes, *about.notes)
    return made_of


def _all_classes(sources: Iterable[Recording], rename: Callable[[str], str] | None) -> list[str]:
    found: set[str] = set()
    for recording in sources:
        found.update(classes_of([(recording, "")], rename, None))
    return sorted(found)


class _Writer:
    """Arrays one after the other into one file."""

    def __init__(self, file: IO[bytes], dtype: str) -> None:
        self._file, self._dtype, self.rows = file, dtype, 0

    def add(self, values: NDArray[Any]) -> list[int]:
        """Its first row, and the one after its last."""
        self._file.write(np.ascontiguousarray(values, self._dtype).data)
        start, self.rows = self.rows, self.rows + len(values)
        return [start, self.rows]

    def done(self) -> None:
        """On the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())


def _fill(
    work: Path,
    sources: Iterable[Recording],
    classes: Sequence[str],
    rename: Callable[[str], str] | None,
    about: Reporter,
    on_recording: Callable[[str], None] | None,
) -> int:
    """The number of recordings, or segments of them."""
    entries: list[dict[str, Any]] = []
    width, first = 0, ""
    with (work / _FRAMES).open("wb") as f, (work / _LABELS).open("wb") as g, (work / _FINGERPRINTS).open("wb") as h:
        frames, labels, prints = _Writer(f, "<f4"), _Writer(g, "<i8"), _Writer(h, "<i8")
        for recording in sources:
            for part, recording_id in about.segments(recording):
                classes_of([(part, recording_id)], rename, classes)
                labelled = label_recording(part, recording_id, classes, rename)
                first = first or labelled.title
                width = width or labelled.frames.shape[1]
                if labelled.frames.shape[1] != width:
                    raise RecordingShapeError(
                        f"{labelled.title}: frame width: expected {width} features as {first} has them, "
                        f"found {labelled.frames.shape[1]}"
                    )
                labels.add(labelled.labels)
                kept = ("name", "session", "subject", "source", "day", "recording_name", "digest")
                entries.append(
                    {
                        **{key: getattr(labelled, key) for key in kept},
                        "labels_digest": crc32(labelled.labels.data),
                        "rows": frames.add(labelled.frames),
                        "fingerprints": prints.add(_given(labelled.fingerprints)),
                    }
                )
            if on_recording is not None:
                on_recording(recording.title)
        for writer in (frames, labels, prints):
            writer.done()
    document = {
        "version": _VERSION,
        "classes": list(classes),
        "width": width,
        "frames": frames.rows,
        "fingerprints": prints.rows,
        "features": dataclasses.asdict(about.features()),
        "recordings": entries,
    }
    write_atomic(work / INDEX, json.dumps(document, indent=1).encode())
    return len(entries)
