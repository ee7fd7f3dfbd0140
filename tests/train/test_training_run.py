"""A run that is killed, resumed, given other workers or a full disk ends as one that was not; what does not fit is
named."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hang import HANG

from aether_temporal import WeightBlob

torch = pytest.importorskip("torch", reason="torch (extra train) is not installed")

import killed_runs  # noqa: E402

from aether_temporal.torch import Description, NetworkConfig, TemporalClassifier, to_blob  # noqa: E402
from aether_temporal.train import activity  # noqa: E402
from aether_temporal.train.checkpoints import (  # noqa: E402
    CheckpointError,
    batches,
    load_checkpoint,
    save_checkpoint,
)
from aether_temporal.train.dataset import (  # noqa: E402
    Dataset,
    LabelledRecording,
)
from aether_temporal.train.runs import (  # noqa: E402
    CHECKPOINT,
    CONFIGURATION,
    METRICS,
    Run,
    RunError,
)
from aether_temporal.train.splits import Split  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # a machine of one processor


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def weights(folder: Path) -> dict[str, bytes]:
    """Every tensor of the last checkpoint."""
    found: dict[str, bytes] = {}

    def walk(name: str, value: object) -> None:
        if isinstance(value, torch.Tensor):
            found[name] = value.numpy().tobytes()
        elif isinstance(value, Mapping):
            for key, part in value.items():
                walk(f"{name}.{key}", part)

    walk("", load_checkpoint(folder / CHECKPOINT)["task"])
    assert len(found) > 40
    return found


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder: Path = tmp_path_factory.mktemp("run") / "whole"
    killed_runs.train(folder, killed_runs.task())
    return folder


def assert_same(found: Path, expected: Path) -> None:
    assert weights(found) == weights(expected)
    assert (found / METRICS).read_bytes() == (expected / METRICS).read_bytes()
    names = {path.name for path in found.iterdir()}
    assert names == {".lock", CHECKPOINT, METRICS, CONFIGURATION}  # nothing of the killed writes is left


@pytest.mark.skipif(not hasattr(os, "fork"), reason="killing needs fork, which this system does not have")
def test_a_run_killed_at_any_moment_ends_as_one_that_was_not(tmp_path: Path, uninterrupted: Path) -> None:
    script = [sys.executable, killed_runs.__file__, str(tmp_path / "run"), "1", "8"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3, "it was hardly killed"
    assert_same(tmp_path / "run", uninterrupted)


def test_workers_change_nothing(tmp_path: Path, uninterrupted: Path) -> None:
    killed_runs.train(tmp_path / "run", killed_runs.task(), workers=2)
    assert_same(tmp_path / "run", uninterrupted)


def test_batches_depend_on_seed_and_step_alone() -> None:
    def draw(generator: np.random.Generator) -> float:
        return float(generator.random())

    whole = list(batches(draw, seed=3, first=0, steps=12))
    assert [step for step, _ in whole] == list(range(12))
    assert list(batches(draw, seed=3, first=5, steps=12, workers=2)) == whole[5:]
    assert len({value for _, value in whole}) == 12
    assert next(batches(draw, seed=4, first=0, steps=12)) != whole[0]


class Counter:
    """A task whose state is how far it came."""

    def __init__(self, size: int = 2, fail_at: int | None = None) -> None:
        self.value, self.fail_at = torch.zeros(size), fail_at

    def step(self, step: int, batch: float) -> Mapping[str, float]:
        if step == self.fail_at:
            raise KeyboardInterrupt
        self.value += batch + torch.rand(1)
        return {"value": float(self.value[0]), "lost": float("nan")}

    def state(self) -> dict[str, object]:
        return {"value": self.value}

    def load(self, state: dict[str, torch.Tensor], path: Path) -> None:
        if state["value"].shape != self.value.shape:
            raise CheckpointError(f"{path}: value: expected {self.value.shape}")
        self.value = state["value"].clone()


def count(run: Run, task: Counter, *, steps: int = 10, seed: int = 1) -> None:
    run.train(task, lambda g: float(g.random()), steps=steps, seed=seed, checkpoint_every=4, show_progress=False)


def test_a_folder_holds_one_run_of_one_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with Run.open(folder, {"a": 1, "b": [1.5, "x"]}) as run:
        count(run, Counter())
        lines = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
        assert [line["step"] for line in lines] == [0, 9]
        assert all(line["lost"] is None for line in lines)  # JSON has no nan
        with pytest.raises(RunError, match="another process is working"):
            Run.open(folder, {"a": 1, "b": [1.5, "x"]}, resume=True)
    with pytest.raises(RunError, match="expected a new run folder"):
        Run.open(folder, {"a": 1, "b": [1.5, "x"]})
    with pytest.raises(RunError, match=r"configuration.json: b: expected \[1.5, \"x\"\], .* found \[2\]"):
        Run.open(folder, {"a": 1, "b": [2]}, resume=True)
    with pytest.raises(RunError, match="configuration.json: c: expected null"):
        Run.open(folder, {"a": 1, "b": [1.5, "x"], "c": 3}, resume=True)
    with pytest.raises(RunError, match=r"configuration.json: b\[1\]: expected \"x\", .* found \"x{99}…;"):
        Run.open(folder, {"a": 1, "b": [1.5, "x" * 500]}, resume=True)
    with Run.open(folder, {"a": 1, "b": (1.5, "x")}, resume=True):
        pass
    (folder / CONFIGURATION).write_text("{")
    with pytest.raises(RunError, match="damaged"):
        Run.open(folder, {"a": 1}, resume=True)


@pytest.mark.parametrize("there", [False, True])
def test_a_run_that_fails_before_its_first_step_leaves_no_trace(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "deep" / "run"
    if there:
        folder.mkdir(parents=True)
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), Run.open(folder, {"a": 1}):
            raise error
        with pytest.raises(KeyboardInterrupt), Run.open(folder, {"a": 1}) as run:
            count(run, Counter(fail_at=0))
        assert list(tmp_path.rglob("*")) == ([folder.parent, folder] if there else [])
    with pytest.raises(KeyboardInterrupt), Run.open(folder, {"a": 1}) as run:
        count(run, Counter(fail_at=1))
    assert (folder / CONFIGURATION).exists()  # there is something to resume
    before = {path.name for path in folder.iterdir()}
    with pytest.raises(RunError, match="expected a new run folder"):
        Run.open(folder, {"a": 1})
    with pytest.raises(KeyboardInterrupt), Run.open(folder, {"a": 1}, resume=True):
        raise KeyboardInterrupt
    assert {path.name for path in folder.iterdir()} == before


def test_a_run_without_a_folder_trains_and_writes_nothing(tmp_path: Path) -> None:
    task, other = Counter(), Counter()
    with Run.open(None, {}) as run:
        count(run, task)
        run.write("result.json", {})
        assert run.metrics() == []
        with pytest.raises(RunError, match="without"):
            run.path("x")
    with Run.open(tmp_path / "run", {}) as run:
        count(run, other)
    assert torch.equal(task.value, other.value)


def test_the_callers_random_numbers_are_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    count(Run(None, {}), Counter())
    assert torch.equal(torch.rand(4), expected)


def test_checkpoints_that_do_not_fit_are_named_and_change_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with Run.open(folder, {}) as run:
        with pytest.raises(KeyboardInterrupt):
            count(run, Counter(fail_at=6))
        assert load_checkpoint(folder / CHECKPOINT)["done"] == 4
        wide = Counter(size=3)
        for task, settings, message in (
            (wide, {}, "value: expected"),
            (Counter(), {"seed": 2}, "expected a checkpoint of seed 2"),
            (Counter(), {"steps": 3}, "within 3 steps, found one of seed 1 after 4"),
        ):
            with pytest.raises(CheckpointError, match=rf"checkpoint\.pt: .*{message}"):
                count(run, task, **settings)
        assert not wide.value.any()
        whole = (folder / CHECKPOINT).read_bytes()
        for damaged in (whole[:-1], whole[:40], b"", b"PK" + whole[2:], whole[:-1] + bytes([whole[-1] ^ 1])):
            (folder / CHECKPOINT).write_bytes(damaged)
            with pytest.raises(CheckpointError, match=r"checkpoint\.pt: expected .* remove it to start over"):
                count(run, Counter())


def test_a_network_of_another_shape_is_rejected_by_the_tensors_name(tmp_path: Path, uninterrupted: Path) -> None:
    from aether_temporal.torch import NetworkConfig, TemporalClassifier
    from aether_temporal.train.supervised import FitConfig, Fitting

    state = load_checkpoint(uninterrupted / CHECKPOINT)["task"]
    network = TemporalClassifier(NetworkConfig(52, 3, 16, n_layers=1, n_q_heads=2, head_dim=4, agc="mean"))
    before = [value.clone() for value in network.state_dict().values()]
    task = Fitting(network, FitConfig())
    with pytest.raises(CheckpointError, match=r"x\.pt: network\.[\w.]+: expected shape \(.*16.*\), found \(.*8.*\)"):
        task.load(state, Path("x.pt"))
    assert all(torch.equal(a, b) for a, b in zip(before, network.state_dict().values(), strict=True))


def test_a_full_disk_is_an_error_that_says_so_and_the_run_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, expected = tmp_path / "run", Counter()
    count(Run(None, {}), expected)
    real, calls = os.fsync, [0]

    def full(descriptor: int) -> None:
        calls[0] += 1
        if calls[0] > 4:
            raise OSError(28, "No space left on device")
        real(descriptor)

    with Run.open(folder, {}) as run:
        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(RunError, match=r"checkpoint\.pt: no space left .*--resume"):
            count(run, Counter())
        with pytest.raises(RunError, match=r"result\.json: no space left"):
            run.write("result.json", {"a": 1})
        monkeypatch.undo()
    assert {p.name for p in folder.iterdir()} <= {".lock", CHECKPOINT, METRICS, CONFIGURATION}
    task = Counter()
    with Run.open(folder, {}, resume=True) as run:
        count(run, task)
    assert torch.equal(task.value, expected.value)


def test_metrics_that_cannot_be_written_are_an_error(tmp_path: Path) -> None:
    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    with Run.open(tmp_path / "run", {}) as run:
        count(run, Counter(), steps=1)
        whole, run._metrics = run._metrics, Full()
        assert whole is not None
        whole.close()
        with pytest.raises(RunError, match=r"run: no space left .*--resume"):
            run.log(1, {"loss": 1.0})


def test_a_checkpoint_executes_nothing(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, ("false",)

    save_checkpoint(tmp_path / "evil.pt", {"task": Evil()})
    with pytest.raises(CheckpointError, match=r"evil\.pt: expected tensors and numbers"):
        load_checkpoint(tmp_path / "evil.pt")


LARGE = """
import json, resource, sys
from pathlib import Path
import numpy as np, torch
from aether_temporal.torch import NetworkConfig
from aether_temporal.train.dataset import class_counts
from aether_temporal.train.prepared import read_dataset
from aether_temporal.train.supervised import Augmentation, Batches, Crops, FitConfig, fit, some_frames

