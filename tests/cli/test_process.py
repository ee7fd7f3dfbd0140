"""The command as a process: terminals, pipes, standard input, errors of the operating system, and Ctrl-C."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import click
import numpy as np
import pytest
from cli.command import call, make_blob, save_model, save_recordings
from click.testing import CliRunner
from hang import HANG

from aether_temporal import TemporalModel, __version__
from aether_temporal._internal.atomic_files import write_atomic
from aether_temporal._internal.interruption import PATIENCE
from aether_temporal._internal.os_errors import describe
from aether_temporal.cli.recipes import resumable

AETHER = [sys.executable, "-m", "aether_temporal"]
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals and pseudo-terminals of POSIX")


def csi_line(i: int, pairs: int = 6) -> bytes:
    values = [(i * 7 + j * 13) % 100 - 50 for j in range(2 * pairs)]
    data = ",".join(map(str, values))
    head = f"CSI_DATA,{i},1a:00:00:00:00:00,-30,11,1,6,1,0,1,0,1,0,0,-93,0,13,2,{i * 20000},0,67,0,{2 * pairs},0"
    return f'{head},"[{data}]"\n'.encode()


def process(*arguments: object, encoding: str = "utf-8", **options: object) -> subprocess.Popen[bytes]:
    command = [*AETHER, *(str(argument) for argument in arguments)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30", "PYTHONIOENCODING": encoding}
    environment.pop("NO_COLOR", None)
    return subprocess.Popen(command, env=environment, **options)  # type: ignore[call-overload,no-any-return]


def finished(*arguments: object, stdin: bytes | None = None) -> tuple[int, str, str]:
    found = process(*arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, error = found.communicate(stdin, timeout=HANG)
    return found.returncode, out.decode(), error.decode()


def test_version_and_help() -> None:
    assert finished("--version") == (0, f"aether {__version__}{os.linesep}", "")
    code, out, _ = finished("--help")
    assert code == 0
    for name in ("run", "enroll", "recordings", "inspect", "init", "parity", "demo", "bench", "train"):
        assert f"\n  {name} " in out.replace("\r", "")
        call(name, "--help")


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from aether_temporal.cli import aether as a; a(['--help'], standalone_mode=False); "
    code += "print(sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=HANG).stdout
    for name in ("'torch'", "'matplotlib'", "'dpkt'", "'scipy'"):
        assert name not in out


def test_an_interrupt_while_modules_load_is_no_traceback() -> None:
    code = """
import sys
from aether_temporal.cli import main
class Interrupted:
    def find_spec(self, name, *rest):
        if name == "click":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
main()
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=HANG)
    assert (found.returncode, found.stdout, found.stderr) == (130, b"", b"aether: interrupted\n")


