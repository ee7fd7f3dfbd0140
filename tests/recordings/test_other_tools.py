"""Logs of Intel 5300 and Atheros, captures of Nexmon, MATLAB and HDF5: their libraries are extras."""

from __future__ import annotations

import gzip
import io
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making import ethernet, pcap

from aether_temporal.recordings import (
    MissingExtraError,
    RecordingFormatError,
    list_recordings,
    open_recording,
    open_recordings,
)

DRAW = np.random.default_rng(11)


def needs(*modules: str) -> None:
    for module in modules:
        pytest.importorskip(module, reason=f"{module} (extra formats) is not installed")


# -- logs ------------------------------------------------------------------------------------------------------------


def bits_of(values: np.ndarray, width: int) -> str:
    """Numbers, lowest bit first, one after the other."""
    return "".join(format(int(v) & ((1 << width) - 1), f"0{width}b")[::-1] for v in values)


def bytes_of(bits: str) -> bytes:
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8][::-1], 2) for i in range(0, len(bits), 8))


def intel(i: int, csi: np.ndarray, *, us: int, size: int | None = None) -> bytes:
    """A record of the Linux 802.11n CSI Tool: int8 [30, receivers, transmitters, 2], three bits before each group."""
    receivers, transmitters = csi.shape[1:3]
    bits = "".join("000" + bits_of(np.moveaxis(one, 0, 1).reshape(-1), 8) for one in csi)
    body = bytes_of(bits)[: (30 * (receivers * transmitters * 16 + 3) + 6) // 8]
    length = len(body) if size is None else size
    head = struct.pack(
        "<BIHHBBBBBbBBHH", 0xBB, us, i, 0, receivers, transmitters, 40, 41, 42, -90, 30, 0b100100, length, 1
    )
    return struct.pack(">H", len(head + body)) + head + body


def intel_values(count: int, receivers: int = 3, transmitters: int = 1) -> np.ndarray:
    return DRAW.integers(-120, 120, (count, 30, receivers, transmitters, 2)).astype(np.int8)


def test_a_log_of_intel(tmp_path: Path) -> None:
    needs("csiread")
    csi = intel_values(6)
    records = [intel(i, one, us=(2**32 - 20_000 + 10_000 * i) % 2**32) for i, one in enumerate(csi)]
    other = struct.pack(">HB", 5, 0xC1) + bytes(4)
    content = b"".join([*records[:2], other, intel(9, intel_values(1, 2)[0], us=0), *records[2:], records[0][:-9]])
    (tmp_path / "walk.dat").write_bytes(content)
    recording = open_recording(tmp_path / "walk.dat")
    assert (recording.format, recording.name, len(recording), recording.width) == ("intel-5300", "walk", 6, 90)
    magnitudes = np.hypot(csi[..., 0].astype(np.float64), csi[..., 1])
    np.testing.assert_allclose(
        np.sort(recording.features().reshape(6, 3, 30), axis=1),
        np.sort(np.moveaxis(magnitudes[..., 0], 1, 2), axis=1),
        rtol=1e-6,
    )
    assert dict(recording.dropped) == {"other_packet": 1, "other_shape": 1, "cut": 1}
    assert recording.timestamps is not None
    assert recording.frame_rate == pytest.approx(100, rel=0.5)


def test_a_log_whose_lengths_lie_is_never_handed_on(tmp_path: Path) -> None:
    needs("csiread")
    good = intel(0, intel_values(1)[0], us=0)
    for lie in (intel(1, intel_values(1)[0], us=1, size=60_000), struct.pack(">HB", 40_000, 0xBB) + bytes(39_999)):
        (tmp_path / "x.dat").write_bytes(good + lie)
        recording = open_recording(tmp_path / "x.dat")
        assert len(recording) == 1
        assert sum(recording.dropped.values()) == 1


def atheros(csi: np.ndarray, *, us: int, order: str = "<", payload: bytes = b"") -> bytes:
    """A record of the Atheros CSI Tool: [tones, receivers, transmitters, 2] of 10 bits, imaginary part first."""
    tones, receivers, transmitters = csi.shape[:3]
    body = bytes_of(bits_of(csi[..., ::-1].reshape(-1), 10))
    counts = (2437, 0, 0, 128, 0, tones, receivers, transmitters, 40, 41, 42, 43, len(payload))
    record = struct.pack(f"{order}QHHBBBBBBBBBBBH", us, len(body), *counts) + body + payload
    return struct.pack(f"{order}H", len(record)) + record


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("tones", [56, 114])
def test_a_log_of_atheros(tmp_path: Path, order: str, tones: int) -> None:
    needs("csiread")
    csi = DRAW.integers(-500, 500, (5, tones, 2, 1, 2))
    records = [atheros(one, us=10**12 + 20_000 * i, order=order, payload=b"xyz") for i, one in enumerate(csi)]
    (tmp_path / "walk.dat").write_bytes(b"".join(records) + records[0][:-9])
    recording = open_recording(tmp_path / "walk.dat")
    assert (recording.format, len(recording), recording.width) == ("atheros", 5, 2 * tones)
    magnitudes = np.hypot(csi[..., 0].astype(np.float64), csi[..., 1])
    np.testing.assert_allclose(
        recording.features().reshape(5, 2, tones), np.moveaxis(magnitudes[..., 0], 1, 2), rtol=1e-6
    )
    assert recording.frame_rate == pytest.approx(50)
    assert dict(recording.dropped) == {"cut": 1}


# -- captures of Nexmon ----------------------------------------------------------------------------------------------


def nexmon(i: int, csi: np.ndarray, *, place: int = 0, cut: int = 0, version: int = 0x0065) -> bytes:
    values = csi.astype("<i2").tobytes()
    payload = struct.pack("<HbB6sHHHH", 0x1111, -50, 8, b"\2\0\0\0\0\1", i, place, 0xD001, version) + values
    payload = payload[: len(payload) - cut]
    udp = struct.pack(">HHHH", 5500, 5500, 8 + len(payload), 0) + payload
    return ethernet(
        struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 1, 17, 0, b"\n\n\n\n", b"\xff" * 4) + udp
    )


