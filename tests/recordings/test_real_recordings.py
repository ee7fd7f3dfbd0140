"""The real recordings, where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aether_temporal.recordings import list_recordings, open_recording


def test_activity_set(recordings_dir: Path) -> None:
    path = recordings_dir / "geotec_sessions_1_3.npz"
    infos = list_recordings(path)
    assert len(infos) == 28
    assert {info.session for info in infos} == {"0", "1", "2"}
    raw = np.load(path, allow_pickle=False)
    for index in (0, 13, 27):
        recording = open_recording(path, recording=index)
        begin, end = raw["rec_offset"][index : index + 2]
        assert recording.frames is not None
        assert recording.labels is not None
        assert np.array_equal(recording.frames, raw["amp"][begin:end].astype(np.float32))
        assert np.array_equal(recording.labels, raw["frame_activity"][begin:end])
        assert recording.label_names == tuple(raw["activity_names"].tolist())
        assert recording.name == raw["rec_name"][index]
        assert recording.frame_rate == 100
        assert np.array_equal(open_recording(path, recording=recording.name).features(), recording.frames)


def test_subject_set(recordings_dir: Path) -> None:
    path = recordings_dir / "wiper_persons_0_59.npz"
    infos = list_recordings(path)
    assert len(infos) == 120
    raw = np.load(path, allow_pickle=False)
    for index in (0, 61, 119):
        recording = open_recording(path, recording=index)
        begin, end = raw["rec_offset"][index : index + 2]
        assert np.array_equal(recording.iq, raw["iq"][begin:end])  # type: ignore[arg-type]
        assert recording.timestamps is not None
        assert np.array_equal(recording.timestamps, raw["t"][begin:end].astype(np.float64))
        assert (recording.subject, recording.session) == (str(raw["rec_person"][index]), str(raw["rec_session"][index]))
        exact = np.sqrt((raw["iq"][begin:end].astype(np.float64) ** 2).sum(axis=2)).astype(np.float32)
        assert np.array_equal(recording.features(), exact)
        assert np.array_equal(recording.features([51, 0]), exact[:, [51, 0]])


def test_bundled_activity_model_beats_the_published_baseline(recordings_dir: Path) -> None:
    """Sessions 2 and 3, which the model was not trained on; windows of 50 frames; the set's own baselines."""
    from aether_temporal import TemporalModel
    from aether_temporal.bundled import model_path
    from aether_temporal.running import Total, run

    model = TemporalModel.from_blob(model_path("activity"))
    path = recordings_dir / "geotec_sessions_1_3.npz"
    for session, baseline in (("1", 0.758), ("2", 0.632)):
        chosen = [info.index for info in list_recordings(path) if info.session == session]
        results = [run(model, open_recording(path, recording=index)) for index in chosen]
        accuracy = Total(results).summary()["accuracy"]
        assert accuracy["unmatched_labels"] == []
        assert accuracy["windows"]["windows"] > 50
        assert accuracy["windows"]["fraction"] > baseline
