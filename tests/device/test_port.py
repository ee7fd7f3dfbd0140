"""A serial port of this computer, played by a pseudo-terminal."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hang import HANG

if sys.platform == "win32":
    pytest.skip("pseudo-terminals: not on Windows", allow_module_level=True)
pytest.importorskip("serial", reason="pyserial is missing (extra `serial`)")

import pty
import tty

from aether_temporal.device import port as port_module
from aether_temporal.device.port import SerialPort
from aether_temporal.errors import PortError


@pytest.fixture
def line() -> Iterator[tuple[int, str]]:
    """The chip's end, and the port's name."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    yield master, os.ttyname(slave)
    for end in (master, slave):
        with contextlib.suppress(OSError):
            os.close(end)


def test_bytes_in_and_out(line: tuple[int, str]) -> None:
    master, name = line
    with SerialPort(name) as port:
        assert port.read(0.01) == b""
        os.write(master, b"aether \x00\xff\r\n")
        assert port.read(5) == b"aether \x00\xff\r\n"
        assert port.write(b"parity\n")
        assert os.read(master, 100) == b"parity\n"


def test_read_returns_as_soon_as_bytes_arrive(line: tuple[int, str]) -> None:
    master, name = line
    with SerialPort(name) as port:
        found: list[bytes] = []
        reader = threading.Thread(target=lambda: found.append(port.read(3600)), daemon=True)
        reader.start()
        os.write(master, b"x")
        reader.join(HANG)
        assert found == [b"x"]


def test_a_port_that_another_has(line: tuple[int, str]) -> None:
    with SerialPort(line[1]), pytest.raises(PortError, match="one that another program has open"):
        SerialPort(line[1])


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("/dev/none", "no such port; here are"),
        ("", "nothing; here are"),
        ("{}", "a file or folder; here are"),
        ("{}/file", "a file or folder; here are"),
        ("/dev/null", "a file or folder; here are"),
        ("socket://127.0.0.1:1", "that nobody listens there"),
    ],
)
def test_rejects_what_is_not_a_port(tmp_path: Path, name: str, found: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(PortError, match=f"expected a serial port, found {found}"):
        SerialPort(name.format(tmp_path))


def test_a_port_that_may_not_be_opened(line: tuple[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def reject(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", reject)  # root, as who tests may run, is rejected nothing
    with pytest.raises(PortError, match="a member of the group dialout"):
        SerialPort(line[1])


def test_a_port_that_vanishes_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_module, "_BACK", 0.3)
    first, slave = pty.openpty()
    tty.setraw(slave)
    name = tmp_path / "port"
    name.symlink_to(os.ttyname(slave))
    with SerialPort(str(name)) as port:
        os.close(first)
        os.close(slave)
        with pytest.raises(PortError, match="found that it is gone"):
            port.read(5)
        assert not port.reopen()
        monkeypatch.setattr(port_module, "_BACK", HANG)
        second, slave = pty.openpty()
        tty.setraw(slave)
        name.unlink()
        name.symlink_to(os.ttyname(slave))
        assert port.reopen()
        os.write(second, b"hello\n")
        assert port.read(5) == b"hello\n"
    os.close(second)
    os.close(slave)


def test_pyserial_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(PortError, match=r"expected pyserial \(pip install pyserial\), found no such module"):
        SerialPort("/dev/none")
