"""The virtual environment that `tools/test` and `tools/demo` share. Standard library only."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
import venv
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
# What is compiled, copied or read by an installation. Python files count by name alone: an editable installation reads
# them where they are.
CONTENTS = ("pyproject.toml", "CMakeLists.txt", "csrc", "src", "tests/golden")
STAMP = "aether-installed.json"
LAST_LINES = 60


def home() -> Path:
    """The folder of the virtual environment: $AETHER_VENV, or `.venv` in the checkout."""
    return Path(os.environ.get("AETHER_VENV", ROOT / ".venv"))


def environment(extra: str = "") -> Path:
    """The folder of programs of a virtual environment that has this checkout installed, with an extra if one is named.

    Creates the environment when there is none, and installs only when something that is compiled has changed since."""
    folder = home()
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    python = programs / ("python.exe" if os.name == "nt" else "python")
    if not python.exists():
        _need_tools()
        print(f"Creating a virtual environment in {folder}", flush=True)
        venv.create(folder, with_pip=True)
    stamp = folder / STAMP
    digest = _digest(_version(python))
    installed = _read(stamp)
    names = installed.get("extras")
    extras = set(map(str, names)) if isinstance(names, list) else set()
    current = installed.get("digest") == digest and _importable(python)
    if current and extras >= ({extra} - {""}):
        return programs
    _need_tools()
    pip: list[str | Path] = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    if current:
        _install([*pip, *_requirements(extra)])
        extras.add(extra)
    else:
        extras |= {extra} - {""}
        stamp.unlink(missing_ok=True)
        _install([*pip, "--editable", f"{ROOT}[{','.join(sorted(extras))}]" if extras else str(ROOT)])
    stamp.write_text(json.dumps({"digest": digest, "extras": sorted(extras)}) + "\n", encoding="utf-8")
    return programs


def _need_tools() -> None:
    """Ends the program when Python is too old, or lacks what builds an extension module."""
    debian = "on Debian and Ubuntu: apt install python3-venv python3-dev gcc"
    if sys.version_info < OLDEST:
        sys.exit(f"Python: expected {'.'.join(map(str, OLDEST))} or newer, found {sys.version.split()[0]}")
    if importlib.util.find_spec("ensurepip") is None:
        sys.exit(f"Python: expected the module ensurepip, which creates virtual environments, found none; {debian}")
    if os.name == "nt":
        return  # CMake finds the compiler of Visual Studio
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        sys.exit(f"Python: expected its C headers, found no Python.h; {debian}")
    if not (os.environ.get("CC") or any(shutil.which(name) for name in ("cc", "gcc", "clang"))):
        sys.exit(f"C compiler: expected cc, gcc or clang in PATH, found none; {debian}")


def _version(python: Path) -> str:
    """The version of the environment's Python, which may be another one than the Python that runs this."""
    command = [str(python), "-c", "import sys; print(sys.version)"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _digest(version: str) -> str:
    """Changes with the version of Python and with everything that CONTENTS names."""
    total = hashlib.sha256(version.encode())
    for name in CONTENTS:
        place = ROOT / name
        files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
        for path in files:
            if "__pycache__" in path.parts or path.suffix == ".so":
                continue
            total.update(path.relative_to(ROOT).as_posix().encode() + b"\0")
            if path.suffix not in (".py", ".md"):
                total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _requirements(extra: str) -> list[str]:
    """What an extra of pyproject.toml asks for, so that it can be installed without compiling the package again."""
    import tomllib  # Python 3.11

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = f"{project['name']}["
    found: list[str] = []
    for line in project["optional-dependencies"][extra]:
        requirement, semicolon, marker = line.partition(";")
        if requirement.startswith(own):
            for name in requirement.strip()[len(own) : -1].split(","):
                found += [f"{inner}{semicolon}{marker}" for inner in _requirements(name.strip())]
        else:
            found.append(line)
    return found


def _read(stamp: Path) -> dict[str, object]:
    try:
        found = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _importable(python: Path) -> bool:
    check = "import aether_temporal._core"
    return subprocess.run([python, "-c", check], cwd=ROOT, capture_output=True, check=False).returncode == 0


def _install(command: list[str | Path]) -> None:
    """Runs pip and shows the step it is at, on a terminal in one line with the time. Shows its output when it fails."""
    compiles = "--editable" in command
    what = "aether-temporal; compiling it takes a minute or two" if compiles else "more Python packages"
    print(f"Installing {what}", flush=True)
    began = time.monotonic()
    process = subprocess.Popen(
        [str(part) for part in command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines: list[str] = []
    ended = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    terminal = sys.stdout.isatty()
    shown = ""
    while not ended.wait(0.5):
        step = _step(lines)
        if terminal:
            width = shutil.get_terminal_size().columns - 1
            print("\r\x1b[2K" + f"  {time.monotonic() - began:4.0f} s  {step}"[:width], end="", flush=True)
        elif step != shown:
            print(f"  {time.monotonic() - began:4.0f} s  {step}", flush=True)
            shown = step
    if terminal:
        print("\r\x1b[2K", end="")
    code = process.wait()
    if code:
        print("\n".join(lines[-LAST_LINES:]))
        sys.exit(code)
    print(f"  {time.monotonic() - began:4.0f} s  installed", flush=True)


def _step(lines: list[str]) -> str:
    """pip's last line that names a step. pip calls the compilation "Building editable"."""
    for line in reversed(lines):
        if line.lstrip().startswith(("Building editable", "Preparing editable")):
            return "compiling the C core and its Python module"
        if line.startswith(("Installing collected", "Successfully")):
            return "installing Python packages"
        if line.lstrip().startswith(("Collecting", "Downloading", "Installing build", "Getting requirements")):
            return "fetching Python packages"
    return "starting pip"


def needs(tool: str, error: ModuleNotFoundError) -> NoReturn:
    """Ends a program that lacks a Python package: one line, how to get it."""
    name = (error.name or "").partition(".")[0]
    wanted, how = f"the Python package {name}", f"pip install {name}"
    if name == "aether_temporal":
        wanted, how = "this checkout's Python package", "pip install ."
    sys.exit(f"{tool}: expected {wanted} to be installed ({how}), found no {error.name}")


def run(command: list[str | Path]) -> None:
    """Run a command in the checkout; end with its exit code when it fails."""
    code = subprocess.run([str(part) for part in command], cwd=ROOT, check=False).returncode
    if code:
        sys.exit(code)
