"""`aether device` through a stand-in for esptool, and `aether parity --target`; real chips are in tests/firmware."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from device.fake_chip import ENTRIES, SLOT_A, SLOT_B, blank, file_line, line, table_of
from hang import HANG

from aether_temporal.bundled import bundled_models
from aether_temporal.cli import aether, parity_command
from aether_temporal.cli.parity_command import find_checkout
from aether_temporal.device.compare import FileCounts, HostRun, compare, host_run
from aether_temporal.device.flashtool import FlashTool
from aether_temporal.device.report import Report, parse
from aether_temporal.device.slots import SlotHeader, pack_slot
from aether_temporal.errors import FlashToolError, InvalidArgumentError
from aether_temporal.host.golden import golden_files

FAKE = Path(__file__).with_name("fake_esptool.py")
BLOB = bundled_models()["activity"].read_bytes()


def call(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(aether, ["device", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == code, f"{result.stdout}\n{result.stderr}"
    return result


class Bench:
    """A chip whose flash is a file."""

    def __init__(self, folder: Path, version: str) -> None:
        self.flash, self.state = folder / "flash.bin", folder / "state.json"
        self.flash.write_bytes(blank())
        self.say()
        self.command = (shlex.join if os.name == "posix" else subprocess.list2cmdline)(
            [sys.executable, str(FAKE), str(self.flash), str(self.state), version]
        )

    def say(self, **state: Any) -> None:
        self.state.write_text(json.dumps(state))

    def calls(self) -> list[Any]:
        return list(json.loads(self.state.read_text()).get("calls", []))

    def __call__(self, *arguments: object, code: int = 0) -> Result:
        return call(*arguments, "--port", "/dev/fake", "--esptool", self.command, code=code)


@pytest.fixture(params=["4.7.0", "5.1.0"])
def chip(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(tmp_path, request.param)


@pytest.mark.slow
def test_flash_and_info(chip: Bench) -> None:
    assert "aether_a: 69 000 bytes" in chip("flash", "activity").stdout
    assert chip.flash.read_bytes()[SLOT_A : SLOT_A + 69632] == pack_slot(BLOB)
    assert [name for name, _, _ in chip.calls()].count("write-flash") == 2
    assert chip.calls()[-1] == ["read-mac", None, "hard-reset"]  # the program runs again
    assert all(after == "no-reset" for _, _, after in chip.calls()[:-1])
    assert "holds this model already" in chip("flash", "activity").stdout
    found = json.loads(chip("flash", "demo", "--json").stdout)
    assert (found["written"], found["slot"], found["offset"], found["now"]["valid"]) == (True, "aether_b", SLOT_B, True)
    text = chip("info").stdout
    assert "aether_a" in text
    assert "aether_b: sequence 1, blob of" in text
    assert text.count("the chip tries this one first") == 1
    document = json.loads(chip("info", "--json").stdout)
    assert [slot["header"]["sequence"] for slot in document["slots"]] == [0, 1]
    assert [part["label"] for part in document["partitions"]][-2:] == ["aether_a", "aether_b"]


@pytest.mark.slow
@pytest.mark.parametrize("cut", [0, 70, 30_000, 69_649, 69_718, 73_000])
def test_a_write_that_is_cut(tmp_path: Path, cut: int) -> None:
    """69 632 bytes and 17 sectors for the image, then the first sector once more with the commit flag."""
    chip = Bench(tmp_path, "5.1.0")
    chip("flash", "demo")
    before = chip.flash.read_bytes()
    chip.say(cut=cut)
    result = chip("flash", "activity", code=2)
    assert "aether: esptool: expected success, found exit status 2; its output:" in result.stderr
    assert "The chip stopped responding." in result.stderr
    assert chip.flash.read_bytes()[SLOT_A:SLOT_B] == before[SLOT_A:SLOT_B]
    chip.say()
    slots = json.loads(chip("info", "--json").stdout)["slots"]
    assert slots[0]["valid"]
    if cut < 73_000:
        assert not slots[1]["valid"]
    assert "aether_b: 69 000 bytes" in chip("flash", "activity").stdout


@pytest.mark.slow
def test_a_chip_that_does_not_reply(chip: Bench) -> None:
    chip.say(fail="read-flash")
    result = chip("info", code=2)
    assert "Failed to connect to ESP32-S3" in result.stderr
    assert [name for name, _, _ in chip.calls()] == ["read-flash"]


@pytest.mark.slow
def test_a_temporary_folder_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chip = Bench(tmp_path, "5.1.0")
    before = chip.flash.read_bytes()

    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    error = chip("flash", "activity", code=2).stderr.splitlines()[-1]
    assert re.fullmatch(r"aether: .*flash\.bin: No space left on device: make room there, or name a place .*", error)
    assert chip.flash.read_bytes() == before


@pytest.mark.slow
def test_a_chip_without_slots(chip: Bench) -> None:
    chip.flash.write_bytes(blank(table_of(ENTRIES[:3])))
    assert "No blob slots: partition table: expected partitions aether_a and aether_b" in chip("info").stdout
    before = chip.flash.read_bytes()
    assert "expected partitions aether_a and aether_b" in chip("flash", "activity", code=2).stderr
    assert chip.flash.read_bytes() == before
    chip.flash.write_bytes(b"\xff" * 0x80000)
    assert "flash firmware first" in chip("info", code=2).stderr


@pytest.mark.slow
def test_esptool_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = call("info", "--port", "x", "--esptool", tmp_path / "none", code=2)
    assert "expected a program" in result.stderr
    assert "pip install esptool" in result.stderr
    monkeypatch.setitem(sys.modules, "esptool", None)  # as when it is not installed
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "esptool: expected it to be installed" in call("info", "--port", "x", code=2).stderr


@pytest.mark.slow
def test_another_program(tmp_path: Path) -> None:
    with pytest.raises(FlashToolError, match=r"expected version 4.7 or later, found 'hello'"):
        FlashTool("x", command=[sys.executable, "-c", "print('hello')"])
    with pytest.raises(FlashToolError, match="exit status 7"):
        FlashTool("x", command=[sys.executable, "-c", "raise SystemExit(7)"])
    assert "expected a command" in call("info", "--port", "x", "--esptool", "'", code=2).stderr


@pytest.mark.slow
def test_pack(tmp_path: Path) -> None:
    image, header = tmp_path / "a.bin", tmp_path / "a.h"
    out = call("pack", "activity", "--out", image, "--header", header, "--size", "128K", "--sequence", 3).stdout
    assert "69 632 bytes" in out
    assert image.read_bytes() == pack_slot(BLOB, 3)
    assert f"activity[{len(BLOB)}]" in header.read_text()
    assert "--force replaces it" in call("pack", "activity", "--out", image, code=2).stderr
    document = json.loads(call("pack", "demo", "--out", image, "--force", "--json").stdout)
    assert document["blob_crc"] == SlotHeader.decode(image.read_bytes(), 1 << 20).blob_crc
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "a.h"]


def program(*arguments: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "aether_temporal", "device", "pack", *arguments]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, timeout=HANG, check=False)


@pytest.mark.slow
def test_pack_to_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output holds the bytes only; messages go to standard error, and no file is made."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").touch()  # a file of that name is not what is meant
    done = program("activity", "--out", "-")
    assert (done.returncode, done.stdout) == (0, pack_slot(BLOB))
    assert done.stderr.decode().startswith("standard output: 69 632 bytes")
    done = program("activity", "--out", "a.bin", "--header", "-")
    assert done.stdout.startswith(b"/*\n * RVNE weight blob activity.rvne")
    assert done.stderr.decode().splitlines()[-1] == f"standard output: activity[{len(BLOB)}]"
    assert (tmp_path / "a.bin").read_bytes() == pack_slot(BLOB)
    assert (tmp_path / "-").read_bytes() == b""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["-", "a.bin"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="a pseudo-terminal")
def test_a_terminal_gets_no_image() -> None:
    ours, theirs = os.openpty()
    try:
        done = program("activity", "--out", "-", stdout=theirs)
        assert done.returncode == 2
        assert "expected a pipe or file behind standard output, found a terminal" in done.stderr.decode()
    finally:
        os.close(theirs)
        os.close(ours)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("activity", "--out", "-", "--json"), "--out - and --json: expected one of them"),
        (("activity", "--header", "-", "--json"), "--header - and --json: expected one of them"),
        (("activity", "--out", "-", "--header", "-"), "expected two files, found - for both"),
        (("activity",), "expected --out or --header"),
        (("activity", "--out", "{}/x", "--size", "64K"), "at least 69632 for this blob, found 65536"),
        (("{}/large", "--out", "{}/x"), "found 262144; the slots of firmware/partitions.csv have 262 144 bytes (256.0"),
        (("activity", "--out", "{}/x", "--size", "70000"), "expected a multiple of 4096 bytes"),
        (("activity", "--out", "{}/x", "--size", "1G"), "expected bytes such as 131072, 0x20000 or 128K, found '1G'"),
        (("activity", "--out", "{}/x", "--header", "{}/x"), "expected two files, found"),
        (("nothing", "--out", "{}/x"), "expected a blob file or the name of a bundled model"),
        (("{}/damaged", "--out", "{}/x"), "crc32: expected"),
        (("activity", "--out", "{}/no/x"), "No such file or directory: there is no folder {}/no"),
    ],
)
def test_pack_rejects(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "damaged").write_bytes(BLOB[:999] + b"\x55" + BLOB[1000:])
    before = ["damaged"]
    if "{}/large" in arguments:
        settings = ("input_dim=256", "n_q_heads=4", "n_kv_heads=1", "head_dim=32", "n_layers=3")
        sets = [word for each in settings for word in ("--set", each)]
        made = CliRunner().invoke(aether, ["init", str(tmp_path / "large"), *sets])
        assert made.exit_code == 0, made.output
        before = ["damaged", "large"]
    assert message.format(tmp_path) in call("pack", *[word.format(tmp_path) for word in arguments], code=2).stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.fixture(scope="module")
def esptool() -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "esptool", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=False)

    if run("version").returncode != 0:
        pytest.skip("esptool is missing (extra `device`)")
    return run


@pytest.mark.slow
def test_the_real_esptool_reads_these_arguments(
    esptool: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Up to the port, which is not there: everything before it is understood. A wrong word is not."""
    recorded: list[list[str]] = []

    class Recording(FlashTool):
        def _call(self, command: list[str]) -> str:
            recorded.append(command)
            return super()._call(command)

    tool = Recording(str(tmp_path / "no-port"))
    works: list[Callable[[], object]] = [
        lambda: tool.read(0x8000, 0xC00),
        lambda: tool.write(0x1000, bytes(4096)),
        lambda: tool._run("hard-reset", "read-mac"),
    ]
    for work in works:
        with pytest.raises(FlashToolError, match="no-port"):
            work()
    for command in recorded[1:]:
        words = command[3:]
        for wrong in range(len(words)):
            if words[wrong] in ("no-reset", "default-reset", "hard-reset", "read-flash", "write-flash", "read-mac"):
                done = esptool(*words[:wrong], "nonsense", *words[wrong + 1 :])
                assert done.returncode == 2
                assert "nonsense" in done.stdout + done.stderr


