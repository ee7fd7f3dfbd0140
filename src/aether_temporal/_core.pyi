"""The C core as Python sees it; what each thing does stands in `_core.pyx` and `_core_parts`."""

from collections.abc import Iterable, Sequence
from typing import Literal, Self, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Buffer, disjoint_base

from .cache_types import Dtype
from .config import TemporalHeadConfig
from .errors import TemporalError

VERSION: str
HEADER_BYTES: int
OVERHEAD: int

class _HeadArguments(TypedDict):
    backend: Literal["sparse_gqa", "dense"]
    pattern: Literal["reference", "pyramid"]
    q_heads: int
    kv_heads: int
    head_dim: int
    window: int
    block_size: int
    causal: bool
    global_tokens: tuple[int, ...]
    use_log_stride: bool
    use_landmarks: bool
    history: int | None

class _SavedState(TypedDict):
    config: _HeadArguments
    capacity: int
    dtype: Dtype
    on_full: Literal["error", "ring"]

def status_table() -> list[tuple[str, str, type[TemporalError] | None]]: ...
def raise_for_status(code: int, field: str | None = None) -> None: ...
def crc32(data: Buffer, value: int = 0) -> int:
    """CRC-32/ISO-HDLC of any object with the buffer protocol; to continue, pass the previous result as `value`.
    InputTypeError, InvalidArgumentError."""

def kernel_variants() -> list[tuple[str, bool]]: ...
def check_header(*values: int) -> None: ...
def parse_blob(data: Buffer) -> tuple[int, int, int, int, int, int, int, int]: ...
def write_blob(*values: int, weights: Buffer) -> bytes: ...
def peek_state(state: Buffer) -> _SavedState: ...
def csi_amplitude(
    iq: NDArray[np.int8] | NDArray[np.int16], subcarriers: NDArray[np.uint16] | None
) -> NDArray[np.float32]: ...
def layout_of(
    facts: tuple[int, int, int, int, int, int], n_pairs: int
) -> tuple[tuple[int, int, int, int], ...] | None: ...
def find_pairs(
    runs: Sequence[tuple[int, int, int, int]], bands: NDArray[np.uint8], numbers: NDArray[np.int16]
) -> NDArray[np.uint16] | int: ...
def run_golden(
    data: Buffer, kernels: str | None = None
) -> tuple[tuple[int, int, int, int], list[tuple[str, str, bool, int, int, int | None, int, int, str, str]]]: ...

@disjoint_base
class Memory:
    """Zeroed bytes, aligned, freed with the object."""

    def __new__(cls, size: int) -> Self: ...

@disjoint_base
class Bytes:
    """A contiguous byte view of any object with the buffer protocol, without a copy where it is contiguous."""

    def __new__(cls, value: Buffer, field: str) -> Self: ...

@disjoint_base
class Pattern:
    def __new__(cls, config: TemporalHeadConfig) -> Self: ...
    def history_within(self, capacity: int) -> int | None: ...
    def edges(self, tokens: int) -> int: ...
    def mask(
        self, tokens_view: NDArray[np.uint8], blocks_view: NDArray[np.uint8], begins_view: NDArray[np.uint64]
    ) -> None: ...

@disjoint_base
class Head:
    @property
    def config(self) -> TemporalHeadConfig: ...
    @property
    def kernels(self) -> str:
        """Name of the kernel variant that runs."""

    def __init__(self, config: TemporalHeadConfig, kernels: str | None = None) -> None: ...
    def cache_nbytes(self, capacity: int, dtype: str = "float32") -> int:
        """Bytes a cache of this head would take, without making it. BackendDoesNotSupportStreamingError,
        InvalidConfigError, TooLargeError."""

    def step(
        self, q: ArrayLike | Buffer, k: ArrayLike | Buffer, v: ArrayLike | Buffer, cache: Cache
    ) -> NDArray[np.float32]:
        """Append one token to `cache` and attend with it.

        q: (1, q_heads, head_dim); k, v: (1, kv_heads, head_dim), real numbers. Returns a new float32 array (1, q_heads,
        head_dim): row `cache.tokens - 1` of `forward` over all tokens so far, bit for bit.

        InputTypeError, ShapeError, NonFiniteError, ResultOverflowError (also a key or value beyond a float16 cache),
        CacheFullError, CacheMismatchError, CacheBusyError; the cache is then as it was.
        """

    def prefill(
        self, q: ArrayLike | Buffer, k: ArrayLike | Buffer, v: ArrayLike | Buffer, cache: Cache
    ) -> NDArray[np.float32]:
        """Append T tokens to `cache` and attend with each: the same as T steps.

        q: (T, q_heads, head_dim); k, v: (T, kv_heads, head_dim). Returns (T, q_heads, head_dim). Errors as `step`; the
        cache is then as it was.
        """

    def step_many(
        self, q: ArrayLike | Buffer, k: ArrayLike | Buffer, v: ArrayLike | Buffer, caches: Iterable[Cache]
    ) -> NDArray[np.float32]:
        """One step of each of N different caches: the bits of N calls of `step`, in less time.

        q: (N, q_heads, head_dim); k, v: (N, kv_heads, head_dim); row n is the token of caches[n]. Returns (N, q_heads,
        head_dim). Errors as `step`, and InvalidArgumentError for a cache that stands twice; all caches are then as they
        were.
        """

