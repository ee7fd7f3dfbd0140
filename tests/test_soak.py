"""Streams that run for long (tools/soak): short runs on this computer and on emulated chips; faults that they find."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from hang import HANG
from parity_matrix import emulation, vectors
from parity_matrix.build import Builder
from parity_matrix.targets import all_targets

ROOT = Path(__file__).resolve().parent.parent
TARGETS = {target.name: target for target in all_targets()}

QUICK = ("-O1", "-DAETHER_PORTABLE_ONLY")  # to compile

pytestmark = pytest.mark.slow


def _load(path: Path) -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("soak", str(path))
    spec = importlib.util.spec_from_loader("soak", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


SOAK = _load(ROOT / "tools" / "soak")


@pytest.fixture(scope="module")
def compiler() -> str:
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found is None or sys.platform == "win32":
        pytest.skip("soak: no C compiler with GCC's options")
    return found


@pytest.fixture(scope="module")
def blob(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("soak") / "pyramid.rvne"
    path.write_bytes(SOAK.pyramid_blob())
    return path


def run(program: Path, blob: Path, dtype: str) -> subprocess.CompletedProcess[str]:
    words = [str(program), str(blob), "20000", "64", dtype, "1", "1000"]
    return subprocess.run(words, capture_output=True, text=True, timeout=HANG, check=False)


def test_a_short_soak_finds_no_difference(compiler: str, blob: Path, tmp_path: Path) -> None:
    program = SOAK.build(tmp_path, compiler, *QUICK, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    for dtype in ("float32", "float16"):
        done = run(program, blob, dtype)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "equal across 2^32 frames\nequal to the last of 2^62 frames\n" in done.stdout
        assert done.stdout.splitlines()[-1].split()[0] == "1000"


MUTANTS = {
    "a ring of 32 bits": ("src/cache_layout.h", "(size_t)(token % n)", "(size_t)((uint32_t)token % n)"),
    "runs of 32 bits": ("src/pyramid.c", "blocks_in(config, i - config->window)", "(uint32_t)(i - config->window) / 4"),
    "a state of zeros": ("src/cache_state.c", "memcpy(cache->memory + at.sums, payload, at.total - at.sums);", ""),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_soak_finds(name: str, compiler: str, blob: Path, tmp_path: Path) -> None:
    file, old, new = MUTANTS[name]
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc")
    source = tmp_path / "csrc" / file
    text = source.read_text()
    assert old in text
    source.write_text(text.replace(old, new, 1))
    done = run(SOAK.build(tmp_path, compiler, *QUICK, csrc=tmp_path / "csrc"), blob, "float32")
    assert done.returncode not in (0, 2), done.stdout + done.stderr  # a difference, or a crash


def test_a_model_that_never_forgets_is_rejected(compiler: str, tmp_path: Path) -> None:
    done = run(
        SOAK.build(tmp_path, compiler, *QUICK), ROOT / "src" / "aether_temporal" / "models" / "none.rvne", "float32"
    )
    assert (done.returncode, "with a file MODEL" in done.stderr) == (2, True)


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    made = Builder(tmp_path_factory.mktemp("images"), 2)
    yield made
    made.pool.shutdown()


@pytest.mark.parametrize("name", ["rv32imc", "cortex-m4f"])
def test_a_short_soak_on_an_emulated_chip(
    name: str, builder: Builder, blob: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vectors.MAKERS, "soak", lambda: vectors.Vectors(blob.read_bytes(), [], 0, b""))
    target = replace(TARGETS[name], application="soak_main", vectors="soak")
    if target.missing():
        reason = f"soak on {name} needs {', '.join(target.missing())}"
        pytest.skip(reason)
    found = emulation.run(target, builder.build(target, "-O2", "soak").path)
    assert found.code == 0, found.output + found.errors
    (line,) = [line for line in found.output.splitlines() if line.startswith("aether soak ")]
    assert "status=OK" in line
