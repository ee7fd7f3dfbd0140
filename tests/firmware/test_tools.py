"""The programs of `tools/` reject wrong arguments in one line, before any long work."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from parity_matrix.build import BuildError, finish
from parity_matrix.targets import ROOT, all_targets

TOOLS = ROOT / "tools"


def tool(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOLS / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def bare(name: str, *arguments: str, folders: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Runs the tool in this Python without installed packages, except those in `folders`."""
    paths = [str(path) for path in (TOOLS, *folders)]
    code = f"import runpy, sys; sys.path[:0] = {paths!r}; sys.argv = {[name, *arguments]!r}; "
    code += f"runpy.run_path({str(TOOLS / name)!r}, run_name='__main__')"
    command = [sys.executable, "-I", "-S", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.parametrize("name", ["aarch64", "wasm32", "wasm32-simd", "x86-64", "nonsense"])
def test_budget_rejects_targets_it_cannot_count(name: str) -> None:
    done = tool("budget", "--target", name)
    assert done.returncode == 2
    known = [t.name for t in all_targets() if t.name not in ("aarch64", "wasm32", "wasm32-simd", "x86-64")]
    assert done.stderr == f"--target: expected one of {', '.join(known)}, found {name}\n"


def test_names_a_missing_package_in_one_line(tmp_path: Path) -> None:
    done = bare("make_golden.py")
    message = (
        "tools/make_golden.py: expected the Python package numpy to be installed (pip install numpy), found no numpy\n"
    )
    assert (done.returncode, done.stderr) == (1, message)
    (tmp_path / "numpy").mkdir()  # numpy alone is there
    (tmp_path / "numpy" / "__init__.py").touch()
    (tmp_path / "numpy" / "typing.py").write_text("NDArray = list\n", encoding="utf-8")
    done = bare("budget", folders=(tmp_path,))
    message = "tools/budget: expected this checkout's Python package to be installed (pip install .), found no "
    assert (done.returncode, done.stderr) == (1, f"{message}aether_temporal\n")


@pytest.mark.parametrize("argument", ["--list", "--help"])
def test_parity_needs_nothing_installed(argument: str) -> None:
    done = bare("parity", argument)
    assert (done.returncode, done.stderr) == (0, "")
    assert "target" in done.stdout or "xtensa-fpu" in done.stdout


def unwritable(folder: Path) -> dict[str, Path]:
    (folder / "file").touch()
    return {"a folder": folder, "below a file": folder / "file" / "x", "in /proc": Path("/proc/x")}


@pytest.mark.parametrize("what", ["a folder", "below a file", "in /proc"])
def test_rejects_unwritable_results_at_once(what: str, tmp_path: Path) -> None:
    path = unwritable(tmp_path)[what]
    if what == "in /proc" and not Path("/proc/self").exists():
        pytest.skip("/proc")
    work = tmp_path / "work"
    done = tool("parity", "--work", work, "--json", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"--json: expected a writable file, found {path} (")
    assert len(done.stderr.splitlines()) == 1
    assert not work.exists(), "something was built before the output was checked"


def test_rejects_writing_a_partial_page_at_once() -> None:
    done = tool("parity", "--write", "--quick")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("--write: expected every target, level and control")
    assert "--write: expected the target xtensa-fpu" in tool("budget", "--write", "--level=-Os").stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="os.mkfifo")
def test_checking_an_output_changes_nothing(tmp_path: Path) -> None:
    from parity_matrix.outputs import need_writable

    old, new, pipe = tmp_path / "old", tmp_path / "made" / "new", tmp_path / "pipe"
    old.write_text("old")
    os.mkfifo(pipe)
    for path in (old, new, pipe, Path("/dev/null")):
        need_writable("--json", path)  # opening a pipe without a reader would wait for ever
    assert old.read_text() == "old"
    assert not new.exists()


def test_no_job_begins_after_an_error() -> None:
    """Running jobs are waited for, since a later build may write the same files."""
    submitted = threading.Event()
    jobs: list[Future[None]] = []
    ended: list[str] = []

    def until_cancelled() -> None:
        submitted.wait()
        while not jobs[-1].cancelled():
            time.sleep(0.001)

    def fail() -> None:
        submitted.wait()
        raise BuildError("first")

    def slow() -> None:
        until_cancelled()
        ended.append("slow")

    with ThreadPoolExecutor(2) as pool:
        jobs += [pool.submit(fail), pool.submit(slow), *(pool.submit(until_cancelled) for _ in range(50))]
        submitted.set()
        with pytest.raises(BuildError, match="first"):
            finish(jobs)
        assert ended == ["slow"]
        assert sum(job.cancelled() for job in jobs) >= 49
