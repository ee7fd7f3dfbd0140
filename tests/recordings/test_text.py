"""Text as every recorder writes it: Espressif's layouts and others', every kind of damage, people's containers."""

from __future__ import annotations

import gzip
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import making
import numpy as np
import pytest
from making import (
    C6_HEADER,
    CLASSIC_HEADER,
    MAC,
    RADAR_HEADER,
    RECORDERS,
    TOOL_HEADER,
    c6,
    classic,
    csi_tool,
    in_base64,
    radar,
    tool,
    values_of,
)

from aether_temporal.recordings import (
    Drop,
    Hints,
    Recording,
    RecordingError,
    RecordingFormatError,
    RecordingShapeError,
    list_recordings,
    open_file,
    open_recording,
)
from aether_temporal.recordings.csi_buffers import words_of
from aether_temporal.recordings.csi_lines import MAX_LINE
from aether_temporal.subcarriers import SubcarrierMap, parse_layout

COUNT = 20


def read(tmp_path: Path, lines: Sequence[str], **hints: object) -> Recording:
    path = tmp_path / "recording.csv"
    path.write_text("\n".join(lines) + "\n")
    return open_recording(path, hints=Hints(**hints))  # type: ignore[arg-type]


def pairs(count: int, values: int) -> np.ndarray:
    return np.array([values_of(i, values) for i in range(count)], np.int8).reshape(count, -1, 2)


HEADERS = {25: CLASSIC_HEADER, 15: C6_HEADER, 26: TOOL_HEADER, 30: RADAR_HEADER}


def lines_of(recorder: str) -> list[str]:
    return [RECORDERS[recorder](i) for i in range(COUNT)]


@pytest.mark.parametrize("with_header", [True, False])
@pytest.mark.parametrize("recorder", RECORDERS)
def test_every_frame_of_every_recorder_is_read(tmp_path: Path, recorder: str, with_header: bool) -> None:
    lines = lines_of(recorder)
    header = next(h for h in HEADERS.values() if h.count(",") == re.sub(r"\[.*\]", "", lines[0]).count(","))
    recording = read(tmp_path, [header] * with_header + lines)
    scale = 16 if "12-bit" in recorder else 1
    np.testing.assert_array_equal(recording.iq, scale * pairs(COUNT, 2 * recording.width).astype(np.int16))
    assert dict(recording.dropped) == {}
    assert recording.frame_rate == pytest.approx(100)


def test_a_radar_console_labels_its_frames(tmp_path: Path) -> None:
    lines = [radar(i, in_base64(values_of(i, 104)), 104, "move" if i < 5 else "static") for i in range(COUNT)]
    recording = read(tmp_path, [RADAR_HEADER, *lines])
    assert recording.label_names == ("move", "static")
    assert recording.labels is not None
    assert recording.labels.tolist() == [0] * 5 + [1] * 15


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (radar(9, in_base64(values_of(9, 104))[:-8], 104), "length"),
        (radar(9, in_base64(values_of(9, 104))[:-3], 104), "cut"),
        (radar(9, in_base64(values_of(9, 104)).replace("A", "!"), 104), "cut"),
        (radar(9, "", 104), "cut"),
        (radar(9, in_base64(values_of(9, 103)), 103), "length"),
        (csi_tool(9, values_of(9, 126), 384), "length"),
        (csi_tool(9, values_of(9, 128), 64), "length"),
        (csi_tool(9, [200, *values_of(9, 127)], 384), "out_of_range"),
    ],
)
def test_a_damaged_line_of_these_costs_itself(tmp_path: Path, line: str, reason: str) -> None:
    is_radar = line.count(",") > 26 or "taget" in line or line.endswith(("=", "!")) or "[" not in line
    lines = lines_of("esp-radar, base64" if is_radar else "ESP32-CSI-Tool, L-LTF alone, `len` 384")
    recording = read(tmp_path, [*lines[:5], line, *lines[5:]])
    assert len(recording) == COUNT
    assert dict(recording.dropped) == {reason: 1}


