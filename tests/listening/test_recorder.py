"""Recordings of received packets: `aether run` computes the same bits from them, however the recording ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli.command import call, call_json, make_blob
from conftest import assert_same_bits
from hang import HANG
from wire import classification, features, raw

from aether_temporal import TemporalModel, csi_amplitude
from aether_temporal.errors import InvalidArgumentError
from aether_temporal.listening import AppendFile, Arrival, NodePredictor, NodeTable, PacketReceiver, Recorder
from aether_temporal.listening.recorder import FILE_HEADER, packet_record
from aether_temporal.recordings import RecordingSelectionError, list_recordings, open_recording
from aether_temporal.running import run

HERE = ("0.0.0.0", 5005)
PAIRS = 12
DPKT = "dpkt (extra pcap) is not installed"


def iq(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-128, 128, (count, PAIRS, 2), dtype=np.int8)


def record(path: Path, sent: list[tuple[str, float, bytes]]) -> PacketReceiver:
    """Records datagrams through a receiver, as the command does. Each: address, time, datagram."""
    recorder = Recorder(AppendFile.create(path, FILE_HEADER))

    def arrived(arrival: Arrival) -> None:
        recorder.add(packet_record(arrival.data, (arrival.node.key.address, arrival.port), HERE, arrival.time))

    receiver = PacketReceiver(NodeTable(), on_arrival=arrived)
    for address, seconds, data in sent:
        receiver.take(data, address, 4000, 1_700_000_000 + seconds, seconds)
    recorder.close()
    assert recorder.error is None
    assert recorder.written == sum(receiver.accepted.values())
    return receiver


def test_raw_frames_replay_bit_for_bit(tmp_path: Path) -> None:
    pytest.importorskip("dpkt", reason=DPKT)
    frames = iq(1, 90)
    sent = [("10.0.0.5", i / 50, raw(3, i, frame.tobytes())) for i, frame in enumerate(frames)]
    sent.insert(40, ("10.0.0.5", 0.79, raw(3, 40, bytes(24))[:-1]))  # rejected: not in the recording
    sent.insert(60, sent[59])  # a duplicate
    sent[20:22] = sent[21:19:-1]  # frame 20 comes late
    record(tmp_path / "x.pcap", sent)
    model = TemporalModel.from_blob(make_blob(input_dim=6, n_pairs=PAIRS))
    recording = open_recording(tmp_path / "x.pcap")
    assert recording.name == "node3"
    assert dict(recording.dropped) == {"duplicate": 1, "late": 1}
    kept = np.delete(frames, 20, axis=0)
    assert recording.iq is not None
    assert recording.iq.tobytes() == kept.tobytes()
    assert recording.frame_rate == pytest.approx(50, rel=0.02)
    direct = model.forward(np.stack([model.csi_frame(pairs) for pairs in kept]), context=64)
    assert_same_bits(run(model, recording).scores, direct)
    make_blob(input_dim=6, n_pairs=PAIRS).save(tmp_path / "m.rvne")
    summary = call_json("run", tmp_path / "m.rvne", tmp_path / "x.pcap")["recordings"][0]
    assert summary["frames"] == 89


def test_feature_states_replay_bit_for_bit(tmp_path: Path) -> None:
    """A model with nine features gets the numbers that were sent, across a wrap of the 16-bit sequence."""
    pytest.importorskip("dpkt", reason=DPKT)
    values = np.random.default_rng(5).uniform(-3, 90, (70, 9)).astype(np.float32)
    sent = [
        ("10.0.0.5", i / 5, features(3, 65500 + i, tuple(map(float, row)), ts_us=i * 200_000))
        for i, row in enumerate(values)
    ]
    record(tmp_path / "x.pcap", sent)
    model = TemporalModel.from_blob(make_blob(input_dim=9))
    recording = open_recording(tmp_path / "x.pcap")
    assert recording.name == "node3-features"
    assert recording.frames is not None
    assert_same_bits(recording.frames, values)
    assert recording.notes == ()
    assert_same_bits(run(model, recording).scores, model.forward(values, context=64))
    make_blob(input_dim=9).save(tmp_path / "m.rvne")
    lines = call("run", tmp_path / "m.rvne", tmp_path / "x.pcap", "--jsonl").stdout.splitlines()
    assert len(lines) == 71
    direct = model.forward(values, context=64)
    for line, row in zip(lines, direct, strict=False):
        assert_same_bits(np.array(json.loads(line)["scores"], dtype=np.float32), row)


def test_one_file_holds_every_node_and_kind(tmp_path: Path) -> None:
    pytest.importorskip("dpkt", reason=DPKT)
    sent = []
    for i in range(20):
        sent += [("10.0.0.5", i / 50, raw(3, i)), ("10.0.0.6", i / 50, raw(3, 500 + i)), ("fd00::7", i / 50, raw(4, i))]
        sent += [("10.0.0.5", i / 50, features(3, i)), ("fd00::7", i / 50, classification(4, i))]
    record(tmp_path / "x.pcap", sent)
    found = {info.name: info.frames for info in list_recordings(tmp_path / "x.pcap")}
    assert found == {"node3@10.0.0.5": 20, "node3-features": 20, "node3@10.0.0.6": 20, "node4": 20}
    for name in found:
        recording = open_recording(tmp_path / "x.pcap", recording=name)
        assert len(recording) == 20
        assert recording.notes == ()
        assert recording.dropped["other_packet"] == 20
    with pytest.raises(RecordingSelectionError, match="node3@10.0.0.6"):
        open_recording(tmp_path / "x.pcap")


def test_capture_is_valid_for_another_implementation(tmp_path: Path) -> None:
    """Headers, lengths and checksums, as dpkt reads them."""
    dpkt = pytest.importorskip("dpkt", reason=DPKT)
    payloads = [raw(1, 0), raw(1, 1, bytes(range(25))[:-1]), classification(), features(), raw(2, 0, b"\xff" * 1400)]
    for source, where in (("10.1.2.3", "10.0.0.1"), ("fd00::7", "::"), ("10.1.2.3", "::"), ("fe80::1%3", "fe80::2")):
        for payload in payloads:
            packet = packet_record(payload, (source, 40000), (where, 5005), 12.345678)[16:]
            ip = (dpkt.ip6.IP6 if ":" in source else dpkt.ip.IP)(packet)
            assert bytes(ip.data.data) == payload
            assert (ip.data.sport, ip.data.dport) == (40000, 5005)
            assert _checks(ip.data.sum, packet, ip, payload)
            if ":" not in source:
                again = dpkt.ip.IP(packet)
                again.sum = 0
                assert bytes(again)[10:12] == packet[10:12]


def _checks(found: int, packet: bytes, ip: Any, payload: bytes) -> bool:
    """The UDP checksum, word by word as in RFC 768."""
    udp = packet[-8 - len(payload) :]
    data = bytes(ip.src) + bytes(ip.dst) + len(udp).to_bytes(4, "big") + (17).to_bytes(4, "big") + udp
    data += bytes(len(data) % 2)
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF and found != 0


def test_truncated_recording_keeps_whole_packets(tmp_path: Path) -> None:
    pytest.importorskip("dpkt", reason=DPKT)
    record(tmp_path / "x.pcap", [("10.0.0.5", i / 50, raw(3, i, bytes([i] * 24))) for i in range(4)])
    whole = (tmp_path / "x.pcap").read_bytes()
    size = (len(whole) - 24) // 4
    for length in range(24 + size, len(whole)):
        (tmp_path / "cut.pcap").write_bytes(whole[:length])
        recording = open_recording(tmp_path / "cut.pcap")
        assert len(recording) == (length - 24) // size
        assert sum(recording.dropped.values()) == (1 if (length - 24) % size else 0)


def test_live_predictions_equal_those_of_the_replay(tmp_path: Path) -> None:
    """Interleaved nodes, restarts, gaps and late frames give the same bits live and replayed."""
    pytest.importorskip("dpkt", reason=DPKT)
    model = TemporalModel.from_blob(make_blob(input_dim=6, n_pairs=PAIRS))
    scores: dict[int, list[np.ndarray]] = {1: [], 2: []}
    predictor = NodePredictor(
        model, on_prediction=lambda arrival, prediction: scores[arrival.packet.node_id].append(prediction.scores)
    )
    recorder = Recorder(AppendFile.create(tmp_path / "x.pcap", FILE_HEADER))

    def arrived(arrival: Arrival) -> None:
        recorder.add(packet_record(arrival.data, (arrival.node.key.address, arrival.port), HERE, arrival.time))
        predictor.offer(arrival)

    receiver = PacketReceiver(on_arrival=arrived)
    pairs = iq(9, 120)
    numbers = [*range(50), 52, 51, 51, 53, *range(30)]
    for node in (1, 2):
        for i, number in enumerate(numbers):
            now = i / 50 + (6 if i >= 54 else 0)  # six seconds of silence before the restart
            receiver.take(raw(node, number, pairs[(i + node) % 120].tobytes()), "10.0.0.5", 1, now, now)
            while len(predictor._queues[receiver.table.nodes()[-1]].waiting) > 32:  # so that none is dropped
                pass
    receiver.take(raw(1, 900, bytes(10)), "10.0.0.5", 1, 9.0, 9.0)  # five pairs
    receiver.take(features(1), "10.0.0.5", 1, 9.0, 9.0)
    predictor.close()
    recorder.close()
    assert (predictor.dropped, predictor.unsuitable) == (0, 2)
    for node in (1, 2):
        replayed = run(model, open_recording(tmp_path / "x.pcap", recording=f"node{node}"))
        assert len(replayed.scores) == 50 + 2 + 27
        assert_same_bits(np.stack(scores[node]), replayed.scores)
        prediction = receiver.table.nodes()[node - 1].prediction
        assert prediction is not None
        assert prediction.local
        assert prediction.class_index == int(replayed.scores[-1].argmax())


def test_a_node_that_floods_the_model_does_not_delay_others() -> None:
    """At most 64 frames of a node wait. More are dropped and counted."""
    model = TemporalModel.from_blob(make_blob(input_dim=6, n_pairs=PAIRS))
    inside, proceed = threading.Event(), threading.Event()
    order: list[int] = []

    def predicted(arrival: Arrival, prediction: object) -> None:
        order.append(arrival.packet.node_id)
        inside.set()
        proceed.wait(HANG)

    predictor = NodePredictor(model, on_prediction=predicted)
    receiver = PacketReceiver(on_arrival=predictor.offer)
    data = iq(1, 1)[0].tobytes()
    for i in range(3):  # then the node is known
        receiver.take(raw(1, i, data), "10.0.0.5", 1, 0.0, 0.0)
    assert inside.wait(HANG)
    for i in range(3, 300):
        receiver.take(raw(1, i, data), "10.0.0.5", 1, 0.0, 0.0)
    for i in range(3):
        receiver.take(raw(2, i, data), "10.0.0.6", 1, 0.0, 0.0)
    for i in range(200):  # unknown nodes
        receiver.take(raw(3, i, data), f"10.1.0.{i}", 1, 0.0, 0.0)
    proceed.set()
    predictor.close()
    assert predictor.dropped == 300 - 64
    assert order.count(1) == 64
    assert order[:7] == [1, 2, 1, 2, 1, 2, 1]
    assert set(order) == {1, 2}


def test_counts_frames_for_which_the_model_overflows() -> None:
    model = TemporalModel.from_blob(make_blob(input_dim=9))
    predictor = NodePredictor(model)
    receiver = PacketReceiver(on_arrival=predictor.offer)
    for i, value in enumerate((1.0, 3e38, 2.0)):
        receiver.take(features(1, i, (value,) * 9), "10.0.0.5", 1, 0.0, 0.0)
    predictor.close()
    assert predictor.overflowed == 1
    assert receiver.table.nodes()[0].prediction is not None


@pytest.mark.skipif(os.name != "posix", reason="file size limits of POSIX")
def test_a_full_disk_ends_the_recording_at_a_whole_packet(tmp_path: Path) -> None:
    """A process with a file size limit: the write stops in the middle of a packet."""
    pytest.importorskip("dpkt", reason=DPKT)
    code = """