@pytest.mark.parametrize("raised", ["RuntimeError('made of it by a library')", "KeyboardInterrupt"])
def test_what_a_library_makes_of_an_interrupt_is_no_traceback(raised: str) -> None:
    code = f"""
import os, signal
from aether_temporal.cli import main
import aether_temporal.cli.group as group
def run():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        raise {raised}
group.main = run
main()
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=HANG)
    assert (found.returncode, found.stdout, found.stderr) == (130, b"", b"aether: interrupted\n")


def test_an_error_of_saving_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    code, _, error = finished("init", tmp_path / "absent" / "x.rvne")
    assert code == 2
    file = tmp_path / "absent" / "x.rvne"
    said = f"No such file or directory: there is no folder {file.parent}"
    assert error.splitlines() == [f"aether: {file}: {said}"]


def test_errors_are_one_line_and_status_2(tmp_path: Path) -> None:
    code, out, error = finished("run", save_model(tmp_path), tmp_path / "absent.npz")
    assert (code, out) == (2, "")
    assert error.startswith("aether: ")
    assert len(error.splitlines()) == 1
    assert finished("nonsense")[0] == 2


def test_csi_text_on_standard_input(tmp_path: Path) -> None:
    """The same predictions as from a file; damaged frames are dropped and counted."""
    model = save_model(tmp_path)
    lines = [csi_line(i) for i in range(40)]
    damaged = [*lines[:10], lines[10][:50] + b"\n", b"I (5) wifi: log\n", *lines[10:], csi_line(1, pairs=9)]
    code, out, error = finished("run", model, "-", "--json", stdin=b"".join(damaged))
    assert (code, error) == (0, "")
    summary = json.loads(out)["recordings"][0]
    assert summary["frames"] == 40
    assert summary["dropped"] == {"cut": 1, "other_text": 1, "other_shape": 1}
    assert summary["frame_rate_hz"] == pytest.approx(50)
    (tmp_path / "recording.csv").write_bytes(b"".join(lines))
    stored = json.loads(call("run", model, tmp_path / "recording.csv", "--json").stdout)["recordings"][0]
    assert stored["predictions"] == summary["predictions"]
    assert stored["mean_margin"] == pytest.approx(summary["mean_margin"])
    code, _, error = finished("run", model, "-", stdin=b"nothing of use\n")
    assert code == 2
    assert "expected CSI text lines, found none that can be trusted (1 other_text)" in error


def test_an_encoding_that_lacks_characters_is_no_error(tmp_path: Path) -> None:
    found = process("inspect", save_model(tmp_path), encoding="ascii", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, error = found.communicate(timeout=HANG)
    assert (found.returncode, error) == (0, b"")
    assert b"6 ? 8" in out


@POSIX
def test_predictions_come_while_the_input_is_open(tmp_path: Path) -> None:
    found = process("run", save_model(tmp_path), "-", "--jsonl", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert found.stdin is not None
    assert found.stdout is not None
    for i in range(3):
        found.stdin.write(csi_line(i))
        found.stdin.flush()
        assert json.loads(found.stdout.readline())["frame"] == i
    found.stdin.close()
    assert "summary" in json.loads(found.stdout.readline())
    assert found.wait(HANG) == 0
    found.stdout.close()


@POSIX
@pytest.mark.parametrize("source", ["file", "standard input"])
def test_interrupt_ends_with_the_summary_so_far(tmp_path: Path, source: str) -> None:
    model, long = save_model(tmp_path), tmp_path / "long.csv"
    long.write_bytes(b"".join(map(csi_line, range(30_000))))  # ten minutes: the signal never comes after the end
    arguments = ["-"] if source != "file" else [str(long), "--speed", "real"]
    found = process("run", model, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert found.stdin is not None
    assert found.stdout is not None
    if source != "file":
        found.stdin.write(csi_line(0))
        found.stdin.flush()
    assert b"frame" in found.stdout.readline()  # of the first frame: it is streaming
    found.send_signal(signal.SIGINT)
    out, error = found.communicate(timeout=HANG)
    assert found.returncode == 130
    assert error == b""
    assert b"latency" in out
    assert b"frames" in out


@POSIX
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    model, recordings = save_model(tmp_path), save_recordings(tmp_path)
    for arguments in (["--jsonl"], ["--speed", "max"]):
        read, write = os.pipe()
        os.close(read)
        found = process("run", model, recordings, "--all", *arguments, stdout=write, stderr=subprocess.PIPE)
        os.close(write)
        _, error = found.communicate(timeout=HANG)
        assert found.returncode == 141
        assert error == b""


@POSIX
def test_on_a_terminal_the_display_is_live_and_leaves_the_summary(tmp_path: Path) -> None:
    import pty

    leader, follower = pty.openpty()
    model, recordings = save_model(tmp_path), save_recordings(tmp_path)
    found = process("run", model, recordings, "--recording", "a", stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    out = b""
    begin = time.monotonic()
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        out += piece
    assert found.wait(HANG) == 0
    assert time.monotonic() - begin > 69 / 50  # a lower bound, which load cannot break: 70 frames at 50 a second
    text = out.decode()
    assert text.count("\x1b[2K") > 10  # redrawn in place
    assert "█" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is given back
    assert "a: 70 frames" in text.rsplit("\x1b[?25h", 1)[1]


def test_a_bundled_name_and_a_file_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file comes before a bundled model of the same name."""
    monkeypatch.chdir(tmp_path)
    make_blob().save("activity")
    assert "made for a test" in call("inspect", "activity").stdout
    assert TemporalModel.from_blob("activity").n_classes == 3
    assert TemporalModel.from_blob("demo").class_names == ("empty", "still", "walking", "waving", "falling")
    with pytest.raises(FileNotFoundError):
        TemporalModel.from_blob("absent")


