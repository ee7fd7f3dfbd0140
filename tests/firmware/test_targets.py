"""Reads targets.toml strictly, and measures sizes as compilers state them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from parity_matrix.sizes import measure
from parity_matrix.table import BEGIN, END, write
from parity_matrix.targets import all_targets, load

SMALLEST = '[some]\nprocessor = "p"\nstands_for = "s"\nrecipe = "gcc"\nemulator = ["{image}"]\nsources = []\n'
ROOT = Path(__file__).resolve().parents[2]
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