def test_the_part_that_is_printed_of_a_longer_buffer_is_the_lltf(tmp_path: Path) -> None:
    lltf = parse_layout("lltf:0..31,-32..-1")
    assert read(tmp_path, lines_of("ESP32-CSI-Tool, L-LTF alone, `len` 384")).subcarriers == lltf
    assert read(tmp_path, lines_of("ESP32-CSI-Tool, L-LTF alone, frames of two kinds")).subcarriers == lltf
    whole = read(tmp_path, lines_of("ESP32-CSI-Tool, all values")).subcarriers
    assert whole == parse_layout("lltf:0..31,-32..-1,htltf:0..31,-32..-1,stbc:0..31,-32..-1")
    assert read(tmp_path, lines_of("esp-csi, C5, C6, C61 (15 columns)")).subcarriers == parse_layout("htltf:-28..28")


def test_a_user_says_what_the_file_does_not(tmp_path: Path) -> None:
    lines = ["time,len,data", *(f'{i / 100},128,"{values_of(i, 128)}"' for i in range(COUNT))]
    assert read(tmp_path, lines).subcarriers is None
    assert read(tmp_path, lines, chip="c6").subcarriers == SubcarrierMap.of(range(-32, 32))
    layout = SubcarrierMap.of(range(64))
    assert read(tmp_path, lines, layout=layout).subcarriers == layout
    with pytest.raises(RecordingShapeError, match="layout: expected a subcarrier for each of 64 columns, found 3"):
        read(tmp_path, lines, layout=SubcarrierMap.of(range(3)))


# -- 12-bit words ----------------------------------------------------------------------------------------------------


def words(count: int, loudest: int) -> np.ndarray:
    """Words of 26 pairs; the first frame is weak."""
    drawn = np.random.default_rng(3).integers(-loudest, loudest, (count, 26, 2)).astype(np.int16)
    drawn[0] //= 32
    return drawn


def buffer_of(words: np.ndarray) -> np.ndarray:
    """The bytes of the device's buffer, 106 a frame: low, high, and two that mean nothing."""
    masked = (words.reshape(len(words), -1).astype(np.uint16) & 0x0FFF).astype("<u2")
    return np.concatenate([masked.view(np.int8), np.full((len(words), 2), 77, np.int8)], axis=1)


def test_12_bit_values_in_text_keep_every_frame(tmp_path: Path) -> None:
    expected = words(COUNT, 2048)
    recording = read(tmp_path, [c6(i, one.reshape(-1).tolist(), us=10_000 * i) for i, one in enumerate(expected)])
    np.testing.assert_array_equal(recording.iq, expected)
    assert dict(recording.dropped) == {}
    assert recording.subcarriers == parse_layout("lltf:-26..-2/2,2..26/2")
    assert "the I/Q values have 12 bits" in recording.notes
    np.testing.assert_array_equal(
        recording.features(), np.sqrt((expected.astype(np.float64) ** 2).sum(axis=2)).astype(np.float32)
    )


@pytest.mark.parametrize("form", ["text", "npz"])
def test_12_bit_words_are_recognised_by_their_bytes(tmp_path: Path, form: str) -> None:
    expected = words(COUNT, 700)
    values = buffer_of(expected)
    if form == "text":
        recording = read(tmp_path, [c6(i, one.tolist(), us=10_000 * i) for i, one in enumerate(values)])
    else:
        np.savez(tmp_path / "c5.npz", csi_data=values, chip="c5")
        recording = open_recording(tmp_path / "c5.npz")
    np.testing.assert_array_equal(recording.iq, expected)
    assert recording.subcarriers == parse_layout("lltf:-26..-2/2,2..26/2")


