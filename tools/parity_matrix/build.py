"""Commands that compile a file and link an image, for the matrix, PlatformIO and budgets; images built by them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from . import vectors
from .sizes import Sizes, measure
from .targets import ROOT, Target

OTHERS = "-O2"  # level of the golden runner, application and runtime
SECONDS = 1800
"""Far beyond what a loaded machine takes: only what hangs is stopped."""

CSRC = ROOT / "csrc"
APP = ROOT / "firmware" / "app"
APPLICATION = [APP / name for name in ("bare.c", "console.c", "parity.c", "report.c")]
VECTORS = APP / "vectors.S"
NODE = ROOT / "firmware" / "node"
OF_A_NODE = ("cadence", "calibration", "classifier", "csi_input", "node", "packets", "queue", "receipt")
BESIDE = {"soak_main": [APP / "soak.c"], "twin_main": [NODE / f"{name}.c" for name in OF_A_NODE]}
"""What applications need beyond their own file."""


class BuildError(RuntimeError):
    """A compiler, assembler or linker failed; the message is its output."""


@dataclass(frozen=True)
class Image:
    path: Path
    core: Sizes
    program: Sizes


def call(command: list[str], seconds: int = SECONDS) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as late:
        raise BuildError(f"{command[0]} ... {command[-1]}: still running after {seconds} s") from late
    if done.returncode != 0:
        raise BuildError(f"{command[0]} ... {command[-1]}: {(done.stdout + done.stderr).strip()[-2000:]}")


def finish(jobs: Sequence[Future[None]]) -> None:
    """Waits for all jobs. After an error or an interrupt it cancels those not yet begun and waits for the rest."""
    try:
        for job in jobs:
            job.result()
    except BaseException:
        for job in jobs:
            job.cancel()
        wait(jobs)
        raise


def core_sources(target: Target) -> list[Path]:
    kernels = sorted((CSRC / "src" / "kernels").glob("*.c"))
    if target.portable_only:
        kernels = [path for path in kernels if path.name in ("portable.c", "scalar.c", "select.c", "sequence.c")]
    return sorted((CSRC / "src").glob("*.c")) + kernels


def other_sources(target: Target) -> list[Path]:
    application = [*APPLICATION, APP / f"{target.application}.c"]
    application += BESIDE.get(target.application, [])
    return [*sorted((CSRC / "golden").glob("*.c")), *application, *runtime_sources(target)]


def _includes(target: Target) -> list[Path]:
    folders = [CSRC / "include", CSRC / "src", CSRC / "src" / "kernels", CSRC / "golden", APP, NODE]
    return folders + runtime_includes(target)


def _fuse(path: Path) -> None:
    """Fuses every a * b + c that the front end marks as contractible, in LLVM's intermediate code."""
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("llvm.fmuladd.f32", "llvm.fma.f32"), encoding="utf-8")


def _compile(target: Target, source: Path, level: str, out: Path, image: Path) -> None:
    if source.suffix == ".S":
        for command in assemble(target, [f'-DAETHER_VECTORS="{image}"'], str(source), str(out)):
            call(command)
        return
    contraction = ["-ffp-contract=on", "-DAETHER_CONTRACT_H"] if target.fused else []  # leaves contract.h empty
    includes = [f"-I{folder}" for folder in _includes(target)]
    chip = [f'-DAETHER_CHIP="{target.name}"'] if source.name == "bare.c" else []
    options = [*flags(target), level, *includes, *own_flags(target, source), *chip, *contraction]
    for step, command in enumerate(compile_c(target, options, str(source), str(out), level)):
        call(command)
        if step == 0 and target.fused:
            _fuse(Path(f"{out}.ll"))


class Builder:
    """Builds in the folder `work`, `jobs` compilers at a time. Objects that images share are compiled once."""

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
                raise BuildError(f"{target.name}: expected sources of different names, found {source.stem} twice")
            objects.append(out)
            if out not in self.done:
                jobs.append(self.pool.submit(_compile, target, source, level, out, data))
        finish(jobs)
        self.done.update(objects)
        return objects

    def build(self, target: Target, level: str, control: str = "") -> Image:
        """The image of a target at a level. control: name of a control, whose core is built apart; "" for none."""
        folder = self.work / target.name
        changed = level + (f".{control}" if target.core_flags or target.fused else "")
        with_core_flags = replace(target, flags=target.flags + target.core_flags)
        core = self._objects(with_core_flags, core_sources(target), level, folder / changed)
        plain = replace(target, fused=False)
        others = self._objects(plain, [*other_sources(target), VECTORS], OTHERS, folder / "others")
        path = folder / f"{target.application.removesuffix('_main')}{changed}{'.' + control if control else ''}.image"
        call(link(target, [str(each) for each in [*others, *core]], str(path)))
        return Image(path, sum((measure(each) for each in core), Sizes()), measure(path))


WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wdouble-promotion", "-Wshadow", "-Wstrict-prototypes", "-Wvla"]
CONTRACT = ["-std=c99", "-Werror", "-ffp-contract=off"]
RUNTIME = ROOT / "firmware" / "runtime"

Command = list[str]


def flags(target: Target) -> list[str]:
    """Options for every C file, without its level of optimisation."""
    chosen = [*CONTRACT, *WARNINGS]
    if target.portable_only:
        chosen.append("-DAETHER_PORTABLE_ONLY")
    if not target.hosted:
        chosen.append("-ffreestanding")
    return chosen + target.flags


def own_flags(target: Target, source: Path) -> list[str]:
    """Options for this C file alone, to follow `flags`."""
    chosen = []
    if source.name == "bare.c":
        chosen.append(f'-DAETHER_CHIP="{target.name}"')
    if source == RUNTIME / "memory.c":
        chosen.append("-fno-builtin")  # else its loops become calls to themselves
        if target.recipe == "gcc":
            chosen.append("-fno-tree-loop-distribute-patterns")
    if source.parent == target.folder and target.recipe == "gcc":
        chosen.append("-std=gnu99")  # inline assembly
    return chosen


def runtime_sources(target: Target) -> list[Path]:
    """Start code, and the replacements of C library functions."""
    if target.helpers:
        runtime = sorted(RUNTIME.glob("*.c"))
    else:
        runtime = [] if target.hosted else [RUNTIME / "memory.c", RUNTIME / "stack.c"]
    return [*runtime, *(target.folder / name for name in target.sources)]


def runtime_includes(target: Target) -> list[Path]:
    return [RUNTIME] if target.hosted else [RUNTIME, RUNTIME / "include"]


def compiler(target: Target) -> Command:
    """The C compiler with the options that select the target."""
    return {
        "gcc": [target.compiler],
        "llvm-wasm": ["clang-22", "--target=wasm32"],
        "llvm-xtensa": ["clang-22", "--target=xtensa"],
    }[target.recipe]


def _assemble(source: str, out: str) -> Command:
    return ["llvm-mc-22", "-arch=xtensa", "-mcpu=esp32", "-filetype=obj", source, "-o", out]


def compile_c(target: Target, options: list[str], source: str, out: str, level: str) -> list[Command]:
    """Commands from a C file to an object. Of several, the first writes `out`.ll."""
    if target.recipe != "llvm-xtensa":
        return [[*compiler(target), *options, "-c", source, "-o", out]]
    # Clang, llc to assembly, llvm-mc to an object: llc's own object writer fails on some functions.
    speed = "-O3" if level == "-O3" else "-O2"  # llc has no -Os: it follows the attributes of the functions
    return [
        [*compiler(target), *options, "-S", "-emit-llvm", source, "-o", f"{out}.ll"],
        ["llc-22", *target.backend, speed, f"{out}.ll", "-o", f"{out}.s"],
        _assemble(f"{out}.s", out),
    ]


def assemble(target: Target, options: list[str], source: str, out: str) -> list[Command]:
    """Commands from an assembly file with preprocessor directives to an object."""
    if target.recipe != "llvm-xtensa":
        return [[*compiler(target), *target.flags, *target.assembler_flags, *options, "-c", source, "-o", out]]
    return [[*compiler(target), "-E", "-P", *options, source, "-o", f"{out}.s"], _assemble(f"{out}.s", out)]


def link(target: Target, files: list[str], out: str) -> Command:
    """The command from objects and archives to an image."""
    script = target.folder / "link.ld"
    placed = ["-T", str(script)] if script.exists() else []
    if target.recipe == "llvm-wasm":
        exports = ["--export=__stack_low", "--export=__stack_high"]
        return ["wasm-ld-22", "--no-entry", "-z", "stack-size=16384", *exports, *files, "-o", out]
    if target.recipe == "llvm-xtensa":
        tidy = ["--no-warn-rwx-segments", "--no-relax", "-z", "noexecstack"]
        return ["xtensa-lx106-elf-ld", *tidy, *placed, *files, "-o", out]
    if target.hosted:
        return [target.compiler, *files, "-o", out]
    machine = [flag for flag in target.flags if flag.startswith("-m")]  # they choose the libgcc
    options = ["-nostdlib", "-static", "-Wl,--build-id=none", "-Wl,--no-warn-rwx-segments", *placed, *target.link]
    return [target.compiler, *machine, *options, *files, "-o", out, *target.libraries]
