"""Reading report lines: what is right is found among anything, what is not is never taken for it."""

from __future__ import annotations

import pytest
from device.fake_chip import file_line, line, report_lines
from hypothesis import given
from hypothesis import strategies as st

from aether_temporal.device.report import Line, LineSplitter, Report, ReportError, parse, read_lines

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
