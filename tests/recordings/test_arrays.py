"""Recordings in .npz and .npy files, in the forms in which people save them."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aether_temporal.errors import InvalidArgumentError
from aether_temporal.recordings import (
    Hints,
    Recording,
    RecordingError,
    RecordingFormatError,
    RecordingSelectionError,
    Sources,
    array_files,
    list_recordings,
    open_file,
    open_recording,
    open_recordings,
    save_recording,
)
from aether_temporal.recordings.recording_file import parse_axes
from aether_temporal.subcarriers import SubcarrierMap, parse_layout

RNG = np.random.default_rng(5)


def activity_set(path: Path, **changes: Any) -> Path:
    """A small file of the layout of the activity recordings: three recordings, 7, 5 and 9 frames."""
    arrays: dict[str, Any] = {
        "amp": RNG.uniform(1, 40, (21, 6)).astype(np.float16),
        "frame_activity": (np.arange(21) % 4 - 1).astype(np.int8),
        "activity_names": np.array(["SIT", "WALK", "TURN"]),
        "rec_name": np.array(["a", "b", "c"]),
        "rec_session": np.array([0, 1, 1], dtype=np.int8),
        "rec_offset": np.array([0, 7, 12, 21], dtype=np.int32),
        "rate_hz": np.float32(100),
    }
    arrays.update(changes)
    np.savez_compressed(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def test_one_recording_of_a_set(tmp_path: Path) -> None:
    path = activity_set(tmp_path / "set.npz")
    infos = list_recordings(path)
    assert [(i.index, i.name, i.frames, i.session) for i in infos] == [
        (0, "a", 7, "0"),
        (1, "b", 5, "1"),
        (2, "c", 9, "1"),
    ]
    whole = np.load(path)["amp"].astype(np.float32)
    for choice in (1, "b", "1", -2):
        recording = open_recording(path, recording=choice)
        assert recording.format == "npz"
        assert recording.name == "b"
        assert recording.session == "1"
        assert recording.frames is not None
        assert recording.frames.dtype == np.float32
        assert np.array_equal(recording.frames, whole[7:12])
        assert recording.labels is not None
        assert recording.labels.tolist() == [2, -1, 0, 1, 2]
        assert recording.label_names == ("SIT", "WALK", "TURN")
        assert recording.frame_rate == 100
        assert not recording.is_raw
        assert recording.width == 6
    assert [len(recording) for recording in open_recordings(path)] == [7, 5, 9]


def test_starts_are_seconds_since_1970_and_others_are_not_known(tmp_path: Path) -> None:
    path = activity_set(tmp_path / "set.npz", rec_start=np.array([1.6e9, np.nan, -3.0]))
    assert [recording.start for recording in open_recordings(path)] == [1.6e9, None, None]
    assert open_recording(activity_set(tmp_path / "plain.npz"), recording="a").start is None


@pytest.mark.parametrize("order", ["C", "F"])
def test_subjects_and_pairs(tmp_path: Path, order: str) -> None:
    iq = np.asarray(RNG.integers(-128, 128, (9, 4, 2)), dtype=np.int8, order=order)  # type: ignore[call-overload]
    path = tmp_path / "set.npz"
    np.savez(
        path,
        iq=iq,
        t=np.arange(9, dtype=np.float32) / 50,
        rec_offset=[0, 4, 9],
        rec_subject=[3, 3],
        rec_session=[0, 1],
        rate_hz=50.0,
    )
    recording = open_recording(path, recording="subject3/session1")
    assert np.array_equal(recording.iq, iq[4:9])  # type: ignore[arg-type]
    assert recording.subject == "3"
    assert recording.session == "1"
    assert recording.is_raw
    assert recording.width == 4
    assert recording.timestamps is not None
    assert np.allclose(recording.timestamps, np.arange(4, 9) / 50)
    with pytest.raises(RecordingSelectionError, match=r"found none for 2 recordings.*0 \(subject3/session0\)"):
        open_recording(path)


def test_recordings_without_names_of_their_own_can_be_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, features=np.ones((9, 3)), rec_offset=[0, 2, 5, 9], rec_session=[0, 0, 1])
    names = [info.name for info in list_recordings(path)]
    assert names == ["session0", "session0/recording1", "session1"]
    assert [len(open_recording(path, recording=name)) for name in names] == [2, 3, 4]


def test_plain_keys_and_rec_label(tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    np.savez(path, features=np.ones((4, 3)), labels=[0, 1, 1, -5], timestamps=[0, 0.5, 1, 1.5])
    recording = open_recording(path)
    assert recording.name == "one"
    assert recording.label_names == ("0", "1")
    assert recording.labels is not None
    assert recording.labels.tolist() == [0, 1, 1, -1]
    assert recording.frame_rate == pytest.approx(2)
    np.savez(path, csi=np.full((4, 3), 3 + 4j, np.complex64), rec_label=np.array(["walk"]), rec_offset=[0, 4])
    recording = open_recording(path)
    assert recording.label_names == ("walk",)
    assert recording.frames is not None
    assert (recording.frames == 5).all()


def test_frames_that_are_not_finite_are_dropped_with_their_labels(tmp_path: Path) -> None:
    amp = np.arange(42, dtype=np.float64).reshape(21, 2)
    amp[8, 1], amp[10, 0] = np.nan, 1e300
    recording = open_recording(activity_set(tmp_path / "set.npz", amp=amp), recording=1)
    assert recording.frames is not None
    assert recording.frames[:, 0].tolist() == [14, 18, 22]
    assert recording.labels is not None
    assert recording.labels.tolist() == [2, 0, 2]
    assert dict(recording.dropped) == {"not_finite": 2}


def member(array: Any, header: bytes | None = None) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=True)
    return buffer.getvalue() if header is None else header


BAD_SETS: dict[str, tuple[dict[str, Any], str]] = {
    "no frames": ({"amp": None, "other": np.ones(3)}, r"expected an array named iq, .*; found"),
    "one number": ({"amp": np.float32(1)}, "amp: expected an array of frames"),
    "one dimension": ({"amp": np.ones(21)}, r"expected \[frames, features\], found shape \[21\]"),
    "text": ({"amp": np.full((21, 2), "x")}, "expected numbers, found dtype <U1"),
    "offsets that go back": ({"rec_offset": [0, 12, 7, 21]}, "rec_offset: expected ascending"),
    "offsets beyond the end": ({"rec_offset": [0, 7, 12, 22]}, "rec_offset: expected ascending values within 0 … 21"),
    "offsets as floats": ({"rec_offset": [0.0, 7, 12, 21]}, "rec_offset: expected two or more integers"),
    "too few names": ({"rec_name": np.array(["a"])}, "rec_name: expected one value for each of 3 recordings"),
    "labels for fewer frames": ({"frame_activity": np.zeros(8, np.int8)}, "frame_activity"),
    "labels without a name": ({"frame_activity": np.full(21, 3)}, "labels: expected -1 … 2, found 3"),
    "labels as fractions": ({"frame_activity": np.full(21, 0.5)}, "frame_activity: expected integers"),
    "names as bytes": ({"activity_names": np.array([b"a"])}, "activity_names: expected a list of names"),
    "a rate of zero": ({"rate_hz": 0.0}, "rate_hz: expected one number above 0"),
    "times that are not finite": ({"t": np.full(21, np.inf)}, "t: expected finite seconds"),
}


@pytest.mark.parametrize("name", BAD_SETS)
def test_sets_that_contradict_themselves_are_rejected_by_name(tmp_path: Path, name: str) -> None:
    changes, message = BAD_SETS[name]
    path = activity_set(tmp_path / "set.npz", **changes)
    with pytest.raises(RecordingFormatError if "-1 …" not in message else RecordingError, match=message):
        open_recording(path, recording=0 if name != "labels for fewer frames" else 1)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, amp=np.array([{"a": 1}], dtype=object))
    with pytest.raises(RecordingFormatError, match="expected numbers or text, found dtype object"):
        open_recording(path)
    np.save(tmp_path / "one.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(RecordingFormatError, match="expected numbers or text, found dtype object"):
        open_recording(tmp_path / "one.npy")


def test_a_huge_declared_shape_takes_no_memory(tmp_path: Path) -> None:
    """The header says 2^40 frames; the file holds 21."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**40, 6)})
    path = tmp_path / "set.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("amp.npy", header.getvalue() + bytes(21 * 24))
    with pytest.raises(RecordingFormatError, match="expected 26388279066624 bytes, found 504"):
        open_recording(path)