TOOL = """import json, sys
print(sys.argv[1:])
if "--json" in sys.argv:
    open(sys.argv[sys.argv.index("--json") + 1], "w").write(json.dumps([{"target": sys.argv[2]}]))
sys.exit({"good": 0, "wrong": 1}.get(sys.argv[2], 2))
"""


def parity(*arguments: str, code: int) -> Result:
    result = CliRunner().invoke(aether, ["parity", *arguments], catch_exceptions=False)
    assert result.exit_code == code, f"{result.stdout}\n{result.stderr}"
    return result


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a tools/parity that says what it was asked."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "firmware" / "targets").mkdir(parents=True)
    (tmp_path / "tools" / "parity").write_text(TOOL)
    (tmp_path / "firmware" / "targets" / "targets.toml").write_text("[good]\n[wrong]\n")
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "docs")
    return tmp_path


def test_runs_the_matrix_of_the_checkout(source: Path, capfd: pytest.CaptureFixture[str]) -> None:
    parity("--target", "good", code=0)
    assert capfd.readouterr().out.strip() == "['--target', 'good']"
    parity("--target", "wrong", "--target", "all", code=1)
    assert capfd.readouterr().out.strip() == "['--target', 'wrong', '--target', 'all']"
    expected = "Error: --target: expected one of all, good, wrong, found unknown"
    assert expected in parity("--target", "unknown", code=2).stderr


