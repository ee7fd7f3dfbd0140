"""A run: its folder, and the loop that can be killed at any moment and resumed to the same result.

    with Run.open("runs/first", configuration) as run:
        for step, batch in run.steps(task, draw, steps=1000, seed=0):
            ...

What a step does depends on the state before it and on (seed, step) alone: the batch has a generator of its own, torch
is seeded before every step. So the state after step n is the same whether or not the run was ever interrupted, and
a checkpoint needs nothing but that state.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import platform
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, Self, TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from aether_temporal import __version__
from aether_temporal._internal.atomic_files import lock, make_folders, remove_empty, write_atomic
from aether_temporal._internal.interruption import Stop, interruptible
from aether_temporal.errors import TemporalError

from .checkpoints import CheckpointError, State, batches, load_checkpoint, save_checkpoint, torch_seed
from .distributed import launched, processes
from .shards import AUTOMATIC, ShardedSteps, expect_sharded

B_contra = TypeVar("B_contra", contravariant=True)
B = TypeVar("B")

_SHOWN = 100
_LOCK = ".lock"
CONFIGURATION, METRICS, CHECKPOINT, RESULT = "configuration.json", "metrics.jsonl", "checkpoint.pt", "result.json"
MODEL = "model.rvne"
_SHARDS = "shards"
_BEFORE = "done_before"  # in a configuration: the steps after which the run was done, and then trained longer


class RunError(TemporalError, RuntimeError):
    """A run's folder cannot be used or written; the message names it and what to do."""


class Task(Protocol[B_contra]):
    """What is trained. `step` changes the state and gives numbers to log; the same state, batch and torch seed must
    give the same state after."""

    def step(self, step: int, batch: B_contra) -> Mapping[str, float]: ...

    def state(self) -> State:
        """Everything that steps change."""

    def load(self, state: State, path: Path) -> None:
        """Take what `state` gave. CheckpointError, and nothing changed, when it does not fit."""


