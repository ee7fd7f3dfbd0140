"""Attention heads and their caches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from ._internal.convert import expect_choice, expect_type
from ._internal.kernels import choose
from ._internal.threads import choose_threads, run
from .cache_types import CACHE_DTYPES, Dtype
from .config import TemporalHeadConfig
from .errors import InvalidArgumentError, InvalidConfigError, SavedStateError, ShapeError

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["AetherTemporalHead", "KvCache"]


class KvCache(_core.Cache):
    """Keys, values and block means of the tokens so far, for one causal sparse head.

    Made by `head.make_cache`, or `KvCache(head, capacity=…, dtype=…, on_full=…)`. It keeps the rows a later query can
    still see, so its memory does not grow with the stream. `len` counts tokens, at most `capacity`; `tokens` all so
    far. One thread at a time: a second one gets CacheBusyError.
    """

    __slots__ = ()

    @classmethod
    def from_bytes(cls, state: Buffer, kernels: str | None = None) -> KvCache:
        """A cache from `to_bytes`; the state describes itself. SavedStateError. The memory is in proportion to the
        length of `state`."""
        saved = _core.peek_state(state)
        try:
            head = AetherTemporalHead(TemporalHeadConfig(**saved["config"]), kernels)
            needed = head.cache_nbytes(saved["capacity"], saved["dtype"])
        except InvalidConfigError as error:
            raise SavedStateError.of(f"state: {error.field}", error.expected or "", error.found, error.offset) from None
        except MemoryError as error:
            raise SavedStateError.of("state", "a cache this machine can hold", error) from None
        length = memoryview(state).nbytes
        if needed > 2 * length:  # a state holds all of a cache's memory but one of two equal sums
            raise SavedStateError.of("state", f"the bytes of a cache of {needed} bytes", f"{length} bytes")
        cache = cls(head, saved["capacity"], saved["dtype"], saved["on_full"])
        cache.load(state)
        return cache

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore_cache, (type(self), self.to_bytes())

    def __repr__(self) -> str:
        return (
            f"KvCache({self.tokens} tokens, capacity={self.capacity}, dtype={self.dtype!r}, "
            f"on_full={self.on_full!r}, nbytes={self.nbytes})"
        )


def _restore_cache(cls: type[KvCache], state: bytes) -> KvCache:
    return cls.from_bytes(state)


class AetherTemporalHead(_core.Head):
    """One group of attention heads (docs/spec/pattern.md, docs/spec/numerics.md).

    kernels: the variant that runs (`aether_temporal.kernels()`); None: the environment variable AETHER_KERNELS, else
    the fastest this processor has. The bits are the same. InputTypeError, KernelsError. Heads hold no state: any
    number of threads may use one.
    """

    __slots__ = ()

    def __init__(self, config: TemporalHeadConfig | None = None, kernels: str | None = None) -> None:
        if config is None:
            config = TemporalHeadConfig()
        expect_type(config, TemporalHeadConfig, "config", "a TemporalHeadConfig")
        super().__init__(config, choose(kernels))

    def forward(
        self,
        q: ArrayLike | Buffer,
        k: ArrayLike | Buffer,
        v: ArrayLike | Buffer,
        out: NDArray[np.float32] | None = None,
        threads: int | None = None,
        *,
        dtype: Dtype = "float32",
    ) -> NDArray[np.float32]:
        """Attention over whole sequences.

        q: (T, q_heads, head_dim) or (N, T, q_heads, head_dim); k, v: the same with kv_heads; real numbers. Float32
        C-contiguous arrays (numpy, torch on the CPU, anything with the buffer protocol or DLPack) are used where they
        lie. out: where to put the result, a writable float32 array of q's shape in any layout that keeps its elements
        apart; it may be one of the inputs, and is written only when all went well: the result is made in memory of its
        own, as large as `out`, and copied. threads: None: one for small problems, else one a processor.
        dtype: with keys and values as a cache of this dtype keeps them.

        Returns `out`, or a new float32 array. InputTypeError, InvalidArgumentError (out, threads), InvalidConfigError
        (dtype), ShapeError, NonFiniteError, ResultOverflowError, OutOfMemoryError.
        """
        expect_choice(dtype, CACHE_DTYPES, "dtype")
        job = _core.Attention(self, q, k, v, dtype != "float32")
        target = None if out is None else _target(out, job.result())
        run(job, choose_threads(threads, self.config, job.batch, job.tokens))
        if out is None or target is None:
            return job.result()
        target[...] = job.result()
        return out

    def make_cache(
        self, capacity: int = 1024, dtype: Dtype = "float32", on_full: Literal["error", "ring"] = "error"
    ) -> KvCache:
        """An empty cache for `step` and `prefill` of this head.

        capacity: tokens. dtype: how keys and values are kept. on_full: "error" (CacheFullError), or "ring": endless, a
        query sees the last `capacity` tokens and the global ones, as `forward` with history=capacity does.
        BackendDoesNotSupportStreamingError for a dense or non-causal head; InvalidConfigError, OutOfMemoryError.
        """
        return KvCache(self, capacity, dtype, on_full)

    def __reduce__(self) -> tuple[Any, ...]:
        return AetherTemporalHead, (self.config,)

    def __repr__(self) -> str:
        return f"AetherTemporalHead({self.config}, kernels={self.kernels!r})"


def _target(out: object, result: NDArray[np.float32]) -> NDArray[np.float32]:
    """`out` as a numpy array that writes through to it. ShapeError, InvalidArgumentError."""
    try:
        array, twin = (np.asarray(out) for _ in range(2))
    except (TypeError, RuntimeError, ValueError) as error:
        raise InvalidArgumentError.of("out", "a writable float32 array", error) from error
    through = array.size == 0 or np.may_share_memory(array, twin)  # of a list, say, each is a copy
    if array.dtype != np.float32 or not array.flags.writeable or not through:
        raise InvalidArgumentError.of("out", "a writable float32 array", f"{type(out).__name__} of {array.dtype}")
    if array.shape != result.shape:
        raise ShapeError.of("out", f"shape {result.shape}", array.shape)
    if _overlaps(array):
        raise ShapeError.of("out", "elements that do not overlap", f"strides {array.strides} for shape {array.shape}")
    return array


def _overlaps(array: NDArray[np.float32]) -> bool:
    """Whether two elements share bytes."""
    if array.size == 0:
        return False
    axes = sorted((abs(step), count) for step, count in zip(array.strides, array.shape, strict=True) if count > 1)
    reach = array.itemsize
    for step, count in axes:
        if step < reach:  # not each axis beyond those inside it: look at every place
            break
        reach += step * (count - 1)
    else:
        return False
    places = np.zeros(1, np.int64)
    for step, count in axes:
        places = np.add.outer(places, step * np.arange(count)).ravel()
    return bool((np.diff(np.sort(places)) < array.itemsize).any())
