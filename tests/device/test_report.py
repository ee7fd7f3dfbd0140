"""Reports of a chip: fetched over any line and read among anything, they are correct or an error."""

from __future__ import annotations

from typing import Any

import pytest
from device.fake_chip import FakeChip, LostPort, file_line, line, report_lines, whole
from hypothesis import given, settings
from hypothesis import strategies as st

from aether_temporal.device.conversation import Patience, fetch_report
from aether_temporal.device.report import Line, LineSplitter, Report, ReportError, parse, read_lines
from aether_temporal.errors import DeviceError, DeviceReportError, DeviceSilentError, PortError

PATIENCE = Patience(silence=30, probe=3, resets=3, damaged=3)


def fetch(chip: FakeChip, **options: Any) -> tuple[Report, list[str]]:
    notices: list[str] = []
    report = fetch_report(chip, PATIENCE, notify=notices.append, clock=chip.clock, **options)
    assert report.ended
    assert [file.compared for file in report.files] == [100, 101, 102]
    return report, notices


def test_a_chip_that_starts() -> None:
    report, notices = fetch(FakeChip())
    assert (report.id, notices) == ("boot", [])


def test_a_chip_that_waits_is_asked_once() -> None:
    chip = FakeChip(boots=False)
    report, notices = fetch(chip)
    assert report.id == chip.commands[-1].removeprefix("parity ")
    assert [command.split()[0] for command in chip.commands] == ["info", "parity"]
    assert notices == []


def test_a_chip_that_does_not_hear_at_first() -> None:
    chip = FakeChip(boots=False, deaf=2)
    fetch(chip)
    assert [command.split()[0] for command in chip.commands] == ["info", "info", "info", "parity"]


def test_reset_before_the_run() -> None:
    chip = FakeChip(boots=False)
    report, _ = fetch(chip, reset=True)
    assert (chip.resets, report.id) == (1, "boot")


def test_failures_come_through() -> None:
    report, _ = fetch(FakeChip(fails=2))
    assert [failure.case for failure in report.failures] == ["case/0", "case/1"]


@pytest.mark.parametrize("lost", range(5))
def test_any_line_may_get_lost(lost: int) -> None:
    def way(which: int, lines: list[str]) -> list[bytes]:
        pieces = whole(which, lines)
        return pieces[:lost] + pieces[lost + 1 :] if which == 0 else pieces

    chip = FakeChip(way)
    report, notices = fetch(chip)
    assert report.id != "boot"
    assert len(notices) == 1
    assert " lost" in notices[0] or "its beginning was not received" in notices[0]


@pytest.mark.parametrize("cut", range(5))
def test_any_line_may_be_cut(cut: int) -> None:
    def way(which: int, lines: list[str]) -> list[bytes]:
        pieces = whole(which, lines)
        if which == 0:
            pieces[cut] = pieces[cut][:30]
        return pieces

    report, notices = fetch(FakeChip(way))
    assert report.id != "boot"
    assert any("damaged line" in text for text in notices)


def test_a_chip_that_resets_in_the_middle() -> None:
    def way(which: int, lines: list[str]) -> list[bytes]:
        return whole(which, lines[: 1 + which]) + whole(which, lines) if which < 1 else whole(which, lines)

    _, notices = fetch(FakeChip(way))
    assert notices == ["the chip has reset during the run; starting over (1 of at most 3 times)"]


def test_resets_have_a_limit() -> None:
    chip = FakeChip(lambda which, lines: whole(which, lines[:2]) * 5)
    with pytest.raises(DeviceReportError, match="found 4 resets of the chip"):
        fetch(chip)


def test_damage_has_a_limit() -> None:
    chip = FakeChip(lambda which, lines: whole(which, lines[:2] + lines[3:]))
    with pytest.raises(
        DeviceReportError, match=r"found 4 damaged ones, the last because lines were lost: 5 lines were"
    ):
        fetch(chip)


def test_a_run_that_never_begins_has_a_limit() -> None:
    chip = FakeChip(lambda which, lines: [], boots=False)
    with pytest.raises(DeviceError):
        fetch(chip)
    assert len(chip.commands) < 50


