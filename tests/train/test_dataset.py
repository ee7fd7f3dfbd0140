"""Datasets in memory and on disk hold the same; unsuitable data and damaged folders are named; splits cannot leak."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from aether_temporal.cli import aether
from aether_temporal.recordings import RecordingError, RecordingShapeError
from aether_temporal.train import prepared, splits
from aether_temporal.train.dataset import (
    Dataset,
    LabelledRecording,
    class_counts,
    class_weights,
    expect_length,
    windows,
)
from aether_temporal.train.prepared import INDEX, Prepared, prepare, read_dataset
from aether_temporal.train.reading import Reading, without_side
from aether_temporal.train.reid_protocol import profiles, take
from aether_temporal.train.splits import LeakError, Split, fingerprint


def save(path: Path, **changes: Any) -> Path:
    """Four recordings of two subjects in two sessions, 30 frames each."""
    rng = np.random.default_rng(3)
    arrays: dict[str, Any] = {
        "frames": rng.uniform(1, 9, (120, 5)).astype(np.float32),
        "t": np.tile(np.arange(30) * 0.02, 4),
        "labels": np.repeat([0, 1, 2, 3], 30),
        "label_names": np.array(["WALK_RX", "WALK_TX", "SIT_RX", "SIT_TX"]),
        "rec_offset": np.arange(0, 121, 30),
        "rec_name": np.array(["a", "b", "c", "d"]),
        "rec_subject": np.array(["p", "q", "p", "q"]),
        "rec_session": np.array([0, 0, 1, 1]),
    }
    arrays.update(changes)
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def recording(
    name: str, frames: int = 10, *, subject: str | None = None, session: str = "0", seed: int = 0
) -> LabelledRecording:
    values = np.random.default_rng([seed, sum(name.encode())]).uniform(1, 9, (frames, 3)).astype(np.float32)
    return LabelledRecording(
        name, session, values, np.zeros(frames, np.int64), subject, "file", digest=hash(values.tobytes())
    )


def test_a_recording_comes_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    dataset = read_dataset(save(tmp_path / "set.npz"), rename=without_side)
    assert dataset.classes == ("SIT", "WALK")
    assert [(t.name, t.subject, t.session, len(t)) for t in dataset] == [
        ("a", "p", "0", 30), ("b", "q", "0", 30), ("c", "p", "1", 30), ("d", "q", "1", 30),
    ]  # fmt: skip
    assert [int(t.labels[0]) for t in dataset] == [1, 1, 0, 0]
    assert all(t.source.endswith("set.npz") for t in dataset)
    assert dataset.width == 5
    assert dataset.frames == 120
    np.testing.assert_array_equal(class_counts(dataset, 2), [60, 60])


def test_a_prepared_folder_is_mapped_and_holds_the_same(tmp_path: Path) -> None:
    files = [save(tmp_path / "one.npz"), save(tmp_path / "two.npz", frames=np.ones((120, 5), np.float32))]
    seen: list[str] = []
    made = prepare(files, tmp_path / "dataset", rename=without_side, on_recording=seen.append)
    assert len(seen) == len(made) == 8
    again = read_dataset(tmp_path / "dataset")
    copied = pickle.loads(pickle.dumps(again))  # as a worker gets it
    plain = [*read_dataset(files[0], rename=without_side), *read_dataset(files[1], rename=without_side)]
    for dataset in (made, again, copied):
        assert dataset.classes == ("SIT", "WALK")
        for found, expected in zip(dataset, plain, strict=True):
            np.testing.assert_array_equal(found.frames, expected.frames)
            np.testing.assert_array_equal(found.labels, expected.labels)
            for name in ("name", "subject", "session", "source", "recording_name", "digest"):
                assert getattr(found, name) == getattr(expected, name), name
    base = again[0].frames
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)  # nothing was read into memory
    assert not again[0].frames.flags.writeable
    assert len(pickle.dumps(again)) < 1000
    some = again.subset([2, 0, 5]).subset([0, 2])  # what is left after a split
    sent = pickle.dumps(some)
    assert len(sent) < 1000
    for dataset in (some, pickle.loads(sent)):
        assert [(t.source, t.name) for t in dataset] == [(again[i].source, again[i].name) for i in (2, 5)]
        np.testing.assert_array_equal(dataset[1].frames, again[5].frames)


def test_a_prepared_folder_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = save(tmp_path / "set.npz")
    bad = save(tmp_path / "wide.npz", frames=np.ones((120, 6), np.float32))
    for files, error in (([data, bad], RecordingShapeError), ([data, tmp_path / "none.npz"], RecordingError)):
        with pytest.raises(error):
            prepare(files, tmp_path / "dataset")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["set.npz", "wide.npz"]

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RecordingError, match=r"dataset: no space left .* make room"):
        prepare([data], tmp_path / "dataset")
    monkeypatch.undo()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set.npz", "wide.npz"]
    prepare([data], tmp_path / "dataset")
    with pytest.raises(RecordingError, match="dataset: expected a new folder"):
        prepare([data], tmp_path / "dataset")


@pytest.mark.parametrize("damage", ["{", '{"version": 2}', "cut", "gone", "no index"])
def test_a_damaged_folder_is_named(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "dataset"
    prepare([save(tmp_path / "set.npz")], folder)
    if damage == "cut":
        (folder / "frames.f32").write_bytes((folder / "frames.f32").read_bytes()[:-4])
    elif damage == "gone":
        (folder / "labels.i64").unlink()
    elif damage == "no index":
        (folder / INDEX).unlink()
    else:
        (folder / INDEX).write_text(damage)
    with pytest.raises(RecordingError, match="dataset"):
        read_dataset(folder)


@pytest.mark.parametrize(
    "damage",
    [
        lambda index: index["recordings"][0].pop("rows"),
        lambda index: index["recordings"][0].update(more=1),
        lambda index: index["recordings"][0].update(rows=[0, 10**9]),
        lambda index: index["recordings"][0].update(fingerprints=[0, 10**9]),
        lambda index: index["recordings"][0].update(rows=[0, 30, 60]),
        lambda index: index["recordings"].__setitem__(0, 7),
        lambda index: index["features"].update(more=1),
        lambda index: index["features"].update(select=3),
    ],
)
def test_a_damaged_entry_of_the_index_is_named(tmp_path: Path, damage: Callable[[dict[str, Any]], object]) -> None:
    folder = tmp_path / "dataset"
    prepare([save(tmp_path / "set.npz")], folder)
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    damage(index)
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(RecordingError, match=r"index.json: recordings, features: .* prepare the dataset again"):
        read_dataset(folder)


BAD = {
    "nan": ({"frames": np.where(np.arange(600).reshape(120, 5) == 7, np.nan, 1.0)}, "a: frames: .* 1 of 30 .*NaN"),
    "gap": ({"t": np.r_[np.arange(60) * 0.02, 0, 0.02 + 20 + np.arange(59) * 0.02]}, "c: timestamps: .* 20.02 s after"),
    "wrap": ({"t": np.r_[4294.96, 0.0, np.arange(118) * 0.02]}, "a: timestamps: .* wrapped"),
    "huge": (
        {"frames": np.where(np.arange(600).reshape(120, 5) == 157, 1e37, 1.0)},
        "b: frames: .* 1e.37 in frame 1: ",
    ),
    "low": (
        {"frames": np.where(np.arange(600).reshape(120, 5) == 157, -2e30, 1.0)},
        "b: frames: .* 2e.30 in frame 1: ",
    ),
    "restart": ({"t": np.r_[40.0, 0.0, np.arange(118) * 0.02]}, "a: timestamps: .* restarted"),
}


@pytest.mark.parametrize("what", BAD)
def test_recordings_that_cannot_be_trusted_are_named(tmp_path: Path, what: str) -> None:
    changes, message = BAD[what]
    path = save(tmp_path / f"{what}.npz", **changes)
    with pytest.raises(RecordingError, match=rf"{what}\.npz:{message}"):
        read_dataset(path)
    with pytest.raises(RecordingError, match=message):
        prepare([path], tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists()


def test_damaged_frames_can_be_left_out_and_gaps_begin_anew_on_a_grid(tmp_path: Path) -> None:
    path = save(tmp_path / "nan.npz", **BAD["nan"][0])
    assert [len(t) for t in read_dataset(path, reading=Reading(leave_out_damaged=True))] == [29, 30, 30, 30]
    gap = save(tmp_path / "gap.npz", **BAD["gap"][0])
    dataset = read_dataset(gap, reading=Reading(period_us=20_000, max_gap_us=100_000))
    assert [t.name for t in dataset] == ["a", "b", "c+0", "c+1", "d"]
    assert dataset[2].recording_id == dataset[3].recording_id
    assert [len(t) for t in dataset] == [30, 30, 1, 29, 30]
    for t in dataset:
        np.testing.assert_allclose(t.frames.mean(axis=1), 1, rtol=1e-6)  # without gain, before it was put on the grid
    with pytest.raises(LeakError, match="gap.npz:c"):
        splits.by_recording(dataset, [3])


def test_unknown_labels_are_named(tmp_path: Path) -> None:
    path = save(tmp_path / "set.npz")
    assert read_dataset(path, rename=without_side, classes=("WALK", "SIT", "RUN")).classes == ("WALK", "SIT", "RUN")
    with pytest.raises(RecordingError, match=r"set\.npz:c: labels: expected RUN, WALK; found 'SIT'"):
        read_dataset(path, rename=without_side, classes=("RUN", "WALK"))


def test_widths_that_differ_are_named() -> None:
    wide = LabelledRecording("wide", "0", np.ones((4, 7), np.float32), np.zeros(4, np.int64))
    with pytest.raises(RecordingShapeError, match="wide: frame width: expected 3 features as file:a"):
        Dataset([recording("a"), wide], ("x",))


def test_frames_wider_than_a_blob_can_state_are_named() -> None:
    for width in (0, 65536):
        with pytest.raises(
            RecordingShapeError, match=f"wide: frame width: expected 1 to 65535 features, found {width}"
        ):
            Dataset([LabelledRecording("wide", "0", np.ones((4, width), np.float32), np.zeros(4, np.int64))], ())


# -- splits ---------------------------------------------------------------------------------------------


def test_splits_by_session_subject_and_recording(tmp_path: Path) -> None:
    dataset = read_dataset(save(tmp_path / "set.npz"))
    assert splits.by_session(dataset, ["0"]) == Split((0, 1), (2, 3))
    assert splits.by_subject(dataset, ["q"]) == Split((0, 2), (1, 3))
    assert splits.by_recording(dataset, [3]) == Split((0, 1, 2), (3,))
    assert [split.test for split in splits.folds(dataset, 2)] == [(0, 2), (1, 3)]
    one = splits.held_out_subjects(dataset, 0.5, seed=1)
    assert one == splits.held_out_subjects(dataset, 0.5, seed=1)
    assert len({dataset[i].subject for i in one.test}) == 1
    train, test = one.parts(dataset)
    assert len(train) == len(test) == 2
    for wrong in (lambda: splits.by_session(dataset, ["7"]), lambda: splits.by_subject(dataset, ["z"])):
        with pytest.raises(RecordingError, match="expected one of those there are"):
            wrong()
    with pytest.raises(RecordingError, match="folds: expected 2 to 4"):
        next(splits.folds(dataset, 5))
    with pytest.raises(RecordingError, match="test: expected at least one"):
        splits.check(dataset, Split((0,), ()))
    with pytest.raises(RecordingError, match="subject: expected more than 2"):
        splits.held_out_subjects(dataset, 0.99, seed=0)


def test_what_would_leak_is_an_error_that_names_it() -> None:
    recordings = [recording("a", subject="p"), recording("b", subject="q"), recording("c", subject="p", session="1")]
    with pytest.raises(LeakError, match="file:a: .*in train and in test"):
        splits.check(recordings, Split((0, 1), (0, 2)))
    with pytest.raises(LeakError, match="subject p: .*open-set"):
        splits.check(recordings, Split((0, 1), (2,)), open_set=True)
    splits.check(recordings, Split((0, 1), (2,)))
    copy = LabelledRecording(
        "other name", "9", recordings[0].frames, recordings[0].labels, "z", "elsewhere", digest=recordings[0].digest
    )
    with pytest.raises(LeakError, match="elsewhere:other name: .*same frames, in train as file:a"):
        splits.check([*recordings, copy], Split((0, 1), (3,)))
    with pytest.raises(RecordingError, match="d: subject: expected one"):
        splits.check([*recordings, recording("d")], Split((0, 1), (3,)), open_set=True)


# -- windows --------------------------------------------------------------------------------------------


def test_windows_lie_within_their_recordings_and_short_ones_are_named() -> None:
    recordings = [recording("a", 25), recording("b", 9), recording("c", 10)]
    with pytest.raises(RecordingError, match="file:b: frames: expected at least 10, one window, found 9"):
        windows(recordings, 10)
    found = windows(recordings, 10, 5, short="skip")
    assert found.places.tolist() == [[0, 0], [0, 5], [0, 10], [0, 15], [2, 0]]
    assert len(windows([], 10)) == 0
    with pytest.raises(RecordingError, match="one crop"):
        expect_length(recordings[1], 10, "crop")


def test_windows_are_read_when_they_are_asked_for() -> None:
    recordings = [recording("a", 60_000), recording("b", 60_000)]
    found = take(Dataset(recordings, ()), 100, 10)[0]
    assert len(found) == 2 * 5991
    np.testing.assert_array_equal(found[5992], recordings[1].frames[10:110])
    np.testing.assert_array_equal(found[5990:5992], [recordings[0].frames[59_900:], recordings[1].frames[:100]])
    np.testing.assert_array_equal(next(iter(found)), recordings[0].frames[:100])
    tracemalloc.start()
    try:
        assert profiles(found).shape == (len(found), 3)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < len(found) * 100 * 3 * 4 / 4  # of all windows at once


def test_class_weights_make_every_class_count_the_same() -> None:
    counts = np.array([90, 10, 0])
    weights = class_weights(counts)
    np.testing.assert_allclose(weights * counts, [50, 50, 0], rtol=1e-6)
    assert class_weights(np.zeros(3, np.int64)).tolist() == [0, 0, 0]


def data(path: Path) -> Path:
    """Three recordings of 200 frames."""
    frames = np.random.default_rng(1).uniform(1, 9, (600, 20)).astype(np.float32)
    labels = np.tile(np.repeat([0, 1], 100), 3)
    np.savez(path, frames=frames, labels=labels, label_names=["a", "b"], rec_offset=[0, 200, 400, 600])
    return path


def flip(path: Path, place: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize(("name", "row_bytes"), [("frames.f32", 80), ("labels.i64", 8), ("fingerprints.i64", 16)])
def test_a_damaged_dataset_is_found_out(
    tmp_path: Path, name: str, row_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "dataset"
    first = prepare([data(tmp_path / "set.npz")], folder)[0]
    assert first.fingerprints is not None
    assert len(first.fingerprints) > 5
    read_dataset(folder)
    flip(folder / name, ((len(first.fingerprints) if name == "fingerprints.i64" else 200) + 2) * row_bytes)
    message = rf"dataset/{name}: .*set\.npz:recording1: expected .*; prepare the dataset again"
    with pytest.raises(RecordingError, match=message):
        read_dataset(folder)
    monkeypatch.setattr(prepared, "VERIFIED", 600 * 80 - 1)
    large = read_dataset(folder)  # too large to be read whole without being asked
    assert isinstance(large, Prepared)
    with pytest.raises(RecordingError, match=message):
        large.verify()
    monkeypatch.setattr(prepared, "VERIFIED", 600 * 80)
    with pytest.raises(RecordingError, match=message):
        read_dataset(folder)


def test_the_command_verifies(tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    prepare([data(tmp_path / "set.npz")], folder)
    good = CliRunner().invoke(aether, ["train", "verify", str(folder)])
    assert good.exit_code == 0
    assert good.output == f"{folder}: 3 recordings, 600 frames: whole\n"
    flip(folder / "frames.f32", 47_000)
    bad = CliRunner().invoke(aether, ["train", "verify", str(folder)])
    assert bad.exit_code == 2
    assert "frames.f32: " in bad.stderr
    assert "recording2: expected CRC 0x" in bad.stderr
    none = CliRunner().invoke(aether, ["train", "verify", str(tmp_path)])
    assert none.exit_code == 2
    assert "expected a prepared dataset" in none.stderr


HOLDING = """
import sys, time
from aether_temporal.train.prepared import prepare
def wait(title):
    print("begun", flush=True)
    time.sleep(600)