class Run:
    """One run's folder; used in `with`. `configuration` decides the result: a resumed run must have the same, but for
    more steps once it is done. shards: the parts that batches are cut into (`shards`); of 1, whole ones. notes: what
    people should know of it.

    Files: configuration.json, metrics.jsonl (a line for each step that was logged), checkpoint.pt, result.json, what
    `write` and `plot` are given. Without a folder (None) nothing is written, and nothing can be resumed.
    """

    def __init__(self, folder: Path | None, configuration: Mapping[str, Any], shards: int = 1) -> None:
        self.folder, self.shards = folder, shards
        self.configuration = _plain(configuration)
        self._lock: IO[str] | None = None
        self._metrics: IO[str] | None = None
        self._made: list[Path] = []
        self._worthless = False  # nothing is here yet but a configuration that this process wrote
        self.notes: list[str] = []

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str] | None,
        configuration: Mapping[str, Any],
        *,
        resume: bool = False,
        steps: tuple[str, str] | None = None,
        shards: int = 1,
    ) -> Self:
        """A new folder, or with `resume` one there is (where nothing is yet, a new one too). An error before the run's
        first step leaves no trace of it. steps: where the configuration has the number of steps; a run that is done may
        be resumed with more. shards: 0 for those of the run that is resumed, of a new one 4 under torchrun and else 1.
        RunError: it holds a run already, a run with another configuration, or another process
        works in it."""
        run = cls(None if folder is None else Path(folder), configuration, shards)
        if run.folder is None:
            run._share(AUTOMATIC if launched() else 1)
            return run
        with run.writing():
            run._made = make_folders(run.folder)
            try:
                run._take_lock()
                run._settle(resume, steps)
            except BaseException:
                run._leave()
                raise
        return run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._leave()
        self.close()

    def close(self) -> None:
        """Lets go of the folder."""
        for file in (self._metrics, self._lock):
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()
        self._metrics = self._lock = None

    def _leave(self) -> None:
        """As `close`; and where nothing was trained, all is as it was before: the next attempt finds no run."""
        inside = self.folder is not None and any(path.is_dir() for path in self.folder.glob("*"))  # runs of seeds
        for name in (METRICS, CONFIGURATION, _LOCK) if self._worthless and not inside else ():
            with contextlib.suppress(OSError):
                self.path(name).unlink()
        self.close()
        remove_empty(self._made)

    def path(self, name: str) -> Path:
        """A file of the run. RunError without a folder."""
        if self.folder is None:
            raise RunError(f"{name}: expected a run with a folder, found one without")
        return self.folder / name

    # -- files ------------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A disk that is full, or a folder that cannot be written, as a RunError that says what to do."""
        try:
            yield
        except OSError as error:
            known = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
            if self.folder is None or error.errno not in known:
                raise
            what = "no space left" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "cannot be written"
            raise RunError(
                f"{error.filename or self.folder}: {what} ({error.strerror}); what was written before is whole: make "
                "room "
                f"(or the folder writable) and resume with --resume"
            ) from error

    def write(self, name: str, document: Mapping[str, Any] | bytes) -> None:
        """A file of the run, whole or not there. RunError for a full disk. Nothing without a folder."""
        if self.folder is None:
            return
        self._worthless = False
        data = document if isinstance(document, bytes) else _as_bytes(document)
        with self.writing():
            self.path(name).parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self.path(name), data)

    def log(self, step: int, numbers: Mapping[str, float], **words: Any) -> None:
        """One line of metrics."""
        if self._metrics is None:
            return
        line = json.dumps({"step": step, **words, **{key: _number(value) for key, value in numbers.items()}})
        with self.writing():
            self._metrics.write(line + "\n")
            self._metrics.flush()

    def metrics(self) -> list[dict[str, Any]]:
        """All whole lines of metrics; empty without a folder."""
        if self.folder is None or not self.path(METRICS).is_file():
            return []
        found = []
        for line in self.path(METRICS).read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    def _take_lock(self) -> None:
        file = self.path(_LOCK).open("w")
        if not lock(file):
            file.close()
            raise RunError(f"{self.folder}: another process is working in this run folder; choose another")
        self._lock = file

    def _settle(self, resume: bool, steps: tuple[str, str] | None) -> None:
        assert self.folder is not None
        for left in self.folder.glob(".*.????????????????"):  # of a write that was killed
            left.unlink(missing_ok=True)
        place = self.path(CONFIGURATION)
        if place.exists():
            if not resume:
                raise RunError(
                    f"{self.folder}: expected a new run folder, found a run; resume it (--resume) or choose another"
                )
            self._compare(place, steps)
        else:
            self._worthless = True
            self._share(AUTOMATIC if launched() else 1)
            write_atomic(place, _as_bytes(self.configuration))

    def _compare(self, place: Path, steps: tuple[str, str] | None) -> None:
        try:
            stored = json.loads(place.read_text(encoding="utf-8"))
        except ValueError as error:
            raise RunError(
                f"{place}: expected a run's configuration, found a damaged one ({error}); choose another folder"
            ) from None
        before, longer = stored.pop(_BEFORE, []), None
        self._share(stored.setdefault(_SHARDS, 1))
        if steps is not None:
            section, name = steps
            done, wanted = stored.get(section, {}).get(name), self.configuration[section][name]
            if isinstance(done, int) and done < wanted:
                longer, stored[section][name] = (done, wanted), wanted
        found = _difference(stored, self.configuration)
        if found is not None:
            key, was, now = found
            raise RunError(
                f"{place}: {key}: expected {was}, as the run was begun with, found {now}; "
                "resume with the same settings, or choose another folder"
            )
        if longer:
            self._expect_done(longer[0])
            before = [*before, longer[0]]
            self.notes.append(
                f"{self.folder}: trained on from step {longer[0]} to {longer[1]}: the learning rate is high once more, "
                f"so the result is not that of {longer[1]} steps at once"
            )
        if before:
            self.configuration[_BEFORE] = before
            write_atomic(place, _as_bytes(self.configuration))

    def _share(self, otherwise: int) -> None:
        """Settles into how many shards batches are cut, where the settings leave it open."""
        self.shards = self.shards or otherwise
        self.configuration[_SHARDS] = self.shards
        count = processes().count
        if count > 1 and self.shards > 1:
            self.notes.append(f"each batch is cut into {self.shards} shards, which {count} processes share")
        if count > self.shards:
            self.notes.append(
                f"{count - self.shards} of {count} processes have nothing to compute: shards is {self.shards} in this "
                f"run; begin another with at least {count} ([run] of --config)"
            )

    def _expect_done(self, steps: int) -> None:
        assert self.folder is not None
        done = [load_checkpoint(path).get("done") for path in sorted(self.folder.glob("*.pt"))]
        if not done or set(done) != {steps} or not self.path(MODEL).is_file():
            raise RunError(
                f"{self.folder}: expected a run that is done, to train it longer, found one that is not; resume it "
                f"with --steps {steps} first"
            )

    # -- the loop -----------------------------------------------------------------------------------------------------

    def steps(
        self,
        task: Task[B],
        draw: Callable[[np.random.Generator], B],
        *,
        steps: int,
        seed: int,
        title: str = "training",
        checkpoint: str = CHECKPOINT,
        checkpoint_every: int = 100,
        log_every: int = 10,
        workers: int = 0,
        show_progress: bool = True,
    ) -> Iterator[tuple[int, Mapping[str, float]]]:
        """Trains `task` on batches from `draw` for steps 0 … steps - 1, from where a checkpoint of this run says; gives
        (step, numbers) after each. The last state is checkpointed too. CheckpointError: a damaged or foreign
        checkpoint.

        checkpoint: its file, a name for each training where a run has several; also the `part` its metrics are logged
        under. Ctrl-C ends it after the step that is at hand, which is checkpointed: KeyboardInterrupt says where.
        """
        first = self._resumed(task, checkpoint, steps, seed)
        self._open_metrics(checkpoint, first)
        with (
            interruptible() as stop,
            _progress(title, steps, first, show_progress) as advance,
            torch.random.fork_rng(devices=[]),
            contextlib.closing(self._taken(task, draw, stop, seed, first, steps, workers)) as taken,
        ):
            for step, numbers in taken:
                self._worthless = False
                if step % log_every == 0 or step == steps - 1:
                    self.log(step, numbers, part=Path(checkpoint).stem)
                if (step + 1) % checkpoint_every == 0 or step == steps - 1:
                    self._save(task, checkpoint, step + 1, seed)
                advance(numbers)
                yield step, numbers
                if (stop.is_set() or processes().ends_early()) and step < steps - 1:
                    self._save(task, checkpoint, step + 1, seed)
                    raise KeyboardInterrupt(f"{title}: {step + 1} of {steps} steps done")

    def _taken(
        self,
        task: Task[B],
        draw: Callable[[np.random.Generator], B],
        stop: Stop,
        seed: int,
        first: int,
        steps: int,
        workers: int,
    ) -> Generator[tuple[int, Mapping[str, float]]]:
        """(step, numbers) of each, on whole batches or on shards."""
        if self.shards > 1:
            cut = expect_sharded(task, draw)
            yield from ShardedSteps(*cut, seed, first, steps, self.shards, workers).take(stop)
            return
        for step, batch in batches(draw, seed=seed, first=first, steps=steps, workers=workers):
            torch.manual_seed(torch_seed(seed, step))
            yield step, task.step(step, batch)

    def train(self, task: Task[B], draw: Callable[[np.random.Generator], B], **settings: Any) -> None:
        """All of `steps`, where nothing is to be done between them."""
        for _ in self.steps(task, draw, **settings):
            pass

    def _save(self, task: Task[B], name: str, done: int, seed: int) -> None:
        if self.folder is None:
            return
        with self.writing():
            save_checkpoint(self.path(name), {"done": done, "seed": seed, "task": task.state()})

    def _resumed(self, task: Task[B], name: str, steps: int, seed: int) -> int:
        """The first step to do."""
        if self.folder is None or not self.path(name).exists():
            return 0
        place = self.path(name)
        state = load_checkpoint(place)
        done = state.get("done")
        if not isinstance(done, int) or not 0 < done <= steps or state.get("seed") != seed or "task" not in state:
            raise CheckpointError(
                f"{place}: expected a checkpoint of seed {seed} within {steps} steps, found one of seed "
                f"{state.get('seed')} after "
                f"{done} steps; remove it to start over"
            )
        task.load(state["task"], place)
        return done

    def _open_metrics(self, name: str, first: int) -> None:
        """The metrics file, without lines of this part that the checkpoint does not know of: they will come again."""
        if self.folder is None:
            return
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None
        part = Path(name).stem
        kept = [line for line in self.metrics() if line.get("part") != part or line.get("step", 0) < first]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        with self.writing():
            write_atomic(self.path(METRICS), text.encode())
            self._metrics = self.path(METRICS).open("a", encoding="utf-8")


