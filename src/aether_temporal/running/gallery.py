"""Galleries of enrolled identities: one L2-normalised embedding each, compared with new embeddings."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aether_temporal._internal.atomic_files import write_atomic
from aether_temporal.cache_types import Dtype
from aether_temporal.errors import InvalidArgumentError, ResultOverflowError, ShapeError
from aether_temporal.recordings import Hints, Recording, RecordingError, Sources
from aether_temporal.recordings.array_files import NpzArchive
from aether_temporal.recordings.recording import Selection
from aether_temporal.recordings.recording_file import NOTHING

from .inputs import model_input

if TYPE_CHECKING:
    from aether_temporal.model import TemporalModel

_NAMES, _EMBEDDINGS = "gallery_names", "gallery_embeddings"


@dataclass(frozen=True, eq=False)
class Gallery:
    """`embeddings` float32 [N, E], rows of length 1; `names` of the N identities."""

    names: tuple[str, ...]
    embeddings: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.embeddings.ndim != 2 or self.embeddings.shape[0] != len(self.names) or not self.names:
            raise ShapeError.of("embeddings", f"[{len(self.names) or 'identities'}, E]", list(self.embeddings.shape))

    def scores(self, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosine similarity of an embedding [E] to each identity, [N]."""
        result: NDArray[np.float32] = self.embeddings @ embedding
        return result

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes an .npz file; after an interruption it holds its old bytes or all of the new ones. OSError."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **{_NAMES: np.array(self.names), _EMBEDDINGS: self.embeddings})
        write_atomic(path, buffer.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Gallery:
        """Reads what `save` wrote. RecordingFormatError: damaged; InvalidArgumentError: not a gallery."""
        archive = NpzArchive(Path(path))
        if not {_NAMES, _EMBEDDINGS} <= set(archive.keys):
            raise InvalidArgumentError(f"{path}: expected {_NAMES} and {_EMBEDDINGS}, found {', '.join(archive.keys)}")
        names, embeddings = archive.array(_NAMES), archive.array(_EMBEDDINGS)
        kind = embeddings.dtype
        with np.errstate(over="ignore"):
            embeddings = embeddings.astype(np.float32) if kind.kind == "f" else embeddings
        if names.ndim != 1 or names.dtype.kind != "U" or kind.kind != "f" or not np.isfinite(embeddings).all():
            raise InvalidArgumentError(f"{path}: expected names and finite embeddings, found {names.dtype} and {kind}")
        return cls(tuple(str(name) for name in names), embeddings)


def is_gallery(path: str | os.PathLike[str]) -> bool:
    """Whether a file is what `Gallery.save` writes."""
    with Path(path).open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return False
    return _NAMES in NpzArchive(Path(path)).keys


def recordings_to_enrol(
    sources: Sequence[str],
    session: str | None = None,
    hints: Hints = NOTHING,
) -> Iterator[tuple[str, Recording]]:
    """(name, recording) pairs to enrol. RecordingError.

    sources: NAME=FILE, or what `Sources` takes, where recordings name their subject (else the recording's own name is
    used). `session` selects the recordings of one session from the latter.
    """
    for is_named, group in itertools.groupby(sources, lambda source: "=" in source and not Path(source).exists()):
        if is_named:
            for name, _, path in (source.partition("=") for source in group):
                yield name, Sources([path], hints=hints).one()
        else:
            chosen = () if session is None else (session,)
            for recording in Sources(list(group), sessions=chosen, hints=hints):
                yield recording.subject if recording.subject is not None else recording.name, recording


def _sum_of_embeddings(
    model: TemporalModel, frames: NDArray[np.float32], context: int, dtype: Dtype
) -> NDArray[np.float64]:
    try:
        rows = model.embeddings(frames, context=context, dtype=dtype)
        return np.asarray(rows.sum(axis=0, dtype=np.float64))
    except ResultOverflowError:  # at some frame: find and leave it out below
        pass
    total = np.zeros(model.embed_dim, dtype=np.float64)
    stream = model.stream(context=context, dtype=dtype)
    for frame in frames:
        with contextlib.suppress(ResultOverflowError):
            stream.push(frame)
            assert stream.embedding is not None
            total += stream.embedding
    return total


def enrol(
    model: TemporalModel,
    recordings: Iterable[tuple[str, Recording]],
    *,
    context: int,
    dtype: Dtype = "float32",
    select: Selection | None = None,
) -> Gallery:
    """A gallery from (name, recording) pairs; several recordings of one name are combined.

    An identity is the mean of the embeddings after each of its frames, scaled to length 1. A frame at which the model
    overflows is left out, as in `aether run`. InvalidArgumentError when the model has no embedding, RecordingError for
    a name without frames.
    """
    if not model.embed_dim:
        raise InvalidArgumentError("gallery: expected a model with an embedding, found one without")
    sums: dict[str, NDArray[np.float64]] = {}
    for name, recording in recordings:
        segments = model_input(model, recording, select).segments()
        parts = [_sum_of_embeddings(model, frames, context, dtype) for frames in segments]
        total = np.sum(parts, axis=0) if parts else np.zeros(model.embed_dim)
        sums[name] = sums[name] + total if name in sums else total
    if not sums:
        raise RecordingError("gallery: expected at least one recording, found none")
    lengths = {name: float(np.linalg.norm(total)) for name, total in sums.items()}
    for name, length in lengths.items():
        if not length > 0:
            raise RecordingError(
                f"gallery: {name}: expected at least one frame with an embedding other than zero, found none"
            )
    rows32 = np.stack([(total / lengths[name]).astype(np.float32) for name, total in sums.items()])
    return Gallery(tuple(sums), rows32)
