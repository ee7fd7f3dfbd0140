"""Training learns, repeats itself, and never sees what it is scored on."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli.command import call

from aether_temporal import PatternSettings, TemporalModel, TimingSettings
from aether_temporal.recordings import RecordingError, open_recording
from aether_temporal.running import run
from aether_temporal.simulation import simulate

torch = pytest.importorskip("torch", reason="torch (extra train) is not installed")

from aether_temporal._internal.toml_settings import load_settings  # noqa: E402
from aether_temporal.train import activity, demo_recipe, splits  # noqa: E402
from aether_temporal.train.dataset import Dataset, LabelledRecording  # noqa: E402
from aether_temporal.train.evaluation import score  # noqa: E402
from aether_temporal.train.prepared import read_dataset  # noqa: E402
from aether_temporal.train.reading import Reading, RunSettings, without_side  # noqa: E402
from aether_temporal.train.supervised import (  # noqa: E402
    Augmentation,
    Batch,
    Batches,
    Crop,
    Crops,
    FitConfig,
    Fitting,
    Mixture,
    some_frames,
)


@pytest.fixture(autouse=True)
def _two_threads_at_most() -> None:
    torch.set_num_threads(1)


def two_class_task(seeds: range) -> list[LabelledRecording]:
    """Somebody walks, or nobody is there: half of each recording."""
    found = []
    for seed in seeds:
        made = simulate([("empty", 4.0), ("walking", 4.0)], seed)
        found.append(LabelledRecording(f"seed{seed}", "simulated", made.frames, made.labels))
    return found


def test_a_short_training_learns_a_simulated_task() -> None:
    blob = demo_recipe.train(
        two_class_task(range(12)), "a test", seed=1, config=FitConfig(steps=60), show_progress=False
    )
    found = score(TemporalModel.from_blob(blob), two_class_task(range(500, 512)), label_delay=demo_recipe.LABEL_DELAY)
    assert found.windows == 96
    assert found.streamed > 0.85  # chance is 0.5


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    task = two_class_task(range(3))

    def trained(seed: int) -> bytes:
        return demo_recipe.train(task, "a test", seed=seed, config=FitConfig(steps=3), show_progress=False).serialize()

    assert trained(1) == trained(1)
    assert trained(1) != trained(2)


def test_training_leaves_the_random_numbers_of_the_caller_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    demo_recipe.train(two_class_task(range(2)), "a test", seed=9, config=FitConfig(steps=1), show_progress=False)
    torch.testing.assert_close(torch.rand(4), expected, rtol=0, atol=0)


def test_targets_are_the_labels_of_earlier_frames() -> None:
    labels = np.arange(300, dtype=np.int64)
    frames = np.tile(labels[:, None].astype(np.float32) + 1, (1, 8))
    crops = Crops(100, 5, 25, 49, Augmentation(0, 0, 0, 0))
    drawn, targets = Batches(crops, [LabelledRecording("ramp", "0", frames, labels)])(np.random.default_rng(0))
    assert drawn.shape == (5, 100, 8)
    assert (targets[:, :49] == -1).all()
    np.testing.assert_array_equal(targets[:, 49:], drawn[:, 49:, 0] - 1 - 25)


def test_a_recording_too_short_for_any_target_is_named() -> None:
    short = LabelledRecording("short", "0", np.ones((20, 8), np.float32), np.zeros(20, np.int64))
    Crops(100, 1, 5, 19, Augmentation()).check([short])
    crops = Crops(100, 1, 5, 20, Augmentation())
    with pytest.raises(RecordingError, match=r"short: frames: expected at least 21, one crop, found 20; .*period_us"):
        Mixture((crops,), (1.0,)).check([short])


def test_balanced_crops_end_in_every_class_equally_often() -> None:
    labels = np.repeat([0, 1, 0, 2], [400, 40, 400, 100])
    recording = LabelledRecording("uneven", "0", np.ones((940, 4), np.float32), labels)
    label_delay, rng = 5, np.random.default_rng(0)

    def shares(balance: tuple[int, ...]) -> np.ndarray:
        crops = Crops(20, 1500, label_delay, 10, Augmentation(0, 0, 0, 0), balance)
        _, targets = Batches(crops, [recording])(rng)
        return np.bincount(targets[:, -1], minlength=3) / len(targets)

    np.testing.assert_allclose(shares(()), [0.85, 0.05, 0.1], atol=0.05)
    np.testing.assert_allclose(shares((800, 40, 100)), [1 / 3] * 3, atol=0.05)
    bare = LabelledRecording("bare", "0", np.ones((50, 4), np.float32), np.full(50, -1))
    with pytest.raises(RecordingError, match="labels: expected some"):
        Crops(20, 1, 0, 0, Augmentation(), (1, 2)).check([bare])
    early = LabelledRecording("early", "0", np.ones((50, 4), np.float32), np.repeat([0, -1], [15, 35]))
    Crops(20, 1, 5, 5, Augmentation(), (15,)).check([early])
    with pytest.raises(RecordingError, match="labels: expected some from frame 15 of a recording on"):
        Crops(20, 1, 4, 5, Augmentation(), (15,)).check([early])


def test_sessions_are_in_order_of_their_numbers() -> None:
    names = ("10", "9", "fr", "2", "di")
    recordings = [LabelledRecording(name, name, np.ones((9, 4), np.float32), np.zeros(9, np.int64)) for name in names]
    assert splits.sessions(recordings) == ["2", "9", "10", "di", "fr"]


def test_kinds_of_crops_come_in_their_shares() -> None:
    recording = LabelledRecording("one", "0", np.ones((300, 4), np.float32), np.zeros(300, np.int64))
    kinds = tuple(Crops(length, 1, 0, 5, Augmentation(0, 0, 0, 0)) for length in (10, 20))
    rng = np.random.default_rng(0)
    draw = Batches(Mixture(kinds, (0.25, 0.75)), [recording])
    lengths = [draw(rng)[0].shape[1] for _ in range(800)]
    assert 0.2 < lengths.count(10) / 800 < 0.3


def test_some_frames_are_spread_over_all_recordings() -> None:
    recordings = [
        LabelledRecording(str(i), "0", np.full((100, 2), i, np.float32), np.zeros(100, np.int64)) for i in range(4)
    ]
    assert len(some_frames(recordings)) == 400
    few = some_frames(recordings, 40)
    assert np.unique(few[:, 0], return_counts=True)[1].tolist() == [10, 10, 10, 10]


def test_frames_that_are_all_the_same_are_rejected() -> None:
    dataset = Dataset([LabelledRecording("flat", "0", np.ones((200, 4), np.float32), np.arange(200) % 2)], ("a", "b"))
    with pytest.raises(RecordingError, match="expected some that differ"):
        activity.train(dataset, activity.Recipe(fit=FitConfig(steps=1)), show_progress=False)


def test_class_weights_move_predictions_to_rare_classes() -> None:
    """The two classes look the same; what decides is how often each occurs, or what it counts."""
    labels = np.tile(np.repeat([0, 1], [90, 10]), 4)
    frames = np.random.default_rng(0).uniform(1, 2, (400, 56)).astype(np.float32)
    dataset = Dataset([LabelledRecording("one", "0", frames, labels)], ("often", "rarely"))

    def share_of_rare(balance: activity.Balance) -> float:
        recipe = activity.Recipe(fit=FitConfig(steps=25), balance=balance)
        blob = activity.train(dataset, recipe, show_progress=False)
        return float((TemporalModel.from_blob(blob).forward(frames, 128).argmax(axis=1) == 1).mean())

    assert share_of_rare("none") < 0.05
    assert share_of_rare("weights") > 0.2


def test_augmentation_varies_a_copy_and_can_be_off() -> None:
    frames = np.random.default_rng(0).uniform(1, 30, (50, 56)).astype(np.float32)
    kept = frames.copy()
    varied = Augmentation().draw(*frames.shape, np.random.default_rng(1)).apply(frames)
    np.testing.assert_array_equal(frames, kept)
    assert varied.dtype == np.float32
    assert np.isfinite(varied).all()
    assert (varied >= 0).all()
    assert not np.allclose(varied, frames)
    np.testing.assert_array_equal(
        Augmentation(0, 0, 0, 0).draw(*frames.shape, np.random.default_rng(1)).apply(frames), frames
    )


def activity_set(
    path: Path, sessions: int = 2, *, subjects: tuple[str, ...] = (), seconds: float = 2.0, timed: bool = False
) -> Path:
    """A simulated set in the layout of the activity recordings."""
    made = [simulate([("still", seconds), ("walking", seconds)], seed) for seed in range(2 * sessions)]
    more = {"rec_subject": np.array(subjects)} if subjects else {}
    if timed:  # faster than the grid that is asked for: 25 frames a second of grid need 64 frames for a crop
        more["t"] = np.tile(np.arange(len(made[0].frames)) * 0.04, len(made))
    np.savez(
        path,
        amp=np.concatenate([m.frames for m in made]).astype(np.float16),
        frame_activity=np.concatenate([np.where(m.labels == 2, 2 + s % 2, s % 2) for s, m in enumerate(made)]),
        activity_names=np.array(["STILL_RX", "STILL_TX", "WALKING_RX", "WALKING_TX"]),
        rec_name=np.array([f"e{s}" for s in range(len(made))]),
        rec_session=np.repeat(np.arange(sessions), 2).astype(np.int8),
        rec_offset=np.cumsum([0, *map(len, made)]),
        rate_hz=np.float32(50.0),
        **more,
    )
    return path


def command(*arguments: object, code: int = 0) -> str:
    """Output of `aether train …`."""
    return call("train", *arguments, code=code).output


def test_the_activity_command_trains_on_the_first_session_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    plan = Crops.plan

    def spy(self: Crops, recordings: list[LabelledRecording], generator: np.random.Generator) -> list[Crop]:
        seen.extend(recording.session for recording in recordings)
        return plan(self, recordings, generator)

    monkeypatch.setattr(Crops, "plan", spy)
    out, run = tmp_path / "out.rvne", tmp_path / "run"
    data = activity_set(tmp_path / "set.npz")
    arguments = ("activity", "--data", data, "--steps", 3)
    printed = command(*arguments, "--out", out, "--run", run)
    assert set(seen) == {"0"}
    assert "every fifth recording held out: fresh windows 0." in printed
    assert "session 0 (trained on): fresh windows 0." in printed
    assert "session 1: fresh windows 0." in printed
    model = TemporalModel.from_blob(out)
    assert model.settings is not None
    assert model.settings.class_names == ("STILL", "WALKING")
    assert model.settings.frame_rate == 50.0
    assert model.settings.subcarriers is None
    assert model.label_delay == 25
    assert "session 0 of set.npz" in (model.settings.provenance or "")
    result = json.loads((run / "result.json").read_text())
    assert (run / "model.rvne").read_bytes() == out.read_bytes()
    assert set(result["scores"]) == {"session 0 (trained on)", "session 1"}
    temperature = result["calibration"]["temperature"]
    assert result["calibration"]["loss_after"] <= result["calibration"]["loss_before"]
    for name in ("loss", "confusion", "confidence"):
        assert (run / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    out.unlink()
    assert f"temperature {temperature:.3f}" in command(*arguments, "--out", out, "--run", run, "--resume")
    assert (run / "model.rvne").read_bytes() == out.read_bytes()  # from the checkpoint: nothing was trained again
    other = tmp_path / "other.toml"
    other.write_text("seed = 1\n")
    rejected = command(*arguments, "--out", out, "--run", run, "--resume", "--config", other, code=2)
    assert "configuration.json: recordings" not in rejected
    assert "seed: expected 0, as the run was begun with, found 1" in rejected


def test_subjects_are_held_out_and_leaks_are_errors(tmp_path: Path) -> None:
    data = activity_set(tmp_path / "set.npz", subjects=("p", "q", "p", "q"))
    quick = ("activity", "--data", data, "--steps", 2, "--no-calibrate", "--run", tmp_path / "run")
    printed = command(*quick, "--test-subject", "q")
    assert "subject q: fresh windows 0." in printed
    assert "calibrat" not in printed.replace("calibration error", "")
    assert "subject: expected one of those there are (p, q), found 'z'" in command(
        *quick, "--test-subject", "z", code=2
    )
    leak = command(*quick, "--train-session", "0", "--test-session", "0", code=2)
    assert "expected on one side of the split, found in train and in test" in leak
    both = command(*quick, "--test-subject", "q", "--test-session", "1", code=2)
    assert "expected one way to hold recordings out, found --test-subject and --train-session, --test-session" in both


def test_several_seeds_and_cross_validation(tmp_path: Path) -> None:
    data = activity_set(tmp_path / "set.npz")
    quick = ("activity", "--data", data, "--steps", 2)
    printed = command(*quick, "--no-calibrate", "--seeds", 2, "--run", tmp_path / "seeds")
    assert "session 1, 2 seeds: fresh 0." in printed
    summary = json.loads((tmp_path / "seeds" / "seeds.json").read_text())
    parts = [json.loads((tmp_path / "seeds" / f"seed{n}" / "result.json").read_text()) for n in (0, 1)]
    told = summary["session 1"]["fresh"]
    assert told["mean"] == pytest.approx(
        np.mean([part["scores"]["session 1"]["fresh_windows"]["correct"] for part in parts])
    )
    assert told["low"] <= told["mean"] <= told["high"]
    printed = command(*quick, "--cross-validate", 2, "--run", tmp_path / "folds")
    assert "all 8 windows held out: fresh" in printed
    assert len(json.loads((tmp_path / "folds" / "result.json").read_text())["folds"]) == 2
    assert "expected --out, --run or --cross-validate" in command(*quick, code=2)


def test_a_prepared_dataset_trains_to_the_same_blob(tmp_path: Path) -> None:
    data = activity_set(tmp_path / "geotec_like.npz")
    assert "4 recordings, 800 frames of 52 features, classes STILL, WALKING" in command(
        "prepare", data, "--out", tmp_path / "dataset"
    )
    quick = ("--steps", 2, "--no-calibrate")
    workers = configuration(tmp_path / "workers.toml", "[run]\nworkers = 1\n")
    command("activity", "--data", data, "--out", tmp_path / "a.rvne", *quick)
    command("activity", "--data", tmp_path / "dataset", "--out", tmp_path / "b.rvne", "--config", workers, *quick)
    a, b = (TemporalModel.from_blob(tmp_path / name).arrays() for name in ("a.rvne", "b.rvne"))
    assert all(a[name].tobytes() == b[name].tobytes() for name in a)
    for name in ("a.rvne", "b.rvne"):  # who made the recordings is told from wherever they were read
        settings = TemporalModel.from_blob(tmp_path / name).settings
        assert settings is not None
        assert "ODC-By 1.0" in (settings.provenance or "")


def test_a_grid_is_trained_on_and_stands_in_the_blob(tmp_path: Path) -> None:
    data = activity_set(tmp_path / "set.npz", timed=True)
    quick = ("--out", tmp_path / "a.rvne", "--steps", 2, "--no-calibrate")
    grid = ("--config", configuration(tmp_path / "grid.toml", "[reading]\nperiod_us = 40000\n"))
    command("prepare", data, "--out", tmp_path / "dataset", *grid)
    for how in (("--data", data, *grid), ("--data", tmp_path / "dataset")):
        command("activity", *how, *quick)
        settings = TemporalModel.from_blob(tmp_path / "a.rvne").settings
        assert settings is not None
        assert settings.timing == TimingSettings(25, 40_000, 1_000_000)
        assert settings.frame_rate == 25.0
    rejected = command("activity", "--data", tmp_path / "dataset", *grid, *quick, code=2)
    assert "dataset: expected no settings of reading, for it is prepared already" in rejected


def test_raw_frames_are_trained_on_and_their_subcarriers_stand_in_the_blob(tmp_path: Path) -> None:
    """From raw I/Q to the blob's prediction is one chain: what training saw is what the blob makes of a raw frame."""
    iq = np.random.default_rng(0).integers(-90, 90, (800, 12, 2)).astype(np.int8)
    np.savez(
        tmp_path / "raw.npz",
        iq=iq,
        t=np.tile(np.arange(200) * 0.02, 4),
        labels=np.tile(np.repeat([0, 1], 100), 4),
        label_names=["a", "b"],
        rec_offset=np.arange(0, 801, 200),
        rec_session=[0, 0, 1, 1],
    )
    quick = ("--data", tmp_path / "raw.npz", "--out", tmp_path / "a.rvne", "--steps", 2, "--no-calibrate")
    command("activity", *quick, "--subcarriers", "columns:9,2..5")
    model = TemporalModel.from_blob(tmp_path / "a.rvne")
    assert model.settings is not None
    assert model.settings.subcarriers is not None
    assert model.settings.subcarriers.n_pairs == 12
    assert np.asarray(model.settings.subcarriers.index).tolist() == [9, 2, 3, 4, 5]
    assert model.settings.frame_rate == pytest.approx(50)
    dataset = read_dataset(tmp_path / "raw.npz", reading=Reading(select=(9, 2, 3, 4, 5)))
    frames = np.stack([model.csi_frame(frame) for frame in iq[200:400]])
    np.testing.assert_array_equal(frames, dataset[1].frames)
    result = run(model, open_recording(tmp_path / "raw.npz", recording=1), context=128)
    np.testing.assert_array_equal(result.scores, model.forward(frames, 128))


