"""What comes after a training takes no more memory for more recordings."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aether_temporal import WeightBlob

torch = pytest.importorskip("torch", reason="torch (extra train) is not installed")

from aether_temporal.torch import Description, NetworkConfig, TemporalClassifier, to_blob  # noqa: E402
from aether_temporal.train import activity  # noqa: E402
from aether_temporal.train.dataset import Dataset, LabelledRecording  # noqa: E402
from aether_temporal.train.runs import Run  # noqa: E402
from aether_temporal.train.splits import Split  # noqa: E402

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