def packed(path: Path, key: str, shape: tuple[int, ...], descr: str, **others: Any) -> Path:
    """An .npz file with one array of zeros that is written, and packed, without ever being in memory."""
    np.savez_compressed(path, **others)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open(f"{key}.npy", "w") as file:
        head = {"descr": descr, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, head)  # type: ignore[arg-type]
        left = int(np.prod(shape)) * np.dtype(descr).itemsize
        while left:
            left -= file.write(bytes(min(left, 1 << 22)))
    return path


BOMBS = {
    "frames": (("amp", (3 << 20, 24), "<f4"), "amp: expected at most 200 times its"),
    "frames of one recording": (("amp", (3 << 20, 24), "<f4"), "amp: expected at most 200 times its"),
    "offsets": (("rec_offset", (1 << 20,), "<i8"), "rec_offset: expected at most 65536 offsets, found 1048576"),
    "names": (("rec_name", (1 << 20,), "<U4"), "rec_name: expected one value for each of 1 recordings"),
    "one long name": (("rec_name", (1,), "<U4000000"), "rec_name: expected at most 65536 values of at most 4096 bytes"),
    "names of labels": (("label_names", (1 << 20,), "<U4"), "label_names: expected at most 65536 values"),
    "rates": (("rate_hz", (1 << 21,), "<f8"), "rate_hz: expected at most 65536 values"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_unpacks_out_of_proportion_is_rejected_before_it_is_unpacked(tmp_path: Path, name: str) -> None:
    (key, shape, descr), message = BOMBS[name]
    others: dict[str, Any] = {"labels": np.zeros(2, np.int8)}
    if key != "amp":
        others["amp"] = np.ones((2, 3), np.float32)
    if key == "rec_name" or name == "frames of one recording":
        others["rec_offset"] = [0, 2]
    path = packed(tmp_path / "bomb.npz", key, shape, descr, **others)
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(RecordingFormatError, match=message):
            open_recording(path, recording=0)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


def test_a_huge_header_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("amp.npy", b"\x93NUMPY\x02\x00" + (1 << 24).to_bytes(4, "little") + bytes(1 << 24))
    with pytest.raises(RecordingFormatError, match="damaged one .a header of 16777216 bytes"):
        open_recording(path)


@pytest.mark.parametrize("cut", [1, 30, 200, 600])
def test_damaged_archives_are_rejected(tmp_path: Path, cut: int) -> None:
    path = activity_set(tmp_path / "set.npz")
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    with pytest.raises(RecordingFormatError, match=r"expected an \.npz archive, found a damaged one"):
        open_recording(path, recording=0)


def test_npy_is_mapped_not_read(tmp_path: Path) -> None:
    path = tmp_path / "walk.npy"
    frames = RNG.normal(size=(50, 6)).astype(np.float32)
    np.save(path, frames)
    recording = open_recording(path)
    assert recording.format == "npy"
    assert recording.name == "walk"
    assert isinstance(recording.frames, np.memmap)
    assert np.array_equal(recording.frames, frames)
    np.save(path, frames.astype(np.float64))
    assert np.array_equal(open_recording(path).features(), frames)
    pairs = RNG.integers(-128, 128, (7, 4, 2)).astype(np.int8)
    np.save(path, pairs)
    assert np.array_equal(open_recording(path).iq, pairs)  # type: ignore[arg-type]


@pytest.mark.parametrize("array", [np.ones(4), np.ones((2, 2, 2, 2, 2)), np.ones((3, 0)), np.array([["a"]])])
def test_npy_of_another_shape_is_rejected(tmp_path: Path, array: Any) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(RecordingFormatError, match="expected"):
        open_recording(tmp_path / "x.npy")


@pytest.mark.parametrize("keep", [7, 20, 127, 128, 300])
def test_cut_npy_is_rejected(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.ones((50, 6), np.float32))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RecordingFormatError, match="damaged"):
        open_recording(path)


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        open_recording(tmp_path / "absent.npz")
    with pytest.raises(RecordingError, match="found a directory"):
        open_recording(tmp_path)


DRAW = np.random.default_rng(8)
IQ = DRAW.integers(-90, 90, (30, 16, 2)).astype(np.int8)
FRAMES = DRAW.uniform(0, 9, (30, 8)).astype(np.float32)


def read(tmp_path: Path, **arrays: Any) -> Recording:
    np.savez(tmp_path / "x.npz", **arrays)
    return open_recording(tmp_path / "x.npz")


def files(tmp_path: Path, **arrays: Any) -> list[Recording]:
    np.savez(tmp_path / "x.npz", **arrays)
    return list(open_recordings(tmp_path / "x.npz"))


@pytest.mark.parametrize("key", ["iq", "csi", "csi_data", "CSI"])
def test_a_row_of_signed_bytes_is_pairs(tmp_path: Path, key: str) -> None:
    np.testing.assert_array_equal(read(tmp_path, **{key: IQ.reshape(30, 32)}).iq, IQ)
    with pytest.raises(RecordingFormatError, match=r"expected an even number of I/Q values a frame, found 31; save"):
        read(tmp_path, **{key: IQ.reshape(30, 32)[:, :31]})


def test_a_row_of_signed_bytes_in_npy_is_pairs(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IQ.reshape(30, 32))
    np.testing.assert_array_equal(open_recording(tmp_path / "x.npy").iq, IQ)
    np.save(tmp_path / "x.npy", np.abs(IQ[:, :, 0]))
    assert open_recording(tmp_path / "x.npy").features().shape == (30, 16)


def test_a_collectors_clip_has_its_label_rate_and_subcarriers(tmp_path: Path) -> None:
    clip = DRAW.integers(-90, 90, (41, 128)).astype(np.int8)
    about: dict[str, Any] = {"num_subcarriers": 64, "label": "movement", "chip": "c6", "duration_ms": 10_000.0}
    recording = read(tmp_path, csi_data=clip, **about)
    np.testing.assert_array_equal(recording.iq, clip.reshape(41, 64, 2))
    assert recording.label_names == ("movement",)
    assert recording.labels is not None
    assert recording.labels.tolist() == [0] * 41
    assert recording.duration == pytest.approx(10)
    assert recording.subcarriers == SubcarrierMap.of(range(-32, 32))
    with pytest.raises(RecordingFormatError, match="csi_data: expected 60 of I/Q values a frame, found 128"):
        read(tmp_path, csi_data=clip, **{**about, "num_subcarriers": 30})


def test_a_chip_whose_order_depends_on_the_channel_is_noted(tmp_path: Path) -> None:
    clip = DRAW.integers(-90, 90, (41, 128)).astype(np.int8)
    recording = read(tmp_path, csi_data=clip, num_subcarriers=64, chip="s3")
    assert recording.subcarriers is None
    assert any("the file states chip s3" in note and "--chip s3" in note for note in recording.notes)
    told = open_recording(tmp_path / "x.npz", hints=Hints(chip="esp32s3"))
    assert told.subcarriers == SubcarrierMap.of([*range(32), *range(-32, 0)])
    assert not any("chip" in note for note in told.notes)


def test_numbers_of_subcarriers_in_a_file_are_taken(tmp_path: Path) -> None:
    assert read(tmp_path, iq=IQ, subcarrier=np.arange(-8, 8)).subcarriers == SubcarrierMap.of(range(-8, 8))
    np.savez(tmp_path / "x.npz", iq=IQ)
    assert open_recording(tmp_path / "x.npz").subcarriers is None
    layout = SubcarrierMap.of(range(1, 17))
    assert open_recording(tmp_path / "x.npz", hints=Hints(layout=layout)).subcarriers == layout


def test_subcarriers_are_saved_and_read_again(tmp_path: Path) -> None:
    layout = parse_layout("lltf:0..7,htltf:-8..-1")
    save_recording(Recording("x", "", "csi-text", iq=IQ, subcarriers=layout), tmp_path / "x.npz")
    assert open_recording(tmp_path / "x.npz").subcarriers == layout
    with pytest.raises(RecordingFormatError, match="subcarriers: expected one for each of 16 columns, found 2"):
        read(tmp_path, iq=IQ, subcarriers="lltf:1,2")
    with pytest.raises(RecordingFormatError, match="subcarriers: .*expected numbers and ranges"):
        read(tmp_path, iq=IQ, subcarriers="xyz")


LABELS: dict[str, tuple[dict[str, Any], tuple[str, ...], list[int]]] = {
    "text": ({"labels": np.array(["walk", "sit", "", "walk"])}, ("walk", "sit"), [0, 1, -1, 0]),
    "bytes": ({"labels": np.array([b"walk", b"sit", b"sit", b"walk"])}, ("walk", "sit"), [0, 1, 1, 0]),
    "one-hot": ({"labels": np.eye(3)[[0, 1, 2, 0]]}, ("0", "1", "2"), [0, 1, 2, 0]),
    "one-hot, none": ({"labels": np.array([[1, 0], [0, 0], [0, 1], [1, 0]])}, ("0", "1"), [0, -1, 1, 0]),
    "one-hot with names": (
        {"labels": np.eye(2)[[0, 1, 1, 0]], "label_names": np.array(["sit", "walk"])},
        ("sit", "walk"),
        [0, 1, 1, 0],
    ),
    "floats": ({"labels": np.array([0.0, 1.0, np.nan, 1.0])}, ("0", "1"), [0, 1, -1, 1]),
    "booleans": ({"labels": np.array([True, False, True, False])}, ("0", "1"), [1, 0, 1, 0]),
    "one text": ({"label": "walk"}, ("walk",), [0, 0, 0, 0]),
    "one text in a list": ({"label": ["walk"]}, ("walk",), [0, 0, 0, 0]),
    "one number": ({"label": 2, "label_names": np.array(["a", "b", "c"])}, ("a", "b", "c"), [2, 2, 2, 2]),
    "y": ({"y": np.array([0, 1, 2, 0])}, ("0", "1", "2"), [0, 1, 2, 0]),
    "a column": ({"y": np.array([[0], [1], [2], [0]])}, ("0", "1", "2"), [0, 1, 2, 0]),
    "text with names": (
        {"labels": np.array(["b", "a", "b", "a"]), "label_names": np.array(["a", "b"])},
        ("a", "b"),
        [1, 0, 1, 0],
    ),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_every_kind(tmp_path: Path, kind: str) -> None:
    arrays, names, labels = LABELS[kind]
    recording = read(tmp_path, X=FRAMES[:4], **arrays)
    assert recording.label_names == names
    assert recording.labels is not None
    assert recording.labels.tolist() == labels


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0.5, 1, 1, 1]), "labels: expected integers, found float64; save one class a frame"),
        (np.full((4, 3), 1), "labels: expected one-hot rows"),
        (np.zeros(3, int), r"labels: expected one label a frame \(4\) or a recording \(1\), found \[3\]; save as many"),
        (np.zeros(4, complex), "labels: expected numbers or text"),
    ],
)
def test_labels_of_another_kind_are_rejected_with_a_way_out(tmp_path: Path, labels: Any, message: str) -> None:
    with pytest.raises(RecordingFormatError, match=message):
        read(tmp_path, frames=FRAMES[:4], labels=labels)


