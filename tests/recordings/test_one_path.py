"""The same bytes give the same frames and predictions from a file, standard input, a pipe and a serial device."""

from __future__ import annotations

import io
import os
import random
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from cli.command import call, make_blob
from making import C6_HEADER, c6, raw_frame, values_of
from recordings.test_resampling import timed_model
from test_subcarriers import model_of

from aether_temporal import TemporalModel, TimingSettings
from aether_temporal.listening import NodePredictor, PacketReceiver
from aether_temporal.listening.recorder import FILE_HEADER, packet_record
from aether_temporal.recordings import RecordingError, RecordingFormatError, csi_parser, open_recording
from aether_temporal.recordings.recording_file import open_stream
from aether_temporal.running import Prediction, Result, run
from aether_temporal.running.live_text import run_live
from aether_temporal.train.prepared import prepare

OTHER = "2b:00:00:00:00:00"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="pipes and serial devices of POSIX")


def console(seed: int, *, pairs: int = 2, count: int = 120) -> str:
    """Frames in bursts, with labels, gaps, a wrapping and restarting clock, repeated and damaged lines, another sender
    and another size."""
    draw = random.Random(seed)
    lines = [C6_HEADER + ",target"]
    now = 2**32 - 700_000
    for i in range(count):
        now += draw.choice([0, 4000, 10_000, 10_000, 25_000, 400_000 if draw.random() < 0.1 else 12_000])
        now = draw.randrange(2**31) if draw.random() < 0.02 else now % 2**32
        label = draw.choice(["a", "a", "B", "unknown", "zebra"])
        line = c6(i, values_of(seed + i, 2 * pairs), us=now) + f",{label}"
        lines.append(line)
        match draw.randrange(16) if i > 4 else 0:
            case 1:
                lines.append(line)
            case 2:
                lines.append(line[:40])
            case 3:
                lines.append(c6(i, values_of(i, 2 * pairs), us=now, mac=OTHER) + ",a")
            case 4:
                lines.append(c6(i + 5000, values_of(i, 2 * pairs + 2), us=now) + ",a")
            case 5:
                lines.append("I (5) wifi: log")
    return "\n".join(lines) + "\n"


def assert_same(one: Result, other: Result) -> None:
    np.testing.assert_array_equal(one.scores, other.scores)
    assert one.segment_starts == other.segment_starts
    assert one.notes == other.notes
    assert one.recording.notes == other.recording.notes
    assert one.recording.dropped == other.recording.dropped
    assert one.unmatched_labels == other.unmatched_labels
    for name in ("timestamps", "labels"):
        np.testing.assert_array_equal(getattr(one.recording, name), getattr(other.recording, name))
    for name in ("labels", "own_labels"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


MODELS = {
    "a grid and a label delay": lambda: timed_model(TimingSettings(2, 10_000, 100_000)),
    "a label delay alone": lambda: timed_model(TimingSettings(label_delay=3)),
    "a grid": lambda: timed_model(TimingSettings(period_us=5000, max_gap_us=50_000)),
    "nothing": lambda: timed_model(TimingSettings()),
}


@pytest.mark.parametrize("wants", MODELS)
@pytest.mark.parametrize("seed", range(3))
def test_file_and_stream_give_the_same_predictions(tmp_path: Path, wants: str, seed: int) -> None:
    model, text = MODELS[wants](), console(seed)
    (tmp_path / "console.txt").write_text(text)
    stored_predictions: list[Prediction] = []
    live_predictions: list[Prediction] = []
    recording = open_recording(tmp_path / "console.txt")
    stored = run(model, recording, context=8, on_prediction=stored_predictions.append)
    live = run_live(model, io.BytesIO(text.encode()), context=8, on_prediction=live_predictions.append)
    assert len(stored) > 60
    assert stored.recording.dropped["duplicate"] > 0
    assert_same(stored, live)
    assert stored.labels is not None
    assert [one.expected for one in live_predictions] == stored.labels.tolist()
    for name in ("index", "time", "label", "margin", "probability"):
        assert [getattr(one, name) for one in live_predictions] == [getattr(one, name) for one in stored_predictions]


def test_a_model_that_names_its_pairs_takes_them_from_both(tmp_path: Path) -> None:
    model, text = TemporalModel.from_blob(make_blob(n_pairs=12)), console(1, pairs=12)
    (tmp_path / "console.txt").write_text(text)
    assert_same(run(model, open_recording(tmp_path / "console.txt")), run_live(model, io.BytesIO(text.encode())))


def test_a_damaged_first_address_does_not_deafen_the_stream() -> None:
    model = timed_model(TimingSettings())
    lines = [c6(i, values_of(i, 4), us=10_000 * i, mac=OTHER if i == 0 else "1a:00:00:00:00:00") for i in range(40)]
    result = run_live(model, io.BytesIO("\n".join(lines).encode()), context=8)
    assert len(result) == 31  # from the one that is eight ahead
    assert result.recording.dropped == {"other_sender": 9}
    assert any("senders: 1a:00:00:00:00:00 39" in note for note in result.recording.notes)


def test_a_sender_can_be_chosen_in_a_stream() -> None:
    model = timed_model(TimingSettings())
    lines = [c6(i, values_of(i, 4), us=10_000 * i, mac=OTHER if i % 3 else "1a:00:00:00:00:00") for i in range(30)]
    result = run_live(model, io.BytesIO("\n".join(lines).encode()), sender="1A:00:00:00:00:00", context=8)
    assert len(result) == 10
    assert result.recording.dropped == {"other_sender": 20}


def test_a_stream_without_a_suitable_frame_says_what_came() -> None:
    model = timed_model(TimingSettings())
    text = "\n".join(c6(i, values_of(i, 10), us=i) for i in range(200))
    found = r"found none \(expected .*found 5 I/Q pairs.*1a:00:00:00:00:00 200"
    with pytest.raises(RecordingFormatError, match=found):
        run_live(model, io.BytesIO(text.encode()))


def test_a_model_that_names_subcarriers_finds_them_in_both(tmp_path: Path) -> None:
    model, text = model_of("-20..20"), console(3, pairs=57)  # the number of pairs of a C5, HT-LTF
    (tmp_path / "console.txt").write_text(text)
    stored = run(model, open_recording(tmp_path / "console.txt"))
    assert len(stored) > 60
    assert_same(stored, run_live(model, io.BytesIO(text.encode())))


@POSIX
def test_a_pipe_given_as_a_recording_streams(tmp_path: Path) -> None:
    model, text, pipe = tmp_path / "m.rvne", console(2, pairs=6), tmp_path / "pipe"
    make_blob().save(model)
    (tmp_path / "console.txt").write_text(text)
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(text))
    writer.start()
    live = call("run", model, pipe, "--jsonl").stdout.splitlines()
    writer.join()
    stored = call("run", model, tmp_path / "console.txt", "--jsonl").stdout.splitlines()
    without_latency = [line.split('"latency')[0] for line in live[:-1]]
    assert without_latency == [line.split('"latency')[0] for line in stored[:-1]]
    with pytest.raises(RecordingError, match="found a device or pipe; `aether run MODEL"):
        open_recording(pipe)


