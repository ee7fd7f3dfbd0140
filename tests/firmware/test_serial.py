"""`aether parity --port` against the application on an emulated chip, over a pseudo-terminal: also with noise, with
lines cut and lost, with a chip that resets during a run, and with one whose vectors are not this host's; the
application's commands."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from building import CSRC, FIRMWARE, WARNINGS
from click.testing import CliRunner, Result
from hang import HANG
from parity_matrix import vectors
from parity_matrix.build import Builder, core_sources
from parity_matrix.targets import Target, all_targets

from aether_temporal import __version__
from aether_temporal.cli import aether
from aether_temporal.device.report import Line, Report, read_lines

if sys.platform == "win32":
    pytest.skip("pseudo-terminals: not on Windows", allow_module_level=True)

import pty
import tty

pytestmark = pytest.mark.slow

TARGETS = {target.name: target for target in all_targets()}
CHIP = "xtensa-fpu"  # stands for the chip this is made for
OTHER = "rv32imafc"  # quicker to emulate, and its machine can be reset
APP = FIRMWARE / "app"
OPTIONS = ["-std=c99", "-O1", "-ffp-contract=off", "-DAETHER_PORTABLE_ONLY", "-fsanitize=address,undefined"]
SMALLEST = vectors.GOLDEN / "kernels.agv"
BOOT_LOG = (
    b"ESP-ROM:esp32s3-20210327\r\nBuild:Mar 27 2021\r\nrst:0x1 (POWERON),boot:0x8 (SPI_FAST_FLASH_BOOT)\r\n"
    b"I (24) boot: ESP-IDF v5.3 2nd stage bootloader\r\n\x00\xff\x1b[0;32mI (31) aether: parity\x1b[0m\r\n"
)


# Called with each line the chip writes (newline included); returns what arrives instead.
Harm = Callable[[bytes], bytes]


class EmulatedBoard:
    """`port` is what a user would give to --port."""

    def __init__(self, target: Target, image: Path, folder: Path, harm: Harm) -> None:
        self._harm = harm
        self._folder = folder
        self._woken = False
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)  # or the terminal would echo to the chip what the chip says
        self.port = os.ttyname(self._slave)
        self._process = subprocess.Popen(
            self._command(target, image), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._to_host, self._to_chip)]
        for thread in self._threads:
            thread.start()

    def _command(self, target: Target, image: Path) -> list[str]:
        words = [part.format(image=image, folder=target.folder) for part in target.emulator]
        assert words[words.index("-serial") + 1] == "stdio"
        words[words.index("-monitor") + 1] = "none"
        # Stopped until the host says its first word: what it would miss otherwise depends on how busy this computer is.
        return [*words, "-S", "-qmp", f"unix:{self._folder / 'qmp'},server=on,wait=off"]

    def _ask(self, command: str) -> None:
        """One command to the emulator, waited for."""
        until = time.monotonic() + HANG
        with socket.socket(socket.AF_UNIX) as machine:
            while True:
                try:
                    machine.connect(str(self._folder / "qmp"))
                    break
                except OSError:
                    assert time.monotonic() < until, "no emulator"
                    time.sleep(0.01)
            machine.settimeout(HANG)
            replies = machine.makefile("r", encoding="utf-8")
            assert "QMP" in replies.readline()
            for name in ("qmp_capabilities", command):
                machine.sendall(json.dumps({"execute": name}).encode())
                while "return" not in json.loads(replies.readline()):
                    pass  # an event
            replies.close()

    def reset(self) -> None:
        """Resets the chip, as its reset button does."""
        self._ask("system_reset")

    def _to_host(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            for line in self._process.stdout:
                os.write(self._master, self._harm(line))

    def _to_chip(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(self._master, 64):
                if not self._woken:
                    self._woken = True
                    self._ask("cont")
                self._process.stdin.write(data)

    def unplug(self) -> None:
        """The port vanishes."""
        for end in (self._master, self._slave):
            with contextlib.suppress(OSError):
                os.close(end)
        self._master = self._slave = -1

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self.unplug()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()


@contextlib.contextmanager
def board(target: Target, image: Path, folder: Path, harm: Harm = lambda line: line) -> Iterator[EmulatedBoard]:
    """A board that runs as long as the block."""
    chip = EmulatedBoard(target, image, folder, harm)
    try:
        yield chip
    finally:
        chip.close()


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return Builder(tmp_path_factory.mktemp("serial"), 2)


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden files of the small image, for what is not about the vectors."""
    folder = tmp_path_factory.mktemp("golden")
    for name in vectors.small().files:
        (folder / name).write_bytes((vectors.GOLDEN / name).read_bytes())
    return folder


def ready(builder: Builder, name: str, kind: str = "small") -> tuple[Target, Path]:
    """The target with its image; skips by name where a program is missing."""
    target = replace(TARGETS[name], application="serial_main", vectors=kind)
    for missing in (target.missing(), [] if _serial() else ["pyserial"]):
        if missing:
            reason = f"{name} over a serial line needs {', '.join(missing)}"
            pytest.skip(reason)
    return target, builder.build(target, "-O2", "" if kind == "whole" else kind).path


def _serial() -> bool:
    try:
        import serial  # noqa: F401
    except ImportError:
        return False
    return True


def parity(chip: EmulatedBoard, code: int, *options: str) -> Result:
    arguments = ["parity", "--port", chip.port, *options]
    result = CliRunner().invoke(aether, arguments, catch_exceptions=False)
    assert result.exit_code == code, f"{result.stdout}\n{result.stderr}"
    return result