def test_labels_may_be_one_a_recording(tmp_path: Path) -> None:
    found = files(tmp_path, frames=FRAMES, rec_offset=[0, 10, 30], labels=np.array(["sit", "walk"]))
    assert [np.unique(recording.labels).tolist() for recording in found] == [[0], [1]]


def test_each_window_is_a_recording_with_its_label(tmp_path: Path) -> None:
    windows = DRAW.uniform(0, 9, (5, 20, 30)).astype(np.float32)
    found = files(tmp_path, X=windows, y=np.array([0, 1, 1, 0, 2]), rate_hz=50.0)
    assert [recording.name for recording in found] == [f"window{i}" for i in range(5)]
    assert [np.unique(recording.labels).tolist() for recording in found] == [[0], [1], [1], [0], [2]]
    for recording, window in zip(found, windows, strict=True):
        np.testing.assert_array_equal(recording.frames, window)
        assert recording.frame_rate == 50
    pairs = DRAW.integers(-90, 90, (5, 20, 16, 2)).astype(np.int8)
    for recording, window in zip(files(tmp_path, iq=pairs), pairs, strict=True):
        np.testing.assert_array_equal(recording.iq, window)


def test_windows_of_antennas_and_time_are_put_in_order(tmp_path: Path) -> None:
    windows = DRAW.uniform(0, 9, (4, 3, 30, 50)).astype(np.float32)
    found = files(tmp_path, csi=windows, labels=np.arange(4))
    assert len(found) == 4
    np.testing.assert_array_equal(found[2].frames, windows[2].reshape(90, 50).T)
    assert "was read as [windows, antennas, subcarriers, time]" in found[0].notes[0]


