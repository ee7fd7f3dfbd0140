"""`forward` and its gradients on several threads: sequences and rows are split, never a reduction, so the bits do not
depend on how many there are."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from aether_temporal import _core
from aether_temporal.config import TemporalHeadConfig
from aether_temporal.errors import InvalidArgumentError

__all__ = ["choose_threads", "run", "run_gradient"]

# Multiply-adds below which starting work on other threads costs more than it saves (about 1.5 ms of one thread).
WORTH_SPLITTING = 1 << 27
ROWS_APART = 64  # rows of one task: whole vectors and tiles
TASKS_A_THREAD = 4  # dense causal rows grow longer, so tasks are smaller than a thread's share

_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()


def _forget_pools() -> None:
    """A child process has none of its parent's threads."""
    global _lock
    _pools.clear()
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pools)


def _pool(threads: int) -> ThreadPoolExecutor:
    with _lock:
        if threads not in _pools:
            _pools[threads] = ThreadPoolExecutor(threads, thread_name_prefix="aether")
        return _pools[threads]


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def choose_threads(threads: int | None, config: TemporalHeadConfig, batch: int, tokens: int) -> int:
    """`threads` as asked for; None: one for small problems, else one a processor. InvalidArgumentError."""
    if threads is not None:
        if isinstance(threads, bool) or not hasattr(threads, "__index__") or threads < 1:
            raise InvalidArgumentError.of("threads", "an integer of at least 1, or None", repr(threads))
        return int(threads)
    sparse = config.backend == "sparse_gqa"
    seen = min(tokens, config.window + 64) if sparse else tokens // 2
    work = 2 * batch * tokens * seen * config.q_heads * config.head_dim
    return 1 if work < WORTH_SPLITTING else _processors()


def run(job: _core.Attention, threads: int) -> None:
    """All of `job` on `threads` threads. The first error, in order of sequences and rows, is raised when all are
    done."""
    if threads == 1 or job.batch * job.tokens <= 1:
        job.run(0, job.batch)
    elif job.batch >= threads:
        _all(threads, [_part(job.run, first, count) for first, count in _split(job.batch, 1, threads)])
    else:
        job.plan()
        _all(threads, [_part(job.prepare, n) for n in range(job.batch)])
        pieces = _split(job.tokens, ROWS_APART, threads)
        _all(threads, [_part(job.rows, n, first, count) for n in range(job.batch) for first, count in pieces])


def run_gradient(job: _core.AttentionGradient, threads: int) -> None:
    """All of `job` on `threads` threads; chunks were cut when it was made, so they are the same for any number."""
    units = range(job.units)
    if job.chunks == 1:
        pieces = _split(job.units, 1, threads) if threads > 1 and job.units > 1 else [(0, job.units)]
        _all(threads, [_part(job.run, first, count) for first, count in pieces])
        return
    job.plan()
    last_first = reversed(range(job.chunks))  # later rows see more
    _all(threads, [_part(job.pack, unit) for unit in units])
    _all(threads, [_part(job.rows, unit, chunk) for chunk in last_first for unit in units])
    _all(threads, [_part(job.finish, unit) for unit in units])


def _part(work: Callable[..., None], *arguments: int) -> Callable[[], None]:
    return lambda: work(*arguments)


def _all(threads: int, tasks: Sequence[Callable[[], None]]) -> None:
    if threads == 1 or len(tasks) == 1:
        for task in tasks:
            task()
        return
    futures = [_pool(threads).submit(task) for task in tasks]
    errors = [future.exception() for future in futures]
    for error in errors:
        if error is not None:
            raise error


def _split(total: int, unit: int, threads: int) -> list[tuple[int, int]]:
    """(first, count) of pieces of whole units, several a thread; at least one piece a thread where there are
    elements."""
    size = -(-total // (threads * TASKS_A_THREAD))
    size = -(-size // unit) * unit
    if size * (threads - 1) >= total:  # fewer pieces than threads
        size = -(-total // threads)
    return [(first, min(size, total - first)) for first in range(0, total, size)]
