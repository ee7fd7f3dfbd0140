"""Training learns, repeats itself, and never sees what it is scored on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aether_temporal import TemporalModel
from aether_temporal.recordings import RecordingShapeError
from aether_temporal.simulation import simulate

torch = pytest.importorskip("torch", reason="torch (extra train) is not installed")

from aether_temporal.train import activity, demo  # noqa: E402
from aether_temporal.train.executions import Augmentation, Crops, Execution, load_activities, without_side  # noqa: E402
from aether_temporal.train.fitting import FitConfig  # noqa: E402
from aether_temporal.train.scoring import score  # noqa: E402


@pytest.fixture(autouse=True)
def _two_threads_at_most() -> None:
    torch.set_num_threads(1)


def two_class_task(seeds: range) -> list[Execution]:
    """Somebody walks, or nobody is there: half of each recording."""
    found = []
    for seed in seeds:
        made = simulate([("empty", 4.0), ("walking", 4.0)], seed)
        found.append(Execution(f"seed{seed}", "simulated", made.frames, made.labels))
    return found


def test_a_short_training_learns_a_simulated_task() -> None:
    blob = demo.train(two_class_task(range(12)), "a test", seed=1, config=FitConfig(steps=60), show_progress=False)
    found = score(TemporalModel.from_blob(blob), two_class_task(range(500, 512)), delay=demo.DELAY)
    assert found.windows == 96
    assert found.streamed > 0.85  # chance is 0.5


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    task = two_class_task(range(3))

    def trained(seed: int) -> bytes:
        return demo.train(task, "a test", seed=seed, config=FitConfig(steps=3), show_progress=False).serialize()

    assert trained(1) == trained(1)
    assert trained(1) != trained(2)


def test_training_leaves_the_random_numbers_of_the_caller_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    demo.train(two_class_task(range(2)), "a test", seed=9, config=FitConfig(steps=1), show_progress=False)
    torch.testing.assert_close(torch.rand(4), expected, rtol=0, atol=0)


def test_targets_are_the_labels_of_earlier_frames() -> None:
    labels = np.arange(300, dtype=np.int64)
    frames = np.tile(labels[:, None].astype(np.float32) + 1, (1, 8))
    crops = Crops(100, 5, 25, 49, Augmentation(0, 0, 0, 0))
    drawn, targets = crops.draw([Execution("ramp", "0", frames, labels)], np.random.default_rng(0))
    assert drawn.shape == (5, 100, 8)
    assert (targets[:, :49] == -1).all()
    np.testing.assert_array_equal(targets[:, 49:], drawn[:, 49:, 0] - 1 - 25)


def test_a_recording_shorter_than_a_crop_is_named() -> None:
    short = Execution("short", "0", np.ones((20, 8), np.float32), np.zeros(20, np.int64))
    with pytest.raises(ValueError, match="short: expected at least 100 frames, found 20"):
        Crops(100, 1, 0, 0, Augmentation()).draw([short], np.random.default_rng(0))


def test_augmentation_varies_a_copy_and_can_be_off() -> None:
    frames = np.random.default_rng(0).uniform(1, 30, (50, 56)).astype(np.float32)
    kept = frames.copy()
    varied = Augmentation().apply(frames, np.random.default_rng(1))
    np.testing.assert_array_equal(frames, kept)
    assert varied.dtype == np.float32
    assert np.isfinite(varied).all()
    assert (varied >= 0).all()
    assert not np.allclose(varied, frames)
    np.testing.assert_array_equal(Augmentation(0, 0, 0, 0).apply(frames, np.random.default_rng(1)), frames)


def activity_set(path: Path, sessions: int = 2) -> Path:
    """A simulated set in the layout of the activity recordings."""
    made = [simulate([("still", 2.0), ("walking", 2.0)], seed) for seed in range(2 * sessions)]
    np.savez(
        path,
        amp=np.concatenate([m.frames for m in made]).astype(np.float16),
        frame_activity=np.concatenate([np.where(m.labels == 2, 2 + s % 2, s % 2) for s, m in enumerate(made)]),
        activity_names=np.array(["STILL_RX", "STILL_TX", "WALKING_RX", "WALKING_TX"]),
        rec_name=np.array([f"e{s}" for s in range(len(made))]),
        rec_session=np.repeat(np.arange(sessions), 2).astype(np.int8),
        rec_offset=np.cumsum([0, *map(len, made)]),
        rate_hz=np.float32(50.0),
    )
    return path


def test_the_activity_command_trains_on_the_first_session_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []
    draw = Crops.draw

    def spy(self: Crops, executions: list[Execution], generator: np.random.Generator) -> object:
        seen.extend(execution.session for execution in executions)
        return draw(self, executions, generator)

    monkeypatch.setattr(Crops, "draw", spy)
    out = tmp_path / "out.rvne"
    data = activity_set(tmp_path / "set.npz")
    assert activity.main(["--data", str(data), "--out", str(out), "--steps", "3", "--quiet"]) == 0
    assert set(seen) == {"0"}
    printed = capsys.readouterr().out
    assert "session 1 (trained on): windows streamed" in printed
    assert "session 2: windows streamed" in printed
    model = TemporalModel.from_blob(out)
    assert model.settings is not None
    assert model.settings.class_names == ("STILL", "WALKING")
    assert model.settings.frame_rate == 100.0
    assert "ODC-By 1.0" in (model.settings.provenance or "")


def test_one_session_cannot_be_split(tmp_path: Path) -> None:
    executions, _ = load_activities(activity_set(tmp_path / "set.npz", sessions=1))
    with pytest.raises(ValueError, match="session: expected at least two sessions, found 0"):
        activity.split_by_session(executions)


def test_recordings_without_labels_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "bare.npz", amp=np.ones((60, 8), np.float32))
    with pytest.raises(RecordingShapeError, match="labels: expected one for every frame"):
        load_activities(tmp_path / "bare.npz")


def test_the_sides_of_the_room_are_one_class() -> None:
    assert [without_side(n) for n in ("TURN_RX", "TURN_TX", "WALKING", "_TX")] == ["TURN", "TURN", "WALKING", ""]


def test_the_demo_command_writes_a_blob_and_its_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo.rvne"
    few = ["--recordings", "6", "--test-recordings", "2", "--steps", "2", "--quiet"]
    assert demo.main(["--out", str(out), *few]) == 0
    assert "unseen simulated recordings: windows streamed" in capsys.readouterr().out
    settings = TemporalModel.from_blob(out).settings
    assert settings is not None
    assert "SIMULATED" in (settings.provenance or "")
