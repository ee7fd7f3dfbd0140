"""Fetching a report from a chip: over any line, the result is the correct report or an error."""

from __future__ import annotations

from typing import Any

import pytest
from device.fake_chip import FakeChip, LostPort, line, whole
from hypothesis import given, settings
from hypothesis import strategies as st

from aether_temporal.device.conversation import Patience, fetch_report
from aether_temporal.device.report import Report
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
