"""What lets a run resume: checkpoints that are whole or absent, and batches that depend on seed and step alone."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
import torch.utils.data as torch_data
from torch.utils.data import DataLoader

from aether_temporal import crc32
from aether_temporal._internal.atomic_files import write_atomic
from aether_temporal.errors import TemporalError

_MAGIC = b"AETHCKP1"
_HEAD = struct.Struct("<8sIQ")

State = dict[str, Any]


class CheckpointError(TemporalError, ValueError):
    """A checkpoint is damaged, or of another training; the message names the file and what to do."""


def save_checkpoint(path: str | os.PathLike[str], state: State) -> None:
    """Writes tensors, numbers, texts, lists and dicts of them; `path` holds the old checkpoint or the new one, whole.
    OSError."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getvalue()
    write_atomic(path, _HEAD.pack(_MAGIC, crc32(payload), len(payload)) + payload)


def load_checkpoint(path: str | os.PathLike[str]) -> State:
    """What `save_checkpoint` wrote; nothing in the file is executed. CheckpointError when damaged, OSError."""
    raw = Path(path).read_bytes()
    if len(raw) < _HEAD.size or raw[:8] != _MAGIC:
        raise CheckpointError(f"{path}: expected a checkpoint, found {raw[:8]!r}; remove it to start over")
    _, crc, length = _HEAD.unpack_from(raw)
    payload = raw[_HEAD.size :]
    if length != len(payload) or crc != crc32(payload):
        raise CheckpointError(
            f"{path}: expected {length} bytes with CRC 0x{crc:08X}, found {len(payload)} with 0x{crc32(payload):08X}: "
            "damaged; "
            "remove it to start over"
        )
    try:
        state: State = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, KeyError, EOFError) as error:
        first = (str(error).splitlines() or ["unreadable"])[0]
        raise CheckpointError(
            f"{path}: expected tensors and numbers, found others ({first}); remove it to start over"
        ) from None
    return state


def load_into(module: torch.nn.Module, state: State, path: str | os.PathLike[str], what: str = "network") -> None:
    """A module's state_dict out of a checkpoint. CheckpointError naming the first tensor that is missing, too many or
    of another shape; the module is then as it was."""
    own = module.state_dict()
    for name in (*own, *state):
        found = tuple(state[name].shape) if name in state else "none"
        wanted = tuple(own[name].shape) if name in own else "none"
        if found != wanted:
            raise CheckpointError(
                f"{path}: {what}.{name}: expected shape {wanted}, found {found}: a checkpoint of another network; "
                "resume with the "
                "settings it was trained with, or choose another run folder"
            )
    module.load_state_dict(state)


B = TypeVar("B")
Draw = Callable[[np.random.Generator], B]


def step_generator(seed: int, step: int) -> np.random.Generator:
    """The randomness of one step."""
    return np.random.Generator(np.random.PCG64([seed, step]))


def torch_seed(seed: int, step: int, *shard: int) -> int:
    """What torch is seeded with before a step, or before a shard of one."""
    mixed = np.random.SeedSequence([seed, step, 0x70C4, *shard])
    return int(mixed.generate_state(1, np.uint64)[0] >> np.uint64(1))


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