def test_recordings_that_cannot_be_trained_on_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "bare.npz", amp=np.ones((60, 8), np.float32))
    printed = command("activity", "--data", tmp_path / "bare.npz", "--out", tmp_path / "a.rvne", code=2)
    assert "bare.npz:bare: labels: expected some to train by, found none" in printed
    short = activity_set(tmp_path / "short.npz", seconds=0.4)
    printed = command("activity", "--data", short, "--out", tmp_path / "a.rvne", "--run", tmp_path / "run", code=2)
    assert "short.npz:e0: frames: expected at least 50, one crop, found 40" in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare.npz", "short.npz"]


def test_a_single_recording_cannot_be_held_out_of_itself(tmp_path: Path) -> None:
    data, run = activity_set(tmp_path / "set.npz", subjects=("p", "q", "q", "q")), tmp_path / "run"
    quick = ("activity", "--data", data, "--steps", 1, "--run", run, "--test-subject", "q")
    printed = command(*quick, code=2)
    assert "set.npz:e0 alone; add another, or do not calibrate (--no-calibrate)" in printed
    printed = command(*quick, "--cross-validate", 2, code=2)
    assert "recordings: expected at least two, to hold one out, found" in printed
    assert not run.exists()
    command(*quick, "--no-calibrate")
    assert (run / "model.rvne").exists()
    both = command(*quick, "--cross-validate", 2, "--out", tmp_path / "a.rvne", code=2)
    assert "--cross-validate: expected without --out and --seeds" in both


