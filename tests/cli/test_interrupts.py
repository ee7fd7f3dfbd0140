"""Ctrl-C ends each command with what it has done so far, at any moment after its first line; without a traceback."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
from cli.command import save_model
from cli.test_process import csi_line, process
from click.testing import CliRunner

from aether_temporal.cli.recipes import resumable

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

MOMENTS = [0.0, 0.0005, 0.003, 0.011, 0.04, 0.13, 0.4]
"""Seconds between the first line and the signal. Nothing depends on how far a command comes in them."""


def ended(found: subprocess.Popen[bytes], moment: float, *, first: bytes = b"") -> tuple[int, str, str]:
    """Sends the signal so long after the first line; status, output with that line, and errors."""
    assert found.stdout is not None
    line = found.stdout.readline()
    assert first in line, line
    time.sleep(moment)
    found.send_signal(signal.SIGINT)
    out, error = found.communicate(timeout=300)
    return found.returncode, (line + out).decode(), error.decode()


def started(*arguments: object, stdin: int | None = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    return process(*arguments, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("output", [(), ("--jsonl",)])
def test_run_ends_with_its_summary(tmp_path: Path, moment: float, output: tuple[str, ...]) -> None:
    long = tmp_path / "long.csv"
    long.write_bytes(b"".join(map(csi_line, range(20_000))))
    code, out, error = ended(started("run", save_model(tmp_path), long, "--speed", "real", *output), moment)
    assert (code, error) == (130, "")
    assert ('"summary"' if output else "latency") in out.splitlines()[-1] + out


@pytest.mark.parametrize("moment", MOMENTS)
def test_run_at_full_speed_ends_with_its_summary(tmp_path: Path, moment: float) -> None:
    np.save(tmp_path / "long.npy", np.random.default_rng(1).uniform(1, 9, (20_000, 6)).astype(np.float32))
    code, out, error = ended(started("run", save_model(tmp_path), tmp_path / "long.npy", "--speed", "max"), moment)
    assert code in (0, 130)  # 0: it was done before the signal
    assert error == ""
    assert "latency" in out
    assert "frames" in out


@pytest.mark.parametrize("moment", MOMENTS)
def test_run_of_standard_input_ends_while_nothing_arrives(tmp_path: Path, moment: float) -> None:
    found = started("run", save_model(tmp_path), "-", stdin=subprocess.PIPE)
    assert found.stdin is not None
    found.stdin.write(csi_line(0) + csi_line(1))
    found.stdin.flush()
    code, out, error = ended(found, moment)
    assert (code, error) == (130, "")
    assert "latency" in out


@pytest.mark.parametrize("moment", MOMENTS)
def test_listen_ends_with_its_summary(moment: float) -> None:
    code, out, error = ended(started("listen", "--bind", "127.0.0.1:0"), moment, first=b"Listening at")
    assert (code, error) == (0, "")
    assert "0 packets of 0 nodes" in out


@pytest.mark.parametrize("moment", MOMENTS[::2])
def test_record_says_that_nothing_came(tmp_path: Path, moment: float) -> None:
    found = started("record", tmp_path / "x.bin", "--udp", "127.0.0.1:0")
    code, _, error = ended(found, moment, first=b"Listening at")
    assert (code, len(error.splitlines())) == (2, 1)
    assert "frames: expected CSI frames, found none" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_demo_ends_with_its_summary(moment: float) -> None:
    code, out, error = ended(started("demo", "--speed", "real"), moment, first=b"SIMULATED")
    assert (code, error) == (130, "")
    assert "latency" in out or "0 frames" in out


@pytest.mark.parametrize("moment", MOMENTS[::2])
def test_a_simulated_node_says_how_much_it_sent(moment: float) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{heard.getsockname()[1]}"
        code, out, error = ended(started("demo", "--send", target), moment, first=b"SIMULATED")
    assert (code, error) == (0, "")
    assert out.splitlines()[-1].endswith("packets sent")


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
    found = started("train", "activity", "--data", data, "--no-calibrate", "--steps", steps, "--run", folder, "--quiet")
    metrics = folder / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size):
        assert found.poll() is None, found.communicate()
        time.sleep(0.01)
    found.send_signal(signal.SIGINT)
    error = found.communicate(timeout=300)[1].decode()
    assert found.returncode == 130
    assert re.fullmatch(
        rf"aether: interrupted; .*: \d+ of 1000000 steps done; {folder} goes on with --resume\n", error
    ), error
    assert list(folder.rglob("*.pt"))


def test_what_is_not_kept_is_said() -> None:
    @click.command()
    def stopped() -> None:
        with resumable(None):
            raise KeyboardInterrupt("training: 3 of 9 steps done")

    result = CliRunner().invoke(stopped)
    assert result.exit_code == 130
    assert result.stderr == (
        "aether: interrupted; training: 3 of 9 steps done; nothing is kept: --run FOLDER keeps a training\n"
    )


STORM = """
import os, signal, threading, time
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
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(600)
    except KeyboardInterrupt:
        print("raised again")
assert not stop_asked()
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(600)
except KeyboardInterrupt:
    print("as before")
"""


def test_the_first_signal_waits_for_a_safe_moment_and_the_second_does_not() -> None:
    done = subprocess.run([sys.executable, "-c", STORM], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n") == ["raised", "raised again", "as before", ""]