def test_the_matrix_as_json(source: Path) -> None:
    assert json.loads(parity("--target", "good", "--json", code=0).stdout) == {
        "passed": True,
        "rows": [{"target": "good"}],
    }
    assert json.loads(parity("--target", "wrong", "--json", code=1).stdout)["passed"] is False


def test_without_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        parity_command, "__file__", str(tmp_path / "site-packages" / "aether_temporal" / "cli" / "parity_command.py")
    )
    monkeypatch.chdir(tmp_path)
    stderr = parity("--target", "all", code=2).stderr
    assert "expected a source checkout" in stderr
    assert "a clone of the repository" in stderr
    with pytest.raises(InvalidArgumentError):
        find_checkout(tmp_path)


def test_the_checkout_around_this_package(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).resolve().parents[2]
    assert find_checkout(root / "tests" / "device") == root


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--port", "x", "--target", "all"), "expected one of --port, --target, found several"),
        (("--port", "x", "--kernels", "portable"), "expected one of --port, --kernels"),
        (("--baud", "9600"), "--baud: expected with --port, found without it"),
        (("--reset",), "--reset: expected with --port"),
        (("--target", "all", "--golden", "."), "--golden: expected without --target"),
    ],
)
def test_usage(arguments: tuple[str, ...], message: str) -> None:
    assert message in parity(*arguments, code=2).stderr