import resource, sys
from pathlib import Path
from aether_temporal.listening import AppendFile, Recorder
from aether_temporal.listening.recorder import FILE_HEADER, packet_record
sys.path.insert(0, sys.argv[2])
from wire import raw
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
recorder = Recorder(AppendFile.create(Path(sys.argv[1]), FILE_HEADER))
for i in range(200):
    recorder.add(packet_record(raw(3, i), ("10.0.0.5", 1), ("0.0.0.0", 5005), i / 50))
    while recorder._queue and recorder.error is None:
        pass
recorder.close()
print(recorder.written, recorder.error)
"""
    path = tmp_path / "x.pcap"
    command = [sys.executable, "-c", code, str(path), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=HANG)
    written, message = done.stdout.split(" ", 1)
    said = "File too large: name a place that takes files of this size"
    assert message.startswith(f"{path}: recording ended: {said} ({written} packets are in it)")
    recording = open_recording(path)
    assert len(recording) == int(written) > 10
    assert dict(recording.dropped) == {}


def test_counts_pieces_lost_because_the_disk_is_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is limited in bytes, and `add` does not block."""
    writing, proceed = threading.Event(), threading.Event()
    write = AppendFile.write

    def slow(file: AppendFile, data: bytes) -> None:
        if data:
            writing.set()
            proceed.wait(HANG)
        write(file, data)

    recorder = Recorder(AppendFile.create(tmp_path / "x", b""))
    monkeypatch.setattr(AppendFile, "write", slow)
    recorder.add(b"a")
    assert writing.wait(HANG)
    for _ in range(40):
        recorder.add(bytes(1 << 20))
    proceed.set()
    recorder.close()
    assert (recorder.written, recorder.lost) == (17, 24)
    assert (tmp_path / "x").stat().st_size == 1 + (16 << 20)