torch.set_num_threads(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
dataset = read_dataset(sys.argv[1])
crops = Crops(60, 8, 5, 9, Augmentation(), tuple(class_counts(dataset, 2).tolist()))
crops.check(dataset)
shape = NetworkConfig(dataset.width, 2, 8, n_layers=1, n_q_heads=2, head_dim=4, agc="mean")
frames = some_frames(dataset, 2000)
fit(shape, frames, Batches(crops, dataset), FitConfig(steps=5), seed=0, show_progress=False)
print(dataset.frames * dataset.width * 4, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured in Linux's units")
def test_a_dataset_far_larger_than_what_is_kept_of_it_trains(tmp_path: Path) -> None:
    """3 GB of frames in a file with holes; not a fifth of that is ever in memory, mapped pages included."""
    recordings, length, width = 300, 50_000, 50
    with (tmp_path / "frames.f32").open("wb") as file:
        file.truncate(recordings * length * width * 4)
        file.write(np.random.default_rng(0).uniform(1, 9, (length // 10, width)).astype("<f4").data)
    np.tile(np.repeat([0, 1], length // 2), recordings).astype("<i8").tofile(tmp_path / "labels.i64")
    (tmp_path / "fingerprints.i64").touch()
    entries = [
        {"name": str(i), "session": "0", "rows": [i * length, (i + 1) * length], "fingerprints": [0, 0]}
        for i in range(recordings)
    ]
    index = {
        "version": 2,
        "fingerprints": 0,
        "classes": ["a", "b"],
        "width": width,
        "frames": recordings * length,
        "features": {},
        "recordings": entries,
    }
    (tmp_path / "index.json").write_text(json.dumps(index))
    done = subprocess.run([sys.executable, "-c", LARGE, str(tmp_path)], capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    size, memory = map(int, done.stdout.split())
    assert size == 3_000_000_000
    assert memory < size / 5, memory


ORPHANED = """
import os, signal, sys
import numpy as np
from aether_temporal.train.runs import Run

class Task:
    def step(self, step, batch):
        if step == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return {}
    def state(self):
        return {}

with Run.open(sys.argv[1], {}) as run:
    run.train(Task(), lambda g: g.normal(size=100_000), steps=500, seed=0, workers=2, show_progress=False)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_workers_end_with_a_run_that_is_killed_and_let_go_of_its_folder(tmp_path: Path) -> None:
    """They inherit the lock: a worker that waited on for its batches to be fetched would bar the run from resuming."""
    command = [sys.executable, "-W", "ignore", "-c", ORPHANED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG)  # until no worker holds the pipe
    assert done.returncode < 0, done.stderr
    Run.open(tmp_path, {}, resume=True).close()


CLASSES = tuple("abcde")
FRAMES = 2000
KEPT = 2**20
"""Bytes that do not depend on how many recordings there are: a recording's predictions, a chunk in binary64."""


def blob() -> WeightBlob:
    """A small model that was trained on nothing."""
    torch.manual_seed(0)
    shape = NetworkConfig(4, len(CLASSES), 4, n_layers=1, n_q_heads=1, n_kv_heads=1, head_dim=4)
    return to_blob(TemporalClassifier(shape), Description(CLASSES, 50.0, "a test"))


def dataset(recordings: int) -> Dataset:
    """Recordings of two sessions, every one of the same frames and labels: they take no memory of their own."""
    frames = np.random.default_rng(0).uniform(1, 9, (FRAMES, 4)).astype(np.float32)
    labels = np.arange(FRAMES) // 100 % len(CLASSES)
    return Dataset([LabelledRecording(f"r{i}", str(i % 2), frames, labels) for i in range(recordings)], CLASSES)


def peak(monkeypatch: pytest.MonkeyPatch, folder: Path, recordings: int) -> int:
    """Bytes that `train_activity` takes at most, where the training itself costs nothing."""
    made, given = blob(), dataset(recordings)

    def trained(*_: Any, **__: Any) -> WeightBlob:
        return made

    monkeypatch.setattr(activity, "train", trained)
    sides = [tuple(range(side, recordings, 2)) for side in (0, 1)]
    with Run.open(folder, {}) as run:
        tracemalloc.start()
        try:
            report = activity.train_activity(given, Split(*sides), activity.Recipe(), run=run)
            found = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert report.calibration is not None
    held = -(-len(sides[0]) // activity.HELD_OUT)
    assert report.calibration.frames == held * (FRAMES - activity.WARM_UP)
    assert not [path for path in folder.iterdir() if path.suffix not in (".json", ".rvne") and path.name[0] != "."]
    return found


def test_what_comes_after_training_takes_no_more_memory_for_more_recordings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("aether_temporal.train.plots.can_draw", lambda: False)
    few, many = (peak(monkeypatch, tmp_path / str(count), count) for count in (20, 120))
    assert few < KEPT
    assert many - few < 2 * 100 * FRAMES  # two bytes a frame; its logits alone have twenty
