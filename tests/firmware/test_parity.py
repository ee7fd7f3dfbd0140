"""The golden vectors on every target of firmware/targets, and the controls that must fail."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import pytest
from parity_matrix.matrix import Matrix, Row, agreement
from parity_matrix.targets import LEVELS, Target, all_targets

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
