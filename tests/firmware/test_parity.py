"""The golden vectors on every target of firmware/targets, and how their reports are judged."""

from __future__ import annotations

import subprocess
import zlib
from functools import cache
from pathlib import Path

import pytest
from parity_matrix import vectors
from parity_matrix.emulation import Report, ReportError, Run, parse
from parity_matrix.matrix import Matrix, Row, agreement, judge, judge_control
from parity_matrix.targets import LEVELS, Control, Target, all_targets

TARGETS = {target.name: target for target in all_targets()}
EVERY_LEVEL = "xtensa-fpu"  # stands for the main chip; the others run at -O2


def skip_unless_present(target: Target) -> None:
    """Skips, naming what is missing, unless the target can be built and run."""
    missing = target.missing()
    if missing:
        pytest.skip(f"{target.name} needs {', '.join(missing)}")


@pytest.fixture(scope="session")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    return Matrix(tmp_path_factory.mktemp("parity"), 2)


@cache
def rows(matrix: Matrix, name: str) -> list[Row]:
    levels = list(LEVELS) if name == EVERY_LEVEL else [LEVELS[0]]
    return list(matrix.rows(TARGETS[name], levels, controls=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_results_are_identical(matrix: Matrix, name: str) -> None:
    skip_unless_present(TARGETS[name])
    plain = [row for row in rows(matrix, name) if not row.control]
    assert [f"{row.level}: {row.problem}" for row in plain if row.problem] == []
    assert all(row.report.total("compared") > 50_000 for row in plain)
    assert not agreement(plain)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "control"), [(t.name, c.name) for t in TARGETS.values() for c in t.control])
def test_control_fails_as_expected(matrix: Matrix, name: str, control: str) -> None:
    skip_unless_present(TARGETS[name])
    (row,) = [row for row in rows(matrix, name) if row.control == control]
    assert row.problem == ""


@pytest.mark.slow
def test_all_targets_compare_the_same_cases(matrix: Matrix) -> None:
    present = [name for name, target in TARGETS.items() if not target.missing()]
    assert not agreement([row for name in present for row in rows(matrix, name)])


@pytest.mark.slow
def test_only_the_simd_build_uses_vector_instructions(matrix: Matrix) -> None:
    skip_unless_present(TARGETS["wasm32"])
    multiplies = {}
    for name in ("wasm32", "wasm32-simd"):
        assert rows(matrix, name)[0].problem == ""
        command = ["llvm-objdump-22", "-d", str(matrix.builder.work / name / "parity-O2.image")]
        multiplies[name] = subprocess.run(command, check=True, capture_output=True, text=True).stdout.count("f32x4.mul")
    assert multiplies["wasm32"] == 0
    assert multiplies["wasm32-simd"] > 0


def test_every_promised_target_exists() -> None:
    wanted = {
        *("cortex-m3", "cortex-m4f", "cortex-m7", "rv32imc", "rv32imafc", "aarch64", "wasm32", "wasm32-simd"),
        *("xtensa-lx106", "xtensa-fpu", "xtensa-soft", "x86-64"),
    }
    assert set(TARGETS) == wanted
    expected = {(target.name, control.expect) for target in TARGETS.values() for control in target.control}
    assert {
        ("rv32imafc", "mismatch"),
        ("cortex-m4f", "mismatch"),
        ("aarch64", "mismatch"),
        ("xtensa-fpu", "mismatch"),
    } <= expected
    assert {("rv32imafc", "trap"), ("cortex-m4f", "trap"), ("xtensa-fpu", "trap")} <= expected
    assert {("cortex-m4f", "rejected"), ("cortex-m4f", "one-case")} <= expected


def test_names_missing_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = TARGETS["rv32imc"].missing()
    assert missing == [
        "riscv64-unknown-elf-gcc (package gcc-riscv64-unknown-elf)",
        "qemu-system-riscv32 (package qemu-system-misc)",
    ]


FILES = len(vectors.whole().files)
CASES = vectors.whole().cases


def line(text: str) -> str:
    text = f"aether {text}"
    return f"{text} *{zlib.crc32(text.encode()):08X}\n"


def file(index: int, cases: int, failed: int = 0, status: str = "OK") -> str:
    counts = f"cases={cases} checks={cases} compared=100 failed={failed} scratch=8"
    return line(f"file kernels=portable index={index} status={status} {counts}")


def fail(case: str = "exp/edges", element: str = "3", mismatches: int = 1) -> str:
    counts = f"mismatches={mismatches} compared=9"
    bits = f"element={element} expected=3F800000 got=3F800001"
    return line(f"fail kernels=portable case={case} path=map status=OK expected_status=OK {counts} {bits}")


def end(failed: int = 0, stack: int = 100, lines: int = 3) -> str:
    return line(f"end variants=1 failed_files={failed} stack={stack} stack_size=16384 lines={lines}")


BEGIN = line("begin id=boot core=0.1.0 chip=t bytes=4 crc=00000000")
END = end(lines=FILES + 2)
GOOD = BEGIN + "".join(file(i, CASES if i == 0 else 0) for i in range(FILES)) + END


def row(text: str) -> Row:
    return Row("t", "-O2", "p", "s", report=parse(text))


def ran(code: int | None = 0) -> Run:
    return Run(code, "", "", 0.1)


def test_accepts_parity() -> None:
    assert judge(row(GOOD), ran()) == ""


