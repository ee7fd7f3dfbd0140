"""Text as every common recorder writes it, in the containers in which people keep it."""

from __future__ import annotations

import gzip
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

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
    values_of,
)

from aether_temporal.recordings import (
    Hints,
    Recording,
    RecordingError,
    RecordingFormatError,
    RecordingShapeError,
    open_file,
    open_recording,
)
from aether_temporal.recordings.csi_buffers import words_of
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
    monkeypatch.setattr("aether_temporal.recordings.containers.UNSUSPICIOUS", 1 << 20)
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