def test_pairs_of_bytes_of_the_same_length_stay_pairs(tmp_path: Path) -> None:
    drawn = np.random.default_rng(4).integers(-60, 60, (COUNT, 106)).astype(np.int8)
    lines = [c6(i, one.tolist(), us=10_000 * i) for i, one in enumerate(drawn)]
    recording = read(tmp_path, lines)
    np.testing.assert_array_equal(recording.iq, drawn.reshape(COUNT, 53, 2))
    np.testing.assert_array_equal(read(tmp_path, lines, csi_bits=12).iq, words_of(drawn))
    weak = buffer_of(words(COUNT, 700))
    forced = read(tmp_path, [c6(i, one.tolist(), us=10_000 * i) for i, one in enumerate(weak)], csi_bits=8)
    np.testing.assert_array_equal(forced.iq, weak.reshape(COUNT, 53, 2))


def test_values_beyond_8_bits_are_none_where_the_chip_has_no_12(tmp_path: Path) -> None:
    good = [classic(i, values_of(i, 52), us=i) for i in range(COUNT)]
    recording = read(tmp_path, [*good, classic(99, [300, *values_of(9, 51)], us=99)])
    assert recording.iq is not None
    assert recording.iq.dtype == np.int8
    assert dict(recording.dropped) == {"out_of_range": 1}
    too_much = read(tmp_path, [c6(0, values_of(0, 52)), c6(1, [2048, *values_of(9, 51)])])
    assert dict(too_much.dropped) == {"out_of_range": 1}


# -- repeated lines --------------------------------------------------------------------------------------------------


def test_exact_repetitions_are_dropped_as_duplicates(tmp_path: Path) -> None:
    lines = [classic(i, values_of(i, 32), us=10_000 * i) for i in range(100)]
    again = [line for i, line in enumerate(lines) for line in [line] * (2 if i % 4 == 0 else 1)]
    recording = read(tmp_path, again)
    assert len(recording) == 100
    assert recording.frame_rate == pytest.approx(100)
    assert dict(recording.dropped) == {"duplicate": 25}


def test_equal_values_at_another_time_are_frames(tmp_path: Path) -> None:
    assert len(read(tmp_path, [classic(i, values_of(1, 32), us=10_000 * i) for i in range(10)])) == 10
    assert len(read(tmp_path, ["time,len,data", *(f'{i},4,"[1,2,3,4]"' for i in range(10))])) == 10


# -- spreadsheets and containers -------------------------------------------------------------------------------------


def exploded(names: Callable[[int], str]) -> list[str]:
    head = CLASSIC_HEADER.removesuffix("data") + ",".join(map(names, range(32)))
    lines = [classic(i, values_of(i, 32), us=10_000 * i).replace('"[', "").replace(']"', "") for i in range(COUNT)]
    return [head, *lines]


PLAIN = [CLASSIC_HEADER, *(classic(i, values_of(i, 32), us=10_000 * i) for i in range(COUNT))]
TABLES = {
    "semicolons": [line.replace('"', "").replace(",", ";", line[: line.find("[")].count(",")) for line in PLAIN[1:]],
    "tabs": [line.replace('"', "").replace(",", "\t", 24) for line in PLAIN],
    "a column a value": exploded(lambda i: f"v{i}"),
    "a column a value, I and Q": exploded(lambda i: f"{'IQ'[i % 2]}{i // 2}"),
    "a column a value, by number": exploded(str),
    "a column a value without a header": exploded(str)[1:],
}


@pytest.mark.parametrize("table", TABLES)
def test_tables_as_spreadsheets_save_them(tmp_path: Path, table: str) -> None:
    recording = read(tmp_path, TABLES[table])
    np.testing.assert_array_equal(recording.iq, pairs(COUNT, 32))
    assert recording.frame_rate == pytest.approx(100)
    assert dict(recording.dropped) == {}


def test_a_decimal_comma_is_no_column(tmp_path: Path) -> None:
    lines = ["time;label;len;data", *(f"1700000000,{i:03};walk;4;[1,2,3,{i}]" for i in range(0, 100, 20))]
    recording = read(tmp_path, lines)
    assert recording.timestamps is not None
    assert np.allclose(recording.timestamps, [0, 0.02, 0.04, 0.06, 0.08], atol=1e-6)


