"""What tests of firmware share: programs they need, PlatformIO, and node code compiled for this computer."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hang import HANG

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "csrc"
FIRMWARE = ROOT / "firmware"
NODE = FIRMWARE / "node"
COMPONENT = FIRMWARE / "components" / "ruv_temporal"
FAKE = ROOT / "tests" / "firmware" / "fake_idf"

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wdouble-promotion", "-Wshadow", "-Wstrict-prototypes", "-Wvla"]
FLAGS = ["-Werror", "-ffp-contract=off", "-g", "-O1", "-DAETHER_PORTABLE_ONLY"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
_OBJECTS = tempfile.TemporaryDirectory(prefix="aether-node-")  # one compilation serves all programs of a test run
# Headers of ESP-IDF that the fake declares in types.h and prototypes.h.
IDF_HEADERS = (
    "esp_err",
    "esp_heap_caps",
    "esp_log",
    "esp_netif",
    "esp_partition",
    "esp_timer",
    "freertos/FreeRTOS",
    "freertos/task",
    "nvs",
)
SIMD = ("sse2", "avx2", "avx512", "neon")


def compiler() -> str:
    """This computer's C compiler; without one the test is skipped by name."""
    found = os.environ.get("CC") or next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    if found is None:
        pytest.skip("a C compiler is missing")
    return found


def core_sources(*, golden: bool = False) -> list[Path]:
    kernels = [path for path in sorted((CSRC / "src" / "kernels").glob("*.c")) if path.stem not in SIMD]
    return [*sorted((CSRC / "src").glob("*.c")), *kernels, *(sorted((CSRC / "golden").glob("*.c")) if golden else [])]


def build(
    folder: Path,
    name: str,
    sources: list[Path],
    includes: list[Path],
    *,
    standard: str = "c99",
    options: tuple[str, ...] = (),
    sanitizers: tuple[str, ...] = tuple(SANITIZERS),
) -> Path:
    """A program `name` in `folder`."""
    cc = compiler()
    flags = [f"-std={standard}", *WARNINGS, *FLAGS, *options, *sanitizers, *[f"-I{path}" for path in includes]]

    def compiled(source: Path) -> Path:
        key = hashlib.sha256("\0".join([cc, *flags, str(source)]).encode()).hexdigest()
        out = Path(_OBJECTS.name) / f"{source.stem}-{key[:16]}.o"
        if out.exists():
            return out
        done = subprocess.run([cc, *flags, "-c", source, "-o", out], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return out

    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(compiled, sources))
    program = folder / name
    done = subprocess.run(
        [cc, *sanitizers, *made, "-pthread", "-o", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return program


def run(program: Path, *arguments: str | Path | int, seconds: float = HANG) -> str:
    """What it prints; it must end with 0."""
    environment = dict(
        os.environ, ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=0", UBSAN_OPTIONS="print_stacktrace=1"
    )
    environment.pop("LD_PRELOAD", None)
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, timeout=seconds, check=False, env=environment
    )
    assert done.returncode == 0, (
        f"{program.name} {arguments}: exit code {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    )
    return done.stdout


def idf_headers() -> Path:
    """A folder with IDF_HEADERS, each of which includes what the fake declares."""
    folder = Path(_OBJECTS.name) / "idf"
    (folder / "freertos").mkdir(parents=True, exist_ok=True)
    for name in IDF_HEADERS:
        text = '#pragma once\n#include "types.h"\n#include "prototypes.h"\n'
        (folder / f"{name}.h").write_text(text, encoding="ascii")
    return folder


def component_program(
    folder: Path,
    name: str,
    *options: str,
    switched_off: bool = False,
    core: list[Path] | None = None,
    sanitizers: tuple[str, ...] = tuple(SANITIZERS),
) -> Path:
    """The component, a computer in the place of the chip, and the checks beside this file."""
    source = COMPONENT / "src"
    if switched_off:
        sources, options = [source / "switched_off.c"], (*options, "-DFAKE_SWITCHED_OFF")
    else:
        own = [path for path in sorted(source.glob("*.c")) if path.name != "switched_off.c"]
        sources = [*own, *sorted(NODE.glob("*.c")), *(core or core_sources(golden=True))]
    checks = [
        ROOT / "tests" / "firmware" / f"node_{name}_check.c"
        for name in (*(() if switched_off else ("calibration",)), "component", "interface", "task", "slots")
    ]
    fake = [FAKE, FAKE / "include", idf_headers()]
    includes = [COMPONENT / "include", source, NODE, CSRC / "include", CSRC / "golden", *fake]
    files = [*sources, FAKE / "fake.c", *checks]
    return build(folder, name, files, includes, standard="gnu11", options=options, sanitizers=sanitizers)


OFFLINE = ROOT / "tools" / "pio-offline"


def lacks(what: str, package: str) -> None:
    """Skips the test and names what is missing."""
    pytest.skip(f"{what} is missing: pip install {package}")


def need_module(module: str, package: str) -> None:
    if importlib.util.find_spec(module) is None:
        lacks(module, package)


def need_program(name: str, package: str) -> str:
    """The program beside this Python, or on the path."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        lacks(name, package)
    assert found is not None
    return found


def need_platformio() -> None:
    need_module("platformio", ".[firmware]")
    need_module("SCons", ".[firmware]")


def call(
    command: list[str | Path], folder: Path, seconds: float = HANG, good: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs to the end; its output is in the message when its exit code is not as expected."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=dict(os.environ, **environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if (done.returncode == 0) != good:
        raise AssertionError(
            f"{command[:4]} ended with {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        )
    return done


def pio(core: Path, folder: Path, *arguments: str | Path, good: bool = True, **environment: str) -> str:
    """`tools/pio-offline` in a folder, with a core folder of its own; what it printed."""
    settings = {"PLATFORMIO_CORE_DIR": str(core), "PLATFORMIO_NO_ANSI": "true", **environment}
    done = call([sys.executable, OFFLINE, *arguments], folder, good=good, **settings)
    return done.stdout + done.stderr