def test_silence() -> None:
    chip = FakeChip(lambda which, lines: [], deaf=1000)
    with pytest.raises(DeviceSilentError, match=r"found silence for 30 s; is it the right port"):
        fetch(chip)
    assert 30 <= chip.now < 35


def test_a_chip_that_hangs() -> None:
    chip = FakeChip(lambda which, lines: whole(which, lines[:3]), deaf=1000)
    with pytest.raises(DeviceSilentError, match="found silence for 30 s after file 1 with portable; reset the board"):
        fetch(chip)


def test_another_program() -> None:
    chip = FakeChip(lambda which, lines: [b"I (1234) example: Hello world!\r\n"] * 200, deaf=1000)
    with pytest.raises(DeviceSilentError, match="text of another program: .*Hello world"):
        fetch(chip)
    assert chip.now < 40


def test_another_speed() -> None:
    chip = FakeChip(lambda which, lines: [bytes([0x80 + i % 99, 0xF8, 0x00]) for i in range(200)], deaf=1000)
    with pytest.raises(DeviceSilentError, match="bytes that are no text; is --baud the speed"):
        fetch(chip)


def test_another_version() -> None:
    chip = FakeChip(lambda which, lines: whole(which, [lines[0], lines[1].replace("aether file", "aether film")]))
    with pytest.raises(DeviceReportError, match="found 4 damaged ones"):  # the CRC is wrong
        fetch(chip)
    chip = FakeChip(lambda which, lines: whole(which, [lines[0], line("film index=0")]))
    with pytest.raises(DeviceReportError, match="unknown line 'film'; flash the firmware of this version"):
        fetch(chip)


def test_a_port_that_vanishes() -> None:
    with pytest.raises(PortError, match="fake: gone; it did not return"):
        fetch(LostPort(back=False))
    report, notices = fetch(LostPort(back=True))
    assert report.id == "boot"
    assert notices[0] == "fake: gone; waiting for the port"
    assert "the port has returned; starting over (1 of" in notices[1]


HARMS = st.sampled_from(["whole", "whole", "whole", "lost", "cut", "twice", "noise", "joined", "reset", "late", "flip"])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(HARMS, min_size=7, max_size=7), max_size=5), st.booleans(), st.integers(0, 3), st.data())
def test_the_right_report_or_an_error(plan: list[list[str]], boots: bool, fails: int, data: st.DataObject) -> None:
    """Each report's lines meet with harm as planned, until the plan is used up."""

    def way(which: int, lines: list[str]) -> list[bytes]:
        if which >= len(plan):
            return whole(which, lines)
        pieces: list[bytes] = []
        for text, harm in zip(lines, plan[which] + ["whole"] * 9, strict=False):
            raw = text.encode()
            at = data.draw(st.integers(0, len(raw) - 1))
            pieces += {
                "whole": [raw + b"\n"],
                "lost": [],
                "cut": [raw[:at] + b"\n"],
                "twice": [raw + b"\n", raw + b"\n"],
                "noise": [b"\xffI (1) x: " + raw + b"W (2) y\r\n"],
                "joined": [raw],
                "reset": [raw + b"\n", b"\r\nrst:0x1\r\n" + "\n".join(lines[:2]).encode() + b"\n"],
                "late": [raw[:at], raw[at:] + b"\n"],
                "flip": [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] + b"\n"],
            }[harm]
        return pieces

    chip = FakeChip(way, boots, fails=fails)
    try:
        report = fetch_report(chip, PATIENCE, clock=chip.clock)
    except DeviceError:
        assert plan, "an error without harm"
        assert chip.now < 3000
        return
    assert (report.chip, report.bytes, report.crc) == ("fake", 1234, "0BADF00D")
    assert [file.compared for file in report.files] == [100, 101, 102]
    assert [failure.case for failure in report.failures] == [f"case/{i}" for i in range(fails)]


LINES = report_lines(fails=2)
NOISE = st.text(st.characters(max_codepoint=255, blacklist_characters="\n\r"), max_size=40)


