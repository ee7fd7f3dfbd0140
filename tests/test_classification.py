"""`TemporalModel.classify`: the predictions of `aether run`, from whatever holds frames."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from cli.command import make_blob, save_recordings

from aether_temporal import CalibrationSettings, InputTypeError, ShapeError, TemporalModel, WeightBlob
from aether_temporal.recordings import RecordingError, open_recording
from aether_temporal.running import run


def model(calibrated: bool = False) -> TemporalModel:
    blob = make_blob()
    if calibrated:
        assert blob.settings is not None
        settings = blob.settings.replace(calibration=CalibrationSettings(2.0))
        blob = WeightBlob(blob.header.replace(extension=False), blob.weights[: blob.header.core_bytes()], settings)
    return TemporalModel.from_blob(blob)


def text(frames: int = 30, pairs: int = 6) -> bytes:
    rng = np.random.default_rng(3)
    head = "CSI_DATA,{i},aa:bb:cc:dd:ee:ff,-50,11,1,0,0,0,0,0,0,0,0,-90,0,1,0,{us},0,100,0,{n},0"
    lines = []
    for i in range(frames):
        values = ",".join(map(str, rng.integers(-60, 60, 2 * pairs)))
        lines.append(head.format(i=i, us=20000 * i, n=2 * pairs) + f',"[{values}]"')
    return "\n".join(lines).encode() + b"\n"


def test_a_file_gives_the_predictions_of_a_run(tmp_path: Path) -> None:
    path = save_recordings(tmp_path)
    expected = run(model(), open_recording(path, recording="b"))
    found = list(model().classify(path, recording="b"))
    assert [p.best for p in found] == expected.predictions.tolist()
    assert [p.label for p in found] == [expected.names[i] for i in expected.predictions]
    assert [p.time for p in found] == pytest.approx([t / 50 for t in range(50)])
    assert {p.probability for p in found} == {None}
    assert [p.best for p in model().classify(open_recording(path, recording="b"))] == [p.best for p in found]
    frames = open_recording(path, recording="b").features()
    assert [p.best for p in model().classify(frames)] == [p.best for p in found]
    assert {p.time for p in model().classify(frames)} == {None}


def test_a_calibrated_model_gives_probabilities(tmp_path: Path) -> None:
    for prediction in model(calibrated=True).classify(save_recordings(tmp_path), recording=0):
        weights = np.exp(prediction.scores.astype(np.float64) - prediction.scores.max())
        assert prediction.probability == pytest.approx(weights.max() / weights.sum())


def test_text_gives_the_same_from_a_file_an_open_file_and_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "monday.csv"
    path.write_bytes(text())
    expected = [(p.time, p.label, p.scores.tolist()) for p in model().classify(path)]
    assert len(expected) == 30
    assert [(p.time, p.label, p.scores.tolist()) for p in model().classify(io.BytesIO(text()))] == expected
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(text(),))
    writer.start()
    assert [(p.time, p.label, p.scores.tolist()) for p in model().classify(pipe)] == expected
    writer.join()


def test_bad_sources_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputTypeError, match="source: expected a path"):
        model().classify(7)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="frames"):
        model().classify(np.zeros(6))
    with pytest.raises((RecordingError, OSError), match=r"missing\.csv"):
        model().classify(tmp_path / "missing.csv")
    with pytest.raises(RecordingError, match="frame width"):
        model().classify(np.zeros((4, 5), np.float32))
