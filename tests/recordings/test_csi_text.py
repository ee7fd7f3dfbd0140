"""Espressif's CSI text: both layouts, a third party's, and every kind of damage."""

from __future__ import annotations

from pathlib import Path

import making
import numpy as np
import pytest
from making import C6_HEADER, CLASSIC_HEADER, TOOL_HEADER, c6, classic, tool, values_of

from aether_temporal.recordings import (
    Drop,
    Recording,
    RecordingError,
    RecordingFormatError,
    list_recordings,
    open_recording,
)
from aether_temporal.recordings.csi_lines import MAX_LINE

N = 128


def read(tmp_path: Path, content: str | bytes, **options: object) -> Recording:
    path = tmp_path / "recording.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_recording(path, **options)  # type: ignore[arg-type]


def frames(count: int, first: int = 0) -> list[str]:
    return [classic(i, values_of(i, N), us=10_000 * i) for i in range(first, first + count)]


def expected(*seeds: int, count: int = N) -> np.ndarray:
    return np.array([values_of(seed, count) for seed in seeds], dtype=np.int8).reshape(len(seeds), count // 2, 2)


@pytest.mark.parametrize("with_header", [True, False])
@pytest.mark.parametrize(("header", "line"), [(CLASSIC_HEADER, classic), (C6_HEADER, c6)])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_both_layouts_with_and_without_header(
    tmp_path: Path, with_header: bool, header: str, line: object, end: str
) -> None:
    lines = [header] * with_header + [line(i, values_of(i, N), us=20_000 * i) for i in range(5)]  # type: ignore[operator]
    recording = read(tmp_path, end.join(lines) + end)
    assert recording.format == "csi-text"
    assert recording.iq is not None
    assert np.array_equal(recording.iq, expected(*range(5)))
    assert recording.timestamps is not None
    assert np.allclose(recording.timestamps, [0, 0.02, 0.04, 0.06, 0.08])
    assert recording.frame_rate == pytest.approx(50)
    assert recording.name == making.MAC
    assert dict(recording.dropped) == {}
    assert recording.labels is None


def test_third_party_layout_by_its_header(tmp_path: Path) -> None:
    lines = [TOOL_HEADER] + [tool(values_of(i, 384), us=i * 1000, seconds=80 + i / 1000) for i in range(3)]
    recording = read(tmp_path, "\n".join(lines))
    assert recording.iq is not None
    assert np.array_equal(recording.iq, expected(0, 1, 2, count=384))
    assert recording.timestamps is not None
    assert np.allclose(recording.timestamps, [0, 0.001, 0.002])


def test_unknown_layout_without_header_is_rejected_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(
        RecordingFormatError, match=r"3 columns\); columns: expected 25, 15, 26 or 30, or a header line, found 27"
    ):
        read(tmp_path, "\n".join(tool(values_of(i, N), us=i, seconds=i).replace(",AP,", ",AP,x,") for i in range(3)))


def test_lines_that_the_header_does_not_describe_are_rejected_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(RecordingFormatError, match=r"columns: expected 15 as in the header, found 25"):
        read(tmp_path, "\n".join([C6_HEADER, *frames(3)]))


def test_header_decides_over_the_number_of_fields(tmp_path: Path) -> None:
    """25 columns, but in another order: `len` stands where `id` does elsewhere."""
    names = CLASSIC_HEADER.split(",")
    line = classic(7, values_of(1, N)).split(",", 24)
    swap = {1: 22, 22: 1}
    header = ",".join(names[swap.get(i, i)] for i in range(25))
    swapped = ",".join(line[swap.get(i, i)] for i in range(25))
    recording = read(tmp_path, f"{header}\n{swapped}\n")
    assert recording.iq is not None
    assert np.array_equal(recording.iq, expected(1))


def test_a_second_header_starts_another_layout(tmp_path: Path) -> None:
    lines = [CLASSIC_HEADER, classic(0, values_of(0, N)), C6_HEADER, c6(1, values_of(1, N))]
    assert len(read(tmp_path, "\n".join(lines))) == 2


def test_recorder_columns_give_time_and_labels(tmp_path: Path) -> None:
    """A recorder's own columns before and after those of the device; no device timestamp."""
    header = "time," + C6_HEADER.replace("local_timestamp", "something") + ",target"
    labels = ["walk", "walk", "", "sit"]
    lines = [header] + [f"{1000 + i / 2},{c6(i, values_of(i, N))},{label}" for i, label in enumerate(labels)]
    recording = read(tmp_path, "\n".join(lines))
    assert recording.timestamps is not None
    assert recording.timestamps.tolist() == [0, 0.5, 1.0, 1.5]
    assert recording.label_names == ("walk", "sit")
    assert recording.labels is not None
    assert recording.labels.tolist() == [0, 0, -1, 1]


def test_label_column_inside_the_layout(tmp_path: Path) -> None:
    header = "type,seq,timestamp,taget_seq,target,mac,rssi,len,first_word_invalid,data"
    lines = [header] + [
        f'CSI_DATA,{i},2022-01-01 10:00:0{i},{i},{label},{making.MAC},-30,4,0,"[1,2,3,4]"'
        for i, label in enumerate(["move", "static", "unknown"])
    ]
    recording = read(tmp_path, "\n".join(lines))
    assert recording.label_names == ("move", "static")
    assert recording.labels is not None
    assert recording.labels.tolist() == [0, 1, -1]
    assert recording.timestamps is not None
    assert recording.timestamps.tolist() == [0, 1, 2]


def test_fields_in_quotes(tmp_path: Path) -> None:
    line = classic(3, values_of(3, N))
    head, data = line.split('"', 1)
    quoted = ",".join(f'"{field}"' for field in head.rstrip(",").split(",")) + ',"' + data
    assert np.array_equal(read(tmp_path, f"{CLASSIC_HEADER}\n{quoted}\n").iq, expected(3))  # type: ignore[arg-type]


def test_log_prefix_and_suffix_do_no_harm(tmp_path: Path) -> None:
    line = classic(0, values_of(0, N))
    content = f"I (4242) wifi: noise {line}\n{classic(1, values_of(1, N), us=9)}I (99) csi: more\n"
    assert np.array_equal(read(tmp_path, content).iq, expected(0, 1))  # type: ignore[arg-type]


DAMAGE = {
    "cut before the data": (classic(9, values_of(9, N))[:60], Drop.CUT),
    "cut in the data": (classic(9, values_of(9, N))[:-40], Drop.CUT),
    "cut after the type": ("CSI_DATA", Drop.CUT),
    "a log line inside the fields": (
        classic(9, values_of(9, N)).replace(",11,", ",1I (1) wifi: x,1,", 1),
        Drop.COLUMNS,
    ),
    "a log line inside the data": (classic(9, values_of(9, N)).replace("]", ",1I (1) wifi: x,1]"), Drop.NOT_INTEGER),
    "text among the values": (classic(9, values_of(9, N)).replace('"[', '"[I (1) x,'), Drop.NOT_INTEGER),
    "an empty value": (classic(9, values_of(9, N)).replace('"[', '"[,'), Drop.NOT_INTEGER),
    "a float": (classic(9, [*values_of(9, N - 1)]).replace("]", ",1.5]"), Drop.NOT_INTEGER),
    "an underscore": (classic(9, values_of(9, N)).replace('"[', '"[1_0,'), Drop.NOT_INTEGER),
    "a double sign": (classic(9, values_of(9, N - 1), length=N).replace('"[', '"[--1,'), Drop.NOT_INTEGER),
    "a value of 128": (classic(9, [*values_of(9, N - 1), 128]), Drop.OUT_OF_RANGE),
    "a value of -129": (classic(9, [*values_of(9, N - 1), -129]), Drop.OUT_OF_RANGE),
    "a value of ten thousand digits": (classic(9, []).replace("[]", "[" + "9" * 10000 + "]"), Drop.NOT_INTEGER),
    "too few values": (classic(9, values_of(9, N - 2), length=N), Drop.LENGTH),
    "too many values": (classic(9, values_of(9, N + 2), length=N), Drop.LENGTH),
    "no values": (classic(9, []), Drop.LENGTH),
    "an odd number of values": (classic(9, values_of(9, N - 1)), Drop.LENGTH),
    "a len that is no number": (classic(9, values_of(9, N)).replace(f",{N},0,", ",x,0,"), Drop.NOT_INTEGER),
    "a negative len": (classic(9, values_of(9, N)).replace(f",{N},0,", ",-5,0,"), Drop.OUT_OF_RANGE),
    "a huge len": (classic(9, values_of(9, N), length=10**12), Drop.OUT_OF_RANGE),
    "a first_word of 7": (classic(9, values_of(9, N), first=7), Drop.OUT_OF_RANGE),
    "a timestamp that is no number": (classic(9, values_of(9, N)).replace(",13,2,0,", ",13,2,zz,"), Drop.NOT_INTEGER),
    "a timestamp beyond 32 bits": (classic(9, values_of(9, N), us=2**32), Drop.OUT_OF_RANGE),
    "a field too few": (classic(9, values_of(9, N)).replace(",-30", ""), Drop.COLUMNS),
    "a field too many": (classic(9, values_of(9, N)).replace(",-30", ",-30,-30"), Drop.COLUMNS),
    "log output": ("I (12) wifi: connected", Drop.OTHER_TEXT),
    "a line without end": ("CSI_DATA," + "1," * MAX_LINE, Drop.LINE_TOO_LONG),
    "another size": (classic(9, values_of(9, 256)), Drop.OTHER_SHAPE),
    "another sender": (classic(9, values_of(9, N), mac="2b:00:00:00:00:00"), Drop.OTHER_SENDER),
}


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("with_header", [True, False])
def test_one_damaged_line_costs_one_line(tmp_path: Path, name: str, with_header: bool) -> None:
    line, reason = DAMAGE[name]
    good = frames(5)
    content = [CLASSIC_HEADER] * with_header + [*good[:2], line, *good[2:]]
    recording = read(tmp_path, "\n".join(content) + "\n")
    assert np.array_equal(recording.iq, expected(*range(5)))  # type: ignore[arg-type]
    assert dict(recording.dropped) == {str(reason): 1}


def test_a_cut_record_does_not_cost_the_whole_one_behind_it(tmp_path: Path) -> None:
    good = frames(3)
    recording = read(tmp_path, "\n".join([good[0], good[1][:150] + good[1], good[2]]))
    assert np.array_equal(recording.iq, expected(0, 1, 2))  # type: ignore[arg-type]
    assert dict(recording.dropped) == {"cut": 1}


def test_first_word_invalid_zeroes_two_pairs_and_says_so(tmp_path: Path) -> None:
    recording = read(tmp_path, "\n".join([*frames(2), classic(2, values_of(2, N), us=20_000, first=1)]))
    assert recording.iq is not None
    assert np.array_equal(recording.iq[:2], expected(0, 1))
    assert (recording.iq[2, :2] == 0).all()
    assert np.array_equal(recording.iq[2, 2:], expected(2)[0, 2:])
    assert any("1 frames have an invalid first word" in note for note in recording.notes)


def test_timestamps_wrap_and_senders_restart(tmp_path: Path) -> None:
    stamps = [2**32 - 20_000, 2**32 - 10_000, 0, 10_000, 5, 10_005]
    lines = [classic(i, values_of(i, N), us=us) for i, us in enumerate(stamps)]
    recording = read(tmp_path, "\n".join(lines))
    assert recording.timestamps is not None
    assert np.allclose(recording.timestamps, [0, 0.01, 0.02, 0.03, 0.03, 0.04])
    assert any("started again 1 times" in note for note in recording.notes)


def test_signed_timestamps_are_the_same_32_bits(tmp_path: Path) -> None:
    lines = [classic(i, values_of(i, N), us=us) for i, us in enumerate([2**31 - 10_000, -(2**31)])]
    recording = read(tmp_path, "\n".join(lines))
    assert recording.timestamps is not None
    assert np.allclose(recording.timestamps, [0, 0.01])


def test_most_frequent_sender_and_size_win_and_others_can_be_chosen(tmp_path: Path) -> None:
    other = "2b:00:00:00:00:00"
    lines = [classic(0, values_of(0, N), mac=other), classic(1, values_of(1, 256)), *frames(3, first=2)]
    recording = read(tmp_path, "\n".join(lines))
    assert np.array_equal(recording.iq, expected(2, 3, 4))  # type: ignore[arg-type]
    assert dict(recording.dropped) == {"other_sender": 1, "other_shape": 1}
    infos = list_recordings(tmp_path / "recording.csv")
    assert [(info.name, info.frames) for info in infos] == [(making.MAC, 4), (other, 1)]
    assert np.array_equal(open_recording(tmp_path / "recording.csv", recording=other).iq, expected(0))  # type: ignore[arg-type]
    assert len(open_recording(tmp_path / "recording.csv", recording=1)) == 1
    assert len(open_recording(tmp_path / "recording.csv", recording=other.upper())) == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_encodings_of_windows_shells(tmp_path: Path, encoding: str) -> None:
    content = ("\ufeff" if encoding == "utf-16-be" else "") + CLASSIC_HEADER + "\r\n" + "\r\n".join(frames(3)) + "\r\n"
    assert np.array_equal(read(tmp_path, content.encode(encoding)).iq, expected(0, 1, 2))  # type: ignore[arg-type]


def test_binary_junk_between_lines(tmp_path: Path) -> None:
    junk = bytes(range(256)) * 8
    good = [line.encode() for line in frames(3)]
    recording = read(tmp_path, good[0] + b"\n" + junk + b"\n" + good[1] + b"\n" + b"\0" * 300_000 + b"\n" + good[2])
    assert np.array_equal(recording.iq, expected(0, 1, 2))  # type: ignore[arg-type]
    assert recording.dropped == {"other_text": 9, "line_too_long": 1}


def test_nothing_to_trust_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(RecordingFormatError, match=r"found none that can be trusted \(2 cut, 1 other_text\)"):
        read(tmp_path, "hello\n" + frames(1)[0][:-1].replace("]", "") + "\n" + "CSI_DATA,1\n")
    with pytest.raises(RecordingFormatError, match="an empty file"):
        read(tmp_path, "")
    with pytest.raises(RecordingFormatError, match="starts with b'hello"):
        read(tmp_path, "hello")
    with pytest.raises(RecordingError, match="format: expected one of"):
        read(tmp_path, "hello", format="mp3")
