"""Thousands of streams of one model in one piece of memory, fed in batches."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from ._core import crc32
from ._internal.atomic_files import write_atomic
from ._internal.convert import as_bytes, as_index
from .cache_types import Dtype
from .errors import (
    CacheMismatchError,
    InputTypeError,
    InvalidArgumentError,
    InvalidConfigError,
    SavedStateError,
    TooLargeError,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .model import TemporalModel

__all__ = ["PoolOutput", "StreamId", "StreamPool"]

StreamId: TypeAlias = str | int | bytes
"""What a stream is called: the name, number or address of a node."""

_HEADER = struct.Struct("<IHHIIIIQQ")
_MAGIC, _VERSION = 0x4C504541, 1
_FLAGS = ("float32", "float16", "int8")
_NUMBER, _TEXT, _BYTES = range(3)  # kinds of saved ids


class PoolOutput(NamedTuple):
    """What a push gives, a row a frame.

    logits: (N, n_classes). embeddings: (N, embed_dim), None unless asked for. evicted: ids of the streams that gave
    up their places, least recently used first. failed: rows whose numbers overflowed. The stream of such a row is as
    before it, and its outputs are NaN.
    """

    logits: NDArray[np.float32]
    embeddings: NDArray[np.float32] | None
    evicted: tuple[StreamId, ...]
    failed: tuple[int, ...]


class StreamPool:
    """At most `most` streams of a model; made by `model.pool`. Each gives the bits of a `TemporalStream` of its own.

    A stream is made by the first frame with its id, which is a string, an integer or bytes. When all places are taken,
    the streams that were used longest ago go, and `push` says which. All memory is taken at the start. Any number of
    threads may use a pool; they wait for each other.
    """

    def __init__(self, model: TemporalModel, most: int, context: int | None = None, dtype: Dtype = "float32") -> None:
        self._core = _core.Pool(model, most, model.default_context if context is None else context, dtype)
        self._model = model
        self._numbers: dict[StreamId, int] = {}  # the core's number of each stream
        self._ids: dict[int, StreamId] = {}
        self._next = 0
        self._lock = threading.RLock()

    @property
    def model(self) -> TemporalModel:
        """The model of all streams."""
        return self._model

    @property
    def most(self) -> int:
        """Streams that it can hold."""
        return self._core.most

    @property
    def context(self) -> int:
        """Frames a query can see."""
        return self._core.context

    @property
    def dtype(self) -> str:
        """Type of the caches: "float32" or "float16"; "int8" of a model in integers."""
        return self._core.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of memory of all streams, taken when the pool is made."""
        return self._core.nbytes

    def push(self, ids: Sequence[StreamId], frames: ArrayLike, *, embeddings: bool = False) -> PoolOutput:
        """Take one frame for each of N ids, at most `most`; frames: (N, input_dim) real numbers.

        Row n belongs to the stream ids[n]. An id may stand more than once; its frames are taken in order. Streams that
        are not there are made; where no place is free, the ones that were used longest ago go, but none of `ids`.

        InputTypeError, ShapeError, NonFiniteError; the pool is then as it was. A row whose numbers overflow fails
        alone: see `PoolOutput`.
        """
        with self._lock:
            new: dict[StreamId, int] = {}
            numbers = self._known(ids, new)
            logits, rows, failed, evicted = self._core.take(numbers, frames, embeddings)
            gone = tuple(self._ids.pop(number) for number in evicted)
            for id_ in gone:
                del self._numbers[id_]
            self._add(new)
        return PoolOutput(logits, rows, gone, tuple(row for row, _ in failed))

    def _known(self, ids: Sequence[StreamId], new: dict[StreamId, int]) -> NDArray[np.uint64]:
        """The core's numbers of ids; those it has not seen yet get the next ones, in `new`."""
        if isinstance(ids, str | bytes):
            raise InputTypeError.of("ids", "a sequence of ids", repr(ids))
        try:
            return np.fromiter(map(self._numbers.__getitem__, ids), np.uint64, len(ids))
        except (KeyError, TypeError):
            pass
        numbers = []
        for id_ in ids:
            checked = _checked(id_)
            number = self._numbers.get(checked)
            if number is None:
                number = new.setdefault(checked, self._next + len(new))
            numbers.append(number)
        return np.array(numbers, np.uint64)

    def _add(self, new: dict[StreamId, int]) -> None:
        self._numbers.update(new)
        self._ids.update((number, id_) for id_, number in new.items())
        self._next += len(new)

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, id_: object) -> bool:
        try:
            return id_ in self._numbers
        except TypeError:
            return False

    def __iter__(self) -> Iterator[StreamId]:
        """The ids, least recently used first."""
        with self._lock:
            return iter([self._ids[number] for number in self._core.numbers()])

    def _number(self, id_: StreamId) -> int:
        number = self._numbers.get(_checked(id_))
        if number is None:
            raise InvalidArgumentError.of("id", f"one of the {len(self)} streams in the pool", repr(id_))
        return number

    def drop(self, id_: StreamId) -> None:
        """Forget a stream; its place is free. InvalidArgumentError for an id that is not there."""
        with self._lock:
            number = self._number(id_)
            self._core.forget(number)
            del self._numbers[self._ids.pop(number)]

    def frames(self, id_: StreamId) -> int:
        """Frames that a stream has taken. InvalidArgumentError."""
        with self._lock:
            return self._core.length_of(self._number(id_))

    def logits(self, id_: StreamId) -> NDArray[np.float32] | None:
        """The newest logits of a stream, a copy; None before its first frame. InvalidArgumentError."""
        with self._lock:
            return self._core.logits_of(self._number(id_))

    def embedding(self, id_: StreamId) -> NDArray[np.float32] | None:
        """The newest embedding of a stream, a copy; None before its first frame and for a model without one.
        InvalidArgumentError."""
        with self._lock:
            return self._core.embedding_of(self._number(id_))

    def state(self, id_: StreamId) -> bytes:
        """What `TemporalStream.to_bytes` gives; a stream of this context and dtype continues from it.
        InvalidArgumentError."""
        with self._lock:
            return self._core.state_of(self._number(id_))

    def restore(self, id_: StreamId, state: Buffer) -> None:
        """Continue a stream from its saved state. Where it is not there it is made, in a free place: none goes for it.
        CacheFullError, SavedStateError, CacheMismatchError; the pool is then as it was."""
        with self._lock:
            checked = _checked(id_)
            known = checked in self._numbers
            number = self._numbers[checked] if known else self._next
            self._core.put(number, state)
            self._add({} if known else {checked: number})

    def to_bytes(self) -> bytes:
        """The pool with all its streams at one moment (docs/spec/state.md). A push waits while it is copied."""
        with self._lock:
            ids = list(self)
            states = [self._core.state_of(self._numbers[id_]) for id_ in ids]
            header = (self.most, len(ids))
        index = b"".join(map(_saved_id, ids))
        size = len(states[0]) if states else 0
        flags = _FLAGS.index(self.dtype)
        head = _HEADER.pack(_MAGIC, _VERSION, flags, _blob_crc(self._model), *header, len(index), self.context, size)
        data = b"".join([head, index, *states])
        return data + struct.pack("<I", crc32(data))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes `to_bytes` to a file that holds either its old contents or all of the new ones, whatever interrupts
        it. Only the copy makes pushes of other threads wait, not the disk. OSError."""
        write_atomic(path, self.to_bytes())

    @classmethod
    def load(cls, model: TemporalModel, path: str | os.PathLike[str], most: int | None = None) -> StreamPool:
        """The pool that `save` wrote. most: places of the new one, None: as many as it had. OSError, and the errors of
        `from_bytes`."""
        with open(path, "rb") as file:
            return cls.from_bytes(model, file.read(), most)

    @classmethod
    def from_bytes(cls, model: TemporalModel, data: Buffer, most: int | None = None) -> StreamPool:
        """The pool of `to_bytes`, to the bit. SavedStateError, CacheMismatchError (another model's),
        InvalidArgumentError (`most` below the number of its streams), OutOfMemoryError."""
        raw = as_bytes(data, "pool")
        flags, crc, places, count, index_bytes, context, size = _read_header(raw)
        if crc != _blob_crc(model):
            raise CacheMismatchError.of("blob CRC", f"that of this model's blob (0x{_blob_crc(model):08X})", crc, 8)
        if most is not None and (as_index(most) is None or most < count):
            raise InvalidArgumentError.of(
                "most", f"at least {max(count, 1)}, the streams of the saved pool", repr(most)
            )
        begin = _HEADER.size + index_bytes
        ids = _read_ids(raw[_HEADER.size : begin], count)
        dtype: Dtype = "float16" if flags == 1 else "float32"
        try:
            needed = model.memory(context, dtype).state
        except (InvalidConfigError, TooLargeError) as error:
            raise SavedStateError.of("context", error.expected or "", context, 24) from None
        if count and needed > 2 * size:  # a saved state holds all of a stream but, of each cache, one of two equal sums
            raise SavedStateError.of("state_len", f"the bytes of a stream of {needed} bytes", size, 32)
        pool = cls(model, places if most is None else most, context, dtype)
        for row, id_ in enumerate(ids):
            pool.restore(id_, memoryview(raw)[begin + row * size : begin + (row + 1) * size])
        return pool

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore_pool, (type(self), self._model, self.to_bytes())

    def __repr__(self) -> str:
        streams = f"{len(self)} of {self.most} streams"
        return f"<StreamPool: {streams}, context {self.context}, {self.dtype} cache, {self.nbytes} bytes>"


def _restore_pool(cls: type[StreamPool], model: TemporalModel, data: bytes) -> StreamPool:
    return cls.from_bytes(model, data)


def _checked(id_: object) -> StreamId:
    if isinstance(id_, str | bytes):
        return id_
    number = as_index(id_)
    if number is None:
        raise InputTypeError.of("id", "a string, an integer or bytes", f"{type(id_).__name__} {id_!r}")
    return number


def _blob_crc(model: TemporalModel) -> int:
    return int.from_bytes(model.blob[-4:], "little")


def _saved_id(id_: StreamId) -> bytes:
    kind = _NUMBER if isinstance(id_, int) else _TEXT if isinstance(id_, str) else _BYTES
    text = id_ if isinstance(id_, bytes) else str(id_).encode("utf-8", "surrogatepass")
    return struct.pack("<BI", kind, len(text)) + text


def _read_header(raw: bytes) -> tuple[int, int, int, int, int, int, int]:
    """(flags, blob CRC, most, count, bytes of the index, context, bytes of a state), checked against length and CRC."""
    if len(raw) < _HEADER.size + 4:
        raise SavedStateError.of("length", f"at least {_HEADER.size + 4} bytes", len(raw))
    magic, version, flags, crc, most, count, index_bytes, context, size = _HEADER.unpack_from(raw)
    found = int.from_bytes(raw[-4:], "little")
    for field, expected, value, sound, offset in (
        ("magic", f"0x{_MAGIC:08X}", magic, magic == _MAGIC, 0),
        ("version", str(_VERSION), version, version == _VERSION, 4),
        (
            "length",
            "that of header, index and states",
            len(raw),
            len(raw) == _HEADER.size + index_bytes + count * size + 4,
            None,
        ),
        ("crc32", "the CRC of the bytes before", found, found == crc32(memoryview(raw)[:-4]), len(raw) - 4),
        ("flags", "0, 1 or 2", flags, flags < len(_FLAGS), 6),
        ("count", f"at most the pool's places ({most})", count, count <= most, 16),
    ):
        if not sound:
            raise SavedStateError.of(field, expected, value, offset)
    return flags, crc, most, count, index_bytes, context, size


def _read_ids(index: bytes, count: int) -> list[StreamId]:
    ids: list[StreamId] = []
    at = 0
    try:
        while at < len(index):
            kind, length = struct.unpack_from("<BI", index, at)
            text = index[at + 5 : at + 5 + length]
            at += 5 + length
            ids.append(text if kind == _BYTES else (int, str)[kind](text.decode("utf-8", "surrogatepass")))
    except (struct.error, ValueError, IndexError):
        at = len(index) + 1
    if at != len(index) or len(ids) != count or len(set(ids)) != count:
        raise SavedStateError.of("index", f"{count} different ids", "damage", _HEADER.size)
    return ids
