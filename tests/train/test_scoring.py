"""The protocol behind every accuracy in the documentation."""

from __future__ import annotations

import numpy as np

from aether_temporal.train.dataset import LabelledRecording
from aether_temporal.train.evaluation import majority, score


class Echo:
    """Stands in for a model: its prediction after a frame is what the frame's first feature says."""

    n_classes = 3

    def forward(self, frames: np.ndarray, context: int | None = None) -> np.ndarray:
        return np.eye(3, dtype=np.float32)[frames[:, 0].astype(int)]


def test_majority_and_ties() -> None:
    rows = np.array([[0, 1, 1], [2, 2, 0], [2, 1, 0]])
    np.testing.assert_array_equal(majority(rows, 3), [1, 2, 0])


def test_windows_follow_each_other_and_are_answered_at_their_last_frame() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 0, 0, 2, 2, 2, 2], dtype=np.int64)
    predictions = np.array([0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 2, 2, 2])
    execution = LabelledRecording("one", "0", np.repeat(predictions[:, None], 4, axis=1).astype(np.float32), labels)
    found = score(Echo(), [execution], label_delay=1, window=4)  # type: ignore[arg-type]
    # windows 0-3, 4-7, 8-11 have majorities 0, 1, 2; predictions at frames 3, 7, 11: 0, 1, 2
    assert found.windows == 3
    assert found.streamed == 1.0
    assert found.fresh == 1.0
    np.testing.assert_array_equal(found.confusion, np.eye(3))
    assert found.frames == np.mean(predictions == labels)
    assert found.delayed == 1.0


def test_wrong_answers_stand_in_the_confusion() -> None:
    execution = LabelledRecording("one", "0", np.full((8, 2), 2.0, np.float32), np.array([0, 0, 0, 0, 2, 2, 2, 2]))
    found = score(Echo(), [execution], label_delay=0, window=4)  # type: ignore[arg-type]
    assert found.streamed == found.fresh == found.frames == 0.5
    assert found.confusion[0, 2] == 1
