"""Steps on batches that are cut into shards: the gradient of each is computed by itself, by as many processes as there
are, and the first sums them in the order of the shards.

So the weights depend on how many shards a batch has, and not on who computes them: one process, two and four give the
same bits, where processor, torch and its threads are the same. The first process alone has the optimiser; it sends the
weights before each step. A checkpoint is therefore that of one process.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from aether_temporal._internal.interruption import Stop, stop_asked
from aether_temporal.errors import InvalidConfigError

from .checkpoints import batches, torch_seed
from .distributed import Outcome, processes, values_of

B = TypeVar("B")
B_contra = TypeVar("B_contra", contravariant=True)

AUTOMATIC = 4
"""Shards of a run that torchrun begins, where its settings do not say how many."""


@runtime_checkable
class ShardedTask(Protocol[B_contra]):
    """A `Task` whose step on a batch is `update` by the weighted mean of its shards' gradients. Those that derive from
    it have the step on a whole batch."""

    def step(self, step: int, batch: B_contra) -> Mapping[str, float]:
        """`update` by the gradients of the whole batch; the numbers of `measure`."""
        clear_gradients(self)
        numbers = self.measure(batch)
        self.update(step)
        return numbers

    def parameters(self) -> Sequence[torch.nn.Parameter]:
        """What has gradients."""

    def weight(self, batch: B_contra) -> float:
        """What a shard counts; one of weight 0 is left out."""

    def measure(self, batch: B_contra) -> Mapping[str, float]:
        """Numbers to log; adds the gradients of their mean over the shard to the parameters'."""

    def update(self, step: int) -> None:
        """Takes the step that the parameters' gradients say."""


def clear_gradients(task: ShardedTask[Any]) -> None:
    """What `measure` adds to."""
    for parameter in task.parameters():
        parameter.grad = None


@runtime_checkable
class ShardedDraw(Protocol[B]):
    """Draws batches of which a process reads no more than its shards."""

    def shards(self, generator: np.random.Generator, of: int, which: range) -> list[B]:
        """Of the batch that the generator gives, cut into `of` shards, those of `which`."""


@dataclasses.dataclass(frozen=True)
class Cut:
    """Draws whole batches, arrays of the same length, in every process, and cuts them into shards."""

    draw: Callable[[np.random.Generator], tuple[NDArray[Any], ...]]

    def __call__(self, generator: np.random.Generator) -> Any:
        return self.draw(generator)

    def shards(self, generator: np.random.Generator, of: int, which: range) -> list[Any]:
        """Of the batch that the generator gives, cut into `of` shards, those of `which`."""
        whole = self.draw(generator)
        return [tuple(part[shard_of(index, of, len(part))] for part in whole) for index in which]


def shard_of(index: int, of: int, samples: int) -> slice:
    """Which of a batch's samples are in a shard: as many as in any other, or one more. InvalidConfigError for more
    shards than samples."""
    if of > samples:
        raise InvalidConfigError.of("shards", f"at most {samples}, the samples of a batch", of)
    return slice(samples * index // of, samples * (index + 1) // of)


Gradients = list[NDArray[np.float32] | None]
Shard = tuple[float, Mapping[str, float], Gradients]
"""Weight, numbers, gradients."""


def shards_of(rank: int, count: int, shards: int) -> range:
    """What process `rank` of `count` computes: as many as any other, or one more."""
    return range(shards * rank // count, shards * (rank + 1) // count)


@dataclasses.dataclass(frozen=True)
class ShardedSteps(Generic[B]):
    """The steps first … steps - 1 of a task. Every process has the task; only the first one's changes by itself."""

    task: ShardedTask[B]
    draw: ShardedDraw[B]
    seed: int
    first: int
    steps: int
    shards: int
    workers: int

    def take(self, stop: Stop) -> Iterator[tuple[int, Mapping[str, float]]]:
        """(step, numbers) of each, in the first process. Ctrl-C in another sets `stop`; an error of any is raised."""
        if self.first >= self.steps:
            return
        others = processes()
        others.ask(self.help)
        drawn, parameters = self._drawn(), self.task.parameters()
        try:
            for step in range(self.first, self.steps):
                others.broadcast([parameter.detach().numpy() for parameter in parameters])
                own = Outcome.of(lambda: self._computed(*next(drawn)))
                found = others.collect((own, stop_asked()))
                computed = [shard for part in values_of([outcome for outcome, _ in found]) for shard in part]
                if any(asked for _, asked in found):
                    stop.set()
                numbers = self._combine(computed)
                self.task.update(step)
                yield step, numbers
        finally:
            if not others.busy:
                others.broadcast(None)

    def help(self) -> None:
        """Another process's part, until the first one has enough."""
        first, drawn = processes(), self._drawn()
        while (weights := first.broadcast()) is not None:
            self._set(weights)
            first.collect((Outcome.of(lambda: self._computed(*next(drawn))), stop_asked()))

    def _set(self, weights: list[NDArray[np.float32]]) -> None:
        with torch.no_grad():
            for parameter, value in zip(self.task.parameters(), weights, strict=True):
                parameter.copy_(torch.from_numpy(value))

    def _drawn(self) -> Iterator[tuple[int, list[tuple[int, B]]]]:
        """Each step, and of its shards those that are this process's, with their numbers."""
        which = shards_of(processes().rank, processes().count, self.shards)
        if not which:
            return ((step, []) for step in itertools.count(self.first))
        draw = _Own(self.draw, self.shards, which)
        return batches(draw, seed=self.seed, first=self.first, steps=self.steps, workers=self.workers)

    def _computed(self, step: int, shards: list[tuple[int, B]]) -> list[Shard]:
        found: list[Shard] = []
        parameters = self.task.parameters()
        for index, batch in shards:
            clear_gradients(self.task)
            torch.manual_seed(torch_seed(self.seed, step, index))
            weight = self.task.weight(batch)
            numbers = self.task.measure(batch) if weight > 0 else {}
            found.append((weight, numbers, [None if p.grad is None else p.grad.numpy() for p in parameters]))
        return found

    def _combine(self, shards: list[Shard]) -> dict[str, float]:
        """Gives the parameters the gradients of the batch; its numbers."""
        shards = [shard for shard in shards if shard[0] > 0]
        total = math.fsum(weight for weight, _, _ in shards)
        for index, parameter in enumerate(self.task.parameters()):
            parameter.grad = None
            for weight, _, gradients in shards:
                found = gradients[index]
                if found is not None:
                    part = torch.from_numpy(found) * (weight / total)
                    parameter.grad = part if parameter.grad is None else parameter.grad.add_(part)
        names = shards[0][1] if shards else ()
        return {name: math.fsum(weight * numbers[name] for weight, numbers, _ in shards) / total for name in names}


@dataclasses.dataclass(frozen=True)
class _Own(Generic[B]):
    """Draws a process's shards, with their numbers."""

    draw: ShardedDraw[B]
    of: int
    which: range

    def __call__(self, generator: np.random.Generator) -> list[tuple[int, B]]:
        return list(zip(self.which, self.draw.shards(generator, self.of, self.which), strict=True))


def expect_sharded(task: Any, draw: Any) -> tuple[ShardedTask[Any], ShardedDraw[Any]]:
    """Both as what they are. TypeError for a task, or batches, that cannot be cut into shards."""
    for name, found, kind in (("task", task, ShardedTask), ("draw", draw, ShardedDraw)):
        if not isinstance(found, kind):
            raise TypeError(f"{name}: expected a {kind.__name__} for more than one shard, found {type(found).__name__}")
    return task, draw