def test_labels_that_nothing_can_be_scored_by_are_rejected_before_training(tmp_path: Path) -> None:
    data = activity_set(tmp_path / "set.npz")
    with np.load(data) as found:
        arrays = dict(found)
    arrays["frame_activity"][400:] = -1
    arrays["frame_activity"][405] = 1  # of session 1 one frame, too early for any prediction
    np.savez(data, **arrays)
    quick = ("activity", "--data", data, "--steps", 1, "--no-calibrate", "--run", tmp_path / "run")
    printed = command(*quick, code=2)
    assert "set.npz:e3: labels: expected some to train by, found none" in printed
    arrays["frame_activity"][605] = 1
    np.savez(data, **arrays)
    printed = command(*quick, code=2)
    assert "set.npz:e2, " in printed
    assert "set.npz:e3: labels: expected some between frame 24 and 25 frames before the end" in printed
    assert not (tmp_path / "run").exists()


def test_a_class_that_is_only_tested_is_rejected_by_its_recording(tmp_path: Path) -> None:
    data = activity_set(tmp_path / "set.npz")
    with np.load(data) as found:
        arrays = dict(found)
    arrays["activity_names"] = np.append(arrays["activity_names"], "FLYING")
    arrays["frame_activity"][700:] = 4
    np.savez(data, **arrays)
    quick = ("activity", "--data", data, "--steps", 1, "--no-calibrate", "--run", tmp_path / "run")
    printed = command(*quick, code=2)
    assert "set.npz:e3: labels: expected classes that are trained on (STILL, WALKING), found FLYING" in printed
    assert not (tmp_path / "run").exists()
    command(*quick, "--train-session", 1)