def test_frames_of_several_antennas_are_frames(tmp_path: Path) -> None:
    csi = DRAW.uniform(0, 9, (40, 3, 30)) * np.exp(1j)
    recording = read(tmp_path, csi=csi)
    np.testing.assert_allclose(recording.features(), np.abs(csi).reshape(40, 90), rtol=1e-6)
    assert "was read as frames of 3 times 30 features" in recording.notes[0]
    many = DRAW.uniform(0, 9, (40, 20, 30))
    assert len(read(tmp_path, csi=many, t=np.arange(40) / 50)) == 40  # by the times, no windows


ANTENNAS = DRAW.uniform(0, 9, (60, 3, 3, 30))


@pytest.mark.parametrize(
    "beside",
    [{}, {"t": np.arange(60) / 100}, {"labels": np.arange(60) % 2}, {"rec_offset": [0, 20, 60]}],
    ids=["nothing", "times", "labels", "rec_offset"],
)
def test_frames_of_two_axes_of_antennas_are_frames(tmp_path: Path, beside: dict[str, Any]) -> None:
    found = files(tmp_path, amp=ANTENNAS, **beside)
    assert [len(recording) for recording in found] == ([20, 40] if "rec_offset" in beside else [60])
    frames = np.concatenate([recording.features() for recording in found])
    np.testing.assert_allclose(frames, ANTENNAS.reshape(60, 270), rtol=1e-6)
    assert "[60, 3, 3, 30] was read as frames of 3 times 3 times 30 features" in found[0].notes[0]
    assert len(read(tmp_path, amp=ANTENNAS.swapaxes(1, 3))) == 60  # antennas last