def expect_place(out: str | os.PathLike[str] | None) -> None:
    """RunError, before anything is trained, for a file that could not be written where it is to be."""
    if out is None:
        return
    folder = Path(os.path.realpath(out)).parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        found = "one that cannot be written" if folder.is_dir() else "none"
        raise RunError(f"{os.fspath(out)}: expected a folder {folder} to write it in, found {found}; make it first")


def seed_folder(folder: str | None, seed: int, count: int) -> str | None:
    """The folder of one of `count` trainings that differ in their seed: where there are several, one for each."""
    return folder if folder is None or count == 1 else f"{folder}/seed{seed}"


def say_written(
    out: str | os.PathLike[str] | None,
    folder: str | os.PathLike[str] | None,
    say: Callable[[str], None],
    *,
    enrols: bool = False,
) -> None:
    """What a training left on the disk, and what to do next. enrols: the model is one for a gallery, not made in
    steps."""
    inside = "model, scores, plots" if enrols else "model, scores, losses, checkpoints, plots"
    places = [] if out is None else [os.fspath(out)]
    places += [] if folder is None else [f"{os.fspath(folder)} ({inside})"]
    model = os.fspath(out) if out is not None else os.path.join(os.fspath(folder or ""), MODEL)
    say(f"wrote {', '.join(places)}")
    if enrols:
        say(f"next: aether enroll {model} RECORDINGS -o gallery.npz; aether run {model} RECORDING --enroll gallery.npz")
        return
    say(f"next: aether run {model} RECORDING, or aether device pack {model} --out slot.bin")
    if folder is not None:
        say("to train longer: the same command with --resume and more --steps")