def test_frames_that_do_not_differ_are_rejected_by_the_files_name_and_leave_no_run(tmp_path: Path) -> None:
    data = activity_set(tmp_path / "set.npz")
    with np.load(data) as found:
        arrays = dict(found)
    arrays["amp"][:400] = 3
    np.savez(data, **arrays)
    quick = ("activity", "--data", data, "--steps", 1, "--no-calibrate", "--run", tmp_path / "run")
    assert f"{data}: frames: expected some that differ" in command(*quick, code=2)
    assert not (tmp_path / "run").exists()


def configuration(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "balanc = 'none'",
            "x.toml: balanc: expected one of seed, fit, .*, run; found no such field",
        ),
        ("balance = 'some'", "x.toml: balance: expected 'none' or 'weights' or 'sampling', found 'some'"),
        ("[fit]\nlearning_rate = -1", "x.toml: fit.learning_rate: expected a number from 0 to 1000, found -1.0"),
        ("[run]\nthreads = 0", "x.toml: run.threads: expected an integer from 1 to 256, found 0"),
        ("[reading]\nmax_gap_us = 9", "x.toml: reading.max_gap_us: expected none without period_us, found 9"),
        ("[reading]\nperiod_us = 9\nmax_gap_us = 8", r"x.toml: reading.max_gap_us: expected an integer from period_us"),
        ("run = 3", "x.toml: run: expected a table, found 3"),
        ("[pattern]\npattern = 'cone'", "x.toml: pattern.pattern: expected 'reference' or 'pyramid', found 'cone'"),
        (
            "[pattern]\npattern = 'pyramid'\nblock_size = 12",
            "x.toml: pattern.block_size: expected a power of two, at most 65536, with the pyramid pattern, found 12",
        ),
    ],
)
def test_a_wrong_configuration_file_is_named(tmp_path: Path, text: str, expected: str) -> None:
    data = activity_set(tmp_path / "set.npz")
    file = configuration(tmp_path / "x.toml", text)
    printed = command("activity", "--data", data, "--out", tmp_path / "a.rvne", "--config", file, code=2)
    assert re.search(expected, printed), printed