def chip_of(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    assert found["identical"], found["differences"]
    host, chip = found["host"], found["chip"]
    assert (chip["core"], chip["bytes"], chip["crc"]) == (host["core"], host["bytes"], host["crc"])
    portable = [file for file in chip["files"] if file["kernels"] == "portable"]
    assert [file["compared"] for file in portable] == [file["compared"] for file in host["files"]]
    return chip


def test_a_board_gives_every_bit(builder: Builder, tmp_path: Path) -> None:
    with board(*ready(builder, CHIP, "whole"), tmp_path) as chip:
        found = chip_of(parity(chip, 0, "--json", "--golden", str(vectors.GOLDEN)))
        assert (found["chip"], found["id"]) == (CHIP, "boot")
        assert found["bytes"] == len(vectors.whole().data)
        assert sum(file["compared"] for file in found["files"]) > 80_000


@pytest.mark.parametrize("name", [CHIP, OTHER])
def test_a_board_reports_at_start_and_on_command(builder: Builder, some: Path, tmp_path: Path, name: str) -> None:
    with board(*ready(builder, name), tmp_path) as chip:
        first = chip_of(parity(chip, 0, "--json", "--golden", str(some)))
        assert (first["chip"], first["id"]) == (name, "boot")
        second = parity(chip, 0, "--golden", str(some))
        assert "All bits equal." in second.stdout
        third = chip_of(parity(chip, 0, "--json", "--golden", str(some)))
        assert third["id"] not in ("boot", "-")
        assert {**third, "id": "", "stack": 0} == {**first, "id": "", "stack": 0}


def test_noise_and_lines_that_are_cut_or_lost(builder: Builder, some: Path, tmp_path: Path) -> None:
    """The first report loses a line, the second one half of a line; noise stands everywhere, also on the lines."""
    ends = 0

    def harm(line: bytes) -> bytes:
        nonlocal ends
        ends += line.startswith(b"aether end")
        if line.startswith(b"aether begin") and ends == 0:
            return BOOT_LOG + line
        if line.startswith(b"aether file kernels=portable index=1") and ends == 0:
            return b""
        if line.startswith(b"aether file kernels=portable index=1") and ends == 1:
            return line[:40]
        return b"I (4711) wifi: " + line + b"\xfe\x00W (4712) beacon lost\r\n"

    with board(*ready(builder, OTHER), tmp_path, harm) as chip:
        result = parity(chip, 0, "--json", "--golden", str(some))
        sent = chip_of(result)["lines"]
        assert ends == 3
        assert f"{sent} lines were sent, {sent - 1} arrived; asking again (1 of" in result.stderr
        assert f"{sent} lines were sent, {sent - 1} arrived; asking again (2 of" in result.stderr
        assert "damaged line: 'aether file kernels=portable index=1" in result.stderr


def test_a_chip_that_resets_in_the_middle(builder: Builder, some: Path, tmp_path: Path) -> None:
    resets = 0

    def harm(line: bytes) -> bytes:
        nonlocal resets
        if line.startswith(b"aether file kernels=portable index=0") and resets < 2:
            resets += 1
            chip.reset()
            return line + BOOT_LOG
        return line

    with board(*ready(builder, OTHER), tmp_path, harm) as chip:
        result = parity(chip, 0, "--json", "--golden", str(some))
        assert chip_of(result)["id"] == "boot"
        assert resets == 2
        assert "the chip has reset during the run; starting over (2 of at most 3 times)" in result.stderr


def test_a_chip_that_never_comes_to_the_end(builder: Builder, tmp_path: Path) -> None:
    def harm(line: bytes) -> bytes:
        if line.startswith(b"aether begin"):
            chip.reset()
        return line

    with board(*ready(builder, OTHER), tmp_path, harm) as chip:
        result = parity(chip, 2)
        assert "expected one whole report, found 4 resets of the chip" in result.stderr


def test_a_bit_that_differs_is_named(builder: Builder, tmp_path: Path) -> None:
    """The chip's vectors say another last bit of one element: to the host a chip that computes it otherwise."""
    changed = vectors.flipped_under_crc()
    with board(*ready(builder, CHIP, "flipped-under-crc"), tmp_path) as chip:
        result = parity(chip, 1, "--golden", str(vectors.GOLDEN))
        assert "NOT equal." in result.stdout
        assert "golden vectors: expected" in result.stdout
        case, element = re.escape(changed.changed_case), changed.changed_element
        named = re.search(
            rf"portable {case} \[\w+\]: 1 words, first element {element}: got (\w+), expected (\w+)", result.stdout
        )
        assert named is not None, result.stdout
        assert int(named[1], 16) ^ int(named[2], 16) == 1


def test_a_port_that_vanishes(builder: Builder, tmp_path: Path) -> None:
    def harm(line: bytes) -> bytes:
        if line.startswith(b"aether file"):
            chip.unplug()
        return line

    with board(*ready(builder, OTHER), tmp_path, harm) as chip:
        result = parity(chip, 2)
        assert "found that it is gone" in result.stderr
        assert "it did not return" in result.stderr


# -- the commands of the application, in whatever pieces they come, on this computer ------------------------------


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
    subprocess.run(["gcc", *OPTIONS, *WARNINGS, "-Werror", *includes, *files, "-o", str(out)], check=True)
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
