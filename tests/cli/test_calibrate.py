"""`aether calibrate`: a threshold of one room, or an error that says why there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command import call

from aether_temporal import TemporalModel, WeightBlob
from aether_temporal.bundled import model_path
from aether_temporal.recordings import Recording
from aether_temporal.recordings.array_files import save_recording
from aether_temporal.running.motion_threshold import LOWEST, SETTLING, odds, quiet_threshold
from aether_temporal.simulation import Receiver, simulate

NOISY = Receiver(snr_db=28.0, level=25.0)


def simulated(path: Path, activity: str, seconds: float, seed: int = 5) -> Recording:
    recording = simulate([(activity, seconds)], seed, frame_rate=90, receiver=NOISY).to_recording()
    save_recording(recording, path)
    return recording


def test_the_new_threshold_takes_the_place_of_the_model_s_own(tmp_path: Path) -> None:
    recording = simulated(tmp_path / "quiet.npz", "empty", 12.0)
    said = call("calibrate", "motion", tmp_path / "quiet.npz", "--out", tmp_path / "room.rvne").output
    before, after = (TemporalModel.from_blob(path) for path in (model_path("motion"), tmp_path / "room.rvne"))
    predictions, _ = odds(before, recording, SETTLING)
    threshold = quiet_threshold(predictions)
    assert threshold == max(LOWEST, np.float32(predictions.max()) + np.float32(0.5))
    assert f"threshold moved by {threshold:+.2f} after" in said
    np.testing.assert_allclose(odds(after, recording, SETTLING)[0], predictions - threshold, atol=1e-5)
    settings = WeightBlob.load(tmp_path / "room.rvne").settings
    assert settings is not None
    assert settings.provenance is not None
    assert settings.provenance.endswith(f"Calibrated to a room: threshold {threshold:+.4f}.")
    assert (after.input_dim, after.default_context) == (before.input_dim, before.default_context)


@pytest.mark.parametrize(
    ("activity", "seconds", "model", "message"),
    [
        ("empty", 5.0, "motion", "frames: expected 7.5 s after the first 2 s"),
        ("walking", 12.0, "motion", "motion: expected a quiet room, found motion in"),
        ("empty", 12.0, "demo", "class names: expected quiet, moving, found empty, still"),
    ],
    ids=["too short", "somebody moves", "another model"],
)
def test_what_no_threshold_follows_from_is_rejected(
    tmp_path: Path, activity: str, seconds: float, model: str, message: str
) -> None:
    simulated(tmp_path / "room.npz", activity, seconds)
    assert message in call("calibrate", model, tmp_path / "room.npz", "--out", tmp_path / "room.rvne", code=2).output
    assert not (tmp_path / "room.rvne").exists()