def test_times_of_frames_say_that_four_axes_are_no_windows(tmp_path: Path) -> None:
    values = DRAW.uniform(0, 9, (30, 3, 30, 50))
    assert [len(found) for found in files(tmp_path, amp=values)] == [50] * 30
    assert "the only usual reading of this shape; --axes says another" in files(tmp_path, amp=values)[0].notes[0]
    for beside in ({"t": np.arange(30) / 9}, {"rec_offset": [0, 30]}):
        recording = read(tmp_path, amp=values, **beside)
        np.testing.assert_allclose(recording.features(), values.reshape(30, 4500), rtol=1e-6)
        assert "for so many are the times, labels or rec_offset" in recording.notes[0]
    found = files(tmp_path, amp=values, t=np.arange(1500) / 9, labels=np.arange(1500).reshape(30, 50))
    assert found[1].labels is not None
    assert found[1].labels.tolist() == list(range(50, 100))


def test_windows_of_one_antenna_have_time_before_features(tmp_path: Path) -> None:
    windows = DRAW.uniform(0, 9, (4, 1, 250, 90))
    for values in (windows, windows.swapaxes(1, 2)):
        found = files(tmp_path, X=values, y=np.arange(4))
        assert [recording.features().shape for recording in found] == [(250, 90)] * 4
        np.testing.assert_allclose(found[2].features(), windows[2, 0], rtol=1e-6)


