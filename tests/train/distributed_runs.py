"""What the tests of several processes run in each of them.

`main` takes a folder and a scenario from the command line, and what torchrun sets from the environment.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from hang import HANG

from aether_temporal.torch import NetworkConfig, TemporalClassifier
from aether_temporal.train.dataset import LabelledRecording
from aether_temporal.train.distributed import each, lead, processes
from aether_temporal.train.runs import Run
from aether_temporal.train.supervised import Augmentation, Batch, Batches, Crops, FitConfig, Fitting

TESTS = Path(__file__).resolve().parents[1]
FEATURES, STEPS = 6, 10


def recordings() -> list[LabelledRecording]:
    """Two classes, and frames without a label."""
    rng = np.random.default_rng(3)
    found = []
    for number in range(4):
        labels = np.repeat(rng.integers(-1, 2, 12), 10)
        frames = rng.uniform(1, 3, (120, FEATURES)) * (1 + labels[:, None])
        found.append(LabelledRecording(f"r{number}", "0", np.maximum(frames, 0.1).astype(np.float32), labels))
    return found


class Task(Fitting):
    """Fails, or is interrupted, at a step of a process's choosing."""

    fails = (-1, -1)
    interrupted = (-1, -1)
    measured = 0

    def measure(self, batch: Batch) -> Mapping[str, float]:
        step, self.measured = self.measured // self.own, self.measured + 1
        here = (processes().rank, step)
        if here == self.fails:
            raise ValueError("a shard that cannot be computed")
        if here == self.interrupted:
            self.interrupted = (-1, -1)  # once is enough: Ctrl-C twice ends at once
            os.kill(os.getpid(), signal.SIGINT)
        return super().measure(batch)

    @property
    def own(self) -> int:
        """Shards that this process computes of four."""
        return 4 // processes().count


def draw() -> Batches:
    return Batches(Crops(24, 9, 3, 5, Augmentation()), recordings())


def task(dropout: float = 0.2) -> Task:
    torch.manual_seed(0)
    shape = NetworkConfig(FEATURES, 2, 8, n_layers=1, n_q_heads=2, head_dim=4, agc="mean", dropout=dropout)
    return Task(TemporalClassifier(shape), FitConfig(steps=STEPS), np.array([1.0, 2.5], dtype=np.float32))


def train(folder: Path, trained: Task | None = None, *, shards: int = 4, workers: int = 0) -> Task:
    """From the start, or from where the folder's run stopped."""
    torch.set_num_threads(1)
    trained = trained or task()
    with Run.open(folder, {"task": "shared"}, resume=True, shards=shards) as run:
        settings = {"steps": STEPS, "seed": 5, "log_every": 1, "checkpoint_every": 4, "workers": workers}
        run.train(trained, draw(), **settings, show_progress=False)
    return trained


def fail(folder: Path) -> None:
    """The last process does, in its second step; the others hear of it, and all work on."""
    trained = task()
    trained.fails = (processes().count - 1, 1)
    try:
        train(folder, trained)
    except ValueError as error:
        print(error, flush=True)
    train(folder)


def interrupt(folder: Path) -> None:
    """The last process gets Ctrl-C in its fourth step."""
    trained = task()
    trained.interrupted = (processes().count - 1, 3)
    try:
        train(folder, trained)
    except KeyboardInterrupt as stopped:
        print(stopped, flush=True)


def die(folder: Path) -> None:
    trained = task()
    trained.fails = (processes().count - 1, 2)
    trained.__class__ = Dying
    train(folder, trained)


class Dying(Task):
    """Its process is gone where another would fail."""

    def measure(self, batch: Batch) -> Mapping[str, float]:
        try:
            return super().measure(batch)
        except ValueError:
            os._exit(9)


def square(number: int) -> tuple[int, int]:
    return number * number, processes().rank


def root(number: int) -> float:
    """Of -1 an error; any other takes as long as nobody asks to stop."""
    if number < 0:
        raise ValueError(f"number: expected at least 0, found {number}")
    while not processes().ends_early():
        time.sleep(0.01)
    raise KeyboardInterrupt


def deal(folder: Path) -> None:
    found = each(square, range(7))
    assert [value for value, _ in found] == [n * n for n in range(7)]
    assert {rank for _, rank in found} == set(range(processes().count))
    try:
        each(root, [4, -1, *range(9)])
    except ValueError as error:
        print(error, flush=True)
    assert len(each(square, [3])) == 1  # also fewer than there are processes


def start(*command: object, **environment: object) -> subprocess.Popen[str]:
    """A Python command in a process of its own."""
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        env={**os.environ, **{name: str(value) for name, value in environment.items()}, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit status, output and errors, when it has ended."""
    try:
        output, errors = process.communicate(timeout=HANG)
    finally:
        process.kill()
    return process.returncode, output, errors


def launch(count: int, *command: object) -> tuple[list[int], str, str]:
    """A Python command in `count` processes as torchrun starts them: exit statuses, all output, and all errors."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"TORCHELASTIC_RUN_ID": "test", "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    started = [start(*command, **shared, RANK=rank) for rank in range(count)]
    ends = [finished(process) for process in started]
    return [status for status, _, _ in ends], "".join(o for _, o, _ in ends), "".join(e for _, _, e in ends)


def main() -> None:
    folder, scenario = Path(sys.argv[1]), sys.argv[2]
    done = {"fail": fail, "interrupt": interrupt, "die": die, "deal": deal}.get(scenario, train)
    torch.set_num_threads(1)
    lead(lambda: done(folder))
