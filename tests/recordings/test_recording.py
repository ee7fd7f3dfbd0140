"""What a recording and the result of a run print, the table of formats, and the real recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli.command import make_blob, save_recordings

from aether_temporal import TemporalModel
from aether_temporal.recordings import (
    FORMATS,
    Recording,
    RecordingFormatError,
    list_recordings,
    open_recording,
    recognise,
    save_recording,
)
from aether_temporal.recordings.opening import _FORMATS
from aether_temporal.running import run


def test_repr_names_format_shape_rate_labels_and_provenance() -> None:
    recording = Recording(
        source="a.npz",
        name="x",
        format="npz",
        iq=np.zeros((3, 52, 2), np.int8),
        labels=np.array([0, 1, -1]),
        label_names=("sit", "walk"),
        subject="7",
        frame_rate=50.0,
        dropped={"cut": 2},
    )
    expected = "<Recording a.npz:x: npz, 3 frames of 52 I/Q pairs, 50 Hz, labels sit, walk, subject 7, dropped 2 cut>"
    assert repr(recording) == expected
    plain = Recording(source="b.npy", name="", format="npy", frames=np.zeros((2, 9), np.float32))
    assert repr(plain) == "<Recording b.npy: npy, 2 frames of 9 features>"


def test_html_escapes_what_a_file_says() -> None:
    recording = Recording(
        source="<b>.npy", name="", format="npy", frames=np.zeros((2, 9), np.float32), subject="<script>"
    )
    found = recording._repr_html_()
    assert "<script>" not in found
    assert "&lt;script&gt;" in found
    assert "&lt;b&gt;.npy" in found


def test_repr_of_a_result_names_classes_and_accuracy(tmp_path: Path) -> None:
    path = save_recordings(tmp_path)
    result = run(TemporalModel.from_blob(make_blob()), open_recording(path, recording="a"))
    accuracy = result.summary()["accuracy"]["fraction"]
    assert repr(result) == f"<Result of {path}:a: 70 frames, classes sit, walk, turn, {accuracy:.1%} correct>"


@pytest.mark.parametrize("key", ["rec_subject", "rec_person"])
def test_subjects_are_read_under_either_name(tmp_path: Path, key: str) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, frames=np.ones((4, 3), np.float32), rec_offset=[0, 2, 4], **{key: np.array(["ann", "ben"])})
    assert [info.subject for info in list_recordings(path)] == ["ann", "ben"]
    assert open_recording(path, recording=1).subject == "ben"


def test_the_table_of_formats_recognises_what_it_reads(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    save_recording(Recording(source="x", name="", format="npy", frames=np.ones((2, 3), np.float32)), path)
    assert recognise(path) == "npz"
    np.save(tmp_path / "b.npy", np.ones((2, 3)))
    assert recognise(tmp_path / "b.npy") == "npy"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(RecordingFormatError) as error:
        recognise(path)
    assert all(format_.description in str(error.value) for format_ in _FORMATS)
    assert len(set(FORMATS)) == len(_FORMATS)


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
