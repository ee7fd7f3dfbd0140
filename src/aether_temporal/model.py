"""Whole models from blobs: recordings in, logits and embeddings out; frame by frame or all at once."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from ._internal.convert import as_array, as_bytes, as_int8
from ._internal.kernels import choose
from ._internal.summary import html_table, in_two_lines
from .blob import WeightBlob, WeightBlobHeader, facts_of
from .bundled import bundled_or_path
from .cache_types import Dtype as Dtype
from .config import TemporalHeadConfig
from .errors import InvalidArgumentError, ShapeError
from .pool import StreamPool
from .settings import ModelSettings
from .subcarriers import SubcarrierMap, find_subcarriers

if TYPE_CHECKING:
    from .running.classification import Source
    from .running.gallery import Gallery
    from .running.stream import Prediction

__all__ = ["ArrayInfo", "LayerTrace", "ModelMemory", "TemporalModel", "TemporalStream", "csi_amplitude"]

DEFAULT_CONTEXT = 256
"""Frames that a query can see where neither a call nor the blob's pattern limits them."""

PYRAMID_CONTEXT = 2**32 - 1
"""The same with the pyramid pattern, whose memory grows with the logarithm: 497 days at 100 frames a second."""


@dataclasses.dataclass(frozen=True)
class ModelMemory:
    """What a stream needs, in bytes, as the core itself counts it; and how much it computes.

    flash: the blob. state: what lives between frames. scratch: what a push needs while it runs. ram: both.
    cache_rows: token rows kept a layer. multiply_adds: of one frame that sees as much as a frame can.
    """

    flash: int
    state: int
    scratch: int
    cache_rows: int
    multiply_adds: int

    @property
    def ram(self) -> int:
        """Bytes of writable memory: state and scratch."""
        return self.state + self.scratch


class ArrayInfo(NamedTuple):
    """One array of a blob: `layer` None outside the layers, `offset` in bytes from the start of the blob."""

    name: str
    layer: int | None
    dtype: str
    offset: int
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class LayerTrace:
    """What went into the attention of one layer and came out of it, float32, a row a frame.

    q and out: (T, n_q_heads, head_dim). k, v: (T, n_kv_heads, head_dim), unrounded: with dtype "float16" the attention
    rounds token rows itself (docs/spec/model.md).
    """

    q: NDArray[np.float32]
    k: NDArray[np.float32]
    v: NDArray[np.float32]
    out: NDArray[np.float32]


