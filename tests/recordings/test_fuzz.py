"""Whatever bytes come: a recording, or a typed error; and what was dropped adds up."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from making import C6_HEADER, CLASSIC_HEADER, c6, classic, ethernet, ipv4_packet, pcap, pcapng, raw_frame, values_of

from aether_temporal.recordings import CsiParser, RecordingError, list_recordings, open_recording
from aether_temporal.recordings.csi_lines import bounded_lines
from aether_temporal.recordings.raw_frames import read_frames
from aether_temporal.recordings.recording import Drops

FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

_LINES = [
    CLASSIC_HEADER,
    C6_HEADER,
    classic(1, values_of(1, 8), us=5),
    classic(2, values_of(2, 12), first=1),
    c6(3, values_of(3, 8)),
    "I (12) wifi: log",
    "",
]
_FRAMES = [raw_frame(i, np.array(values_of(i, 8), np.int8).tobytes(), node=i % 2) for i in range(4)]


@st.composite
def damaged(draw: st.DrawFn, pieces: list[bytes]) -> bytes:
    """Good pieces in any order, then a few bytes changed, removed, put in."""
    data = bytearray(b"".join(draw(st.lists(st.sampled_from(pieces), max_size=8))))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 3)):
            case 0:
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case 1:
                del data[at : at + draw(st.integers(1, 40))]
            case 2:
                data[at:at] = draw(st.binary(max_size=20))
            case _:
                data[at:at] = draw(st.sampled_from([b"CSI_DATA,", b"[", b"]", b'"', b",", b"\n", b"\r", b"\0", b"-"]))
    return bytes(data)


@FUZZ
@given(damaged([line.encode() + b"\n" for line in _LINES]))
def test_every_line_is_accounted_for(data: bytes) -> None:
    parser = CsiParser()
    for line in bounded_lines(io.BytesIO(data), limit=4096):
        before = parser.dropped.total()
        layout = parser.layout
        records = parser.feed(line)
        dropped = parser.dropped.total() - before
        begun = 0 if line is None else line.count(b"CSI_DATA")
        assert len(records) + dropped <= max(1, begun)
        blank = line is not None and not line.strip()
        header = line is not None and (parser.layout is not layout or b"len" in line)
        assert len(records) + dropped >= (0 if blank or header else 1)
        for record in records:
            assert len(record.values) % 2 == 0
            assert record.values
            assert record.microseconds is None or 0 <= record.microseconds < 2**32


@FUZZ
@given(st.binary(max_size=400), st.integers(3, 40))
def test_bounded_lines_lose_nothing_short(data: bytes, limit: int) -> None:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or data.startswith(b"\xef\xbb\xbf"):
        return
    lines = list(bounded_lines(io.BytesIO(data), limit))
    parts = data.split(b"\n")
    parts = parts[:-1] if parts[-1] == b"" else parts
    assert len(lines) == len(parts)
    for line, part in zip(lines, parts, strict=True):
        assert line is None or line == part.rstrip(b"\r\n")
        assert line is not None or len(part) >= limit - 1
        assert len(part) >= limit - 1 or line is not None


@FUZZ
@given(damaged(_FRAMES))
def test_raw_frames_are_whole_or_counted(data: bytes) -> None:
    dropped = Drops()
    frames = list(read_frames(io.BytesIO(data), dropped))
    used = sum(header.size for header, _ in frames)
    assert used <= len(data)
    assert all(len(values) == 2 * header.pairs for header, values in frames)
    assert dropped.total() > 0 or used == len(data)


@FUZZ
@given(damaged([line.encode() + b"\n" for line in _LINES]) | damaged(_FRAMES) | st.binary(max_size=200))
def test_any_file_gives_a_recording_or_a_typed_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "any"
    path.write_bytes(data)
    for format_ in (None, "csi-text", "raw-frames", "npz", "npy"):
        try:
            infos = list_recordings(path, format=format_)
            recording = open_recording(path, recording=0, format=format_)
        except RecordingError:
            continue
        else:
            assert len(infos) >= 1
            assert 1 <= len(recording) <= len(data)
            assert recording.timestamps is None or (np.diff(recording.timestamps) >= 0).all()


@pytest.mark.slow
@pytest.mark.memory
@FUZZ
@given(st.data())
def test_any_capture_gives_a_recording_or_a_typed_error(tmp_path: Path, data: st.DataObject) -> None:
    pytest.importorskip("dpkt", reason="dpkt (extra pcap) is not installed")
    packets = [(float(i), ethernet(ipv4_packet(frame))) for i, frame in enumerate(_FRAMES)]
    content = data.draw(damaged([pcap(packets)]) | damaged([pcapng(packets)]))
    path = tmp_path / "any.pcap"
    path.write_bytes(content)
    try:
        recording = open_recording(path, recording=0, format="udp-capture")
    except RecordingError:
        return
    assert 1 <= len(recording) <= 8 * len(_FRAMES)


@pytest.mark.slow
@pytest.mark.memory
@FUZZ
@given(st.data())
def test_any_archive_gives_a_recording_or_a_typed_error(tmp_path: Path, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, amp=np.ones((4, 2), np.float32), rec_offset=[0, 2, 4], t=np.arange(4.0), rate_hz=2.0)
    array = io.BytesIO()
    np.save(array, np.ones((4, 2), np.float32))
    content = data.draw(damaged([buffer.getvalue()]) | damaged([array.getvalue()]))
    path = tmp_path / "any"
    path.write_bytes(content)
    for format_ in ("npz", "npy"):
        try:
            recording = open_recording(path, recording=0, format=format_)
        except RecordingError:
            continue
        else:
            assert recording.width >= 1