@disjoint_base
class Cache:
    config: TemporalHeadConfig
    def __init__(self, head: Head, capacity: int = 1024, dtype: str = "float32", on_full: str = "error") -> None: ...
    def __len__(self) -> int: ...
    @property
    def tokens(self) -> int:
        """Tokens since the start or the last reset; a ring counts beyond `capacity`."""

    @property
    def capacity(self) -> int:
        """Tokens a query can see (and, with on_full "error", all the cache takes)."""

    @property
    def rows(self) -> int:
        """Token rows held in memory: what a later query can still see, not `capacity`."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory for keys, values and block means."""

    @property
    def dtype(self) -> str:
        """How keys and values are kept: "float32" or "float16"."""

    @property
    def on_full(self) -> str:
        """ "error" or "ring"."""

    def reset(self) -> None:
        """Forget all tokens. CacheBusyError."""

    def append(self, k: ArrayLike | Buffer, v: ArrayLike | Buffer) -> None:
        """Append T tokens without attending; k, v: (T, kv_heads, head_dim). Errors as `step`; the cache is then as it
        was."""

    def to_bytes(self) -> bytes:
        """The cache's state, self-describing, with a CRC (docs/spec/state.md)."""

    def load(self, state: Buffer) -> None:
        """State of a cache of the same head, capacity, dtype and policy. SavedStateError, CacheMismatchError; the
        cache is then as it was."""

@disjoint_base
class Attention:
    batch: int
    tokens: int
    def __new__(
        cls, head: Head, q: ArrayLike | Buffer, k: ArrayLike | Buffer, v: ArrayLike | Buffer, half: bool
    ) -> Self: ...
    def run(self, first: int, count: int) -> None: ...
    def plan(self) -> None: ...
    def prepare(self, n: int) -> None: ...
    def rows(self, n: int, first: int, count: int) -> None: ...
    def result(self) -> NDArray[np.float32]: ...

@disjoint_base
class AttentionGradient:
    tokens: int
    units: int
    chunks: int
    def __new__(
        cls, head: Head, q: ArrayLike | Buffer, k: ArrayLike | Buffer, v: ArrayLike | Buffer, d_out: ArrayLike | Buffer
    ) -> Self: ...
    def run(self, first: int, count: int) -> None: ...
    def plan(self) -> None: ...
    def pack(self, unit: int) -> None: ...
    def rows(self, unit: int, chunk: int) -> None: ...
    def finish(self, unit: int) -> None: ...
    def result(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]: ...

@disjoint_base
class Trace:
    """Arrays that one traced run fills: q, k, v and out of each layer, appended to `layers`."""

    def __new__(cls, model: Model, tokens: int, layers: list[tuple[NDArray[np.float32], ...]]) -> Self: ...

@disjoint_base
class Model:
    def __init__(self, blob: bytes, kernels: str | None = None) -> None: ...
    @property
    def blob(self) -> bytes:
        """The bytes the model was made of."""

    @property
    def kernels(self) -> str:
        """Name of the kernel variant that runs."""

    @property
    def head_config(self) -> _HeadArguments:
        """Arguments of the attention's TemporalHeadConfig."""

    @property
    def width(self) -> int:
        """Model width."""

    @property
    def embed_dim(self) -> int:
        """Values of an embedding; 0 without."""

    @property
    def n_pairs(self) -> int:
        """I/Q pairs of a raw frame; 0 when the blob does not say."""

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes; None when the blob has none."""

    @property
    def temperature(self) -> float | None: ...
    @property
    def frame_rate(self) -> float | None:
        """Frames a second; None when the blob does not say."""

    @property
    def label_delay(self) -> int:
        """Frames: the prediction after frame t is for frame t - label_delay."""

    @property
    def provenance(self) -> str | None:
        """Free text; None when the blob has none."""

    def array_rows(self) -> list[tuple[str, int | None, str, int, tuple[int, ...]]]: ...
    def memory_of(
        self, context: int, dtype: str, pointer_bytes: int | None = None
    ) -> tuple[int, int, int, int, int]: ...
    def kept_as(self, dtype: str) -> str:
        """How a stream of this model keeps keys and values that is asked for `dtype`."""
    def most_input(self) -> float | None:
        """The least magnitude that a frame of a model in integers must not hold; None for other models."""
    def pool_nbytes(self, most: int, context: int, dtype: str = "float32") -> int:
        """Bytes a pool of `most` streams would take, without making it. InvalidConfigError, TooLargeError."""

    def run(
        self, frames: ArrayLike, context: int | None, dtype: str, embeddings: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]: ...
    def layers(
        self, frames: ArrayLike, context: int | None, dtype: str
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]: ...
    def amplitudes(self, iq: NDArray[np.int8] | NDArray[np.int16]) -> NDArray[np.float32]: ...

@disjoint_base
class Stream:
    model: Model
    def __init__(self, model: Model, context: int = 256, dtype: str = "float32") -> None: ...
    def __len__(self) -> int: ...
    @property
    def context(self) -> int:
        """Frames a query can see."""

    @property
    def dtype(self) -> str:
        """Type of the cache: "float32" or "float16"."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory: state and scratch."""

    def push(self, frame: ArrayLike) -> NDArray[np.float32]:
        """Take one frame, (input_dim,) real numbers; returns the logits, a new float32 array (n_classes,): row
        `len(stream) - 1` of `model.forward` over all frames so far at this context and dtype, bit for bit.

        ShapeError, NonFiniteError, ResultOverflowError, CacheBusyError; the stream is then as it was.
        """

    @property
    def logits(self) -> NDArray[np.float32] | None:
        """The newest logits, (n_classes,) float32, a copy; None before the first frame."""

    @property
    def embedding(self) -> NDArray[np.float32] | None:
        """The newest embedding, L2-normalised (embed_dim,) float32, a copy; None before the first frame and for a model
        without one."""

    def reset(self) -> None:
        """Forget all frames. CacheBusyError."""

    def to_bytes(self) -> bytes:
        """The stream's state, with a CRC (docs/spec/state.md)."""

    def restore(self, state: Buffer) -> None:
        """Continue from `to_bytes` of a stream of the same blob, context and dtype. SavedStateError,
        CacheMismatchError; the stream is then as it was."""