def test_columns_of_shorter_frames_may_be_empty(tmp_path: Path) -> None:
    header = "time,len," + ",".join(f"v{i}" for i in range(12))
    lines = [f"{i}," + ("8,1,2,3,4,5,6,7,8,,,," if i < 3 else "12,1,2,3,4,5,6,7,8,9,10,11,12.0") for i in range(9)]
    recording = read(tmp_path, [header, *lines])
    assert (len(recording), recording.width) == (6, 6)
    assert dict(recording.dropped) == {"other_shape": 3}


def test_a_header_without_a_type_column_is_recognised(tmp_path: Path) -> None:
    lines = ["timestamp,label,mac,rssi,len,data"]
    lines += [f'170000000{i},{"walk" if i < 4 else "sit"},{MAC},-40,8,"{values_of(i, 8)}"' for i in range(8)]
    recording = read(tmp_path, lines)
    assert (len(recording), recording.label_names) == (8, ("walk", "sit"))


@pytest.mark.parametrize("ending", [".csv.gz", ".zip"])
def test_packed_text_is_text(tmp_path: Path, ending: str) -> None:
    path, text = tmp_path / f"walk{ending}", "\n".join(PLAIN).encode()
    if ending == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("__MACOSX/._walk.csv", b"x")
            archive.writestr("folder/walk.csv", text)
    else:
        path.write_bytes(gzip.compress(text))
    np.testing.assert_array_equal(open_recording(path).iq, pairs(COUNT, 32))
    path.write_bytes(path.read_bytes()[: -len(text) // 50])
    with pytest.raises(RecordingFormatError, match="damaged"):
        open_recording(path)


def test_packed_arrays_are_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((9, 4), np.float32))
    (tmp_path / "x.npy.gz").write_bytes(gzip.compress((tmp_path / "x.npy").read_bytes()))
    recording = open_recording(tmp_path / "x.npy.gz")
    assert (recording.name, len(recording)) == ("x", 9)


def test_text_that_unpacks_out_of_proportion_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aether_temporal.recordings.recording_file.UNSUSPICIOUS", 1 << 20)
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(("\n".join(PLAIN) + "\n" + "x\n" * (1 << 21)).encode()))
    with pytest.raises(RecordingFormatError, match="at most 200 times its packed bytes"):
        open_recording(tmp_path / "bomb.csv.gz")


