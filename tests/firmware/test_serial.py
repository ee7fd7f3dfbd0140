"""`aether parity --port` against the application on an emulated chip, over a pseudo-terminal: also with noise, with
lines cut and lost, with a chip that resets during a run, and with one whose vectors are not this host's."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from parity_matrix import vectors
from parity_matrix.build import Builder
from parity_matrix.targets import Target, all_targets

from aether_temporal.cli import aether

if sys.platform == "win32":
    pytest.skip("pseudo-terminals: not on Windows", allow_module_level=True)

from firmware.serial_line import EmulatedBoard, board

pytestmark = pytest.mark.slow

TARGETS = {target.name: target for target in all_targets()}
CHIP = "xtensa-fpu"  # stands for the chip this is made for
OTHER = "rv32imafc"  # quicker to emulate, and its machine can be reset
BOOT_LOG = (
    b"ESP-ROM:esp32s3-20210327\r\nBuild:Mar 27 2021\r\nrst:0x1 (POWERON),boot:0x8 (SPI_FAST_FLASH_BOOT)\r\n"
    b"I (24) boot: ESP-IDF v5.3 2nd stage bootloader\r\n\x00\xff\x1b[0;32mI (31) aether: parity\x1b[0m\r\n"
)


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
