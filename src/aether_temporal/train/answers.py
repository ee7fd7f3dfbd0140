"""What a model answers on recordings, a recording at a time; all of it only on a disk."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal.model import TemporalModel

from .dataset import Track

_CHUNK = 1 << 14
"""Logits at a time, where something is computed from them in binary64."""

_AT_ONCE = 1 << 14
"""Frames of a recording up to which it is answered at once, which is faster and takes up to some KiB a frame."""


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """Logits float32 [n, classes] and the true classes [n], of any integer type, of frames with a label. Both may be
    mapped: do not write."""

    logits: NDArray[np.float32]
    truth: NDArray[np.integer[Any]]

    def __len__(self) -> int:
        return len(self.truth)

    def chunks(self) -> Iterator[Answers]:
        """All of them, a few at a time."""
        rows = max(1, _CHUNK // max(1, self.logits.shape[1]))
        for start in range(0, len(self), rows):
            yield Answers(self.logits[start : start + rows], self.truth[start : start + rows])


def logits_of(model: TemporalModel, frames: NDArray[np.float32], context: int | None) -> NDArray[np.float32]:
    """`model.forward` of a recording that may be long: where a context bounds what is seen, by a stream, whose answers
    are the same bits."""
    if context is None or len(frames) <= _AT_ONCE:
        return model.forward(frames, context)
    stream, found = model.stream(context), np.empty((len(frames), model.n_classes), np.float32)
    for index, frame in enumerate(frames):
        found[index] = stream.push(frame)
    return found


def answers(
    model: TemporalModel, tracks: Sequence[Track], *, delay: int, warm_up: int, context: int | None = None
) -> Iterator[Answers]:
    """Recording by recording, what the core answers after every frame from `warm_up` on, against the label `delay`
    frames before. ValueError, at the end: no frame with a label."""
    begin, count = max(warm_up, delay), 0
    kind = np.min_scalar_type(max(0, model.n_classes - 1))
    for track in tracks:
        labels = np.asarray(track.labels[begin - delay : max(0, len(track) - delay)])
        known = labels >= 0
        if known.any():
            found = logits_of(model, track.frames, context)[begin:]
            count += int(known.sum())
            yield Answers(found if known.all() else found[known], labels[known].astype(kind))
    if not count:
        raise ValueError(f"labels: expected frames with one after the first {warm_up}, found none")


def stored(parts: Iterable[Answers], folder: str | os.PathLike[str] | None = None) -> Answers:
    """All parts as one, in files without a name in `folder` (None: where the system keeps such), mapped: to be gone
    through again and again, whatever their size. OSError for a full disk."""
    with tempfile.TemporaryFile(dir=folder) as logits, tempfile.TemporaryFile(dir=folder) as truth:
        rows, width = 0, 0
        kind: np.dtype[np.integer[Any]] = np.dtype(np.int64)
        try:
            for part in parts:
                rows, width, kind = rows + len(part), part.logits.shape[1], np.dtype(part.truth.dtype)
                logits.write(np.ascontiguousarray(part.logits).data)
                truth.write(np.ascontiguousarray(part.truth).data)
            return Answers(_mapped(logits, np.dtype(np.float32), (rows, width)), _mapped(truth, kind, (rows,)))
        except OSError as error:
            error.filename = error.filename or os.fspath(folder or tempfile.gettempdir())
            raise


def _mapped(file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The mapping outlives the file it was made from."""
    file.flush()
    if not np.prod(shape):
        return np.zeros(shape, dtype)
    return np.asarray(np.memmap(file, dtype, "r", shape=shape))