def environment() -> dict[str, Any]:
    """What beside the settings decides the last bits of a training."""
    return {
        "aether_temporal": __version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
    }


def _difference(was: Any, now: Any, key: str = "") -> tuple[str, str, str] | None:
    """The first place where two documents differ, and what stands there."""
    if isinstance(was, dict) and isinstance(now, dict):
        pairs = [(f"{key}.{name}" if key else name, was.get(name), now.get(name)) for name in sorted({*was, *now})]
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        pairs = [(f"{key}[{index}]", a, b) for index, (a, b) in enumerate(zip(was, now, strict=True))]
    elif was == now:
        return None
    else:
        a, b = (text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…" for text in map(json.dumps, (was, now)))
        return key, a, b
    return next((found for name, a, b in pairs if (found := _difference(a, b, name)) is not None), None)


def _as_bytes(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(_plain(document), indent=1) + "\n").encode()


def _number(value: float) -> float | None:
    found = float(value)
    return found if math.isfinite(found) else None


def _plain(value: Any) -> Any:
    """As JSON gives it back, so that a stored configuration can be compared."""
    return json.loads(json.dumps(value, default=_as_json))


def _as_json(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"a configuration holds numbers, texts, lists and dicts, found {type(value).__name__}")


@contextmanager
def _progress(title: str, steps: int, first: int, shown: bool) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """A bar on standard error, where that is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[numbers]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as bar:
        task = bar.add_task(title, total=steps, completed=first, numbers="")

        def advance(numbers: Mapping[str, float]) -> None:
            bar.update(task, advance=1, numbers="  ".join(f"{k} {v:.3f}" for k, v in numbers.items()))

        yield advance