def test_continues_lines_after_a_truncated_one(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    for before, after in ((None, "{}\n"), ("", "{}\n"), ("{1}\n", "{1}\n{}\n"), ("{1}\n{", "{1}\n{\n{}\n")):
        path.unlink(missing_ok=True)
        if before is not None:
            path.write_text(before)
        recorder = Recorder(AppendFile.continue_lines(path))
        recorder.add(b"{}\n")
        recorder.close()
        assert path.read_text() == after


def test_leaves_a_file_of_another_kind_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(FILE_HEADER)
    with pytest.raises(InvalidArgumentError, match=r"x\.pcap: expected a new file or JSON lines, found a file"):
        AppendFile.continue_lines(path)
    assert path.read_bytes() == FILE_HEADER


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_killed_process_leaves_whole_packets(tmp_path: Path) -> None:
    """SIGKILL while it writes: every packet but the last is whole."""
    pytest.importorskip("dpkt", reason=DPKT)
    code = """
import sys
from pathlib import Path
from aether_temporal.listening import AppendFile, Recorder
from aether_temporal.listening.recorder import FILE_HEADER, packet_record
sys.path.insert(0, sys.argv[2])
from wire import raw
recorder = Recorder(AppendFile.create(Path(sys.argv[1]), FILE_HEADER))
i = 0
while True:
    recorder.add(packet_record(raw(3, i, bytes([i % 251] * 24)), ("10.0.0.5", 1), ("0.0.0.0", 5005), i / 50))
    i += 1
    if i == 300:
        print("going", flush=True)
"""
    for attempt in range(3):
        path = tmp_path / f"{attempt}.pcap"
        found = subprocess.Popen([sys.executable, "-c", code, str(path), str(Path(__file__).parent)], stdout=-1)
        assert found.stdout is not None
        assert found.stdout.readline() == b"going\n"
        while path.stat().st_size < 1000:
            pass
        found.send_signal(signal.SIGKILL)
        found.wait(HANG)
        found.stdout.close()
        recording = open_recording(path)
        assert len(recording) >= (path.stat().st_size - 24) // 100 // 2
        assert sum(recording.dropped.values()) <= 1
        assert recording.iq is not None
        numbers = recording.iq[:, 0, 0].view(np.uint8)
        assert np.array_equal(numbers, np.arange(len(numbers)) % 251) or recording.notes  # notes: a slow disk lost some
        assert (recording.iq == recording.iq[:, :1, :1]).all()


def test_amplitudes_equal_those_of_the_core(tmp_path: Path) -> None:
    """Live predictions use the features that a chip computes."""
    model = TemporalModel.from_blob(make_blob(input_dim=6, n_pairs=PAIRS))
    frame = iq(4, 1)[0]
    assert_same_bits(model.csi_frame(frame), csi_amplitude(frame)[::2])
