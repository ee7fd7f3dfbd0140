"""C programs around the core: kernel variants give the portable bits; every call reports what callers do wrong."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "csrc" / "src"


def build(compiler: str, flags: list[str], folder: Path) -> Path:
    """Compile the core and the program."""
    common = [compiler, "-std=c99", "-ffp-contract=off", f"-I{ROOT / 'csrc' / 'include'}", *flags]
    objects: list[str] = []
    for source in sorted([*SOURCES.glob("*.c"), *SOURCES.glob("kernels/*.c")]):
        objects.append(str(folder / f"{source.stem}.o"))
        subprocess.run([*common, "-c", str(source), "-o", objects[-1]], check=True)
    program = folder / "variants_check"
    subprocess.run([*common, str(ROOT / "tools" / "variants_check.c"), *objects, "-o", str(program)], check=True)
    return program


def run(command: list[str]) -> list[str]:
    """Names of the variants compared; fails with the program's own words."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.partition("portable:")[2].split()


@pytest.fixture
def compiler() -> str:
    """A compiler that takes GCC's options."""
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found is None or sys.platform == "win32":
        pytest.skip("variants: no C compiler with GCC's options")
    return found


def is_gcc(compiler: str) -> bool:
    done = subprocess.run([compiler, "-dM", "-E", "-"], input="", capture_output=True, text=True, check=True)
    return "__clang__" not in done.stdout and "__GNUC__" in done.stdout


@pytest.mark.parametrize("option", ["-ffast-math", "-fno-signed-zeros", "-ffinite-math-only", "-freciprocal-math"])
def test_options_that_change_bits_are_errors(compiler: str, option: str) -> None:
    """Clang does not tell of every one."""
    if not is_gcc(compiler) and option not in ("-ffast-math", "-ffinite-math-only"):
        pytest.skip(f"{option}: this compiler defines no macro for it")
    command = [compiler, "-std=c99", "-fsyntax-only", f"-I{ROOT / 'csrc' / 'include'}", str(SOURCES / "numeric.c")]
    assert subprocess.run(command, check=False).returncode == 0
    done = subprocess.run([*command, option], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "found an option that changes bits" in done.stderr


@pytest.mark.parametrize("standard", ["c99", "gnu11"])
def test_products_and_sums_are_not_fused(compiler: str, tmp_path: Path, standard: str) -> None:
    """Also where the caller asks for it."""
    if platform.machine() != "x86_64":
        pytest.skip("contraction: an x86-64")
    source = tmp_path / "fused.c"
    source.write_text(
        f'#include "{SOURCES / "contract.h"}"\nfloat f(float a, float b, float c) {{ return a * b + c; }}\n'
    )
    flags = ["-O2", "-mfma", "-ffp-contract=fast", f"-std={standard}", "-S", "-o", "-"]
    found = subprocess.run([compiler, *flags, str(source)], capture_output=True, text=True, check=True).stdout
    assert "fmadd" not in found
    source.write_text("float f(float a, float b, float c) { return a * b + c; }\n")  # shows that it would be
    assert "fmadd" in subprocess.run([compiler, *flags, str(source)], capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_same_bits_as_portable(compiler: str, tmp_path: Path) -> None:
    x86 = platform.machine() in ("x86_64", "AMD64")
    names = run([str(build(compiler, ["-O1"], tmp_path)), "200"])
    vectors = ["sse2"] if x86 else ["neon"] if platform.machine() in ("aarch64", "arm64") else []
    assert names[:2] == ["scalar", *vectors]


@pytest.mark.slow
def test_same_bits_on_aarch64(tmp_path: Path) -> None:
    cross, emulator = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")
    if cross is None or emulator is None:
        pytest.skip("variants: no aarch64-linux-gnu-gcc and qemu-aarch64")
    program = build(cross, ["-O1", "-static"], tmp_path)
    assert run([emulator, str(program), "20"]) == ["scalar", "neon"]


# -- the C interface, under both sanitizers -------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "program_source", ["core_calls_check.c", "frames_check.c", "hostile_blobs_check.c", "many_streams_check.c"]
)
def test_calls_reject_mistakes_and_change_nothing(tmp_path: Path, program_source: str) -> None:
    compiler = shutil.which("gcc") or shutil.which("clang") or shutil.which("cc")
    if compiler is None or sys.platform == "win32":
        pytest.skip("wrong calls in C: no C compiler here that takes these flags")
    sources = [*(ROOT / "csrc" / "src").glob("*.c"), *(ROOT / "csrc" / "src" / "kernels").glob("*.c")]
    flags = ["-std=c99", "-O1", "-g", "-ffp-contract=off", "-DAETHER_PORTABLE_ONLY", "-Wall", "-Wextra", "-Werror"]
    if sys.platform == "linux":
        flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    program = tmp_path / "check"
    sources.append(ROOT / "tests" / program_source)
    command = [compiler, *flags, f"-I{ROOT}/csrc/include", *map(str, sources), "-o", str(program)]
    subprocess.run(command, check=True)
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