@pytest.mark.parametrize("shape", [(40, 22, 20, 20), (9, 3, 30, 64), (9, 3, 7, 50)])
def test_four_axes_with_several_readings_are_rejected(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = DRAW.uniform(0, 9, shape)
    with pytest.raises(RecordingFormatError, match=r"read in one way alone, found .*; say which .* --axes time,"):
        files(tmp_path, X=values)
    found = list(open_recordings(tmp_path / "x.npz", hints=Hints(axes=parse_axes("windows,antennas,features time"))))
    assert len(found) == shape[0]
    np.testing.assert_allclose(found[1].features(), values[1].reshape(-1, shape[3]).T, rtol=1e-6)
    assert found[0].notes[0].endswith("was read as [windows, antennas, features, time], as stated")


def test_float_pairs_of_antennas_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(RecordingFormatError, match=r"expected magnitudes, found \[20, 3, 30, 2\], .* like I/Q pairs"):
        read(tmp_path, amp=DRAW.normal(0, 9, (20, 3, 30, 2)))


def test_signed_bytes_of_few_antennas_are_frames(tmp_path: Path) -> None:
    pairs = DRAW.integers(-90, 90, (40, 3, 16, 2)).astype(np.int8)
    recording = read(tmp_path, iq=pairs)
    np.testing.assert_array_equal(recording.iq, pairs.reshape(40, 48, 2))
    assert "was read as frames of 3 antennas with 16 pairs" in recording.notes[0]
    assert len(read(tmp_path, iq=DRAW.integers(-9, 9, (40, 20, 16, 2)).astype(np.int8), t=np.arange(40) / 9)) == 40
    assert len(files(tmp_path, iq=pairs, t=np.arange(120) / 9)) == 40


def test_axes_are_read_as_stated(tmp_path: Path) -> None:
    wide = DRAW.uniform(0, 9, (52, 300))
    np.savez(tmp_path / "x.npz", amp=wide)
    for axes, frames in (("features,time", wide.T), ("Time, Features", wide)):
        recording = open_recording(tmp_path / "x.npz", hints=Hints(axes=parse_axes(axes)))
        np.testing.assert_allclose(recording.features(), frames, rtol=1e-6)
        assert "as stated" in recording.notes[0]
    with pytest.raises(RecordingFormatError, match=r"axes: expected a name for each axis of .*, found features,"):
        open_recording(tmp_path / "x.npz", hints=Hints(axes=("features", "antennas", "time")))
    for wrong in ("features", "time", "time,time,features", "features,time,seconds", "windows,windows,time,features"):
        with pytest.raises(InvalidArgumentError, match="axes: expected time once"):
            parse_axes(wrong)


@pytest.mark.parametrize("form", ["array", "numbers", "text"])
def test_labels_are_read_from_another_file(tmp_path: Path, form: str) -> None:
    windows = DRAW.uniform(0, 9, (4, 250, 90))
    for name, values in (("X.csv", windows), ("y.csv", np.array([0, 2, 1, 1]))):
        with (tmp_path / name).open("wb") as file:
            np.save(file, values)
    if form != "array":
        lines = ["0", "2", "1", "1"] if form == "numbers" else ["fall", "sit", "walk", "walk"]
        (tmp_path / "y.csv").write_text("\n".join(lines))
    (tmp_path / "table.csv").write_text("file,labels\nX.csv,y.csv\n")
    found = list(Sources([tmp_path / "table.csv"]))
    named = [recording.label_names[int(recording.labels[0])] for recording in found if recording.labels is not None]
    assert named == (["fall", "sit", "walk", "walk"] if form == "text" else ["0", "2", "1", "1"])
    (tmp_path / "y.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(RecordingFormatError, match=r"y.csv: expected labels, an .npy array or text with one a line"):
        list(Sources([tmp_path / "table.csv"]))


def test_a_lone_file_of_labels_is_said_to_be_one(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.arange(9))
    with pytest.raises(RecordingFormatError, match="expected frames, found 9 values, which look like labels; name"):
        open_recording(tmp_path / "y.npy")


def test_pairs_of_floats_are_magnitudes(tmp_path: Path) -> None:
    recording = read(tmp_path, iq=IQ.astype(np.float64))
    np.testing.assert_allclose(recording.features(), np.hypot(IQ[:, :, 0] * 1.0, IQ[:, :, 1]), rtol=1e-6)
    assert "read as I/Q pairs" in recording.notes[0]
    loud = IQ.astype(np.int16) * 100
    np.testing.assert_allclose(
        read(tmp_path, iq=loud).features(), np.hypot(loud[:, :, 0] * 1.0, loud[:, :, 1]), rtol=1e-6
    )
    twelve = IQ.astype(np.int16) * 16
    np.testing.assert_array_equal(read(tmp_path, iq=twelve).iq, twelve)


def test_a_transposed_array_is_noticed(tmp_path: Path) -> None:
    wide = DRAW.uniform(0, 9, (52, 1000)).astype(np.float32)
    with pytest.raises(
        RecordingFormatError,
        match=r"found \[52, 1000\], which looks like features by frames; say so with --axes features,time ",
    ):
        read(tmp_path, amp=wide)
    recording = read(tmp_path, amp=wide, t=np.arange(1000) / 100)
    np.testing.assert_array_equal(recording.frames, wide.T)
    assert "was read as [features, frames], for there are times or labels for 1000" in recording.notes[0]
    assert read(tmp_path, amp=wide, t=np.arange(52) / 100).width == 1000
    assert len(read(tmp_path, amp=wide.T)) == 1000
    with pytest.raises(RecordingFormatError, match=r"\[windows, 30, 200\], which looks like features by frames"):
        files(tmp_path, X=DRAW.uniform(0, 9, (6, 30, 200)))


def test_the_only_wide_array_is_the_frames(tmp_path: Path) -> None:
    recording = read(tmp_path, measured=FRAMES, other=np.arange(3))
    assert recording.notes == ("the array measured was taken for the frames",)
    with pytest.raises(RecordingFormatError, match="expected an array named iq, .*; found one, two; save the frames"):
        read(tmp_path, one=FRAMES, two=FRAMES)


def test_text_that_is_no_text_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    for point in (0x110000, 0xFFFFFFFF, 0xD800):
        np.savez(path, frames=FRAMES, rec_offset=[0, 30], rec_name=np.array(["zq"]))
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        whole = "zq".encode("utf-32-le")
        assert members["rec_name.npy"].count(whole) == 1
        members["rec_name.npy"] = members["rec_name.npy"].replace(whole, struct.pack("<2I", ord("z"), point))
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        with pytest.raises(RecordingFormatError, match=rf"rec_name: expected characters, .*0x{point:X}"):
            open_recording(path)


def test_damage_inside_an_array_is_noticed_by_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, frames=FRAMES)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(RecordingFormatError, match="frames: expected a whole archive member, found a damaged one"):
        open_recording(path)


def test_an_archive_is_read_once_for_all_its_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, count = tmp_path / "x.npz", 200
    frames = DRAW.uniform(0, 9, (count * 5, 4)).astype(np.float32)
    offsets = np.arange(count + 1) * 5
    np.savez(path, frames=frames, rec_offset=offsets, labels=np.arange(count), t=np.arange(count * 5) / 9)
    loads: list[Any] = []
    load = np.load
    monkeypatch.setattr(array_files.np, "load", lambda *a, **k: loads.append(a) or load(*a, **k))
    found = list(open_recordings(path))
    assert len(found) == count
    np.testing.assert_array_equal(found[7].frames, frames[35:40])
    assert len(loads) == 4  # each array


def test_a_list_of_recordings_reads_no_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "x.npz", frames=FRAMES, labels=np.zeros(30, int))
    monkeypatch.setattr(array_files.np, "load", lambda *a, **k: pytest.fail("an array was read"))
    assert [info.frames for info in open_file(tmp_path / "x.npz").infos] == [30]


