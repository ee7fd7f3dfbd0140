"""One image: the core at one optimisation level, around it what does not vary."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from . import vectors
from .sizes import Sizes, measure
from .targets import ROOT, Target

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wdouble-promotion", "-Wshadow", "-Wstrict-prototypes", "-Wvla"]
CONTRACT = ["-std=c99", "-Werror", "-ffp-contract=off"]
OTHERS = "-O2"  # golden runner, application, runtime
SECONDS = 300

CSRC = ROOT / "csrc"
APP = ROOT / "firmware" / "app"
VECTORS = APP / "vectors.S"
RUNTIME = ROOT / "firmware" / "runtime"


class BuildError(RuntimeError):
    """A compiler, assembler or linker refused; the message is its own."""


@dataclass(frozen=True)
class Image:
    path: Path
    core: Sizes
    program: Sizes


def call(command: list[str], seconds: int = SECONDS) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as late:
        raise BuildError(f"{command[0]} ... {command[-1]}: no end after {seconds} s") from late
    if done.returncode != 0:
        raise BuildError(f"{command[0]} ... {command[-1]}: {(done.stdout + done.stderr).strip()[-2000:]}")


def core_sources(target: Target) -> list[Path]:
    kernels = sorted((CSRC / "src" / "kernels").glob("*.c"))
    if target.portable_only:
        kernels = [path for path in kernels if path.name in ("portable.c", "select.c")]
    return sorted((CSRC / "src").glob("*.c")) + kernels


def other_sources(target: Target) -> list[Path]:
    if target.helpers:
        runtime = sorted(RUNTIME.glob("*.c"))
    else:
        runtime = [] if target.hosted else [RUNTIME / "memory.c", RUNTIME / "stack.c"]
    own = [target.folder / name for name in target.sources]
    return [*sorted((CSRC / "golden").glob("*.c")), APP / "report.c", APP / "parity_main.c", *runtime, *own]


def _includes(target: Target) -> list[Path]:
    folders = [CSRC / "include", CSRC / "src", CSRC / "src" / "kernels", CSRC / "golden", APP, RUNTIME]
    return folders if target.hosted else [*folders, RUNTIME / "include"]


def _flags(target: Target, source: Path, level: str) -> list[str]:
    flags = [*CONTRACT, *WARNINGS, level, *[f"-I{folder}" for folder in _includes(target)]]
    if target.portable_only:
        flags.append("-DAETHER_PORTABLE_ONLY")
    if not target.hosted:
        flags.append("-ffreestanding")
    if source.name == "memory.c":
        flags.append("-fno-builtin")  # or its loops become calls of themselves
        if target.recipe == "gcc":
            flags.append("-fno-tree-loop-distribute-patterns")
    if source.parent == target.folder and target.recipe == "gcc":
        flags[0] = "-std=gnu99"  # inline assembly
    return flags + target.flags + target.file_flags.get(source.name, [])


def _compile_gcc(target: Target, source: Path, level: str, out: Path, image: Path) -> None:
    compiler = "clang-22" if target.recipe == "llvm-wasm" else target.compiler
    own = ["--target=wasm32"] if target.recipe == "llvm-wasm" else []
    if source.suffix == ".S":
        own += [*target.flags, *target.assembler_flags, f'-DAETHER_VECTORS="{image}"']
        call([compiler, *own, "-c", str(source), "-o", str(out)])
    else:
        call([compiler, *own, *_flags(target, source, level), "-c", str(source), "-o", str(out)])


def _fuse(path: Path) -> None:
    """Every a * b + c that the front end marks as contractible becomes one fused operation."""
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("llvm.fmuladd.f32", "llvm.fma.f32"), encoding="utf-8")


def _compile_xtensa(target: Target, source: Path, level: str, out: Path, image: Path) -> None:
    """Clang, llc to assembly, llvm-mc to an object: llc's own object writer fails on some functions."""
    assembly = out.with_suffix(".s")
    if source.suffix == ".S":
        define = f'-DAETHER_VECTORS="{image}"'
        call(["clang-22", "--target=xtensa", "-E", "-P", define, str(source), "-o", str(assembly)])
    else:
        language = out.with_suffix(".ll")
        flags = [*_flags(target, source, level), *(["-ffp-contract=on"] if target.fused else [])]
        call(["clang-22", "--target=xtensa", *flags, "-S", "-emit-llvm", str(source), "-o", str(language)])
        if target.fused:
            _fuse(language)
        speed = "-O3" if level == "-O3" else "-O2"  # llc knows no -Os: it obeys the functions' own attributes
        call(["llc-22", *target.backend, speed, str(language), "-o", str(assembly)])
    call(["llvm-mc-22", "-arch=xtensa", "-mcpu=esp32", "-filetype=obj", str(assembly), "-o", str(out)])


COMPILERS = {"gcc": _compile_gcc, "llvm-wasm": _compile_gcc, "llvm-xtensa": _compile_xtensa}


def _link(target: Target, objects: list[Path], out: Path) -> None:
    files = [*map(str, objects), "-o", str(out)]
    script = target.folder / "link.ld"
    placed = ["-T", str(script)] if script.exists() else []
    if target.recipe == "llvm-wasm":
        exports = ["--export=__stack_low", "--export=__stack_high"]
        call(["wasm-ld-22", "--no-entry", "-z", "stack-size=16384", *exports, *files])
    elif target.recipe == "llvm-xtensa":
        call(["xtensa-lx106-elf-ld", "--no-warn-rwx-segments", "--no-relax", "-z", "noexecstack", *placed, *files])
    elif target.hosted:
        call([target.compiler, *files])
    else:
        machine = [flag for flag in target.flags if flag.startswith("-m")]  # they choose the libgcc
        options = ["-nostdlib", "-static", "-Wl,--build-id=none", "-Wl,--no-warn-rwx-segments", *placed, *target.link]
        call([target.compiler, *machine, *options, *files, *target.libraries])


class Builder:
    """Builds under `work` with `jobs` compilers at a time; an object that several images share is compiled once."""

    def __init__(self, work: Path, jobs: int) -> None:
        self.work = work
        self.pool = ThreadPoolExecutor(jobs)
        self.done: set[Path] = set()

    def _objects(self, target: Target, sources: list[Path], level: str, folder: Path) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        data = vectors.write(target.vectors, self.work)
        jobs, objects = [], []
        for source in sources:
            suffix = f"-{target.vectors}" if source == VECTORS else ""
            out = folder / f"{source.stem}{suffix}.o"
            if out in objects:
                raise BuildError(f"{target.name}: two sources called {source.stem}")
            objects.append(out)
            if out not in self.done:
                jobs.append(self.pool.submit(COMPILERS[target.recipe], target, source, level, out, data))
        for job in jobs:
            job.result()
        self.done.update(objects)
        return objects

    def build(self, target: Target, level: str, control: str = "") -> Image:
        """`control` names a change that the core's own objects must not share with others; empty when there is none."""
        folder = self.work / target.name
        changed = level + (f".{control}" if target.core_flags or target.fused else "")
        with_core_flags = replace(target, flags=target.flags + target.core_flags)
        core = self._objects(with_core_flags, core_sources(target), level, folder / changed)
        plain = replace(target, fused=False)
        others = self._objects(plain, [*other_sources(target), VECTORS], OTHERS, folder / "others")
        path = folder / f"parity{changed}{'.' + control if control else ''}.image"
        _link(target, [*others, *core], path)
        return Image(path, sum((measure(each) for each in core), Sizes()), measure(path))