def test_a_capture_of_nexmon(tmp_path: Path) -> None:
    needs("csiread", "dpkt")
    csi = DRAW.integers(-2000, 2000, (5, 64, 2))
    packets = [(100 + i * 0.02, nexmon(i, one)) for i, one in enumerate(csi)]
    packets += [(101.0, nexmon(9, csi[0], cut=4)), (101.1, ethernet(b"\x45" + bytes(40)))]
    content = pcap(packets)
    (tmp_path / "walk.pcap").write_bytes(content)
    recording = open_recording(tmp_path / "walk.pcap")
    assert (recording.format, recording.name, len(recording)) == ("nexmon", "core0-stream0", 5)
    np.testing.assert_allclose(recording.features(), np.hypot(csi[..., 0] * 1.0, csi[..., 1]), rtol=1e-6)
    assert recording.frame_rate == pytest.approx(50, rel=1e-4)
    assert dict(recording.dropped) == {"length": 1, "other_packet": 1}
    assert recording.notes == ("values of chip version 0x0065 were read as those of 43455c0",)
    (tmp_path / "walk.pcap.gz").write_bytes(gzip.compress(content))
    np.testing.assert_array_equal(open_recording(tmp_path / "walk.pcap.gz").features(), recording.features())


@pytest.mark.parametrize("version", [0x0001, 0x0003, 0x0065, 0x006A])
def test_values_are_those_of_the_chip(tmp_path: Path, version: int) -> None:
    """As csiread reads them; two of the chips write floating-point numbers."""
    needs("csiread", "dpkt")
    import csiread

    chips = {0x0001: "4339", 0x0003: "4358", 0x0065: "43455c0", 0x006A: "4366c0"}
    csi = DRAW.integers(-2000, 2000, (4, 64, 2))
    packets = [(i * 0.02, nexmon(i, one, version=version)) for i, one in enumerate(csi)]
    (tmp_path / "walk.pcap").write_bytes(pcap(packets))
    reader = csiread.NexmonPull46(None, chip=chips[version], bw=20, if_report=False)
    recording = open_recording(tmp_path / "walk.pcap")
    for row, (_, packet) in zip(recording.features(), packets, strict=True):
        reader.pmsg(packet[14 + 20 + 8 :])
        np.testing.assert_allclose(row, np.abs(reader.csi[0]), rtol=1e-6)
    integers = np.hypot(csi[..., 0] * 1.0, csi[..., 1])
    assert np.allclose(recording.features(), integers, rtol=1e-6) == (version in (0x0001, 0x0065))
    assert recording.notes == (f"values of chip version 0x{version:04X} were read as those of {chips[version]}",)


def test_a_version_that_is_not_known_is_called_a_guess(tmp_path: Path) -> None:
    needs("csiread", "dpkt")
    (tmp_path / "walk.pcap").write_bytes(pcap([(0.0, nexmon(0, DRAW.integers(-9, 9, (64, 2)), version=0x0777))]))
    (note,) = open_recording(tmp_path / "walk.pcap").notes
    assert "0x0777 were read as those of 43455c0, which is a guess" in note


def test_cores_and_streams_are_recordings(tmp_path: Path) -> None:
    needs("csiread", "dpkt")
    csi = DRAW.integers(-9, 9, (6, 256, 2))
    packets = [(i * 0.02, nexmon(i, one, place=i % 2 | (i % 2) << 3)) for i, one in enumerate(csi)]
    (tmp_path / "x.pcap").write_bytes(pcap(packets))
    assert [(i.name, i.frames) for i in list_recordings(tmp_path / "x.pcap")] == [
        ("core0-stream0", 3),
        ("core1-stream1", 3),
    ]


