"""aether run and enroll: what they compute, print and reject."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import call, call_json, make_blob, save_model, save_recordings
from rich.console import Console

from aether_temporal import CalibrationSettings, InvalidArgumentError, TemporalModel, WeightBlob
from aether_temporal.cli.run_display import Panel
from aether_temporal.recordings import Recording, RecordingShapeError, open_recording
from aether_temporal.running import Gallery, enrol, match_labels, model_frames, run
from aether_temporal.running.label_matching import match_subject
from aether_temporal.running.live_text import run_live
from aether_temporal.running.stream import Prediction


def test_a_run_gives_the_bits_of_forward(tmp_path: Path) -> None:
    model = TemporalModel.from_blob(make_blob())
    recording = open_recording(save_recordings(tmp_path), recording="a")
    for context, dtype in ((None, "float32"), (5, "float32"), (9, "float16")):
        result = run(model, recording, context=context, dtype=dtype)  # type: ignore[arg-type]
        expected = model.forward(recording.frames, context=context or 64, dtype=dtype)  # type: ignore[arg-type]
        assert result.scores.tobytes() == expected.tobytes()
        assert result.names == ("sit", "walk", "turn")


def with_calibration(blob: WeightBlob) -> WeightBlob:
    assert blob.settings is not None
    settings = blob.settings.replace(calibration=CalibrationSettings(1.0))
    return WeightBlob(blob.header.replace(extension=False), blob.weights[: blob.header.core_bytes()], settings)


def test_margins_and_tally_by_hand(tmp_path: Path) -> None:
    model = TemporalModel.from_blob(make_blob())
    recording = open_recording(save_recordings(tmp_path), recording="a")
    seen: list[Any] = []
    result = run(model, recording, on_prediction=seen.append)
    assert recording.labels is not None
    right: dict[str, list[int]] = {}
    for t, row in enumerate(result.scores.tolist()):
        ordered = sorted(row, reverse=True)
        assert seen[t].best == row.index(ordered[0])
        assert seen[t].margin == pytest.approx(ordered[0] - ordered[1])
        assert seen[t].expected == recording.labels[t]
        assert seen[t].label == result.names[seen[t].best]
        assert seen[t].time == pytest.approx(t / 50)
        if recording.labels[t] >= 0:
            entry = right.setdefault(result.names[recording.labels[t]], [0, 0])
            entry[0] += seen[t].best == recording.labels[t]
            entry[1] += 1
    assert {name: tuple(entry) for name, entry in right.items()} == result.tally()
    np.testing.assert_allclose(result.margins, [prediction.margin for prediction in seen], rtol=1e-6)
    accuracy = result.summary()["accuracy"]
    assert accuracy["frames"] == int((recording.labels >= 0).sum())
    assert accuracy["correct"] == sum(entry[0] for entry in right.values())


def test_windows_by_hand(tmp_path: Path) -> None:
    model = TemporalModel.from_blob(make_blob())
    result = run(model, open_recording(save_recordings(tmp_path), recording="a"))
    assert result.labels is not None
    correct = windows = 0
    for begin in range(0, 70 - 9, 10):
        labels = [int(label) for label in result.labels[begin : begin + 10] if label >= 0]
        most = max(labels.count(label) for label in labels)
        expected = min(label for label in labels if labels.count(label) == most)
        correct += expected == result.predictions[begin + 9]
        windows += 1
    labels, predictions = result.windows(10)
    assert (int((labels == predictions).sum()), len(labels)) == (correct, windows)
    assert windows == 7
    assert len(result.windows(71)[0]) == 0


def test_a_label_delay_moves_frames_and_not_windows(tmp_path: Path) -> None:
    model = TemporalModel.from_blob(make_blob())
    recording = open_recording(save_recordings(tmp_path), recording="a")
    plain, late = (run(model, recording, label_delay=delay) for delay in (0, 4))
    assert plain.labels is not None
    assert late.labels is not None
    np.testing.assert_array_equal(late.labels[4:], plain.labels[:-4])
    assert (late.labels[:4] == -1).all()
    np.testing.assert_array_equal(late.windows(10), plain.windows(10))
    assert late.summary(10)["accuracy"]["windows"] == plain.summary(10)["accuracy"]["windows"]


def test_a_window_has_fifty_frames_or_twice_a_longer_label_delay(tmp_path: Path) -> None:
    model = TemporalModel.from_blob(make_blob())
    recording = open_recording(save_recordings(tmp_path), recording="a")
    for delay, length in ((0, 50), (25, 50), (30, 60)):
        accuracy = run(model, recording, label_delay=delay).summary()["accuracy"]
        assert accuracy["windows"]["length"] == length
        assert accuracy["windows"]["windows"] == 70 // length


def test_labels_match_classes_by_name() -> None:
    labels = ["SEATED_RX", "Standing-Up TX", "turn", ""]
    assert match_labels(["seated", "standing_up"], labels) == [0, 1, None, None]
    assert match_labels(["walk", "walk_fast"], ["WALK_FAST_RX", "WALK_SLOW", "walking"]) == [1, 0, None]
    assert match_labels(["0", "1"], ["1", "2"]) == [1, None]
    assert match_subject(["3", "subject 7"], "7") == 1
    assert match_subject(["3", "subject 7"], "subject3") == 0
    assert match_subject(["3", "subject 7"], "8") is None


def test_names_of_any_script_match_themselves_alone() -> None:
    assert match_subject(["Jörg", "Jürg"], "Jürg") == 1
    assert match_subject(["Jörg"], "Jürg") is None
    assert match_subject(["J\u00f6rg"], "Jo\u0308RG") == 0  # composed, and decomposed
    assert match_subject(["日本", "राम"], "राम") == 1
    assert match_subject(["a-b", "a b"], "a b") == 1  # the very same name first
    assert match_labels(["走る", "座る"], ["座る_RX", "座", "走る"]) == [1, None, 0]


SUMMARY_KEYS = {
    "source": str,
    "recording": str,
    "format": str,
    "subject": str,
    "session": str,
    "frames": int,
    "duration_s": float,
    "frame_rate_hz": float,
    "dropped": dict,
    "notes": list,
    "latency": dict,
    "predictions": dict,
    "majority": str,
    "mean_margin": float,
    "accuracy": dict,
}


def test_json_for_machines(tmp_path: Path) -> None:
    """The keys are an interface: whoever changes them changes this test and says so."""
    document = call_json("run", save_model(tmp_path), save_recordings(tmp_path), "--recording", "c", "--context", 32)
    assert list(document) == [
        "model", "kernels", "context", "dtype", "enrolled", "label_delay", "recordings", "total",
    ]  # fmt: skip
    assert (document["context"], document["dtype"], document["enrolled"]) == (32, "float32", None)
    (summary,) = document["recordings"]
    assert {key: type(value) for key, value in summary.items()} == SUMMARY_KEYS
    assert set(summary["latency"]) == {"median_us", "p99_us", "max_us", "period_us", "p99_of_period"}
    assert 0 < summary["latency"]["median_us"] <= summary["latency"]["p99_us"] <= summary["latency"]["max_us"]
    assert summary["latency"]["period_us"] == pytest.approx(20_000)
    accuracy = summary["accuracy"]
    assert set(accuracy) == {
        "correct", "frames", "fraction", "balanced", "windows", "by_class", "recordings_correct", "recordings",
        "unmatched_labels",
    }  # fmt: skip
    assert accuracy["frames"] == 30  # TURN_A is turn, OTHER is no class
    assert list(accuracy["by_class"]) == ["turn"]
    assert accuracy["unmatched_labels"] == ["OTHER"]
    assert accuracy["recordings"] == 1
    assert document["total"]["frames"] == 60


def test_jsonl_has_a_line_a_frame_and_the_summary_last(tmp_path: Path) -> None:
    out = call("run", save_model(tmp_path), save_recordings(tmp_path), "--recording", "b", "--jsonl").stdout
    *frames, last = [json.loads(line) for line in out.splitlines()]
    assert [frame["frame"] for frame in frames] == list(range(50))
    assert set(frames[0]) == {
        "frame", "time", "class", "name", "probability", "margin", "scores", "latency_us", "label"
    }  # fmt: skip
    assert [frame["time"] for frame in frames] == pytest.approx([t / 50 for t in range(50)])
    assert all(frame["class"] == np.argmax(frame["scores"]) for frame in frames)
    assert {frame["name"] for frame in frames} <= {"sit", "walk", "turn"}
    assert {frame["probability"] for frame in frames} == {None}  # the model is not calibrated
    assert list(last) == ["summary"]
    assert last["summary"]["total"]["frames"] == 50


def test_a_calibrated_model_states_probabilities(tmp_path: Path) -> None:
    blob = with_calibration(make_blob())
    blob.save(tmp_path / "calibrated.rvne")
    recordings = save_recordings(tmp_path)
    out = call("run", tmp_path / "calibrated.rvne", recordings, "--recording", "b", "--jsonl").stdout
    *frames, _ = [json.loads(line) for line in out.splitlines()]
    for frame in frames:
        scores = np.array(frame["scores"])
        weights = np.exp(scores - scores.max())
        assert frame["probability"] == pytest.approx(weights.max() / weights.sum())
    text = call("run", tmp_path / "calibrated.rvne", recordings, "--recording", "b").stdout
    assert f"probability {frames[0]['probability']:.2f}" in text


def test_all_and_sessions(tmp_path: Path) -> None:
    model, recordings = save_model(tmp_path), save_recordings(tmp_path)
    document = call_json("run", model, recordings, "--all")
    assert [entry["recording"] for entry in document["recordings"]] == ["a", "b", "c"]
    total = document["total"]
    assert (total["recordings"], total["frames"]) == (3, 180)
    for key in ("correct", "frames"):
        assert total["accuracy"][key] == sum(entry["accuracy"][key] for entry in document["recordings"])
    document = call_json("run", model, recordings, "--all", "--session", "1")
    assert [entry["recording"] for entry in document["recordings"]] == ["c"]
    error = call("run", model, recordings, "--all", "--session", "9", code=2).stderr
    assert "session: expected one of those there are (0, 1)" in error
    text = call("run", model, recordings, "--all").stdout
    assert "3 recordings, 180 frames" in text


def test_plain_output_where_there_is_no_terminal(tmp_path: Path) -> None:
    out = call("run", save_model(tmp_path), save_recordings(tmp_path), "--recording", "c").stdout
    assert "\x1b" not in out
    assert "\r" not in out
    assert "label turn" in out.splitlines()[0]
    assert "c: 60 frames in 1.2 s, 50 a second" in out
    assert "dropped   nothing" in out
    assert "not classes of this model: OTHER" in out


def test_wrong_width_names_what_was_expected_and_found(tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", np.ones((4, 7), np.float32))
    error = call("run", save_model(tmp_path), tmp_path / "wide.npy", code=2).stderr
    assert error.startswith("aether: ")
    assert "frame width: expected 6 features a frame, as the model has them, found 7" in error
    assert len(error.splitlines()) == 1
    call("run", save_model(tmp_path), tmp_path / "wide.npy", "--subcarriers", "columns:1..6")
    error = call("run", save_model(tmp_path), tmp_path / "wide.npy", "--subcarriers", "columns:2..7", code=2).stderr
    assert "features: expected indices 0 … 6, found 2 … 7" in error


def test_raw_frames_become_the_models_subcarriers(tmp_path: Path) -> None:
    """Of 12 pairs the model takes every other one; 6 pairs are taken as they are; others are rejected."""
    model = TemporalModel.from_blob(make_blob(n_pairs=12))
    iq = np.random.default_rng(3).integers(-128, 128, (9, 12, 2)).astype(np.int8)
    recording = Recording(source="x", name="", format="npy", iq=iq)
    frames = model_frames(model, recording)
    assert np.array_equal(frames, np.stack([model.csi_frame(frame) for frame in iq]))
    exact = np.sqrt((iq[:, ::2].astype(np.float64) ** 2).sum(axis=2)).astype(np.float32)
    assert np.array_equal(frames, exact)
    taken = Recording(source="x", name="", format="npy", iq=np.ascontiguousarray(iq[:, ::2]))
    assert np.array_equal(model_frames(model, taken), exact)
    with pytest.raises(
        RecordingShapeError, match=r"expected raw frames of 12 I/Q pairs or 6 I/Q pairs, .* found 5 I/Q"
    ):
        model_frames(model, Recording(source="x", name="", format="npy", iq=np.zeros((2, 5, 2), np.int8)))


def test_enrolled_identities(tmp_path: Path) -> None:
    model, recordings = save_model(tmp_path), save_recordings(tmp_path)
    gallery = tmp_path / "gallery.npz"
    assert call_json("enroll", model, recordings, "-o", gallery, "--session", "0")["identities"] == ["4", "5"]
    from_file = call_json("run", model, recordings, "--recording", "c", "--enroll", gallery)
    assert from_file["enrolled"] == 2
    assert from_file["recordings"][0]["accuracy"]["by_class"].keys() == {"4"}
    named = call_json(
        "run",
        model,
        recordings,
        "--recording",
        "a",
        "--enroll",
        f"ada={_one(tmp_path, 0)}",
        "--enroll",
        f"bob={_one(tmp_path, 70)}",
    )
    assert set(named["recordings"][0]["predictions"]) <= {"ada", "bob"}


def test_a_gallery_is_enrolled_alone_and_whole(tmp_path: Path) -> None:
    model, recordings, gallery = save_model(tmp_path), save_recordings(tmp_path), tmp_path / "g.npz"
    call("enroll", model, recordings, "-o", gallery)
    run = ("run", model, recordings, "--recording", "c", "--enroll", gallery)
    among = call(*run, "--enroll", recordings, code=2)
    assert f"--enroll: expected one gallery or recordings, found gallery {gallery} and others" in among.stderr
    assert among.stdout == ""


def _one(folder: Path, start: int) -> Path:
    path = folder / f"from{start}.npy"
    np.save(path, np.load(folder / "set.npz")["amp"][start : start + 40])
    return path


def test_gallery_by_hand(tmp_path: Path) -> None:
    model = TemporalModel.from_blob(make_blob())
    a, b = (open_recording(save_recordings(tmp_path), recording=name) for name in "ab")
    gallery = enrol(model, [("x", a), ("y", b), ("x", b)], context=16)
    rows = np.concatenate([model.embeddings(r.frames, context=16) for r in (a, b)]).astype(np.float64)
    mean = rows.mean(axis=0)
    np.testing.assert_allclose(gallery.embeddings[0], mean / np.linalg.norm(mean), rtol=1e-5)
    result = run(model, a, context=16, gallery=gallery)
    np.testing.assert_allclose(result.scores, model.embeddings(a.frames, context=16) @ gallery.embeddings.T, rtol=1e-5)
    assert result.enrolled
    gallery.save(tmp_path / "g.npz")
    again = Gallery.load(tmp_path / "g.npz")
    assert again.names == ("x", "y")
    assert again.embeddings.tobytes() == gallery.embeddings.tobytes()
    with pytest.raises(InvalidArgumentError, match=r"gallery: expected embeddings of 9 values, .* found 5"):
        run(TemporalModel.from_blob(make_blob(embed=9)), a, gallery=gallery)
    with pytest.raises(InvalidArgumentError, match="expected gallery_names and gallery_embeddings"):
        Gallery.load(tmp_path / "set.npz")


def test_enrolling_leaves_out_frames_that_overflow() -> None:
    model = TemporalModel.from_blob(make_blob())
    amp = np.random.default_rng(7).uniform(1, 40, (30, 6)).astype(np.float32)
    amp[[4, 17]] = 1e38
    keep = np.setdiff1d(np.arange(30), [4, 17])
    galleries = [
        enrol(model, [("x", Recording(source="x", name="", format="npy", frames=frames))], context=16)
        for frames in (amp, amp[keep])
    ]
    np.testing.assert_allclose(galleries[0].embeddings, galleries[1].embeddings, rtol=1e-6)


def test_a_model_without_embedding_cannot_enrol(tmp_path: Path) -> None:
    call("init", tmp_path / "plain.rvne", "--set", "input_dim=6")
    error = call(
        "run",
        tmp_path / "plain.rvne",
        save_recordings(tmp_path),
        "--recording",
        "a",
        "--enroll",
        tmp_path / "set.npz",
        code=2,
    ).stderr
    assert "expected a model with an embedding, found one without" in error


def test_classes_without_names_are_numbers(tmp_path: Path) -> None:
    call("init", tmp_path / "plain.rvne", "--set", "input_dim=6", "--set", "n_classes=3")
    document = call_json("run", tmp_path / "plain.rvne", save_recordings(tmp_path), "--recording", "a")
    assert set(document["recordings"][0]["predictions"]) <= {"0", "1", "2"}
    assert document["recordings"][0]["accuracy"] is None


@pytest.mark.parametrize("ending", ["png", "svg", "html"])
def test_plot_draws_a_picture(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib (extra plot) is not installed")
    picture = tmp_path / f"timeline.{ending}"
    call("run", save_model(tmp_path), save_recordings(tmp_path), "--recording", "a", "--plot", picture)
    content = picture.read_bytes()
    begin = {"png": b"\x89PNG", "svg": b"<?xml", "html": b"<!doctype html>"}
    assert content.startswith(begin[ending])
    assert len(content) > 10_000


WRONG_PLOTS = {
    "an unknown ending": ("x.mp3", "plot: expected a file ending in .png, .svg, .html, found 'x.mp3'"),
    "no ending": ("x", "plot: expected a file ending in .png"),
    "no such folder": ("absent/x.png", "plot: expected a file in an existing folder"),
    "a folder": ("folder.png", "is a directory"),
}


@pytest.mark.parametrize("name", WRONG_PLOTS)
def test_where_a_plot_cannot_go_is_said_before_the_run(tmp_path: Path, name: str) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib (extra plot) is not installed")
    path, message = WRONG_PLOTS[name]
    (tmp_path / "folder.png").mkdir()
    command = ("run", save_model(tmp_path), save_recordings(tmp_path), "--recording", "a")
    result = call(*command, "--plot", tmp_path / path, code=2)
    assert message in result.stderr
    assert result.stdout == ""


def test_a_plot_without_matplotlib_is_rejected_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = call("run", save_model(tmp_path), save_recordings(tmp_path), "--recording", "a", "--plot", "x.png", code=2)
    assert "pip install matplotlib" in result.stderr
    assert result.stdout == ""


WRONG_USAGE = {
    "no recording chosen": (["set.npz"], "found none for 3 recordings; choose one: 0 (a), 1 (b), 2 (c)"),
    "no such recording": (["set.npz", "--recording", "z"], "found 'z'"),
    "no such file": (["absent.npz"], "absent.npz: expected a file that can be read, found: No such file"),
    "a folder without recordings": (["empty"], "empty: expected recordings in this folder, found none"),
    "context of zero": (["set.npz", "--recording", "a", "--context", "0"], "--context"),
    "an unknown dtype": (["set.npz", "--dtype", "int8"], "--dtype"),
    "both kinds of JSON": (["set.npz", "--json", "--jsonl"], "--json and --jsonl"),
    "all and one": (["set.npz", "--all", "--recording", "a"], "--all and --recording"),
    "all and a plot": (["set.npz", "--all", "--plot", "x.png"], "--plot draws one recording"),
    "a session of one": (["set.npz", "--session", "0"], "--session: expected together with --all"),
    "indices that go down": (["set.npz", "--subcarriers", "columns:5..2"], "expected an ascending range"),
    "numbers that are none": (["set.npz", "--subcarriers", "a"], "expected numbers and ranges"),
    "an unknown band": (["set.npz", "--subcarriers", "ltf:-3..3"], "bands any, lltf, htltf"),
    "indices that are none": (["set.npz", "--subcarriers", "columns:a"], "expected indices and ranges"),
    "standard input of another format": (["-", "--format", "npz"], "standard input"),
    "an absent gallery": (["set.npz", "--recording", "a", "--enroll", "absent.npz"], "absent.npz"),
    "a model as recording": (["model.rvne"], "expected .npz, .npy, CSI text lines"),
}


@pytest.mark.parametrize("name", WRONG_USAGE)
def test_wrong_usage_is_status_2_and_never_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    arguments, message = WRONG_USAGE[name]
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path)
    save_recordings(tmp_path)
    (tmp_path / "empty").mkdir()
    result = call("run", "model.rvne", *arguments, code=2)
    assert message in result.stderr
    assert result.stdout == ""


def test_wrong_models(tmp_path: Path) -> None:
    recordings = save_recordings(tmp_path)
    error = call("run", tmp_path / "absent.rvne", recordings, code=2).stderr
    assert "expected a blob file or the name of a bundled model" in error
    model = save_model(tmp_path)
    raw = bytearray(model.read_bytes())
    raw[40] ^= 1
    model.write_bytes(raw)
    for command in (("run", model, recordings), ("enroll", model, recordings, "-o", tmp_path / "g.npz")):
        error = call(*command, code=2).stderr
        assert error.startswith(f"aether: {model}: ")
        assert "CRC" in error
    assert "expected a blob file" in call("run", tmp_path, recordings, code=2).stderr


def test_label_delay_compares_with_the_label_of_earlier_frames(tmp_path: Path) -> None:
    model = TemporalModel.from_blob(make_blob())
    recording = open_recording(save_recordings(tmp_path), recording="a")
    assert recording.labels is not None
    result = run(model, recording, label_delay=10)
    assert result.labels is not None
    assert (result.labels[:10] == -1).all()
    assert np.array_equal(result.labels[10:], recording.labels[:-10])
    whole = run(model, recording, label_delay=700)
    assert whole.labels is None
    document = call_json("run", save_model(tmp_path), tmp_path / "set.npz", "--recording", "a", "--label-delay", 10)
    assert document["label_delay"] == 10
    assert document["recordings"][0]["accuracy"]["frames"] == int((recording.labels[:-10] >= 0).sum())


def test_another_frame_rate_is_noted(tmp_path: Path) -> None:
    model = TemporalModel.from_blob(make_blob())
    frames = np.ones((3, 6), np.float32)
    for rate, noted in ((50.0, False), (60.0, False), (100.0, True), (20.0, True), (None, False)):
        recording = Recording(source="x", name="", format="npy", frames=frames, frame_rate=rate)
        notes = run(model, recording).summary()["notes"]
        assert bool(notes) is noted
    assert run(model, Recording(source="x", name="", format="npy", frames=frames, frame_rate=100.0)).notes == (
        "the model expects 50 frames a second, the recording has 100",
    )


@pytest.mark.parametrize("arguments", [["--recording", "0"], ["--all"], ["--recording", "1", "--json"]])
def test_a_recording_without_frames_is_rejected(tmp_path: Path, arguments: list[str]) -> None:
    np.savez(tmp_path / "set.npz", amp=np.ones((0, 6), np.float32), rec_offset=[0, 0, 0])
    result = call("run", save_model(tmp_path), tmp_path / "set.npz", *arguments, code=2)
    assert "set.npz: expected frames that a model can take, found none (it has none)" in result.stderr
    amp = np.full((5, 6), np.nan, np.float32)
    amp[3:] = 1e38  # finite, but their sum is not
    np.savez(tmp_path / "set.npz", amp=amp, rec_offset=[0, 5, 5])
    result = call("run", save_model(tmp_path), tmp_path / "set.npz", *arguments[:1], *arguments[1:2], code=2)
    expected = "it has none" if arguments[1:2] == ["1"] else "all were dropped: 3 not_finite, 2 overflow"
    assert f"found none ({expected})" in result.stderr


def test_one_empty_recording_of_several_is_no_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", amp=np.ones((4, 6), np.float32), rec_offset=[0, 0, 4])
    document = call_json("run", save_model(tmp_path), tmp_path / "set.npz", "--all")
    assert [entry["frames"] for entry in document["recordings"]] == [0, 4]
    assert document["recordings"][0]["latency"] is None


def test_a_frame_that_overflows_is_dropped_and_counted(tmp_path: Path) -> None:
    """The other recordings get the predictions that they get without it."""
    rng = np.random.default_rng(6)
    amp = rng.uniform(1, 40, (30, 6)).astype(np.float32)
    amp[[4, 17]] = 1e38
    labels = np.arange(30) % 3
    times = np.arange(30) / 50
    keep = np.setdiff1d(np.arange(30), [4, 17])
    names = np.array(["SIT", "WALK", "TURN"])
    np.savez(tmp_path / "all.npz", amp=amp, labels=labels, label_names=names, t=times)
    np.savez(tmp_path / "kept.npz", amp=amp[keep], labels=labels[keep], label_names=names, t=times[keep])
    model = TemporalModel.from_blob(make_blob())
    seen: list[Any] = []
    result = run(model, open_recording(tmp_path / "all.npz"), on_prediction=seen.append)
    without = run(model, open_recording(tmp_path / "kept.npz"))
    assert result.scores.tobytes() == without.scores.tobytes()
    assert result.tally() == without.tally()
    assert [prediction.index for prediction in seen] == keep.tolist()
    assert dict(result.recording.dropped) == {"overflow": 2}
    assert result.recording.timestamps is not None
    assert np.array_equal(result.recording.timestamps, times[keep])
    out = call("run", save_model(tmp_path), tmp_path / "all.npz").stdout
    assert "28 frames" in out
    assert "dropped   2 overflow" in out


def test_live_frames_that_overflow_are_dropped_with_their_times() -> None:
    """Weights near the end of the range: a frame of zeros passes, any other overflows."""
    shapes = {"wq": (6, 8), "wk": (6, 4), "wv": (6, 4), "wo": (8, 6)}
    layer = {name: np.full(shape, 3e38, np.float32) for name, shape in shapes.items()}
    header = make_blob().header.replace(extension=False)
    blob = WeightBlob.from_arrays(header, [layer], np.full((6, 3), 3e38, np.float32))
    model = TemporalModel.from_blob(blob)

    def line(i: int, value: int) -> bytes:
        head = f"CSI_DATA,{i},1a:00:00:00:00:00,-30,11,1,6,1,0,1,0,1,0,0,-93,0,13,2,{i * 20000},0,67,0,12,0"
        return f'{head},"[{",".join([str(value)] * 12)}]"\n'.encode()

    result = run_live(model, io.BytesIO(b"".join(line(i, i % 3) for i in range(9))))
    assert len(result) == 3
    assert dict(result.recording.dropped) == {"overflow": 6}
    assert result.recording.timestamps is not None
    np.testing.assert_allclose(result.recording.timestamps, [0, 0.06, 0.12])


def test_timestamps_that_go_back_are_noted(tmp_path: Path) -> None:
    times = np.arange(10) / 50
    times[[3, 7]] = 0
    np.savez(tmp_path / "x.npz", amp=np.ones((10, 6), np.float32), t=times)
    out = call("run", save_model(tmp_path), tmp_path / "x.npz").stdout
    assert "the timestamps go back 2 times" in out


def test_a_display_too_narrow_for_bars_keeps_names_and_numbers() -> None:
    names = ("seated", "sitting_down", "standing_up")
    prediction = Prediction(0, 0.0, names[0], None, 1.0, np.array([1.5, -2.25, 0.5], np.float32), 0, 0, 1e-4)
    for width, bars in ((44, False), (100, True)):
        out = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
        recording = Recording(source="x", name="", format="npy", frames=np.ones((3, 6), np.float32), frame_rate=50.0)
        with Panel(out, names, recording, "m ← r", False) as panel:
            panel.show(prediction)
        text = out.file.getvalue()  # type: ignore[attr-defined]
        for wanted in (*names, "1.50", "-2.25", "0.50"):
            assert wanted in text
        assert ("█" in text) is bars


def test_names_are_neither_markup_nor_commands_to_the_terminal(tmp_path: Path) -> None:
    """Whoever wrote a file decides its names, and must not thereby decide what a terminal does."""
    evil = "\x1b]0;owned\x07[red]:smile:"
    blob = make_blob()
    assert blob.settings is not None
    settings = blob.settings.replace(class_names=[evil, "b", "c"], provenance=evil)
    WeightBlob(blob.header.replace(extension=False), blob.weights[: blob.header.core_bytes()], settings).save(
        tmp_path / "evil.rvne"
    )
    np.savez(
        tmp_path / "evil.npz",
        amp=np.ones((4, 6), np.float32),
        labels=[0, 1, 0, 1],
        label_names=np.array([evil, "x\x9b1m"]),
        rec_offset=[0, 4],
        rec_name=np.array([evil]),
    )
    shown = "\\x1b]0;owned\\x07[red]:smile:"
    for arguments in (
        ("run", tmp_path / "evil.rvne", tmp_path / "evil.npz"),
        ("inspect", tmp_path / "evil.rvne"),
        ("recordings", tmp_path / "evil.npz"),
    ):
        out = call(*arguments).stdout
        assert shown in out
        assert "\x1b" not in out
        assert "\x9b" not in out
        assert "\x1b" not in json.dumps(call_json(*arguments), ensure_ascii=True)
    error = call("run", tmp_path / "evil.rvne", tmp_path / "evil.npz", "--recording", "z", code=2).stderr
    assert shown in error
    assert "\x1b" not in error


def test_label_delay_defaults_to_the_blobs(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).uniform(1, 20, (60, 56)).astype(np.float32)
    labels = np.repeat([0, 1], 30)
    np.savez(tmp_path / "set.npz", amp=frames, labels=labels, label_names=["seated", "walking"], rate_hz=100.0)
    told = call_json("run", "activity", tmp_path / "set.npz")
    assert told["label_delay"] == 25
    assert told["recordings"][0]["accuracy"]["frames"] == 35
    plain = call_json("run", "activity", tmp_path / "set.npz", "--label-delay", 0)
    assert plain["label_delay"] == 0
    assert plain["recordings"][0]["accuracy"]["frames"] == 60


def test_a_manifest_stands_for_its_recordings_everywhere(tmp_path: Path) -> None:
    model = save_model(tmp_path)
    rng = np.random.default_rng(5)
    for name in ("one", "two"):
        np.save(tmp_path / f"{name}.npy", rng.uniform(1, 40, (60, 6)).astype(np.float32))
    table = tmp_path / "table.csv"
    table.write_text("file,subject,session,label\none.npy,ann,monday,SIT\ntwo.npy,ben,friday,WALK\n")
    listed = call_json("recordings", table)["recordings"]
    assert [(r["index"], r["name"], r["subject"], r["session"], r["frames"]) for r in listed] == [
        (0, "one", "ann", "monday", 60),
        (1, "two", "ben", "friday", 60),
    ]
    document = call_json("run", model, table, "--all")
    assert [(r["recording"], r["frames"]) for r in document["recordings"]] == [("one", 60), ("two", 60)]
    assert [r["accuracy"]["frames"] for r in document["recordings"]] == [60, 60]
    (friday,) = call_json("run", model, table, "--all", "--session", "friday")["recordings"]
    (by_name,) = call_json("run", model, table, "--recording", "two")["recordings"]
    assert (friday["recording"], friday["accuracy"]) == (by_name["recording"], by_name["accuracy"])
    wildcard = call("run", model, tmp_path / "*", "--all").stdout
    assert "left out, for they are no recordings: 2 of the files there (model.rvne, table.csv)" in wildcard.replace(
        "\n", " "
    )
    assert call_json("enroll", model, table, "-o", tmp_path / "g.npz")["identities"] == ["ann", "ben"]


def test_recordings_of_several_files_are_listed_by_their_paths(tmp_path: Path) -> None:
    model = save_model(tmp_path)
    rng = np.random.default_rng(5)
    for place in ("sit/1", "sit/2", "walk/1", "walk/2"):
        path = tmp_path / "data" / f"{place}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, frames=rng.uniform(1, 40, (20, 6)).astype(np.float32), rec_offset=[0, 20], rec_name=["take"])
    shown = [line.split()[1:3] for line in call("recordings", tmp_path / "data").stdout.splitlines()]
    ran = [line.split()[:2] for line in call("run", model, tmp_path / "data", "--all").stdout.splitlines()]
    for place in ("sit/1", "sit/2", "walk/1", "walk/2"):
        name = [str(Path(f"{place}.npz")), "take"]
        assert name in shown
        assert name in ran


def test_files_without_labels_are_told_how_to_state_them(tmp_path: Path) -> None:
    model = save_model(tmp_path)
    np.save(tmp_path / "one.npy", np.random.default_rng(5).uniform(1, 40, (20, 6)).astype(np.float32))
    assert "a manifest can state the labels of files: file,label" in call("run", model, tmp_path, "--all").stdout