HOST = HostRun("0.1.0", 1234, "0BADF00D", (FileCounts("a.agv", 5, 9, 100, 0), FileCounts("b.agv", 5, 9, 101, 0)))


def report(
    *files: str, begin: str = "core=0.1.0 chip=c bytes=1234 crc=0BADF00D", variants: int = 1, stack: int = 9
) -> Report:
    lines = [line(f"begin id=boot {begin}"), *files]
    failed = sum("status=OK" not in text or "failed=0" not in text for text in files)
    counts = f"variants={variants} failed_files={failed} stack={stack} stack_size=64 lines={len(lines) + 1}"
    return parse("\n".join([*lines, line(f"end {counts}")]))


FILES = (file_line(0), file_line(1))


@pytest.mark.parametrize(
    ("found", "differences"),
    [
        (report(*FILES), []),
        (report(*FILES, *(file_line(i, kernels="neon") for i in (0, 1)), variants=2), []),
        (
            report(*FILES, begin="core=0.2.0 chip=c bytes=1234 crc=0BADF00D"),
            ["core: expected version 0.1.0 as here, found 0.2.0"],
        ),
        (
            report(*FILES, begin="core=0.1.0 chip=c bytes=1234 crc=00000000"),
            ["golden vectors: expected 1234 bytes with CRC 0BADF00D as here, found 1234 with 00000000"],
        ),
        (report(FILES[0]), ["portable: expected files 0 to 1, found [0]"]),
        (report(*FILES, variants=2), ["variants: expected 2, 'portable' among them, found ['portable']"]),
        (
            report(*(file_line(i, kernels="neon") for i in (0, 1))),
            ["variants: expected 1, 'portable' among them, found ['neon']"],
        ),
        (report(FILES[0], file_line(1, cases=4)), ["portable b.agv: cases: expected 5 as here, found 4"]),
        (report(FILES[0], file_line(1, compared=99)), ["portable b.agv: compared: expected 101 as here, found 99"]),
        (report(FILES[0], file_line(1, status="MEMORY")), ["portable b.agv: expected status OK, found MEMORY"]),
        (report(*FILES, stack=64), ["stack: expected less than 64 bytes, found all of them used"]),
    ],
)
def test_what_is_not_the_same(found: Report, differences: list[str]) -> None:
    comparison = compare(found, HOST)
    assert list(comparison.differences) == differences
    assert comparison.identical == (not differences)


def test_this_host_runs_the_vectors() -> None:
    files = golden_files()
    host = host_run(files)
    assert host.bytes == sum(len(data) for _, data in files)
    assert host.total("failed") == 0
    assert host.total("compared") > 80_000
    name, data = files[0]
    harmed = bytearray(data)
    harmed[-4] ^= 1
    assert host_run([(name, data)]).crc != host_run(files).crc