@pytest.mark.parametrize(
    ("text", "code", "problem"),
    [
        ("", 0, "is incomplete: exit code 0"),
        (GOOD[: -len(END)], 100, "is incomplete: exit code 100"),
        (GOOD[: -len(END)], None, "is incomplete: still running after"),
        (GOOD, 1, "exit code 1"),
        (
            BEGIN + fail() + file(0, CASES, failed=1) + end(1, lines=4),
            1,
            r"exp/edges \[map\]: 1 words, first element 3: got 3F800001",
        ),
        (BEGIN + file(0, CASES, status="GOLDEN") + end(1), 1, "file 0 with portable: GOLDEN"),
        (BEGIN + file(0, CASES) + end(), 0, f"1 files and {CASES} cases, expected {FILES}"),
        (GOOD.replace(file(0, CASES), file(0, CASES - 1)), 0, f"{CASES - 1} cases, expected"),
        (GOOD.replace(END, end(stack=16384, lines=FILES + 2)), 1, "stack of 16384 bytes is exhausted"),
        (BEGIN + end(lines=2), 0, "lines for"),
    ],
)
def test_names_the_problem(text: str, code: int | None, problem: str) -> None:
    with pytest.raises(AssertionError, match=problem):
        raise AssertionError(judge(row(text), ran(code)))


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("compared=100", "compared=101", 1),
        GOOD[:50],
        GOOD + file(9, 1),
        "ets Jun  8 2016 00:22:57\n" + GOOD,
        BEGIN + line("surprise a=1"),
        BEGIN + line("file kernels=portable index=0"),
        BEGIN + file(0, 1).replace("cases=1 ", "cases=x "),
        BEGIN + line("file kernels=portable index=x status=OK cases=1 checks=1 compared=1 failed=0 scratch=8"),
        BEGIN + line("file kernels=portable index=0 status=OK cases=1 checks=1 compared=1 failed=0 scratch=8 more=1"),
        BEGIN + file(0, CASES, failed=1) + end(1),
        BEGIN + fail() + file(0, CASES, failed=1) + end(0, lines=4),
        BEGIN + file(0, CASES) + end(lines=4),
        GOOD.replace(BEGIN, ""),
        BEGIN + BEGIN + GOOD[len(BEGIN) :],
        BEGIN.replace("bytes=4", "bytes=-4") + GOOD[len(BEGIN) :],
    ],
)
def test_rejects_a_damaged_report(text: str) -> None:
    with pytest.raises(ReportError):
        parse(text)


def test_crc_mismatch_has_no_element() -> None:
    report = parse(BEGIN + fail(element="crc") + file(0, CASES, failed=1) + end(1, lines=4))
    assert "CRC of all words" in str(report.failures[0])


def control(expect: str) -> Control:
    return Control("c", "w", expect)


def test_control_expects_a_trap() -> None:
    assert judge_control(row(BEGIN), ran(100), control("trap")) == ""
    assert "found a complete report" in judge_control(row(GOOD), ran(0), control("trap"))
    assert "still running after" in judge_control(row(BEGIN), ran(None), control("trap"))
    assert "exit code 1" in judge_control(row(BEGIN), ran(1), control("trap"))


def test_control_expects_a_mismatch() -> None:
    bad = row(BEGIN + fail() + file(0, CASES, failed=1) + end(1, lines=4))
    assert judge_control(bad, ran(1), control("mismatch")) == ""
    assert judge_control(row(GOOD), ran(0), control("mismatch")) != ""
    assert judge_control(row(GOOD), ran(1), control("mismatch")) == "expected other bits, found none"
    assert judge_control(row(BEGIN), ran(100), control("mismatch")) != ""
    wrong_status = row(BEGIN + fail(mismatches=0) + file(0, CASES, failed=1) + end(1, lines=4))
    assert judge_control(wrong_status, ran(1), control("mismatch")) != ""


def test_control_expects_a_rejected_file() -> None:
    damaged = row(BEGIN + file(0, 0, status="GOLDEN") + end(1))
    assert judge_control(damaged, ran(1), control("rejected")) == ""
    assert judge_control(row(GOOD), ran(1), control("rejected")) != ""


def test_control_expects_one_case() -> None:
    changed = vectors.flipped_under_crc()
    right = fail(changed.changed_case, str(changed.changed_element))
    tail = file(0, CASES, failed=1) + end(1, lines=4)
    assert judge_control(row(BEGIN + right + tail), ran(1), control("one-case")) == ""
    assert judge_control(row(BEGIN + fail("exp/other") + tail), ran(1), control("one-case")) != ""
    assert judge_control(row(BEGIN + fail(changed.changed_case, "crc") + tail), ran(1), control("one-case")) != ""


def test_targets_must_compare_the_same() -> None:
    other = row(GOOD.replace(file(0, CASES), line(file(0, CASES)[7:-11].replace("compared=100", "compared=101"))))
    assert agreement([row(GOOD), row(GOOD)]) == ""
    assert "expected equal counts" in agreement([row(GOOD), other])


def test_flipped_vectors_differ_as_stated() -> None:
    good = vectors.whole().data
    for damaged, bits in ((vectors.flipped().data, 1), (vectors.flipped_under_crc().data, None)):
        assert len(damaged) == len(good)
        difference = int.from_bytes(damaged, "little") ^ int.from_bytes(good, "little")
        assert difference != 0
        assert bits is None or difference.bit_count() == bits
    body = vectors.flipped_under_crc().data[-len(vectors.whole().last) :]
    assert zlib.crc32(body[:-4]) == int.from_bytes(body[-4:], "little")


def test_empty_report_has_not_ended() -> None:
    assert not Report().ended