class TemporalStream(_core.Stream):
    """A model fed frame by frame, without end; made by `model.stream`. `len` counts frames.

    One thread at a time: a second one gets CacheBusyError.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        dtype = "float16" if self.dtype == "float16" else "float32"  # a model in integers asks for none
        return _restore_stream, (type(self), self.model, self.context, dtype, self.to_bytes())

    def __repr__(self) -> str:
        return f"<TemporalStream: {len(self)} frames, context {self.context}, {self.dtype} cache, {self.nbytes} bytes>"


def _restore_stream(
    cls: type[TemporalStream], model: TemporalModel, context: int, dtype: Dtype, state: bytes
) -> TemporalStream:
    stream = cls(model, context, dtype)
    stream.restore(state)
    return stream


class TemporalModel(_core.Model):
    """The model in a blob (docs/spec/model.md). Holds no state but the weights: any number of threads may use one."""

    __slots__ = ("_parsed",)

    _parsed: WeightBlob

    @classmethod
    def from_blob(
        cls, blob: WeightBlob | bytes | bytearray | memoryview | str | os.PathLike[str], kernels: str | None = None
    ) -> TemporalModel:
        """From a WeightBlob, its bytes, a path, or the name of a bundled model where no such file is ("activity",
        "demo"). kernels: as for AetherTemporalHead.
        BlobError (each defect its own), InputTypeError, OSError, KernelsError."""
        if isinstance(blob, WeightBlob):
            raw = blob.serialize()
        elif isinstance(blob, str | os.PathLike):
            raw = bundled_or_path(blob).read_bytes()
        else:
            raw = as_bytes(blob, "blob", "a WeightBlob, its bytes, a path or the name of a bundled model")
        return cls(raw, choose(kernels))

    def _weight_blob(self) -> WeightBlob:
        try:
            return self._parsed
        except AttributeError:
            self._parsed = WeightBlob.parse(self.blob)
            return self._parsed

    @property
    def header(self) -> WeightBlobHeader:
        """The blob's header."""
        return self._weight_blob().header

    @property
    def settings(self) -> ModelSettings | None:
        """The blob's settings; None for a plain version 1 blob."""
        return self._weight_blob().settings

    @property
    def input_dim(self) -> int:
        """Features a frame."""
        return self.header.input_dim

    @property
    def n_classes(self) -> int:
        """Classes, the logits of a frame."""
        return self.header.n_classes

    @overload
    def forward(
        self,
        frames: ArrayLike,
        context: int | None = None,
        dtype: Dtype = "float32",
        return_embeddings: Literal[False] = False,
    ) -> NDArray[np.float32]: ...

    @overload
    def forward(
        self,
        frames: ArrayLike,
        context: int | None = None,
        dtype: Dtype = "float32",
        *,
        return_embeddings: Literal[True],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...

    def forward(
        self, frames: ArrayLike, context: int | None = None, dtype: Dtype = "float32", return_embeddings: bool = False
    ) -> NDArray[np.float32] | tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The logits after each frame of a recording.

        frames: (T, input_dim) real numbers. context: frames a query sees back; None: `default_context`. Returns logits,
        float32 (T, n_classes): row t is, bit for bit, what a stream of that context and dtype gives after frame t. With
        return_embeddings a pair, logits and L2-normalised embeddings (T, embed_dim).
        ShapeError (also: embeddings of a model without), NonFiniteError, ResultOverflowError, OutOfMemoryError.
        """
        logits, embeddings = self.run(frames, self._context(context), dtype, return_embeddings)
        return logits if embeddings is None else (logits, embeddings)

    def classify(
        self,
        source: Source,
        *,
        recording: int | str | None = None,
        context: int | None = None,
        dtype: Dtype = "float32",
        gallery: Gallery | None = None,
        select: Sequence[int] | SubcarrierMap | None = None,
    ) -> Iterator[Prediction]:
        """The prediction after each frame: its `time` in seconds, `label` and `probability`, among others.

        source: the path of a recording (`recording`: which one of its file), a serial device or pipe, an open binary
        file of CSI text, a `Recording`, or frames (T, input_dim). Devices and files are read as frames arrive. The
        frames go onto the grid that the blob asks for, and one at which the numbers overflow has no prediction.
        context, dtype: as `stream`; gallery: labels are enrolled identities; select: subcarriers, or columns.
        RecordingError, ShapeError, InputTypeError.
        """
        from .running.classification import classify

        return classify(self, source, recording=recording, context=context, dtype=dtype, gallery=gallery, select=select)

    def trace(self, frames: ArrayLike, *, context: int | None = None, dtype: Dtype = "float32") -> list[LayerTrace]:
        """What the attention of each layer gets and gives in `forward` over a recording: the numbers that the core
        computed, not a second computation. Arguments and errors as `forward`."""
        return [LayerTrace(*arrays) for arrays in self.layers(frames, self._context(context), dtype)]

    @property
    def config(self) -> TemporalHeadConfig:
        """Shape and pattern of the attention, the same in every layer."""
        return TemporalHeadConfig(**self.head_config)

    def embeddings(
        self, frames: ArrayLike, context: int | None = None, dtype: Dtype = "float32"
    ) -> NDArray[np.float32]:
        """The L2-normalised embedding after each frame, float32 (T, embed_dim); otherwise as `forward`."""
        _, embeddings = self.run(frames, self._context(context), dtype, True)
        assert embeddings is not None
        return embeddings

    @property
    def default_context(self) -> int:
        """Frames that a query can see unless a call says otherwise: the history that the blob states, else 256, or with
        the pyramid pattern 2**32 - 1."""
        config = self.config
        return config.history or (PYRAMID_CONTEXT if config.pattern == "pyramid" else DEFAULT_CONTEXT)

    def _context(self, chosen: int | None) -> int:
        return self.default_context if chosen is None else chosen

    def stream(self, context: int | None = None, dtype: Dtype = "float32") -> TemporalStream:
        """A stream without end that sees the last `context` frames (and global ones); None: `default_context`.
        dtype: how its caches keep keys and values. InvalidConfigError, OutOfMemoryError."""
        return TemporalStream(self, self._context(context), dtype)

    def pool(self, most: int, context: int | None = None, dtype: Dtype = "float32") -> StreamPool:
        """A pool of at most `most` streams as `stream` makes them, fed in batches. InvalidConfigError,
        OutOfMemoryError."""
        return StreamPool(self, most, context, dtype)

    def memory(
        self, context: int | None = None, dtype: Dtype = "float32", *, pointer_bytes: int | None = None
    ) -> ModelMemory:
        """What a stream of this context (None: `default_context`) and dtype needs. `pointer_bytes`: 4 for a 32-bit
        chip, None for this machine; only scratch depends on it. InvalidConfigError, TooLargeError."""
        return ModelMemory(*self.memory_of(self._context(context), dtype, pointer_bytes))

    def array_table(self) -> list[ArrayInfo]:
        """Name, layer, dtype, offset and shape of every array, in blob order."""
        return [ArrayInfo(*row) for row in self.array_rows()]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name ("layers.0.attention.wq", …), read-only views of the blob."""
        return {
            name if layer is None else f"layers.{layer}.{name}": np.frombuffer(
                self.blob, dtype, math.prod(shape), offset
            ).reshape(shape)
            for name, layer, dtype, offset, shape in self.array_table()
        }

    def csi_frame(self, iq: ArrayLike, layout: SubcarrierMap | None = None) -> NDArray[np.float32]:
        """The frame this model asks for out of raw CSI: int8 pairs [n_pairs, 2] (I and Q in either order) to the
        amplitudes of the model's subcarriers, float32 (input_dim,). layout: the subcarrier of each pair; a model that
        names subcarriers by number needs it. ShapeError, InputTypeError."""
        numbers = None if layout is None or self.settings is None else self.settings.subcarrier_numbers
        if numbers is not None:
            assert layout is not None
            return csi_amplitude(iq, find_subcarriers(layout, numbers.wanted()))
        return self.amplitudes(_pairs(iq))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore_model, (type(self), self.blob)

    def __repr__(self) -> str:
        return in_two_lines("TemporalModel", self._facts())

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        return html_table("TemporalModel", self._facts())

    def _facts(self) -> dict[str, str]:
        """What describes the model in a few words."""
        return facts_of(self.header, self) | {"kernels": self.kernels}


def _restore_model(cls: type[TemporalModel], blob: bytes) -> TemporalModel:
    return cls.from_blob(blob)


def _pairs(iq: ArrayLike, twelve_bits: bool = False) -> NDArray[np.int8] | NDArray[np.int16]:
    words = twelve_bits and isinstance(iq, np.ndarray) and iq.dtype == np.int16
    array = np.ascontiguousarray(iq, dtype=np.int16) if words else as_int8(iq, "iq")
    if array.ndim != 2 or array.shape[1] != 2:
        raise ShapeError.of("iq", "shape (n_pairs, 2)", array.shape)
    return array


def csi_amplitude(iq: ArrayLike, subcarriers: ArrayLike | None = None) -> NDArray[np.float32]:
    """sqrt(I*I + Q*Q), correctly rounded, of int8 pairs [n_pairs, 2], or an int16 array of 12-bit values; of pairs
    `subcarriers` (indices), or of all.
    Float32, one value a subcarrier. ShapeError, InputTypeError, InvalidArgumentError."""
    index = None
    if subcarriers is not None:
        index = as_array(subcarriers, "subcarriers")
        if (
            index.ndim != 1
            or index.dtype.kind not in "iu"
            or (index.size and (index.min() < 0 or index.max() > 0xFFFF))
        ):
            raise InvalidArgumentError.of("subcarriers", "a vector of indices from 0 to 65535", repr(subcarriers))
        index = np.ascontiguousarray(index, dtype=np.uint16)
    return _core.csi_amplitude(_pairs(iq, twelve_bits=True), index)
