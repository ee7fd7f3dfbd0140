"""Batches for torch. What a batch holds depends on the seed and its step alone: any number of workers gives the same
ones, and a run that is resumed goes on with the very next."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np
import torch
import torch.utils.data as torch_data
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from .dataset import Dataset
from .windows import Windows

B = TypeVar("B")
Draw = Callable[[np.random.Generator], B]


def step_generator(seed: int, step: int) -> np.random.Generator:
    """The randomness of one step."""
    return np.random.Generator(np.random.PCG64([seed, step]))


class StepDataset(torch_data.Dataset[B], Generic[B]):
    """Item `step` is the batch of that step: `draw` with a generator of its own. `draw` must be picklable for workers
    that are not forked, and depend on nothing but its generator."""

    def __init__(self, draw: Draw[B], seed: int, steps: int) -> None:
        self.draw, self.seed, self.steps = draw, seed, steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> B:
        return self.draw(step_generator(self.seed, step))


def _as_they_are(batch: B) -> B:
    return batch


def _end_with_parent(_worker: int) -> None:
    """Ends this worker when the process that started it is gone, however that ended: it would else wait forever for its
    batches to be fetched, and hold what it inherited, the lock of the run's folder among it."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def batches(draw: Draw[B], *, seed: int, first: int, steps: int, workers: int = 0) -> Iterator[tuple[int, B]]:
    """(step, batch) for steps first … steps - 1, in order, made by `workers` processes (0: this one)."""
    loader = DataLoader(
        StepDataset(draw, seed, steps),
        batch_size=None,
        sampler=range(first, steps),
        num_workers=workers,
        collate_fn=_as_they_are,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_end_with_parent,
        generator=torch.Generator().manual_seed(0),  # the loader's own, unused; not torch's global one
    )
    return zip(range(first, steps), loader, strict=True)


class WindowDataset(torch_data.Dataset[tuple[NDArray[np.float32], NDArray[np.int64]]]):
    """Item i: frames float32 [length, F] and labels int64 [length] of window i, read when asked for."""

    def __init__(self, dataset: Dataset, places: Windows) -> None:
        self.dataset, self.places = dataset, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        track, start = self.places.places[index].tolist()
        rows = slice(start, start + self.places.length)
        return np.array(self.dataset[track].frames[rows]), np.array(self.dataset[track].labels[rows])


def window_loader(dataset: Dataset, places: Windows, batch: int, *, workers: int = 0) -> DataLoader[Any]:
    """Batches of windows in their order: frames [n, length, F], labels [n, length]."""
    return DataLoader(
        WindowDataset(dataset, places), batch_size=batch, num_workers=workers, worker_init_fn=_end_with_parent
    )
