"""Several processes train as one does, bit for bit; what goes wrong in one of them ends all, with one message."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli.command import call
from hang import HANG

torch = pytest.importorskip("torch", reason="torch (extra train) is not installed")
distributed = pytest.importorskip("torch.distributed")

from train import distributed_runs  # noqa: E402
from train.distributed_runs import STEPS, draw, finished, launch, recordings, start, task, train  # noqa: E402

from aether_temporal.errors import InvalidConfigError  # noqa: E402
from aether_temporal.recordings import MissingExtraError  # noqa: E402
from aether_temporal.train.checkpoints import load_checkpoint  # noqa: E402
from aether_temporal.train.distributed import Outcome, ProcessError, lead, values_of  # noqa: E402
from aether_temporal.train.runs import CHECKPOINT, CONFIGURATION, METRICS, Run, RunError  # noqa: E402
from aether_temporal.train.shards import Cut, shards_of  # noqa: E402
from aether_temporal.train.supervised import Augmentation, Batches, Crops  # noqa: E402

several = pytest.mark.skipif(
    not distributed.is_available() or not distributed.is_gloo_available(), reason="this torch has no gloo"
)


def scenario(count: int, folder: Path, name: str) -> tuple[list[int], str, str]:
    return launch(count, "-c", "from train.distributed_runs import main; main()", folder, name)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    folder: Path = tmp_path_factory.mktemp("alone") / "run"
    train(folder)
    return folder


def leaves(state: object) -> Iterator[object]:
    """What a checkpoint holds, in its order."""
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else None
    if parts is None:
        yield state
    for part in parts or ():
        yield from leaves(part)


def assert_same(found: Path, expected: Path) -> None:
    """The same weights, averages and optimiser, and the same losses."""
    states = [load_checkpoint(folder / CHECKPOINT) for folder in (found, expected)]
    tensors = [list(leaves(state)) for state in states]
    assert len(tensors[0]) > 40
    for a, b in zip(*tensors, strict=True):
        if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
            assert torch.equal(a, b)
        else:
            assert a == b
    assert (found / METRICS).read_bytes() == (expected / METRICS).read_bytes()
    assert len(losses(found)) == STEPS


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / METRICS).read_text().splitlines()]


def test_shards_of_a_batch_are_the_batch() -> None:
    batches = draw()
    whole = batches(np.random.default_rng(1))
    for of in (2, 4, 9):
        parts = batches.shards(np.random.default_rng(1), of, range(of))
        for index in (0, 1):
            np.testing.assert_array_equal(np.concatenate([part[index] for part in parts]), whole[index])
        for a, b in zip(Cut(batches).shards(np.random.default_rng(1), of, range(of)), parts, strict=True):
            assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
        (last,) = batches.shards(np.random.default_rng(1), of, range(of - 1, of))
        np.testing.assert_array_equal(last[0], parts[-1][0])
    with pytest.raises(InvalidConfigError, match="shards: expected at most 9, the samples of a batch, found 10"):
        batches.shards(np.random.default_rng(1), 10, range(1))


def test_frames_of_other_shards_are_not_read() -> None:
    class Counting:
        shape, reads = (120, distributed_runs.FEATURES), 0

        def __getitem__(self, rows: slice) -> object:
            Counting.reads += 1
            return np.ones((rows.stop - rows.start, self.shape[1]), dtype=np.float32)

    made = recordings()
    for recording in made:
        object.__setattr__(recording, "frames", Counting())
    Batches(Crops(24, 8, 3, 5, Augmentation()), made).shards(np.random.default_rng(1), 4, range(1))
    assert Counting.reads == 2


def test_every_shard_is_one_processs() -> None:
    for count in range(1, 12):
        found = [shard for rank in range(count) for shard in shards_of(rank, count, 8)]
        assert found == list(range(8))
        sizes = {len(shards_of(rank, count, 8)) for rank in range(count)}
        assert max(sizes) - min(sizes) <= 1


def test_shards_train_as_the_whole_batch_does_to_rounding(tmp_path: Path) -> None:
    """With class weights, label smoothing, and shards whose frames have labels in unlike numbers; without dropout."""
    for shards in (1, 2, 4, 9):
        train(tmp_path / str(shards), task(dropout=0.0), shards=shards)
    whole = np.array(losses(tmp_path / "1"))
    assert whole[-1] < whole[0]
    for shards in (2, 4, 9):
        np.testing.assert_allclose(losses(tmp_path / str(shards)), whole, rtol=2e-5)


def test_a_run_keeps_the_shards_that_it_was_begun_with(tmp_path: Path, alone: Path) -> None:
    configuration = json.loads((alone / CONFIGURATION).read_text())
    assert configuration["shards"] == 4
    with Run.open(alone, {"task": "shared"}, resume=True, shards=0) as run:
        assert run.shards == 4
    with pytest.raises(RunError, match="shards: expected 4, as the run was begun with, found 2"):
        Run.open(alone, {"task": "shared"}, resume=True, shards=2)
    with Run.open(tmp_path / "new", {}, shards=0) as run:
        assert run.shards == 1


def test_torchrun_begins_runs_of_four_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    for folder in (None, tmp_path / "new"):
        with Run.open(folder, {}, shards=0) as run:
            assert run.shards == 4


def test_a_task_that_cannot_be_cut_is_named() -> None:
    class Whole:
        def step(self, step: int, batch: float) -> dict[str, float]:
            return {}

    run: Any = Run(None, {}, shards=2)
    with pytest.raises(TypeError, match="task: expected a ShardedTask for more than one shard, found Whole"):
        run.train(Whole(), draw(), steps=1, seed=0, show_progress=False)
    with pytest.raises(TypeError, match="draw: expected a ShardedDraw for more than one shard, found function"):
        run.train(task(), lambda generator: None, steps=1, seed=0, show_progress=False)


def test_an_error_counts_more_than_an_interrupt_and_is_one_that_can_be_sent() -> None:
    class Local(Exception):
        """Nothing outside of this function can make one."""

    def fail(error: BaseException) -> Outcome[int]:
        def compute() -> int:
            raise error

        return Outcome.of(compute)

    with pytest.raises(ProcessError, match="Local: why"):
        values_of([Outcome(1), fail(KeyboardInterrupt()), fail(Local("why"))])
    with pytest.raises(KeyboardInterrupt):
        values_of([Outcome(1), fail(KeyboardInterrupt())])
    assert values_of([Outcome(1), Outcome(2)]) == [1, 2]


def test_a_torch_without_gloo_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "is_available", lambda: False)
    with pytest.raises(MissingExtraError, match=r"torch\.distributed: expected it with gloo"):
        lead(lambda: None)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    assert "torch.distributed: expected it with gloo" in call("train", "demo", "--out", "x.rvne", code=2).stderr


@several
@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_several_processes_give_the_bits_of_one(tmp_path: Path, alone: Path, count: int) -> None:
    statuses, printed, errors = scenario(count, tmp_path / "run", "train")
    assert statuses == [0] * count, errors
    assert printed == ""
    assert_same(tmp_path / "run", alone)


@several
@pytest.mark.slow
def test_three_processes_share_four_shards(tmp_path: Path, alone: Path) -> None:
    assert scenario(3, tmp_path / "run", "train")[0] == [0] * 3
    assert_same(tmp_path / "run", alone)


@several
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_checkpoint_is_resumed_by_any_number_of_processes(tmp_path: Path, alone: Path) -> None:
    """Ctrl-C in the last of four, then of two; one ends it."""
    folder = tmp_path / "run"
    for count, done in ((4, 4), (2, 8)):
        statuses, printed, errors = scenario(count, folder, "interrupt")
        assert statuses == [0] * count, errors
        assert printed == f"training: {done} of {STEPS} steps done\n"
        assert load_checkpoint(folder / CHECKPOINT)["done"] == done
    train(folder)
    assert_same(folder, alone)


@several
def test_an_error_in_one_process_is_raised_in_the_first_and_all_work_on(tmp_path: Path, alone: Path) -> None:
    statuses, printed, errors = scenario(2, tmp_path / "run", "fail")
    assert statuses == [0, 0], errors
    assert printed == "a shard that cannot be computed\n"
    assert_same(tmp_path / "run", alone)


@several
@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_a_process_that_is_gone_is_named_and_the_run_goes_on_later(tmp_path: Path, alone: Path, count: int) -> None:
    statuses, _, errors = scenario(count, tmp_path / "run", "die")
    assert statuses[-1] == 9
    assert all(status == 1 for status in statuses[:-1]), statuses
    said = [line for line in errors.splitlines() if "ProcessError: " in line]
    assert len(said) == 1, errors
    assert f"process 0 of {count}: expected all others until the end, found one gone" in said[0]
    train(tmp_path / "run")
    assert_same(tmp_path / "run", alone)


@several
@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_items_are_dealt_out_and_an_error_of_one_ends_all(tmp_path: Path, count: int) -> None:
    statuses, printed, errors = scenario(count, tmp_path, "deal")
    assert statuses == [0] * count, errors
    assert printed == "number: expected at least 0, found -1\n"


def clips(folder: Path) -> Path:
    """Recordings of two classes, by folder."""
    rng = np.random.default_rng(2)
    for label, speed in (("sit", 0.02), ("walk", 0.3)):
        (folder / "clips" / label).mkdir(parents=True)
        for number in range(6):
            clip = 9 + np.sin(speed * np.arange(90))[:, None] * np.arange(8) + rng.normal(0, 0.2, (90, 8))
            np.save(folder / "clips" / label / f"{number}.npy", clip.astype("float32"))
    return folder / "clips"


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, "-m", "--", "aether_temporal")


@several
@pytest.mark.slow
def test_torchrun_gives_the_blob_of_one_process_and_prints_once(tmp_path: Path) -> None:
    config = tmp_path / "four.toml"
    config.write_text("[run]\nshards = 4\n")
    command = ("train", "activity", "--data", clips(tmp_path), "--label-from", "folder", "--steps", 3)
    alone = call(*command, "--config", config, "--run", tmp_path / "one", code=0).stdout
    status, printed, errors = finished(start(*TORCHRUN, *command, "--run", tmp_path / "two"))
    assert status == 0, errors
    shared = "each batch is cut into 4 shards, which 2 processes share\n"
    assert printed.replace(shared, "", 1).replace(str(tmp_path / "two"), str(tmp_path / "one")) == alone
    for name in ("model.rvne", "metrics.jsonl", "configuration.json", "result.json"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()

    status, _, errors = finished(start(*TORCHRUN, *command, "--run", tmp_path / "two"))
    assert status != 0
    assert errors.count("expected a new run folder, found a run") == 1, errors


@several
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_under_torchrun_keeps_the_step_at_hand(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = ("train", "activity", "--data", clips(tmp_path), "--label-from", "folder", "--no-calibrate")
    running = start(*TORCHRUN, *command, "--steps", 10**6, "--run", folder)
    end = time.monotonic() + HANG
    while not (folder / METRICS).is_file() or len((folder / METRICS).read_bytes().splitlines()) < 2:
        assert running.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    status, _, errors = finished(running)
    assert status != 0
    done = load_checkpoint(folder / "model.pt")["done"]
    assert done > 10
    said = f"aether: interrupted; activity: {done} of 1000000 steps done; --resume continues the run in {folder}"
    assert [line for line in errors.splitlines() if "interrupted" in line] == [said]