def test_other_containers_are_named(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", b"<x/>")
        archive.writestr("xl/workbook.xml", b"<x/>")
    with pytest.raises(RecordingFormatError, match="found a workbook .* save the sheet as CSV"):
        open_recording(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", b"x")
        archive.writestr("b.csv", b"x")
    with pytest.raises(RecordingFormatError, match=r"expected one file in the zip archive, found a.csv, b.csv; unpack"):
        open_recording(path)
    with pytest.raises(RecordingError, match="found a directory"):
        open_file(tmp_path)


N = 128


def read_csi(tmp_path: Path, content: str | bytes, **options: object) -> Recording:
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
    recording = read_csi(tmp_path, end.join(lines) + end)
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
    recording = read_csi(tmp_path, "\n".join(lines))
    assert recording.iq is not None
    assert np.array_equal(recording.iq, expected(0, 1, 2, count=384))
    assert recording.timestamps is not None
    assert np.allclose(recording.timestamps, [0, 0.001, 0.002])


def test_unknown_layout_without_header_is_rejected_with_a_hint(tmp_path: Path) -> None:
    lines = [tool(values_of(i, N), us=i, seconds=i).replace(",AP,", ",AP,x,") for i in range(3)]
    with pytest.raises(
        RecordingFormatError,
        match=r"3 columns\); line 1 \(columns: expected 25, 15, 26 or 30, or a header line, found 27",
    ):
        read_csi(tmp_path, "\n".join(lines))


def test_lines_that_the_header_does_not_describe_are_rejected_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(RecordingFormatError, match=r"line 2 \(columns: expected 15 as in the header, found 25"):
        read_csi(tmp_path, "\n".join([C6_HEADER, *frames(3)]))


@pytest.mark.parametrize(("header", "expected"), [((CLASSIC_HEADER,), "25 as in the header"), ((), "25 as before")])
@pytest.mark.parametrize(("change", "found"), [((",1,", ","), 24), ((",1,", ",1,1,"), 26)])
def test_the_first_line_with_another_number_of_fields_is_named(
    tmp_path: Path, header: tuple[str, ...], expected: str, change: tuple[str, str], found: int
) -> None:
    lines = frames(9)
    lines[5] = lines[5].replace(*change, 1)
    lines[7] = lines[7].replace(*change, 1)
    recording = read_csi(tmp_path, "\n".join([*header, *lines]))
    assert recording.dropped == {"columns": 2}
    line = 6 + len(header)
    assert recording.notes == (f"dropped first: line {line} (columns: expected {expected}, found {found})",)


def test_the_first_line_of_each_kind_is_named(tmp_path: Path) -> None:
    lines = frames(6)
    lines[1] = lines[1][:-30]
    lines[3] = lines[3].replace("[", "[x")
    lines[4] = lines[4].replace("[", "[1,")
    (note,) = read_csi(tmp_path, "\n".join(["boot", *lines])).notes
    wrong = f"expected {N} values as the line states, found {N + 1}"
    assert note == f"dropped first: line 3 (cut), line 5 (not_integer), line 6 (length: {wrong})"


def test_header_decides_over_the_number_of_fields(tmp_path: Path) -> None:
    """25 columns, but in another order: `len` stands where `id` does elsewhere."""
    names = CLASSIC_HEADER.split(",")
    line = classic(7, values_of(1, N)).split(",", 24)
    swap = {1: 22, 22: 1}
    header = ",".join(names[swap.get(i, i)] for i in range(25))
    swapped = ",".join(line[swap.get(i, i)] for i in range(25))
    recording = read_csi(tmp_path, f"{header}\n{swapped}\n")
    assert recording.iq is not None
    assert np.array_equal(recording.iq, expected(1))


def test_a_second_header_starts_another_layout(tmp_path: Path) -> None:
    lines = [CLASSIC_HEADER, classic(0, values_of(0, N)), C6_HEADER, c6(1, values_of(1, N))]
    assert len(read_csi(tmp_path, "\n".join(lines))) == 2


def test_recorder_columns_give_time_and_labels(tmp_path: Path) -> None:
    """A recorder's own columns before and after those of the device; no device timestamp."""
    header = "time," + C6_HEADER.replace("local_timestamp", "something") + ",target"
    labels = ["walk", "walk", "", "sit"]
    lines = [header] + [f"{1000 + i / 2},{c6(i, values_of(i, N))},{label}" for i, label in enumerate(labels)]
    recording = read_csi(tmp_path, "\n".join(lines))
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
    recording = read_csi(tmp_path, "\n".join(lines))
    assert recording.label_names == ("move", "static")
    assert recording.labels is not None
    assert recording.labels.tolist() == [0, 1, -1]
    assert recording.timestamps is not None
    assert recording.timestamps.tolist() == [0, 1, 2]


def test_fields_in_quotes(tmp_path: Path) -> None:
    line = classic(3, values_of(3, N))
    head, data = line.split('"', 1)
    quoted = ",".join(f'"{field}"' for field in head.rstrip(",").split(",")) + ',"' + data
    assert np.array_equal(read_csi(tmp_path, f"{CLASSIC_HEADER}\n{quoted}\n").iq, expected(3))  # type: ignore[arg-type]


def test_log_prefix_and_suffix_do_no_harm(tmp_path: Path) -> None:
    line = classic(0, values_of(0, N))
    content = f"I (4242) wifi: noise {line}\n{classic(1, values_of(1, N), us=9)}I (99) csi: more\n"
    assert np.array_equal(read_csi(tmp_path, content).iq, expected(0, 1))  # type: ignore[arg-type]


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
    recording = read_csi(tmp_path, "\n".join(content) + "\n")
    assert np.array_equal(recording.iq, expected(*range(5)))  # type: ignore[arg-type]
    assert dict(recording.dropped) == {str(reason): 1}


def test_a_cut_record_does_not_cost_the_whole_one_behind_it(tmp_path: Path) -> None:
    good = frames(3)
    recording = read_csi(tmp_path, "\n".join([good[0], good[1][:150] + good[1], good[2]]))
    assert np.array_equal(recording.iq, expected(0, 1, 2))  # type: ignore[arg-type]
    assert dict(recording.dropped) == {"cut": 1}


def test_first_word_invalid_zeroes_two_pairs_and_says_so(tmp_path: Path) -> None:
    recording = read_csi(tmp_path, "\n".join([*frames(2), classic(2, values_of(2, N), us=20_000, first=1)]))
    assert recording.iq is not None
    assert np.array_equal(recording.iq[:2], expected(0, 1))
    assert (recording.iq[2, :2] == 0).all()
    assert np.array_equal(recording.iq[2, 2:], expected(2)[0, 2:])
    assert any("1 frames have an invalid first word" in note for note in recording.notes)


def test_timestamps_wrap_and_senders_restart(tmp_path: Path) -> None:
    stamps = [2**32 - 20_000, 2**32 - 10_000, 0, 10_000, 5, 10_005]
    lines = [classic(i, values_of(i, N), us=us) for i, us in enumerate(stamps)]
    recording = read_csi(tmp_path, "\n".join(lines))
    assert recording.timestamps is not None
    assert np.allclose(recording.timestamps, [0, 0.01, 0.02, 0.03, 0.03, 0.04])
    assert any("started again 1 times" in note for note in recording.notes)


def test_signed_timestamps_are_the_same_32_bits(tmp_path: Path) -> None:
    lines = [classic(i, values_of(i, N), us=us) for i, us in enumerate([2**31 - 10_000, -(2**31)])]
    recording = read_csi(tmp_path, "\n".join(lines))
    assert recording.timestamps is not None
    assert np.allclose(recording.timestamps, [0, 0.01])


def test_most_frequent_sender_and_size_win_and_others_can_be_chosen(tmp_path: Path) -> None:
    other = "2b:00:00:00:00:00"
    lines = [classic(0, values_of(0, N), mac=other), classic(1, values_of(1, 256)), *frames(3, first=2)]
    recording = read_csi(tmp_path, "\n".join(lines))
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
    assert np.array_equal(read_csi(tmp_path, content.encode(encoding)).iq, expected(0, 1, 2))  # type: ignore[arg-type]


def test_binary_junk_between_lines(tmp_path: Path) -> None:
    junk = bytes(range(256)) * 8
    good = [line.encode() for line in frames(3)]
    recording = read_csi(tmp_path, good[0] + b"\n" + junk + b"\n" + good[1] + b"\n" + b"\0" * 300_000 + b"\n" + good[2])
    assert np.array_equal(recording.iq, expected(0, 1, 2))  # type: ignore[arg-type]
    assert recording.dropped == {"other_text": 9, "line_too_long": 1}


def test_nothing_to_trust_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(RecordingFormatError, match=r"found none that can be trusted \(2 cut, 1 other_text\)"):
        read_csi(tmp_path, "hello\n" + frames(1)[0][:-1].replace("]", "") + "\n" + "CSI_DATA,1\n")
    with pytest.raises(RecordingFormatError, match="an empty file"):
        read_csi(tmp_path, "")
    with pytest.raises(RecordingFormatError, match="starts with b'hello"):
        read_csi(tmp_path, "hello")
    with pytest.raises(RecordingError, match="format: expected one of"):
        read_csi(tmp_path, "hello", format="mp3")
