"""What the operating system refuses: the file is named, what to do is said, in one line, status 2, no traceback."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cli.command import call, save_model, save_recordings

from aether_temporal._internal.atomic_files import write_atomic
from aether_temporal._internal.os_errors import describe

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="/dev/full")


def aether(*arguments: object, stdout: str | Path) -> tuple[int, str]:
    """Exit status and stderr of the command as a program."""
    with open(stdout, "wb") as out:
        found = subprocess.run(
            [sys.executable, "-m", "aether_temporal", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    return found.returncode, found.stderr


OUTPUTS = {
    "device pack": ("device", "pack", "activity", "--out"),
    "device pack, a header": ("device", "pack", "activity", "--header"),
    "init": ("init",),
    "listen --record": ("listen", "--bind", "127.0.0.1:0", "--duration", 0.1, "--record"),
    "listen --predictions": ("listen", "--bind", "127.0.0.1:0", "--duration", 0.1, "--predictions"),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_folder_that_is_not_there(name: str, tmp_path: Path) -> None:
    file = tmp_path / "absent" / "x"
    error = call(*OUTPUTS[name], file, code=2).stderr
    assert error == f"aether: {file}: No such file or directory: there is no folder {file.parent}\n"


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_file_where_a_folder_should_be(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    file = tmp_path / "file" / "x"
    error = call(*OUTPUTS[name], file, code=2).stderr
    assert error == f"aether: {file}: Not a directory: expected a folder, found a file in its place\n"


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_folder_where_a_file_should_be(name: str, tmp_path: Path) -> None:
    if name == "listen --record":
        pytest.skip("a folder is what it takes")
    assert f"File '{tmp_path}' is a directory" in call(*OUTPUTS[name], tmp_path, code=2).stderr


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_file_that_may_not_be_written(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refuse(path: str | Path, flags: int, *rest: int, **named: int) -> int:
        if str(path).startswith(str(tmp_path)) and flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
        return real(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    file = tmp_path / "x"
    error = call(*OUTPUTS[name], file, code=2).stderr
    assert error == f"aether: {file}: Permission denied: name one that you may use, or change who may\n"


@needs_full
@pytest.mark.parametrize("name", ["device pack", "device pack, a header", "init"])
def test_a_disk_that_is_full(name: str) -> None:
    error = call(*OUTPUTS[name], FULL, "--force", code=2).stderr
    assert error == "aether: /dev/full: No space left on device: make room there, or name a place elsewhere\n"
    assert stat.S_ISCHR(FULL.stat().st_mode)  # and is what it was


@needs_full
@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("inspect", "demo"),
        ("parity",),
        ("run", "MODEL", "RECORDING", "--recording", "0"),
        ("device", "pack", "demo", "--out", "-"),
        ("listen", "--bind", "127.0.0.1:0", "--duration", "0.1", "--json"),
    ],
)
def test_output_to_a_full_or_closed_target_is_an_error(arguments: tuple[str, ...], tmp_path: Path) -> None:
    files = {"MODEL": save_model(tmp_path), "RECORDING": save_recordings(tmp_path)}
    code, error = aether(*[files.get(word, word) for word in arguments], stdout=FULL)
    last = "aether: standard output: No space left on device: make room there, or name a place elsewhere"
    assert (code, error.splitlines()[-1]) == (2, last)
    assert "Traceback" not in error
    assert "Exception ignored" not in error


NAMELESS = {
    "init": ("init", "-"),
    "enroll": ("enroll", "activity", "x.npz", "-o", "-"),
    "demo": ("demo", "--save", "-"),
    "listen --record": ("listen", "--record", "-"),
    "listen --predictions": ("listen", "--predictions", "-"),
    "train": ("train", "demo", "--out", "-"),
}


@pytest.mark.parametrize("name", NAMELESS)
def test_no_file_is_called_as_standard_output_is(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    error = call(*NAMELESS[name], code=2).stderr
    assert "expected the name of a file, found -; standard output is not supported" in error
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_read(tmp_path: Path) -> None:
    model = save_model(tmp_path)
    absent = tmp_path / "absent" / "x.npz"
    said = f"cannot be read: No such file or directory: there is no folder {absent.parent}"
    assert call("run", model, absent, code=2).stderr == f"aether: {absent}: {said}\n"
    absent = tmp_path / "x.npz"
    said = "cannot be read: No such file or directory: check its name"
    assert call("run", model, absent, code=2).stderr == f"aether: {absent}: {said}\n"
    (tmp_path / "x.agv").mkdir()
    said = "Is a directory: expected a file, found a folder"
    assert call("parity", "--golden", tmp_path, code=2).stderr == f"aether: {tmp_path / 'x.agv'}: {said}\n"


def test_words_of_the_system_alone_where_nothing_helps() -> None:
    assert describe(OSError(errno.EPROTO, "Protocol error")) == "Protocol error"
    assert describe(OSError("in words")) == "in words"
    assert describe(FileNotFoundError(errno.ENOENT, "none")) == "none"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="os.mkfifo")
def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    """What is neither file nor folder gets the bytes; nothing takes its place."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_atomic(pipe, b"bytes")
    reader.join(timeout=10)
    assert got == [b"bytes"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]
