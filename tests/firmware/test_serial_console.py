"""The commands of the parity application, in whatever pieces they come."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from parity_matrix.build import core_sources
from parity_matrix.targets import all_targets
from parity_matrix.vectors import GOLDEN

from aether_temporal import __version__
from aether_temporal.device.report import Line, Report, read_lines

pytestmark = pytest.mark.slow  # compiles

ROOT = Path(__file__).resolve().parents[2]
CSRC, APP = ROOT / "csrc", ROOT / "firmware" / "app"
WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wdouble-promotion",
    "-Wshadow",
    "-Wstrict-prototypes",
    "-Wvla",
    "-Werror",
]
OPTIONS = ["-std=c99", "-O1", "-ffp-contract=off", "-DAETHER_PORTABLE_ONLY", "-fsanitize=address,undefined", *WARNINGS]
SMALLEST = GOLDEN / "kernels.agv"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is missing")
    chip = next(target for target in all_targets() if target.portable_only)
    own = [APP / name for name in ("parity.c", "console.c", "report.c")]
    sources = [*core_sources(chip), *sorted((CSRC / "golden").glob("*.c")), *own]
    includes = [f"-I{CSRC / name}" for name in ("include", "src", "src/kernels", "golden")] + [f"-I{APP}"]
    out = tmp_path_factory.mktemp("console") / "console"
    files = [str(path) for path in [*sources, Path(__file__).with_name("serial_console.c")]]
    subprocess.run(["gcc", *OPTIONS, *includes, *files, "-o", str(out)], check=True)
    return out


def replies(program: Path, text: bytes, piece: int = 256) -> list[Line]:
    """The replies, without the final run, which has too little memory."""
    done = subprocess.run([program, SMALLEST, str(piece)], input=text, capture_output=True, check=True)
    *lines, last = done.stdout.decode("ascii").splitlines()
    found = [line for text_line in lines for line in read_lines(text_line)]
    assert len(found) == len(lines)
    begins = [at for at, line in enumerate(found) if line.values.get("id") == "too-little"]
    assert [line.values.get("status") for line in found[begins[0] + 1 : -1]] == ["MEMORY"] * (
        len(found) - begins[0] - 2
    )
    received = found[: begins[0]]
    ran = any(line.kind == "begin" for line in received)
    assert last == f"1 {int(ran)}"  # the run at the end found a difference; runs before it let others run
    return received


@pytest.mark.parametrize("piece", [1, 7, 256])
def test_commands_in_pieces(program: Path, piece: int) -> None:
    found = replies(program, b"info one\r\n\n  parity\ttwo  \r\ninfo\n", piece)
    assert [line.kind for line in found[:2]] == ["info", "begin"]
    assert (found[0].values["id"], found[1].values["id"], found[-1].values["id"]) == ("one", "two", "-")
    assert (found[0].values["core"], found[0].values["chip"]) == (__version__, "a_host")
    report = Report()
    for line in found[1:-1]:
        report.take(line)
    report.check()
    assert report.ended
    assert not report.failures
    assert report.bytes == SMALLEST.stat().st_size
    assert (report.stack, report.stack_size) == (0, 0)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        (b"reboot\n", 6),
        (b"parityx\n", 7),
        (b"infos a\n", 7),
        (b"pari\n", 4),
        (b"x" * 64 + b"\n", 64),
        (b"info " * 20 + b"\n", 64),
    ],
)
def test_unknown_commands_get_an_error_line(program: Path, text: bytes, length: int) -> None:
    (line,) = replies(program, text)
    assert line == Line("unknown", {"length": str(length), "expected": "parity,info"})


def test_empty_input_gets_no_reply(program: Path) -> None:
    assert replies(program, b"\n\r\n   \t \ninfo without end") == []


def test_continues_after_a_line_that_is_too_long(program: Path) -> None:
    found = replies(program, b"y" * 1000 + b"\ninfo after\n", 13)
    assert [(line.kind, line.values.get("id")) for line in found] == [("unknown", None), ("info", "after")]


def test_an_id_is_cut_and_printable(program: Path) -> None:
    (line,) = replies(program, b"info " + b"\xff\x01" + b"i" * 40 + b"\n")
    assert line.values["id"] == "__" + "i" * 22