def test_more_windows_than_a_list_holds_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="expected at most 65536 windows, found 70000; divide the file"):
        read(tmp_path, X=np.zeros((70_000, 9, 9), np.float16))


def test_a_table_of_numbers_is_frames(tmp_path: Path) -> None:
    frames = np.random.default_rng(4).uniform(0, 9, (40, 12)).astype(np.float32)
    text = "\n".join(",".join(f"{value:.6g}" for value in row) for row in frames)
    for name, data in {"a.csv": text.encode(), "b.txt": b"\xef\xbb\xbf" + text.encode() + b"\r\n"}.items():
        (tmp_path / name).write_bytes(data)
        recording = open_recording(tmp_path / name)
        assert recording.format == "numbers"
        np.testing.assert_allclose(recording.features(), frames, rtol=1e-5)


@pytest.mark.parametrize("line", ["1,2,3,4", "a,2,3,4,5,6", "1;2;3;4;5;6", ""])
def test_other_text_is_no_table_of_numbers(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.csv").write_text(f"{line}\n" * 9)
    with pytest.raises(RecordingError):
        open_recording(tmp_path / "a.csv")


def test_a_table_with_a_short_line_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2,3,4,5,6\n1,2,3\n")
    with pytest.raises(RecordingError, match="expected lines of equally many numbers"):
        open_recording(tmp_path / "a.csv")
