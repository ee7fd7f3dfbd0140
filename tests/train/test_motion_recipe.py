"""What the motion recipe teaches, what it rejects, and what its model cannot see."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from aether_temporal import TemporalModel, WeightBlob
from aether_temporal.errors import InvalidConfigError
from aether_temporal.recordings import RecordingError
from aether_temporal.recordings.array_files import save_recording
from aether_temporal.simulation import simulate

torch = pytest.importorskip("torch", reason="torch (extra train) is not installed")

from aether_temporal.torch import TemporalClassifier, to_blob  # noqa: E402
from aether_temporal.train import motion_recipe as motion  # noqa: E402
from aether_temporal.train.reading import Reading, RunSettings  # noqa: E402
from aether_temporal.train.supervised import FitConfig  # noqa: E402

SMALL = motion.Recipe(test_recordings=2, fit=FitConfig(steps=2))


@pytest.fixture
def walk(tmp_path: Path) -> str:
    path = tmp_path / "walk.npz"
    save_recording(simulate([("still", 6.0), ("walking", 6.0), ("still", 4.0)], 3, frame_rate=80).to_recording(), path)
    return str(path)


def test_labels_become_quiet_or_moving(walk: str) -> None:
    dataset = motion.read_motion([walk], SMALL, Reading())
    assert dataset.classes == ("quiet", "moving")
    assert dataset.width == 52
    labels = dataset[0].labels
    assert (labels[100:500] == 0).all()
    assert (labels[700:1100] == 1).all()


def test_recordings_without_a_quiet_label_are_rejected(walk: str) -> None:
    with pytest.raises(RecordingError, match="expected some frames of 'quiet', found none"):
        motion.read_motion([walk], dataclasses.replace(SMALL, quiet=("asleep",)), Reading())


def test_a_grid_of_another_period_is_rejected(walk: str) -> None:
    with pytest.raises(InvalidConfigError, match="period_us"):
        motion.read_motion([walk], SMALL, Reading(period_us=5000))


def test_a_frame_near_a_change_has_no_target() -> None:
    labels = np.repeat([0, 1], [60, 60])
    found = motion._targets(labels)
    assert (found[: motion.WARM_UP] == -1).all()
    assert (found[motion.WARM_UP : 60] == 0).all()
    assert (found[60 : 60 + motion.PURE - 1] == -1).all()
    assert (found[60 + motion.PURE - 1 :] == 1).all()


def test_another_packet_rate_keeps_the_course_of_a_frame() -> None:
    """A line stays a line, whichever packets are missing, and labels stay beside their frames."""
    frames = np.linspace(1.0, 2.0, 200, dtype=np.float32)[:, None].repeat(2, axis=1)
    labels = (np.arange(200) >= 100).astype(np.int64)
    made, found = motion._other_rate(frames, labels, np.random.default_rng(1))
    np.testing.assert_allclose(np.diff(made[1:-2, 0]), 2 / 199, rtol=1e-4)
    assert ((made[:, 0] > 1.52) <= (found == 1)).all()
    assert ((made[:, 0] < 1.48) <= (found == 0)).all()


def test_without_parts_a_disturbance_changes_nothing() -> None:
    nothing = motion.Disturbance(**{field.name: 0.0 for field in dataclasses.fields(motion.Disturbance)})
    frames = np.random.default_rng(2).uniform(0.5, 1.5, (100, 52)).astype(np.float32)
    for seed in range(5):
        np.testing.assert_allclose(nothing.apply(frames, np.random.default_rng(seed)), frames, rtol=1e-6)


def test_the_level_of_the_change_is_not_seen() -> None:
    """A room in which everything changes five times as much, noise and all, gets the same prediction."""
    network = TemporalClassifier(motion.network_shape())
    with torch.no_grad():
        motion.begin(network)
        network.classifier["weight"].copy_(torch.randn_like(network.classifier["weight"]))
    model = TemporalModel.from_blob(to_blob(network))
    change = np.random.default_rng(4).normal(0.0, 0.005, (120, 52))
    change -= change.mean(axis=1, keepdims=True)
    weak, strong = (model.forward((1.0 + factor * change).astype(np.float32))[90:] for factor in (1.0, 5.0))
    np.testing.assert_allclose(weak, strong, atol=0.02 * np.abs(weak).max())


def test_it_trains_scores_and_writes_a_small_blob(walk: str, tmp_path: Path) -> None:
    said: list[str] = []
    out = tmp_path / "motion.rvne"
    options = {"out": str(out), "run_folder": str(tmp_path / "run"), "resume": False}
    motion.main([walk], SMALL, Reading(), RunSettings(), said.append, **options)
    blob = WeightBlob.load(out)
    assert blob == WeightBlob.load(tmp_path / "run" / "model.rvne")
    assert len(blob.serialize()) < 8192
    settings = blob.settings
    assert settings is not None
    assert tuple(settings.class_names or ()) == motion.CLASSES
    assert "walk.npz" in (settings.provenance or "")
    assert TemporalModel.from_blob(blob).memory().ram < 8192
    assert any(line.startswith("simulated rooms: recall") for line in said)
