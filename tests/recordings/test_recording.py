"""What a recording and a result print; the table of formats; the real recordings; two senders behind one name."""

from __future__ import annotations

import random
from collections.abc import Iterable
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
from aether_temporal.recordings.node_packets import RAW_HEADER, Interleaving
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


def found(packets: Iterable[tuple[int, int]], bits: int = 32) -> bool:
    noticed = Interleaving(bits)
    for number, port in packets:
        noticed.take(number & ((1 << bits) - 1), port)
    return noticed.found


def two(first: int, second: int, ports: tuple[int, int] = (0, 0), loss: float = 0.0) -> list[tuple[int, int]]:
    draw = random.Random(1)
    packets = [(begin + i, port) for i in range(200) for begin, port in zip((first, second), ports, strict=True)]
    return [packet for packet in packets if draw.random() >= loss]


@pytest.mark.parametrize("offset", [500_000, 5_000, 30, -40])
@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_notices_numbers_of_two_ranges_that_alternate(offset: int, bits: int, loss: float) -> None:
    assert found(two(100, 100 + offset, loss=loss), bits)
    assert found(two((1 << bits) - 50, (1 << bits) - 50 + offset, loss=loss), bits)  # wraps


@pytest.mark.parametrize("offset", [500_000, 30, 3, 1, 0])
def test_notices_two_ports_however_close_their_numbers(offset: int) -> None:
    assert found(two(100, 100 + offset, (4000, 4001)))


def test_notices_a_second_sender_that_is_slow() -> None:
    packets = [packet for i in range(400) for packet in ([(i, 1)] + [(90_000 + i // 50, 2)] * (i % 50 == 0))]
    assert found(packets)


def shuffled(depth: float) -> list[int]:
    draw = random.Random(3)
    return sorted(range(2000), key=lambda number: number + draw.random() * depth)


ONE_SENDER = {
    "numbers in order": range(1000),
    "every packet twice": [i // 2 for i in range(1000)],
    "neighbours swap places": [i ^ 1 for i in range(1000)],
    "packets overtake each other": shuffled(3),
    "packets overtake many": shuffled(12),
    "half of the packets lost": [i for i in range(4000) if random.Random(i).random() < 0.5],
    "numbers that jump": [i * 1000 for i in range(1000)],
    "many restarts": [i % 50 for i in range(1000)],
    "random numbers": [random.Random(i).randrange(1 << 32) for i in range(5000)],
}


@pytest.mark.parametrize("name", ONE_SENDER)
def test_one_sender_is_not_two(name: str) -> None:
    assert not found((number, 0) for number in ONE_SENDER[name])


def test_one_count_from_two_ports_is_one_sender() -> None:
    assert not found((i, i % 2) for i in range(1000))
    assert not found((i, random.Random(i).randrange(5)) for i in range(1000))


def test_a_restart_from_another_port_is_no_second_sender() -> None:
    assert not found([*((i, 1) for i in range(500)), *((i, 2) for i in range(500)), *((i, 3) for i in range(500))])


@pytest.mark.parametrize("offset", [500_000, 30])
def test_a_file_of_packets_says_that_two_nodes_have_one_id(tmp_path: Path, offset: int) -> None:
    numbers = [number for number, _ in two(10, 10 + offset)]
    for name, counted in (("two", numbers), ("one", range(400))):
        frames = (RAW_HEADER.pack(0xC5110001, 1, 1, 4, 2437, number, -40, -90, 0) + bytes(8) for number in counted)
        (tmp_path / name).write_bytes(b"".join(frames))
    said = [note for note in open_recording(tmp_path / "two").notes if note.startswith("two nodes say the id 1: ")]
    assert len(said) == 1
    assert said[0].endswith("give each node an id of its own")
    assert not open_recording(tmp_path / "one").notes