@POSIX
def test_a_serial_device_given_as_a_recording_streams(tmp_path: Path) -> None:
    model = timed_model(TimingSettings(2, 10_000, 100_000))
    text = console(0).encode()
    (tmp_path / "console.txt").write_bytes(text)
    stored = run(model, open_recording(tmp_path / "console.txt"), context=8)
    master, slave = os.openpty()
    device = os.ttyname(slave)
    got: list[int] = []

    def send() -> None:
        for start in range(0, len(text), 500):
            os.write(master, text[start : start + 500])
        while len(got) < len(stored):  # what is closed while it holds bytes loses them
            time.sleep(0.01)
        os.close(master)

    with open_stream(device) as file:
        os.close(slave)
        sender = threading.Thread(target=send)
        sender.start()
        live = run_live(model, file, source=device, context=8, on_prediction=lambda one: got.append(one.index))
        sender.join()
    assert_same(stored, live)


@pytest.mark.parametrize("wants", MODELS)
def test_packets_give_the_predictions_of_their_capture(tmp_path: Path, wants: str) -> None:
    pytest.importorskip("dpkt", reason="dpkt (extra pcap) is not installed")
    model, draw = MODELS[wants](), random.Random(7)
    heard: list[Prediction] = []
    predictor = NodePredictor(model, context=8, on_prediction=lambda _, prediction: heard.append(prediction))
    receiver = PacketReceiver(on_arrival=predictor.offer)
    content, now = [FILE_HEADER], 1_790_000_000.123456
    for i in range(60):  # as many as may wait
        now += draw.choice([0.0, 0.004, 0.01, 0.0251, 0.3 if draw.random() < 0.1 else 0.012])
        data = raw_frame(i, np.array(values_of(i, 4), np.int8).tobytes())
        content.append(packet_record(data, ("10.0.0.5", 4000), ("10.0.0.1", 5005), now))
        receiver.take(data, "10.0.0.5", 4000, now, now)
    predictor.close()
    (tmp_path / "x.pcap").write_bytes(b"".join(content))
    replayed: list[Prediction] = []
    run(model, open_recording(tmp_path / "x.pcap"), context=8, on_prediction=replayed.append)
    assert len(replayed) >= 50
    np.testing.assert_array_equal([one.scores for one in heard], [one.scores for one in replayed])
    np.testing.assert_allclose([one.time for one in heard], [one.time for one in replayed], atol=2e-6)


@pytest.mark.parametrize("senders", [1, 25])
def test_a_file_is_parsed_once_for_all_its_senders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, senders: int
) -> None:
    from aether_temporal.recordings import open_recordings

    lines = [c6(i, values_of(i, 4), us=1000 * i, mac=f"02:00:00:00:00:{i % senders:02x}") for i in range(100)]
    (tmp_path / "s.csv").write_text("\n".join(lines))
    fed = []
    feed = csi_parser.CsiParser.feed
    monkeypatch.setattr(csi_parser.CsiParser, "feed", lambda self, line: fed.append(line) or feed(self, line))
    found = list(open_recordings(tmp_path / "s.csv"))
    assert [len(recording) for recording in found] == [100 // senders] * senders
    assert len(fed) == 100
    fed.clear()
    assert len(prepare([tmp_path / "s.csv"], tmp_path / "prepared")) == senders
    assert len(fed) <= 200  # for the classes, and for the frames
