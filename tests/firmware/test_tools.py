"""The programs of tools/ reject wrong arguments at once; targets.toml is read strictly; compilers state the sizes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
import venv
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from hang import HANG
from parity_matrix.build import BuildError, finish
from parity_matrix.sizes import measure
from parity_matrix.table import BEGIN, END, write
from parity_matrix.targets import ROOT, all_targets, load

TOOLS = ROOT / "tools"


def tool(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOLS / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=False)


def bare(name: str, *arguments: str, folders: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Runs the tool in this Python without installed packages, except those in `folders`."""
    paths = [str(path) for path in (TOOLS, *folders)]
    code = f"import runpy, sys; sys.path[:0] = {paths!r}; sys.argv = {[name, *arguments]!r}; "
    code += f"runpy.run_path({str(TOOLS / name)!r}, run_name='__main__')"
    command = [sys.executable, "-I", "-S", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=False)


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


def test_an_environment_is_kept_when_another_python_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))
    import checkout

    installed: list[list[object]] = []
    venv.create(tmp_path / "venv")
    monkeypatch.setenv("AETHER_VENV", str(tmp_path / "venv"))
    monkeypatch.setattr(checkout, "_need_tools", lambda: None)
    monkeypatch.setattr(checkout, "_importable", lambda python: True)
    monkeypatch.setattr(checkout, "_install", installed.append)
    checkout.environment()
    monkeypatch.setattr(checkout.sys, "version", "3.99.0 of another program")
    checkout.environment()
    assert len(installed) == 1
    monkeypatch.setattr(checkout, "_version", lambda python: "3.99.0")  # the environment's own
    checkout.environment()
    assert len(installed) == 2


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
    from parity_matrix.table import need_writable

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


SMALLEST = '[some]\nprocessor = "p"\nstands_for = "s"\nrecipe = "gcc"\nemulator = ["{image}"]\nsources = []\n'
RUNTIME = ROOT / "firmware" / "runtime"
CASES = 2_000_000
OPTIONS = ["-std=c99", "-O2", "-ffp-contract=off", "-fno-builtin", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
GCC = ["-fno-tree-loop-distribute-patterns"]


def target_file(folder: Path, text: str) -> Path:
    path = folder / "some.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_target_names_sources_that_exist() -> None:
    for target in all_targets():
        assert target.sources
        assert all((target.folder / source).is_file() for source in target.sources)


def test_reads_the_smallest_target(tmp_path: Path) -> None:
    (target,) = load(target_file(tmp_path, SMALLEST))
    assert target.name == "some"
    assert target.portable_only
    assert not target.control


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("flag = []\n", "expected keys of Target, found flag"),
        ('[[some.control]]\nname = "n"\nwhat = "w"\nexpect = "success"\n', "expect success"),
        ('[[some.control]]\nname = "n"\nwhat = "w"\nexpect = "trap"\nvectors = "none"\n', "vectors none"),
        (
            '[[some.control]]\nname = "n"\nwhat = "w"\nexpect = "trap"\nspeed = 1\n',
            "expected keys of Control, found speed",
        ),
    ],
)
def test_rejects_unknown_keys_and_values(tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(target_file(tmp_path, SMALLEST + more))


SOURCE = """
const unsigned char constants[1000] = {1};
unsigned char variables[300] = {1};
unsigned char zeros[7000];
"""


@pytest.mark.parametrize("compiler", ["gcc", "arm-none-eabi-gcc", "aarch64-linux-gnu-gcc"])
def test_measures_an_object(tmp_path: Path, compiler: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is missing")
    (tmp_path / "s.c").write_text(SOURCE, encoding="utf-8")
    command = [compiler, "-c", "-fno-asynchronous-unwind-tables", str(tmp_path / "s.c"), "-o", str(tmp_path / "s.o")]
    subprocess.run(command, check=True)
    sizes = measure(tmp_path / "s.o")
    assert (sizes.code, sizes.variables) == (0, 7300)
    assert 1000 <= sizes.constants < 1100


def test_rejects_other_files(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"MZ" * 20)
    with pytest.raises(ValueError, match="expected ELF or WebAssembly, found neither"):
        measure(path)


def test_writing_tables_keeps_the_rest_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    write(page, [])
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    page.write_text("no markers\n", encoding="utf-8")
    with pytest.raises(ValueError, match="markers"):
        write(page, [])


# -- functions that compilers call by themselves (division, softfloat), against this computer's arithmetic -------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compiler", "own"),
    [("gcc", GCC), ("gcc", [*GCC, "-D__XTENSA_CALL0_ABI__"]), ("clang-22", [])],
    ids=["gcc", "gcc-as-without-a-divider", "clang"],
)
def test_helpers_against_the_host(tmp_path: Path, compiler: str, own: list[str]) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is missing")
    sources = [path for path in sorted(RUNTIME.glob("*.c")) if path.name != "stack.c"]
    program = tmp_path / "helpers_check"
    names = ["-DHELPER(name)=helper_##name", f"-I{RUNTIME}"]
    files = [str(path) for path in [*sources, Path(__file__).parent / "helpers_check.c"]]
    subprocess.run([compiler, *OPTIONS, *own, *names, *files, "-o", str(program)], check=True)
    done = subprocess.run([program, str(CASES)], capture_output=True, text=True, timeout=HANG, check=False)
    assert done.returncode == 0, done.stdout
    assert re.search(rf"{CASES} random cases, \d+ checks, 0 wrong", done.stdout)


def test_every_helper_is_checked() -> None:
    declared = set(re.findall(r"HELPER\((\w+)\)\(", (RUNTIME / "compiler_calls.h").read_text(encoding="utf-8")))
    checked = set(
        re.findall(r"helper_(\w+)\(", (Path(__file__).parent / "helpers_check.c").read_text(encoding="utf-8"))
    )
    assert declared == checked & declared
    assert len(declared) > 30
