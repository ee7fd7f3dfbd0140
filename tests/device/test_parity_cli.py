"""`aether parity --target` and what it rejects; `--port` against real chips is in tests/firmware/test_serial.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from device.fake_chip import file_line, line

from aether_temporal.cli import aether, parity_command
from aether_temporal.cli.parity_command import find_checkout
from aether_temporal.device.compare import FileCounts, HostRun, compare, host_run
from aether_temporal.device.report import Report, parse
from aether_temporal.errors import InvalidArgumentError
from aether_temporal.host.golden import golden_files

TOOL = """import json, sys
print(sys.argv[1:])
if "--json" in sys.argv:
    open(sys.argv[sys.argv.index("--json") + 1], "w").write(json.dumps([{"target": sys.argv[2]}]))
sys.exit({"good": 0, "wrong": 1}.get(sys.argv[2], 2))
"""


def call(*arguments: str, code: int) -> Result:
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
    call("--target", "good", code=0)
    assert capfd.readouterr().out.strip() == "['--target', 'good']"
    call("--target", "wrong", "--target", "all", code=1)
    assert capfd.readouterr().out.strip() == "['--target', 'wrong', '--target', 'all']"
    expected = "Error: --target: expected one of all, good, wrong, found unknown"
    assert expected in call("--target", "unknown", code=2).stderr


def test_the_matrix_as_json(source: Path) -> None:
    assert json.loads(call("--target", "good", "--json", code=0).stdout) == {
        "passed": True,
        "rows": [{"target": "good"}],
    }
    assert json.loads(call("--target", "wrong", "--json", code=1).stdout)["passed"] is False


def test_without_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        parity_command, "__file__", str(tmp_path / "site-packages" / "aether_temporal" / "cli" / "parity_command.py")
    )
    monkeypatch.chdir(tmp_path)
    stderr = call("--target", "all", code=2).stderr
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
    assert message in call(*arguments, code=2).stderr


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
