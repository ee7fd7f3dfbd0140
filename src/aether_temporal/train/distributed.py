"""Several processes that work on one command, as torchrun starts them; the only module that knows torch.distributed.

    torchrun --nproc-per-node 4 -m aether_temporal train activity --data walks.npz --run runs/first

The first process runs the command as if it were alone: it reads, evaluates, writes and prints. The others wait for what
it asks them to compute (`Processes.ask`, `each`), and end with it.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pickle
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Generic, TypeVar

import torch
from torch import distributed

from aether_temporal._internal.interruption import interruptible
from aether_temporal.errors import TemporalError
from aether_temporal.recordings import MissingExtraError

A = TypeVar("A")
T = TypeVar("T")

PATIENCE = timedelta(days=30)
"""How long a process waits for another: the first may evaluate for hours. One that is gone is noticed at once."""


class ProcessError(TemporalError, RuntimeError):
    """A process that the work is shared with is gone."""


@dataclasses.dataclass(frozen=True)
class Outcome(Generic[T]):
    """What a process computed, or the error that it ended with."""

    value: T | None = None
    error: BaseException | None = None

    @classmethod
    def of(cls, compute: Callable[[], T]) -> Outcome[T]:
        """Computes. An error that cannot be sent to another process becomes one that says the same."""
        try:
            return cls(compute())
        except (Exception, KeyboardInterrupt) as error:
            return cls(error=_sendable(error))


def _sendable(error: BaseException) -> BaseException:
    try:
        if str(pickle.loads(pickle.dumps(error))) == str(error):
            return error
    except Exception:  # whatever a foreign exception does when it is copied
        pass
    return ProcessError(f"{type(error).__name__}: {error}")


def values_of(outcomes: Sequence[Outcome[T]]) -> list[T]:
    """What was computed. Raises the first error; that a process was interrupted counts only where there is no other."""
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, KeyboardInterrupt)):
        raise error
    return [outcome.value for outcome in outcomes]  # type: ignore[misc]


class Processes:
    """This process, number `rank` of `count`, and the others; this class: the only one. All make the same calls in the
    same order. busy: the others compute, and the first has to collect their results."""

    rank, count = 0, 1
    busy = False

    def ask(self, job: Callable[[], object]) -> None:
        """Has all others do `job`, which can be pickled."""

    def broadcast(self, value: Any = None) -> Any:
        """The value that the first process gives, in each; None of it ends what they do."""
        return value

    def collect(self, value: T) -> list[T]:
        """In the first process the values of all, in their order; empty in the others."""
        return [value]

    def end_early(self) -> None:
        """Asks all to stop after the step at hand."""

    def ends_early(self) -> bool:
        """Whether a process asked for it."""
        return False


class _Several(Processes):
    def __init__(self) -> None:
        if not distributed.is_available() or not distributed.is_gloo_available():
            raise MissingExtraError(
                "torch.distributed: expected it with gloo, to share work between processes, found a torch without; "
                "install another build of torch, or run the command without torchrun"
            )
        from torch.distributed.distributed_c10d import PrefixStore  # absent where torch has no torch.distributed
        from torch.distributed.rendezvous import rendezvous

        store, self.rank, self.count = next(rendezvous("env://"))
        self._store = PrefixStore("aether", store)
        self._jobs = 0
        distributed.init_process_group(
            "gloo", store=self._store, rank=self.rank, world_size=self.count, timeout=PATIENCE
        )

    def _call(self, communicate: Callable[[], T]) -> T:
        try:
            return communicate()
        except RuntimeError as error:
            why = re.sub(r"^\[[^]]*\] ", "", str(error)).split(". ")[0]  # without the place in gloo, and its advice
            raise ProcessError(
                f"process {self.rank} of {self.count}: expected all others until the end, found one gone ({why}); what "
                "was written before is whole: resume with --resume"
            ) from None

    def ask(self, job: Callable[[], object]) -> None:
        self._jobs += 1
        self.broadcast((torch.get_num_threads(), job))

    def broadcast(self, value: Any = None) -> Any:
        held = [value]
        self._call(lambda: distributed.broadcast_object_list(held, src=0))
        self.busy = held[0] is not None
        return held[0]

    def collect(self, value: T) -> list[T]:
        found: list[Any] | None = [None] * self.count if self.rank == 0 else None
        self._call(lambda: distributed.gather_object(value, found, dst=0))
        self.busy = False
        return found or []

    def end_early(self) -> None:
        self._call(lambda: self._store.set(f"end {self._jobs}", "asked"))

    def ends_early(self) -> bool:
        return self._call(lambda: self._store.check([f"end {self._jobs}"]))

    def serve(self) -> None:
        """Does what the first process asks for, until that is nothing more."""
        with interruptible():
            while (asked := self.broadcast()) is not None:
                threads, job = asked
                self._jobs += 1
                torch.set_num_threads(threads)
                job()


_processes = Processes()


def processes() -> Processes:
    """Those that share the work."""
    return _processes


def launched() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def lead(command: Callable[[], T]) -> T | None:
    """Runs `command` in the first of the processes that torchrun started; the others work for it until it ends. Where
    it ends while they compute, they end when they notice that it is gone. MissingExtraError, ProcessError."""
    global _processes
    several = _Several()
    _processes = several
    try:
        if several.rank:
            several.serve()
            return None
        return command()
    except ProcessError:
        if several.rank:
            raise SystemExit(1) from None  # the first process says what happened
        several.busy = True
        raise
    finally:
        if not several.busy:
            if several.rank == 0:
                several.broadcast(None)
            distributed.destroy_process_group()
        _processes = Processes()


def each(function: Callable[[A], T], items: Sequence[A]) -> list[T]:
    """`function`, which can be pickled, of every item; the processes share the items. An error, or Ctrl-C, in one
    of them stops all after the step at hand (`Run.steps`), and is raised."""
    if _processes.count == 1:
        return [function(item) for item in items]
    job = functools.partial(_dealt, function, items)
    _processes.ask(job)
    found = job()
    values_of([outcome for part in found for outcome in part])
    return [found[index % len(found)][index // len(found)].value for index in range(len(items))]  # type: ignore[misc]


def _dealt(function: Callable[[A], T], items: Sequence[A]) -> list[list[Outcome[T]]]:
    """This process's share of the items; in the first, what all have of theirs."""
    found: list[Outcome[T]] = []
    for item in items[_processes.rank :: _processes.count]:
        if _processes.ends_early():
            break
        found.append(Outcome.of(functools.partial(function, item)))
        if found[-1].error is not None:
            _processes.end_early()
    return _processes.collect(found)