@disjoint_base
class Pool:
    """Ids are 64-bit numbers; ShapeError, NonFiniteError, InvalidArgumentError (no such stream), CacheBusyError."""

    model: Model
    context: int
    dtype: str
    def __init__(self, model: Model, most: int, context: int = 256, dtype: str = "float32") -> None: ...
    def __len__(self) -> int: ...
    @property
    def most(self) -> int:
        """Streams that it can hold."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory, all taken when the pool is made."""

    def take(
        self, ids: NDArray[np.uint64], frames: ArrayLike, embeddings: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, list[tuple[int, str]], list[int]]:
        """(logits, embeddings or None, (row, status name) of each row that failed, evicted ids) of a push."""

    def length_of(self, number: int) -> int:
        """Frames so far of a stream."""

    def logits_of(self, number: int) -> NDArray[np.float32] | None:
        """The newest logits of a stream, a copy; None before its first frame."""

    def embedding_of(self, number: int) -> NDArray[np.float32] | None:
        """The newest embedding of a stream, a copy; None before its first frame and for a model without one."""

    def state_of(self, number: int) -> bytes:
        """The saved state of a stream."""

    def put(self, number: int, state: Buffer) -> None:
        """Puts a saved state in the place of a stream, which is made where it is not there. CacheFullError,
        SavedStateError, CacheMismatchError."""

    def forget(self, number: int) -> None:
        """Gives the place of a stream back."""

    def numbers(self) -> list[int]:
        """The ids, least recently used first."""

@disjoint_base
class Clock:
    """A counter of 32-bit microseconds that wraps, made into microseconds that do not: a step back counts as a restart
    of the sender, at which time stands still."""

    def read(self, microseconds: int) -> int:
        """Microseconds since the first reading. InvalidArgumentError."""

    @property
    def restarts(self) -> int:
        """Steps back so far."""

@disjoint_base
class Resampler:
    """Frames that come in bursts, put on a steady grid by linear interpolation (docs/spec/features.md), the same bits
    as on a chip.

    dim: features a frame. period_us: of the grid; max_gap_us: the longest gap that is bridged (period_us to 16777216).
    agc "mean": each frame is divided by its mean first. InvalidConfigError.
    """

    def __init__(self, dim: int, period_us: int, max_gap_us: int, agc: str = "none") -> None: ...
    @property
    def dim(self) -> int:
        """Features a frame."""

    def push(self, frame: ArrayLike, time_us: int) -> tuple[bool, NDArray[np.float32], int]:
        """Take one frame, (dim,) real numbers, that came at `time_us` (an integer of microseconds, 0 to 2^63-1).

        Returns (restarted, frames, first): the grid frames that are now due, float32 (n, dim), the first of them at
        `first` microseconds and each period_us after the one before; restarted: a new grid began because of a gap, or
        because time went back, so that a stream they are fed to is to be reset first. ShapeError, NonFiniteError,
        CacheBusyError, InvalidArgumentError, ResultOverflowError (agc): the resampler is then as it was.
        ResultOverflowError also when two frames differ by more than binary32 holds: the frame counts, what was due is
        lost.
        """

    def reset(self) -> None:
        """Forget all frames: the next one begins a grid. CacheBusyError."""