def test_recordings_larger_than_a_batch_stay_whole(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).uniform(1, 9, (20_000, 6)).astype(np.float32)
    np.save(tmp_path / "long.npy", frames)
    code, out, _ = finished("run", save_model(tmp_path), tmp_path / "long.npy", "--json")
    assert code == 0
    assert json.loads(out)["total"]["frames"] == 20_000


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
            timeout=HANG,
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


@pytest.mark.parametrize("name", [name for name in OUTPUTS if name != "listen --record"])  # which takes a folder
def test_a_folder_where_a_file_should_be(name: str, tmp_path: Path) -> None:
    assert f"File '{tmp_path}' is a directory" in call(*OUTPUTS[name], tmp_path, code=2).stderr


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_file_that_may_not_be_written(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def reject(path: str | Path, flags: int, *rest: int, **named: int) -> int:
        if str(path).startswith(str(tmp_path)) and flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
        return real(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", reject)
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
    said = f"expected a file that can be read, found: No such file or directory; there is no folder {absent.parent}"
    assert call("run", model, absent, code=2).stderr == f"aether: {absent}: {said}\n"
    absent = tmp_path / "x.npz"
    said = "expected a file that can be read, found: No such file or directory; check its name"
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
    reader.join(timeout=HANG)
    assert got == [b"bytes"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


MOMENTS = [0.0, 0.0005, 0.003, 0.011, 0.04, 0.13, 0.4]
"""Seconds between the first line and the signal. Nothing depends on how far a command comes in them."""


def ended(found: subprocess.Popen[bytes], moment: float, *, first: bytes = b"") -> tuple[int, str, str]:
    """Sends the signal so long after the first line, and again until the end, as `timeout -s INT` and impatient users
    do; status, output with that line, and errors."""
    assert found.stdout is not None
    line = found.stdout.readline()
    assert first in line, line
    time.sleep(moment)
    begin = time.monotonic()
    while found.poll() is None and time.monotonic() < begin + PATIENCE / 2:
        found.send_signal(signal.SIGINT)
        time.sleep(0.01)
    out, error = found.communicate(timeout=HANG)
    return found.returncode, (line + out).decode(), error.decode()


def started(*arguments: object, stdin: int | None = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    return process(*arguments, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("output", [(), ("--jsonl",)])
def test_run_ends_with_its_summary(tmp_path: Path, moment: float, output: tuple[str, ...]) -> None:
    long = tmp_path / "long.npz"  # 400 seconds: the signal never comes after the end
    np.savez(long, amp=np.random.default_rng(1).uniform(1, 9, (20_000, 6)).astype(np.float32), rate_hz=50.0)
    code, out, error = ended(started("run", save_model(tmp_path), long, "--speed", "real", *output), moment)
    assert (code, error) == (130, "")
    assert ('"summary"' if output else "latency") in out.splitlines()[-1] + out


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("moment", MOMENTS)
def test_run_at_full_speed_ends_with_its_summary(tmp_path: Path, moment: float) -> None:
    np.save(tmp_path / "long.npy", np.random.default_rng(1).uniform(1, 9, (20_000, 6)).astype(np.float32))
    code, out, error = ended(started("run", save_model(tmp_path), tmp_path / "long.npy", "--speed", "max"), moment)
    assert code in (0, 130)  # 0: it was done before the signal
    assert error == ""
    assert "latency" in out
    assert "frames" in out


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("moment", MOMENTS)
def test_run_of_standard_input_ends_while_nothing_arrives(tmp_path: Path, moment: float) -> None:
    found = started("run", save_model(tmp_path), "-", stdin=subprocess.PIPE)
    assert found.stdin is not None
    found.stdin.write(csi_line(0) + csi_line(1))
    found.stdin.flush()
    code, out, error = ended(found, moment)
    assert (code, error) == (130, "")
    assert "latency" in out


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("moment", MOMENTS)
def test_listen_ends_with_its_summary(moment: float) -> None:
    code, out, error = ended(started("listen", "--bind", "127.0.0.1:0"), moment, first=b"Listening at")
    assert (code, error) == (0, "")
    assert "0 packets of 0 nodes" in out


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("moment", MOMENTS[::2])
def test_record_says_that_nothing_came(tmp_path: Path, moment: float) -> None:
    found = started("record", tmp_path / "x.bin", "--udp", "127.0.0.1:0")
    code, _, error = ended(found, moment, first=b"Listening at")
    assert (code, len(error.splitlines())) == (2, 1)
    assert "frames: expected CSI frames, found none" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("moment", MOMENTS)
def test_demo_ends_with_its_summary(moment: float) -> None:
    code, out, error = ended(started("demo", "--speed", "real"), moment, first=b"SIMULATED")
    assert (code, error) == (130, "")
    assert "latency" in out or "0 frames" in out


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("moment", MOMENTS[::2])
def test_a_simulated_node_says_how_much_it_sent(moment: float) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{heard.getsockname()[1]}"
        code, out, error = ended(started("demo", "--send", target), moment, first=b"SIMULATED")
    assert (code, error) == (0, "")
    assert out.splitlines()[-1].endswith("packets sent")


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.slow
def test_training_says_how_far_it_came_and_how_it_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch (extra train) is not installed")
    rng = np.random.default_rng(2)
    data = tmp_path / "set.npz"
    np.savez(
        data,
        amp=rng.uniform(1, 40, (1200, 6)).astype(np.float32),
        frame_activity=(np.arange(1200) // 40 % 3).astype(np.int8),
        activity_names=np.array(["SIT", "WALK", "TURN"]),
        rec_name=np.array(["a", "b"]),
        rec_session=[0, 1],
        rec_subject=[4, 5],
        rec_offset=[0, 600, 1200],
        rate_hz=50.0,
    )
    folder, steps = tmp_path / "run", 1_000_000
    found = started("train", "activity", "--data", data, "--no-calibrate", "--steps", steps, "--run", folder)
    metrics = folder / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size):
        assert found.poll() is None, found.communicate()
        time.sleep(0.01)
    found.send_signal(signal.SIGINT)
    error = found.communicate(timeout=HANG)[1].decode()
    assert found.returncode == 130
    assert re.fullmatch(
        rf"aether: interrupted; .*: \d+ of 1000000 steps done; --resume continues the run in {folder}\n", error
    ), error
    assert list(folder.rglob("*.pt"))


@pytest.mark.parametrize("folder", [None, "", "there"])
def test_what_is_not_kept_is_said(tmp_path: Path, folder: str | None) -> None:
    """A folder is named for --resume only where something is in it."""
    run = None if folder is None else str(tmp_path / "run")
    if folder == "there":
        (tmp_path / "run").mkdir()

    @click.command()
    def stopped() -> None:
        with resumable(run):
            raise KeyboardInterrupt("training: 0 of 9 steps done")

    result = CliRunner().invoke(stopped)
    assert result.exit_code == 130
    why = "--run FOLDER keeps a training" if folder is None else "no step was done"
    assert result.stderr == f"aether: interrupted; training: 0 of 9 steps done; nothing is kept: {why}\n"


STORM = """
import os, signal, threading, time
from aether_temporal._internal import interruption
from aether_temporal._internal.interruption import interruptible, sleep, stop_asked

with interruptible() as stop:
    os.kill(os.getpid(), signal.SIGINT)
    assert stop.is_set() and stop_asked()
    sleep(600)  # ends at once
    with interruptible() as inner:
        assert inner is stop
    try:
        with stop.raising():
            print("not reached")
    except KeyboardInterrupt:
        print("raised")
    for _ in range(100):
        os.kill(os.getpid(), signal.SIGINT)  # of the same Ctrl-C, or of an impatient user: ignored
    interruption.PATIENCE = 0.0
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(600)
    except KeyboardInterrupt:
        print("raised later")
assert not stop_asked()
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(600)
except KeyboardInterrupt:
    print("as before")
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_the_first_signal_waits_for_a_safe_moment_and_others_count_only_when_late() -> None:
    done = subprocess.run([sys.executable, "-c", STORM], capture_output=True, text=True, timeout=HANG, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n") == ["raised", "raised later", "as before", ""]
