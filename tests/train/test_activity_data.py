"""`aether train activity` with recordings as people have them: clips, one session, one recording, folders of labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli.command import call

from aether_temporal import TemporalModel
from aether_temporal.recordings import RecordingError

torch = pytest.importorskip("torch", reason="torch (extra train) is not installed")

from aether_temporal.torch.network import TemporalClassifier  # noqa: E402
from aether_temporal.train import activity, splits  # noqa: E402
from aether_temporal.train.dataset import LabelledRecording  # noqa: E402
from aether_temporal.train.prepared import read_dataset  # noqa: E402
from aether_temporal.train.reading import Reading  # noqa: E402
from aether_temporal.train.supervised import Augmentation, Batches, Crop, Crops  # noqa: E402


@pytest.fixture(autouse=True)
def _two_threads_at_most() -> None:
    torch.set_num_threads(1)


def command(*arguments: object, code: int = 0) -> str:
    """Output of `aether train …`."""
    return call("train", *arguments, code=code).output


def configuration(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def tones(seed: int, frames: int, label: int) -> np.ndarray:
    """Frames [frames, 8] of a slow or a fast tone, by label."""
    rng = np.random.default_rng([seed, label])
    wave = np.sin((0.03, 0.4)[label % 2] * np.arange(frames) + rng.uniform(0, 6))[:, None] * (1 + np.arange(8) % 4)
    return (9 + wave + rng.normal(0, 0.2, (frames, 8))).astype(np.float32)


def clips(path: Path, count: int, frames: int, *, classes: int = 2, seed: int = 0, **more: Any) -> Path:
    """Clips of one class each, the classes in turn."""
    made = [tones(seed + index, frames, index % classes) for index in range(count)]
    np.savez(
        path,
        frames=np.concatenate(made),
        labels=np.repeat(np.arange(count) % classes, frames),
        label_names=[f"c{label}" for label in range(classes)],
        rec_offset=np.arange(count + 1) * frames,
        rate_hz=50.0,
        **more,
    )
    return path


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """(file, recording) of all that crops were drawn from."""
    seen: set[tuple[str, str]] = set()
    plan = Crops.plan

    def spy(self: Crops, recordings: list[LabelledRecording], generator: np.random.Generator) -> list[Crop]:
        seen.update((Path(recording.source).name, recording.name) for recording in recordings)
        return plan(self, recordings, generator)

    monkeypatch.setattr(Crops, "plan", spy)
    return seen


QUICK = ("--steps", 2, "--no-calibrate")


def test_every_data_option_is_used(tmp_path: Path, drawn: set[tuple[str, str]]) -> None:
    one, two = (clips(tmp_path / f"{name}.npz", 4, 200, seed=9 * i) for i, name in enumerate("ab"))
    test = clips(tmp_path / "c.npz", 2, 200, seed=77)
    run = tmp_path / "run"
    printed = command("activity", "--data", one, "--data", two, "--test", test, "--run", run, *QUICK)
    assert drawn == {(f"{file}.npz", f"recording{number}") for file in "ab" for number in range(4)}
    assert "test recordings of c.npz: fresh windows 0." in printed
    assert json.loads((run / "configuration.json").read_text())["data"] == "a.npz, b.npz"
    result = json.loads((run / "result.json").read_text())
    assert result["scores"]["test recordings of c.npz"]["fresh_windows"]["count"] == 8
    assert "a.npz: expected each file once" in command(
        "activity", "--data", one, "--data", one, "--run", run, *QUICK, code=2
    )


def test_tested_files_must_be_of_the_same_classes_and_other_recordings(tmp_path: Path) -> None:
    one, run = clips(tmp_path / "a.npz", 4, 200), tmp_path / "run"
    strange = clips(tmp_path / "b.npz", 3, 200, classes=3, seed=50)
    printed = command("activity", "--data", one, "--test", strange, "--run", run, *QUICK, code=2)
    assert "b.npz:recording2: labels: expected classes that are trained on (c0, c1), found c2" in printed
    copied = clips(tmp_path / "c.npz", 2, 200)
    printed = command("activity", "--data", one, "--test", copied, "--run", run, *QUICK, code=2)
    assert "c.npz:recording0: expected on one side of the split" in printed
    printed = command("activity", "--data", one, "--test", copied, "--test-session", "0", "--run", run, *QUICK, code=2)
    assert "found --test and --train-session, --test-session; leave out all but one" in printed
    assert not run.exists()


def test_classes_of_tested_files_keep_their_names(tmp_path: Path) -> None:
    """Another file may number its classes in another order, or lack some."""
    one = clips(tmp_path / "a.npz", 6, 200, classes=3)
    np.savez(tmp_path / "b.npz", frames=tones(70, 100, 1), labels=np.zeros(100, int), label_names=["c2"])
    dataset, split = splits.by_file(read_dataset(one), read_dataset(tmp_path / "b.npz"))
    _, test = split.parts(dataset)
    assert dataset.classes == ("c0", "c1", "c2")
    assert set(test[0].labels.tolist()) == {2}


def test_short_clips_of_one_session_are_trained_on_and_some_held_out(
    tmp_path: Path, drawn: set[tuple[str, str]]
) -> None:
    data, run = clips(tmp_path / "set.npz", 30, 60), tmp_path / "run"
    printed = command("activity", "--data", data, "--run", run, "--steps", 2)
    assert "there is only one session: 6 of 30 recordings, every fifth of each kind" in printed
    assert "recordings held out: fresh windows 0." in printed
    scores = json.loads((run / "result.json").read_text())["scores"]
    assert np.sum(scores["recordings held out"]["fresh_windows"]["confusion"], axis=1).tolist() == [3, 3]
    assert len(drawn) == 24


def test_held_out_recordings_are_of_every_class_whatever_their_order(tmp_path: Path) -> None:
    """Five classes in turn: every fifth recording alone would be all of one class."""
    dataset = read_dataset(clips(tmp_path / "set.npz", 25, 60, classes=5))
    _, split = splits.hold_out(dataset, 50)
    for chosen in (split, *splits.folds(dataset, 5)):
        labels = [int(dataset[index].labels[0]) for index in chosen.test]
        assert sorted(labels) == [0, 1, 2, 3, 4]
    trained, held = activity.held_to_calibrate(dataset)
    assert (len(trained), len(held)) == (20, 5)


@pytest.mark.parametrize(
    ("lengths", "train", "test"),
    [
        ((1000, 1000), ["[0:700]", "[1100:1700]"], ["[800:1000]", "[1800:2000]"]),
        ((1000, 1500, 500), ["[0:2100]"], ["[2200:3000]"]),  # too little is left between what is held of both
    ],
)
def test_one_recording_is_held_out_by_time_with_a_gap(
    tmp_path: Path, lengths: tuple[int, ...], train: list[str], test: list[str]
) -> None:
    parts = [tones(number, length, number) for number, length in enumerate(lengths)]
    labels = np.repeat([0, 1, 0][: len(lengths)], lengths)
    data = tmp_path / "one.npz"
    np.savez(data, frames=np.concatenate(parts), labels=labels, label_names=["a", "b"], rate_hz=50.0)
    whole = read_dataset(data)
    dataset, split = splits.hold_out(whole, 50)
    assert [dataset[index].name for index in split.train] == [f"one{where}" for where in train]
    assert [dataset[index].name for index in split.test] == [f"one{where}" for where in test]
    start, stop = map(int, test[-1].strip("[]").split(":"))
    np.testing.assert_array_equal(dataset[split.test[-1]].frames, whole[0].frames[start:stop])
    np.testing.assert_array_equal(dataset[split.test[-1]].labels, whole[0].labels[start:stop])
    printed = command("activity", "--data", data, "--out", tmp_path / "a.rvne", "--steps", 2)
    assert "no whole recording can be spared: at least the last fifth of each class" in printed
    assert "with a gap of 100 frames (2 s) to what is trained on" in printed
    assert "time held out: fresh windows 0." in printed


def test_too_short_a_recording_is_not_divided(tmp_path: Path) -> None:
    data = clips(tmp_path / "set.npz", 2, 140)
    printed = command("activity", "--data", data, "--out", tmp_path / "a.rvne", *QUICK, code=2)
    assert "set.npz:recording0" in printed
    assert (
        "expected enough of each class to hold 50 or more out and 100 on either side, found 140 of c0, 140 of c1"
        in printed
    )
    assert "--test" in printed
    assert not (tmp_path / "a.rvne").exists()


def test_what_stands_behind_a_short_recording_changes_nothing(tmp_path: Path) -> None:
    short = LabelledRecording("short", "0", tones(1, 60, 1), np.ones(60, np.int64))
    plain = Augmentation(0, 0, 0, 0)
    (frames,), (targets,) = Batches(Crops(160, 1, 25, 49, plain), [short])(np.random.default_rng(0))
    np.testing.assert_array_equal(frames[:60], short.frames)
    assert targets.tolist() == [-1] * 49 + [1] * 11 + [-1] * 100
    network = TemporalClassifier(activity.network_shape(8, 2)).eval()
    with torch.no_grad():
        alone, padded = (network(torch.from_numpy(part[None])) for part in (short.frames, frames))
    np.testing.assert_allclose(alone[0].numpy(), padded[0, :60].numpy(), atol=1e-6)


def test_short_recordings_are_left_out_where_that_is_asked_for(tmp_path: Path) -> None:
    made = [tones(index, frames, index) for index, frames in enumerate([200, 200, 30, 200, 200])]
    np.savez(
        tmp_path / "set.npz",
        frames=np.concatenate(made),
        labels=np.repeat([0, 1, 0, 1, 0], list(map(len, made))),
        rec_offset=np.cumsum([0, *map(len, made)]),
        t=np.concatenate([np.arange(len(part)) * 0.05 for part in made]),
    )
    quick = ("--data", tmp_path / "set.npz", "--out", tmp_path / "a.rvne", *QUICK)
    rejected = command("activity", *quick, code=2)
    assert "recording2: frames: expected at least 50, one crop, found 30; where it has times, a faster grid" in rejected
    shortest = configuration(tmp_path / "x.toml", "[reading]\nshortest = 50\n")
    printed = command("activity", *quick, "--config", shortest)
    assert f"left out, for they have fewer than 50 frames: 1 ({tmp_path}/set.npz:recording2)" in printed
    grid = configuration(tmp_path / "grid.toml", "[reading]\nperiod_us = 20000\n")
    command("activity", *quick, "--config", grid)  # 30 frames of 20 a second are 73 of 50


def test_labels_come_from_folders_and_names(tmp_path: Path) -> None:
    for label in range(2):
        (tmp_path / "data" / f"class{label}").mkdir(parents=True)
        for number in range(3):
            np.save(tmp_path / "data" / f"class{label}" / f"ann{number}_x{label}.npy", tones(number, 120, label))
    dataset = read_dataset(tmp_path / "data", reading=Reading(label_from="folder"))
    assert dataset.classes == ("class0", "class1")
    bare = command("activity", "--data", tmp_path / "data", "--out", tmp_path / "a.rvne", *QUICK, code=2)
    assert "labels: expected some to train by, found none; name them (--label-from, or a manifest)" in bare
    named = ("--data", tmp_path / "data", "--label-from", "name:(?P<subject>ann.)_(.*)", "--out", tmp_path / "a.rvne")
    printed = command("activity", *named, *QUICK, "--test-subject", "ann2")
    assert "subject ann2: fresh windows 0." in printed
    settings = TemporalModel.from_blob(tmp_path / "a.rvne").settings
    assert settings is not None
    assert settings.class_names == ("x0", "x1")
    with pytest.raises(RecordingError, match="label-from: expected folder or name:PATTERN, found 'file'"):
        read_dataset(tmp_path / "data", reading=Reading(label_from="file"))


def test_a_finished_run_can_be_trained_longer(tmp_path: Path) -> None:
    data, out = clips(tmp_path / "set.npz", 10, 60), tmp_path / "a.rvne"

    def trained(folder: str, steps: int, *more: object, code: int = 0) -> str:
        quick = ("--data", data, "--run", tmp_path / folder, "--out", out)
        return command("activity", *quick, "--steps", steps, *more, code=code)

    trained("run", 3)
    short = out.read_bytes()
    printed = trained("run", 6, "--resume")
    assert "trained on from step 3 to 6: the learning rate is high once more, so the result is not that of 6" in printed
    assert out.read_bytes() != short
    document = json.loads((tmp_path / "run" / "configuration.json").read_text())
    assert (document["fit"]["steps"], document["done_before"]) == (6, [3])
    steps = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in steps if line["part"] == "model"] == [0, 2, 5]
    longer = out.read_bytes()
    assert "trained on from step" not in trained("run", 6, "--resume")
    assert out.read_bytes() == longer
    less = trained("run", 5, "--resume", code=2)
    assert "fit.steps: expected 6, as the run was begun with, found 5" in less
    trained("run", 7, "--resume")
    assert json.loads((tmp_path / "run" / "configuration.json").read_text())["done_before"] == [3, 6]
    (tmp_path / "run" / "model.rvne").unlink()  # as a run that was ended before it could write its model
    assert "expected a run that is done, to train it longer" in trained("run", 9, "--resume", code=2)


def test_a_longer_training_that_was_interrupted_ends_with_the_same_bits(tmp_path: Path) -> None:
    data = clips(tmp_path / "set.npz", 10, 60)
    often = configuration(tmp_path / "x.toml", "[run]\ncheckpoint_every = 1\n")

    def trained(folder: str, steps: int, *more: object, code: int = 0) -> str:
        quick = ("--data", data, "--run", tmp_path / folder, "--config", often, "--no-calibrate")
        return command("activity", *quick, "--steps", steps, *more, code=code)

    trained("whole", 2)
    trained("whole", 5, "--resume")
    trained("cut", 2)

    class Killed(Exception):
        pass

    def plan(self: Crops, recordings: list[LabelledRecording], generator: np.random.Generator) -> list[Crop]:
        if next(count) == 2:
            raise Killed
        return plain(self, recordings, generator)

    plain, count = Crops.plan, iter(range(99))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Crops, "plan", plan)
        with pytest.raises(Killed):
            trained("cut", 5, "--resume")
    assert "expected a run that is done, to train it longer, found one that is not; resume it with --steps 5 first" in (
        trained("cut", 9, "--resume", code=2)
    )
    trained("cut", 5, "--resume")
    assert (tmp_path / "cut" / "model.rvne").read_bytes() == (tmp_path / "whole" / "model.rvne").read_bytes()
    assert (tmp_path / "cut" / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


def test_the_last_lines_say_what_was_written_and_what_to_do_next(tmp_path: Path) -> None:
    data, out, run = clips(tmp_path / "set.npz", 10, 60), tmp_path / "a.rvne", tmp_path / "run"
    printed = command("activity", "--data", data, "--run", run, "--out", out, *QUICK).splitlines()
    assert printed[-3:] == [
        f"wrote {out}, {run} (model, scores, losses, checkpoints, plots)",
        f"next: aether run {out} RECORDING, or aether device pack {out} --out slot.bin",
        "to train longer: the same command with --resume and more --steps",
    ]
    printed = command("activity", "--data", data, "--run", tmp_path / "two", "--seeds", 2, *QUICK).splitlines()
    assert printed[-2].startswith(f"next: aether run {tmp_path}/two/seed0/model.rvne RECORDING")


def test_where_a_model_is_from_names_only_sessions_that_have_names() -> None:
    frames, labels = np.ones((4, 2), np.float32), np.zeros(4, np.int64)
    plain = [LabelledRecording(str(i), "", frames, labels, source=f"data/{name}.npz") for i, name in enumerate("ba")]
    assert splits.origin(plain) == "a.npz, b.npz"
    named = [LabelledRecording(str(i), str(10 - i), frames, labels, source="x.npz") for i in range(2)]
    assert splits.origin(named) == "session 9, 10 of x.npz"