@pytest.mark.parametrize("recipe", [activity.Recipe(), demo_recipe.Recipe()])
def test_a_configuration_file_chooses_the_pyramid(recipe: Any, tmp_path: Path) -> None:
    text = "[pattern]\npattern = 'pyramid'\nwindow = 8\nblock_size = 4\n"
    (found,) = load_settings(configuration(tmp_path / "x.toml", text), recipe)
    assert found.pattern == PatternSettings(pattern="pyramid", window=8, block_size=4, history=128)


def test_the_documented_configuration_is_the_default(tmp_path: Path) -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs" / "guide" / "train.md").read_text(encoding="utf-8")
    file = configuration(tmp_path / "x.toml", guide.split("```toml\n")[1].split("```")[0])
    grid = Reading(subcarriers="-26..26", period_us=20_000, max_gap_us=1_000_000)
    found = load_settings(file, activity.Recipe(seed=3), reading=Reading(), run=RunSettings())
    assert found == (activity.Recipe(seed=3), grid, RunSettings())
    written = tomllib.loads(file.read_text())
    assert set(written["fit"]) == {field.name for field in dataclasses.fields(FitConfig)}
    instead = {name for name in ("select", "chip", "layout", "axes") if f"{name} = " in file.read_text()}
    assert {*written["reading"], *instead} == {field.name for field in dataclasses.fields(Reading)}