prepare([sys.argv[1]], sys.argv[2], on_recording=wait)
"""


@pytest.mark.skipif(not hasattr(os, "O_DIRECTORY") or sys.platform == "win32", reason="locks of POSIX")
def test_what_a_killed_process_left_is_cleared_away_and_a_living_one_is_left_alone(tmp_path: Path) -> None:
    source, folder = data(tmp_path / "set.npz"), tmp_path / "deep" / "dataset"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(source), str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            left = [path.name for path in folder.parent.iterdir()]
            assert left == [".dataset.preparing"]
            with pytest.raises(RecordingError, match="deep/dataset: another process is preparing this dataset"):
                prepare([source], folder)
            assert [path.name for path in folder.parent.iterdir()] == left  # it continues
            assert (folder.parent / ".dataset.preparing" / "frames.f32").exists()
        finally:
            process.send_signal(signal.SIGKILL)
    assert [path.name for path in folder.parent.iterdir()] == left
    made = prepare([source], folder)
    assert len(made) == 3
    assert [path.name for path in folder.parent.iterdir()] == ["dataset"]
    assert {path.name for path in folder.iterdir()} == {"frames.f32", "labels.i64", "fingerprints.i64", "index.json"}


def test_a_file_is_prepared_once(tmp_path: Path) -> None:
    source = data(tmp_path / "set.npz")
    with pytest.raises(RecordingError, match=r"set\.npz: expected each file once"):
        prepare([source, tmp_path / "." / "set.npz"], tmp_path / "dataset")
    assert [path.name for path in tmp_path.iterdir()] == ["set.npz"]


def test_folders_that_were_made_for_nothing_are_gone(tmp_path: Path) -> None:
    np.savez(tmp_path / "nan.npz", frames=np.full((9, 3), np.nan, np.float32))
    with pytest.raises(RecordingError, match=r"nan\.npz"):
        prepare([tmp_path / "nan.npz"], tmp_path / "a" / "b" / "dataset")
    assert [path.name for path in tmp_path.iterdir()] == ["nan.npz"]


Frames = NDArray[np.float32]


def labelled(name: str, frames: NDArray[np.floating]) -> LabelledRecording:
    values = np.ascontiguousarray(frames, dtype=np.float32)
    return LabelledRecording(
        name, "0", values, np.zeros(len(values), np.int64), name, "file", fingerprints=fingerprint(values)
    )


def drifting(seed: int, count: int = 400, width: int = 30) -> Frames:
    """One profile for all, its subcarriers moving slowly, and noise: as recordings of one place are alike."""
    rng = np.random.default_rng(seed)
    profile = np.random.default_rng(0).uniform(5, 40, width)
    moving = 0.02 * rng.standard_normal((count, width)).cumsum(axis=0)
    return (profile * np.exp(moving + rng.normal(0, 0.03, (count, width)))).astype(np.float32)


CHANGES: dict[str, Callable[[Frames], NDArray[np.floating]]] = {
    "the same": lambda x: x,
    "scaled": lambda x: x * np.float32(3.7),
    "another gain for each frame": lambda x: x * np.random.default_rng(1).uniform(0.3, 3, (len(x), 1)),
    "its gain removed": lambda x: x / x.mean(axis=1, keepdims=True),
    "binary16": lambda x: (x / 8).astype(np.float16),
    "its ends cut off": lambda x: x[50:-30],
    "a part of it, binary16": lambda x: x[137:257].astype(np.float16),
    "within another": lambda x: np.concatenate([drifting(7), x * 2, drifting(8)]),
    "some frames lost": lambda x: x[np.random.default_rng(1).random(len(x)) > 0.05],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_is_found_out(change: str) -> None:
    recordings = [
        labelled("a", drifting(1)),
        labelled("b", drifting(2)),
        labelled("copy", CHANGES[change](drifting(1))),
    ]
    splits.check(recordings, Split((0,), (1,)))
    with pytest.raises(LeakError, match=r"file:copy: .*its frames from \d+ on are those of file:a from \d+ on; remove"):
        splits.check(recordings, Split((1, 0), (2,)))
    with pytest.raises(LeakError, match=r"file:a: .* of file:copy from \d+ on; remove"):
        splits.check(recordings, Split((2,), (1, 0)))


def test_frames_of_zeros_are_no_obstacle() -> None:
    lost = drifting(1) * (np.arange(400) % 5 > 0)[:, None]
    with pytest.raises(LeakError, match=r"of file:lost from \d+ on; remove"):
        splits.check([labelled("lost", lost), labelled("copy", 2 * lost[30:])], Split((0,), (1,)))


def test_it_is_said_where_the_frames_are() -> None:
    whole, part = labelled("whole", drifting(1)), labelled("part", drifting(1)[90:300])
    with pytest.raises(LeakError) as error:
        splits.check([whole, part], Split((0,), (1,)))
    start, there = (int(word) for word in str(error.value).split() if word.isdecimal())
    np.testing.assert_array_equal(part.frames[start : start + 8], whole.frames[there : there + 8])


def test_what_only_looks_alike_is_no_copy() -> None:
    still = np.tile(drifting(1)[:1], (300, 1))
    pulse = np.where(np.arange(300)[:, None] % 20 < 10, still, still[:, ::-1])
    for one, other in (
        (drifting(1), drifting(2)),
        (drifting(1)[:200], drifting(1)[200:]),
        (still, 2 * still[:200]),  # nothing moves: there is nothing to tell a copy by
        (pulse, pulse[:200] * np.exp(np.random.default_rng(3).normal(0, 1e-2, (200, 30)))),
        (drifting(1) * np.exp(np.random.default_rng(3).normal(0, 0.03, (400, 30))), drifting(1)),
        (drifting(1, width=1), drifting(1, width=1)[5:]),
        (np.zeros((100, 30)), np.zeros((90, 30))),
        (drifting(1)[:7], drifting(1)),
    ):
        splits.check([labelled("one", one), labelled("other", other)], Split((0,), (1,)))


@pytest.mark.parametrize("name", ["wiper_persons_0_59.npz", "geotec_sessions_1_3.npz"])
def test_no_real_recording_is_taken_for_a_copy_and_every_real_copy_is_found(recordings_dir: Path, name: str) -> None:
    dataset = read_dataset(recordings_dir / name)
    for index in range(len(dataset)):
        splits.by_recording(dataset, [index])
    for index in range(0, len(dataset), 5):
        frames = (dataset[index].frames[100:220] / 4).astype(np.float16).astype(np.float32)
        copy = dataclasses.replace(
            dataset[index], name="copy", recording_name="", frames=frames, fingerprints=fingerprint(frames)
        )
        with pytest.raises(LeakError, match=rf"of .*:{dataset[index].name} from \d+ on; remove"):
            splits.check([*dataset, copy], Split(tuple(range(len(dataset))), (len(dataset),)))
