"""The node's plain C on this computer, with sanitizers: the same programs that `pio test` runs on emulated chips."""

from __future__ import annotations

from pathlib import Path

import make_node_blobs
import pytest
from node_build import CSRC, FIRMWARE, NODE, build, core_sources, run
from parity_matrix.report import read_lines

TESTS = sorted(path.name for path in (FIRMWARE / "test").glob("test_node_*"))


def program_of(folder: Path, name: str) -> Path:
    sources = [FIRMWARE / "test" / name / "main.c", FIRMWARE / "test" / "check.c", FIRMWARE / "app" / "report.c"]
    sources += [FIRMWARE / "targets" / "x86-64" / "platform.c", *sorted(NODE.glob("*.c")), *core_sources()]
    includes = [FIRMWARE / "test", FIRMWARE / "app", FIRMWARE / "runtime", NODE, CSRC / "include"]
    return build(folder, name, sources, includes)


def test_there_are_tests() -> None:
    assert TESTS == ["test_node_head", "test_node_logic", "test_node_slots"]


@pytest.mark.parametrize("name", TESTS)
def test_node(name: str, tmp_path: Path) -> None:
    lines = read_lines(run(program_of(tmp_path, name)))
    tests = [line.values for line in lines if line.kind == "test"]
    assert len(tests) >= 8
    assert all(test["failed"] == "0" and int(test["checks"]) > 0 for test in tests)
    assert lines[-1].kind == "end"
    assert lines[-1].values["failed_tests"] == "0"


def test_blobs_are_what_the_reference_says() -> None:
    assert make_node_blobs.OUT.read_text(encoding="utf-8") == make_node_blobs.source()
