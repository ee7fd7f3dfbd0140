"""What compilers call behind one's back, against this computer's own arithmetic: millions of cases each."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = ROOT / "firmware" / "runtime"
CASES = 2_000_000

OPTIONS = ["-std=c99", "-O2", "-ffp-contract=off", "-fno-builtin", "-Wall", "-Wextra", "-Wconversion", "-Werror"]


GCC = ["-fno-tree-loop-distribute-patterns"]


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
    done = subprocess.run([program, str(CASES)], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout
    assert re.search(rf"{CASES} random cases, \d+ checks, 0 wrong", done.stdout)


def test_every_helper_is_checked() -> None:
    declared = set(re.findall(r"HELPER\((\w+)\)\(", (RUNTIME / "compiler_calls.h").read_text(encoding="utf-8")))
    checked = set(
        re.findall(r"helper_(\w+)\(", (Path(__file__).parent / "helpers_check.c").read_text(encoding="utf-8"))
    )
    assert declared == checked & declared
    assert len(declared) > 30