def test_the_configuration_file_sets_the_recipe(tmp_path: Path) -> None:
    data = activity_set(tmp_path / "set.npz")
    text = """
        balance = "weights"
        calibrate = false
        [fit]
        steps = 3
        label_smoothing = 0.0
        [reading]
        select = [0, 1, 2]
    """
    file, run = configuration(tmp_path / "x.toml", text), tmp_path / "run"
    command("activity", "--data", data, "--run", run, "--steps", 2, "--config", file)
    found = json.loads((run / "configuration.json").read_text())
    assert (found["balance"], found["calibrate"], found["fit"]["steps"]) == ("weights", False, 2)
    assert found["fit"]["label_smoothing"] == 0.0
    assert TemporalModel.from_blob(run / "model.rvne").input_dim == 3


def test_the_sides_of_the_room_are_one_class() -> None:
    assert [without_side(n) for n in ("TURN_RX", "TURN_TX", "WALKING", "_TX")] == ["TURN", "TURN", "WALKING", ""]


def test_the_demo_recipe_has_a_run_that_goes_on_to_the_same_blob(tmp_path: Path) -> None:
    small = "recordings = 6\ncalibration_recordings = 2\ntest_recordings = 2\n[run]\ncheckpoint_every = 2\n"
    few = ("demo", "--steps", 4, "--config", configuration(tmp_path / "demo.toml", small))
    out, run = tmp_path / "demo.rvne", tmp_path / "run"
    assert "expected --out or --run" in command(*few, code=2)
    printed = command(*few, "--out", out)
    assert "unseen simulated recordings: fresh windows 0." in printed
    settings = TemporalModel.from_blob(out).settings
    assert settings is not None
    assert "SIMULATED" in (settings.provenance or "")

    whole = Fitting.step

    def cut(self: Fitting, step: int, batch: Batch) -> Mapping[str, float]:
        if step == 3:
            raise KeyboardInterrupt
        return whole(self, step, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fitting, "step", cut)
        command(*few, "--run", run, code=130)
    assert not (run / "model.rvne").exists()
    configuration(tmp_path / "demo.toml", small + "workers = 1\n")
    resumed = command(*few, "--run", run, "--resume")
    assert resumed.partition("wrote ")[0] == printed.partition("wrote ")[0]
    assert (run / "model.rvne").read_bytes() == out.read_bytes()
    assert json.loads((run / "configuration.json").read_text())["recordings"] == 6
    assert (
        json.loads((run / "result.json").read_text())["scores"]["unseen simulated recordings"]["fresh_windows"]["count"]
        > 0
    )
    for name in ("loss", "confusion", "confidence"):
        assert (run / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    configuration(tmp_path / "demo.toml", small.replace("6", "7"))
    assert "recordings: expected 6, as the run was begun with, found 7" in command(
        *few, "--run", run, "--resume", code=2
    )
