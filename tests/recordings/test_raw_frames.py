"""Raw CSI frames, one after the other in a file and as packet captures."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from making import cooked, ethernet, ipv4_packet, ipv6_packet, pcap, pcapng, raw_frame, values_of

from aether_temporal.recordings import (
    MissingExtraError,
    Recording,
    RecordingFormatError,
    RecordingSelectionError,
    list_recordings,
    open_recording,
)

N = 104


def body(seed: int, count: int = N) -> bytes:
    return np.array(values_of(seed, count), dtype=np.int8).tobytes()


def expected(*seeds: int) -> np.ndarray:
    return np.array([values_of(seed, N) for seed in seeds], dtype=np.int8).reshape(len(seeds), N // 2, 2)


def good(count: int, first: int = 0) -> list[bytes]:
    return [raw_frame(i, body(i)) for i in range(first, first + count)]


def read(tmp_path: Path, content: bytes, **options: object) -> Recording:
    path = tmp_path / "recording.bin"
    path.write_bytes(content)
    return open_recording(path, **options)  # type: ignore[arg-type]


def test_frames_one_after_the_other(tmp_path: Path) -> None:
    recording = read(tmp_path, b"".join(good(5)))
    assert recording.format == "raw-frames"
    assert recording.name == "node1"
    assert np.array_equal(recording.iq, expected(*range(5)))  # type: ignore[arg-type]
    assert recording.timestamps is None
    assert recording.frame_rate is None
    assert dict(recording.dropped) == {}
    assert recording.notes == ()


MAGIC = raw_frame(0, b"\0\0")[:4]
DAMAGE = {
    "garbage between": (b"hello world", "garbage"),
    "a cut frame": (raw_frame(99, body(99))[:50], "cut"),
    "a cut header": (raw_frame(99, body(99))[:11], "cut"),
    "no antenna": (raw_frame(99, body(99), antennas=1, subcarriers=0), "header"),
    "too many antennas": (raw_frame(99, b"", antennas=200, subcarriers=9), "header"),
    "a frame of another size": (raw_frame(2, body(9, 20)), "other_shape"),
    "the same frame again": (raw_frame(1, body(1)), "duplicate"),
    "a late frame": (raw_frame(0, body(0)), "late"),
    "another node": (raw_frame(0, body(0), node=7), "other_sender"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_lines_alone_are_dropped(tmp_path: Path, name: str) -> None:
    damaged, reason = DAMAGE[name]
    frames = [*good(2), damaged, *good(3, first=3)]
    recording = read(tmp_path, b"".join(frames), recording="node1")
    assert np.array_equal(recording.iq, expected(0, 1, 3, 4, 5))  # type: ignore[arg-type]
    assert dict(recording.dropped) == {reason: 1}


def test_a_lost_byte_inside_costs_one_frame(tmp_path: Path) -> None:
    frames = good(4)
    frames[1] = frames[1][:60] + frames[1][61:]
    recording = read(tmp_path, b"".join(frames))
    assert np.array_equal(recording.iq, expected(0, 2, 3))  # type: ignore[arg-type]
    assert dict(recording.dropped) == {"cut": 1}
    assert recording.notes == ("1 frames that the node numbered are missing",)


def test_the_magic_inside_values_is_no_new_frame(tmp_path: Path) -> None:
    tricky = MAGIC * (N // 4)
    recording = read(tmp_path, good(1)[0] + raw_frame(1, tricky) + raw_frame(2, body(2)))
    assert recording.iq is not None
    assert recording.iq[1].tobytes() == tricky
    assert dict(recording.dropped) == {}


def test_ends_in_the_middle_of_a_frame(tmp_path: Path) -> None:
    assert dict(read(tmp_path, b"".join(good(3))[:-1]).dropped) == {"cut": 1}
    assert dict(read(tmp_path, b"".join(good(3)) + MAGIC[:3]).dropped) == {"garbage": 1}


def test_a_file_larger_than_the_buffer(tmp_path: Path) -> None:
    """Garbage and frames across the boundaries of what is read at once."""
    rng = np.random.default_rng(1)
    parts, count = [], 0
    for i in range(6):
        parts.append(rng.integers(0, 127, 400_000, dtype=np.uint8).tobytes())  # no byte of the magic's upper half
        parts += good(3, first=3 * i)
        count += 3
    recording = read(tmp_path, b"".join(parts[1:]))
    assert np.array_equal(recording.iq, expected(*range(count)))  # type: ignore[arg-type]
    assert dict(recording.dropped) == {"garbage": 5}


def test_a_huge_declared_size_takes_no_memory(tmp_path: Path) -> None:
    huge = raw_frame(1, b"", antennas=16, subcarriers=4096)
    recording = read(tmp_path, good(1)[0] + huge + b"".join(good(2, first=2)))
    assert np.array_equal(recording.iq, expected(0, 2, 3))  # type: ignore[arg-type]
    assert dict(recording.dropped) == {"cut": 1}


def test_sequence_wraps_gaps_and_restarts(tmp_path: Path) -> None:
    numbers = [2**32 - 2, 2**32 - 1, 0, 4, 5]
    recording = read(tmp_path, b"".join(raw_frame(n, body(n)) for n in numbers))
    assert len(recording) == 5
    assert recording.notes == ("3 frames that the node numbered are missing",)
    numbers = [100_000, 100_001, 0, 1]
    recording = read(tmp_path, b"".join(raw_frame(n, body(n)) for n in numbers))
    assert len(recording) == 4
    assert recording.notes == ("the node started again 1 times",)


def test_several_antennas_stand_one_after_the_other(tmp_path: Path) -> None:
    recording = read(tmp_path, b"".join(raw_frame(i, body(i), antennas=2) for i in range(3)))
    assert np.array_equal(recording.iq, expected(0, 1, 2))  # type: ignore[arg-type]
    assert recording.notes == ("2 antennas of 26 subcarriers each, one after the other",)


def test_several_nodes_must_be_chosen(tmp_path: Path) -> None:
    content = b"".join(raw_frame(i, body(i), node=node) for i in range(3) for node in (9, 4))
    with pytest.raises(RecordingSelectionError, match=r"found none for 2 recordings; .*: 0 \(node4\), 1 \(node9\)"):
        read(tmp_path, content)
    for choice in ("node9", 1, "1", -1):
        recording = read(tmp_path, content, recording=choice)
        assert recording.name == "node9"
        assert len(recording) == 3
        assert dict(recording.dropped) == {"other_sender": 3}
    assert [info.frames for info in list_recordings(tmp_path / "recording.bin")] == [3, 3]
    with pytest.raises(RecordingSelectionError, match="found 'node5'"):
        read(tmp_path, content, recording="node5")


def test_nothing_whole_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordingFormatError, match=r"found none that is whole \(1 cut\)"):
        read(tmp_path, good(1)[0][:40])


LINKS = {
    "Ethernet": (1, lambda packet: ethernet(packet)),
    "cooked": (113, lambda packet: cooked(packet)),
    "raw IP": (101, lambda packet: packet),
}


@pytest.mark.parametrize("kind", ["pcap", "pcap-nano", "pcap-big-endian", "pcapng"])
@pytest.mark.parametrize("link", LINKS)
def test_captures(tmp_path: Path, kind: str, link: str) -> None:
    pytest.importorskip("dpkt", reason="dpkt (extra pcap) is not installed")
    number, wrap = LINKS[link]
    packets = [(1_700_000_000 + i * 0.02, wrap(ipv4_packet(frame))) for i, frame in enumerate(good(5))]
    if kind == "pcapng":
        content = pcapng(packets, link=number)
    else:
        content = pcap(packets, link=number, nano=kind == "pcap-nano", big=kind == "pcap-big-endian")
    recording = read(tmp_path, content)
    assert recording.format == "udp-capture"
    assert np.array_equal(recording.iq, expected(*range(5)))  # type: ignore[arg-type]
    assert recording.timestamps is not None
    assert np.allclose(recording.timestamps, np.arange(5) * 0.02, atol=1e-6)
    assert recording.frame_rate == pytest.approx(50, rel=1e-4)
    assert dict(recording.dropped) == {}


def test_captures_over_ipv6(tmp_path: Path) -> None:
    pytest.importorskip("dpkt", reason="dpkt (extra pcap) is not installed")
    packets = [(i * 0.02, ethernet(ipv6_packet(frame, port=6000))) for i, frame in enumerate(good(3))]
    assert np.array_equal(read(tmp_path, pcap(packets)).iq, expected(0, 1, 2))  # type: ignore[arg-type]


CAPTURE_DAMAGE = {
    "a datagram of something else": (ethernet(ipv4_packet(b"hello")), "other_packet"),
    "not IP": (ethernet(b"\x45" + bytes(40))[:12] + b"\x08\x06" + bytes(28), "other_packet"),
    "a packet of three bytes": (b"abc", "other_packet"),
    "an empty packet": (b"", "other_packet"),
    "a fragment": (ethernet(ipv4_packet(raw_frame(9, body(9)), more_fragments=True)), "fragment"),
    "captured in part": (ethernet(ipv4_packet(raw_frame(9, body(9))))[:-30], "cut"),
    "a frame with more behind it": (ethernet(ipv4_packet(raw_frame(9, body(9)) + b"x")), "length"),
    "a frame too short": (ethernet(ipv4_packet(raw_frame(9, body(9))[:-1])), "length"),
    "a header alone, in part": (ethernet(ipv4_packet(raw_frame(9, body(9))[:10])), "cut"),
    "an impossible header": (ethernet(ipv4_packet(raw_frame(9, body(9), antennas=0, subcarriers=52))), "header"),
}


@pytest.mark.parametrize("name", CAPTURE_DAMAGE)
@pytest.mark.parametrize("write", [pcap, pcapng])
def test_damaged_packets_cost_themselves(tmp_path: Path, name: str, write: object) -> None:
    pytest.importorskip("dpkt", reason="dpkt (extra pcap) is not installed")
    damaged, reason = CAPTURE_DAMAGE[name]
    packets = [(float(i), ethernet(ipv4_packet(frame))) for i, frame in enumerate(good(4))]
    packets.insert(2, (1.5, damaged))
    recording = read(tmp_path, write(packets))  # type: ignore[operator]
    assert np.array_equal(recording.iq, expected(0, 1, 2, 3))  # type: ignore[arg-type]
    assert dict(recording.dropped) == {reason: 1}


@pytest.mark.parametrize("write", [pcap, pcapng])
def test_a_capture_that_ends_early_keeps_what_it_has(tmp_path: Path, write: object) -> None:
    pytest.importorskip("dpkt", reason="dpkt (extra pcap) is not installed")
    packets = [(float(i), ethernet(ipv4_packet(frame))) for i, frame in enumerate(good(4))]
    content: bytes = write(packets)  # type: ignore[operator]
    recording = read(tmp_path, content[:-20])
    assert np.array_equal(recording.iq, expected(0, 1, 2))  # type: ignore[arg-type]
    assert sum(recording.dropped.values()) == 1


def test_a_damaged_capture_header_is_named(tmp_path: Path) -> None:
    pytest.importorskip("dpkt", reason="dpkt (extra pcap) is not installed")
    for content in (pcap([])[:10], pcapng([])[:9], b"\x0a\x0d\x0d\x0a" + b"\xff" * 40):
        with pytest.raises(RecordingFormatError, match="damaged"):
            read(tmp_path, content)
    with pytest.raises(RecordingFormatError, match="found link type 147"):
        read(tmp_path, pcap([(0.0, b"x" * 60)], link=147))


def test_without_dpkt_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dpkt", None)
    with pytest.raises(MissingExtraError, match=r"pip install dpkt"):
        read(tmp_path, pcap([]))