def test_a_whole_report() -> None:
    report = parse("\r\n".join(LINES) + "\r\n")
    assert report.ended
    assert (report.id, report.core, report.chip, report.bytes, report.crc) == (
        "boot",
        "0.1.0",
        "fake",
        1234,
        "0BADF00D",
    )
    assert [file.compared for file in report.files] == [100, 101, 102]
    assert [failure.case for failure in report.failures] == ["case/0", "case/1"]
    assert (report.lines, report.taken) == (len(LINES), len(LINES))


@given(before=NOISE, after=NOISE, which=st.integers(0, len(LINES) - 1))
def test_noise_on_the_line_does_not_hide_it(before: str, after: str, which: int) -> None:
    (expected,) = read_lines(LINES[which])
    assert expected in read_lines(before + LINES[which] + after)


@given(which=st.integers(0, len(LINES) - 1), data=st.data())
def test_a_changed_character_is_noticed(which: int, data: st.DataObject) -> None:
    text = LINES[which]
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(max_codepoint=255).filter(lambda c: c != text[at]))
    assert read_lines(text[:at] + other + text[at + 1 :]) == []


@given(which=st.integers(0, len(LINES) - 1), data=st.data())
def test_a_cut_line_is_rejected_and_the_next_one_found(which: int, data: st.DataObject) -> None:
    text = LINES[which]
    begin = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(begin + 1, len(text)))
    cut = text[:begin] + text[end:]
    assert read_lines(cut) == []
    assert read_lines(cut + LINES[-1]) == read_lines(LINES[-1])


@given(st.binary(max_size=400))
def test_any_bytes_give_no_line(data: bytes) -> None:
    assert read_lines(data.decode("latin-1")) == []


@given(st.binary(max_size=600), st.lists(st.integers(1, 40), max_size=40))
def test_lines_do_not_depend_on_the_pieces(noise: bytes, sizes: list[int]) -> None:
    stream = noise + b"\n" + "\r\n".join(LINES).encode() + b"\n"
    whole = LineSplitter().feed(stream)
    splitter, found, at = LineSplitter(), [], 0
    for size in [*sizes, len(stream)]:
        found += splitter.feed(stream[at : at + size])
        at += size
    assert found == whole
    assert whole[-len(LINES) :] == LINES


def test_a_line_without_end_costs_no_memory() -> None:
    splitter = LineSplitter(longest=512)
    for _ in range(1000):
        assert splitter.feed(b"x" * 1000) == []
    (last,) = splitter.feed(LINES[0].encode() + b"\n")
    assert len(last) <= 512
    assert [found.kind for found in read_lines(last)] == ["begin"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (LINES[1:], "expected the line 'begin'"),
        ([LINES[0], *LINES], "expected no second line 'begin'"),
        (LINES[:2] + LINES[3:], "7 lines were sent, 6 arrived"),
        ([*LINES, LINES[0]], "line: expected none after 'end', found"),
        ([LINES[0], line("surprise a=1")], "unknown line 'surprise'"),
        ([LINES[0], line("file kernels=portable index=0")], "missing"),
        ([LINES[0], file_line(0, cases="x")], "cases: expected a count, found 'x'"),
        ([LINES[0], file_line(0, more=1)], "unknown more"),
        ([LINES[0], line("end variants=1")], "line 'end': expected failed_files, found no such value"),
        ([line("begin id=a core=1 chip=x bytes=9999999999999999999999 crc=0")], "expected a count"),
    ],
)
def test_lines_that_make_no_report(lines: list[str], message: str) -> None:
    with pytest.raises(ReportError, match=message):
        parse("\n".join(lines))


def test_a_line_with_a_key_twice_or_none_is_a_line() -> None:
    assert read_lines(line("info id=a id=b")) == [Line("info", {"id": "b"})]
    assert read_lines(line("begin")) == [Line("begin", {})]
    with pytest.raises(ReportError, match="line 'begin': expected bytes, found no such value"):
        Report().take(Line("begin", {}))