# -- MATLAB and HDF5 -------------------------------------------------------------------------------------------------

AMP = DRAW.uniform(0, 9, (40, 30))


def test_a_matlab_file(tmp_path: Path) -> None:
    needs("scipy")
    from scipy.io import savemat

    path = tmp_path / "walk.mat"
    savemat(path, {"csi": AMP * np.exp(1j), "labels": np.arange(40) % 2, "rate_hz": 100.0, "other": {"a": 1}})
    recording = open_recording(path)
    assert recording.format == "mat"
    np.testing.assert_allclose(recording.features(), AMP, rtol=1e-6)
    assert recording.labels is not None
    assert recording.labels.tolist() == [0, 1] * 20
    assert recording.frame_rate == 100
    savemat(path, {"CSIamp": DRAW.uniform(0, 9, (3, 114, 10)), "label": "walk"})
    recording = open_recording(path)
    assert (len(recording), recording.width, recording.label_names) == (10, 342, ("walk",))
    assert "was read as [antennas, subcarriers, time]" in recording.notes[0]
    savemat(path, {"CSIamp": AMP.T[:, :35]})
    with pytest.raises(RecordingFormatError, match=r"found \[30, 35\], which looks like features by frames"):
        open_recording(path)
    savemat(path, {"csi": AMP})
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(RecordingFormatError, match="expected a whole MATLAB file, found a damaged one"):
        open_recording(path)


def hdf5(path: Path, arrays: dict[str, Any], *, matlab: bool = False) -> None:
    import h5py

    content = io.BytesIO()
    with h5py.File(content, "w", userblock_size=512 if matlab else 0) as file:
        for name, values in arrays.items():
            values = np.asarray(values)
            if matlab and values.dtype.kind == "c":
                pairs = np.empty(values.shape, [("real", "<f8"), ("imag", "<f8")])
                pairs["real"], pairs["imag"] = values.real, values.imag
                values = pairs
            file[name] = values.T if matlab else values.astype(object) if values.dtype.kind == "U" else values
    data = bytearray(content.getvalue())
    if matlab:
        data[:19] = b"MATLAB 7.3 MAT-file"
    path.write_bytes(data)


def test_a_matlab_7_3_file_has_its_axes_in_order(tmp_path: Path) -> None:
    needs("h5py")
    hdf5(tmp_path / "x.mat", {"csi": AMP * np.exp(2j), "labels": np.arange(40).reshape(40, 1) % 4}, matlab=True)
    recording = open_recording(tmp_path / "x.mat")
    assert recording.format == "mat"
    np.testing.assert_allclose(recording.features(), AMP, rtol=1e-6)
    assert recording.labels is not None
    assert recording.labels.tolist() == [0, 1, 2, 3] * 10


def test_an_hdf5_file(tmp_path: Path) -> None:
    needs("h5py")
    windows = DRAW.uniform(0, 9, (4, 20, 30)).astype(np.float32)
    hdf5(tmp_path / "x.h5", {"set/X": windows, "set/y": np.array(["a", "b", "b", "a"])})
    found = list(open_recordings(tmp_path / "x.h5"))
    assert [recording.format for recording in found] == ["hdf5"] * 4
    np.testing.assert_array_equal(found[3].frames, windows[3])
    assert [recording.labels[0] for recording in found if recording.labels is not None] == [0, 1, 1, 0]
    content = (tmp_path / "x.h5").read_bytes()
    (tmp_path / "x.h5").write_bytes(content[:600])
    with pytest.raises(RecordingFormatError, match="expected a whole HDF5 file, found a damaged one"):
        open_recording(tmp_path / "x.h5")


def test_an_hdf5_file_that_unpacks_out_of_proportion_is_rejected(tmp_path: Path) -> None:
    needs("h5py")
    import h5py

    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.create_dataset("amp", shape=(1 << 30, 64), dtype="f4", chunks=(1 << 10, 64), compression="gzip")
    with pytest.raises(RecordingFormatError, match="amp: expected at most 200 times the file's"):
        open_recording(tmp_path / "bomb.h5")


@pytest.mark.parametrize(
    ("module", "content", "format_"),
    [
        ("csiread", b"", "intel-5300"),
        ("csiread", b"", "atheros"),
        ("csiread", b"", "nexmon"),
        ("scipy", b"MATLAB 5.0 MAT-file", "mat"),
        ("h5py", b"MATLAB 7.3 MAT-file", "mat"),
        ("h5py", b"\x89HDF\r\n\x1a\n", "hdf5"),
    ],
)
def test_without_its_library_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, content: bytes, format_: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(
        MissingExtraError, match=rf"expected {module}, found it not installed; run `pip install {module}`"
    ):
        open_recording(tmp_path / "x", format=format_)
