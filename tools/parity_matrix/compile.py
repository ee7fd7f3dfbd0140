"""What compiles a file and links an image for a target, as commands: for the parity matrix and for PlatformIO."""

from __future__ import annotations

from pathlib import Path

from .targets import ROOT, Target

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wdouble-promotion", "-Wshadow", "-Wstrict-prototypes", "-Wvla"]
CONTRACT = ["-std=c99", "-Werror", "-ffp-contract=off"]
RUNTIME = ROOT / "firmware" / "runtime"

Command = list[str]


def flags(target: Target) -> list[str]:
    """For every C file, whatever its level of optimisation."""
    chosen = [*CONTRACT, *WARNINGS]
    if target.portable_only:
        chosen.append("-DAETHER_PORTABLE_ONLY")
    if not target.hosted:
        chosen.append("-ffreestanding")
    return chosen + target.flags


def own_flags(target: Target, source: Path) -> list[str]:
    """For this C file, behind those."""
    chosen = []
    if source.name == "bare.c":
        chosen.append(f'-DAETHER_CHIP="{target.name}"')
    if source == RUNTIME / "memory.c":
        chosen.append("-fno-builtin")  # or its loops become calls of themselves
        if target.recipe == "gcc":
            chosen.append("-fno-tree-loop-distribute-patterns")
    if source.parent == target.folder and target.recipe == "gcc":
        chosen.append("-std=gnu99")  # inline assembly
    return chosen


def runtime_sources(target: Target) -> list[Path]:
    """Beside the application: start code, and what there is no C library for."""
    if target.helpers:
        runtime = sorted(RUNTIME.glob("*.c"))
    else:
        runtime = [] if target.hosted else [RUNTIME / "memory.c", RUNTIME / "stack.c"]
    return [*runtime, *(target.folder / name for name in target.sources)]


def runtime_includes(target: Target) -> list[Path]:
    return [RUNTIME] if target.hosted else [RUNTIME, RUNTIME / "include"]


def compiler(target: Target) -> Command:
    """The C compiler as a command: itself, and what makes it one for the target."""
    return {
        "gcc": [target.compiler],
        "llvm-wasm": ["clang-22", "--target=wasm32"],
        "llvm-xtensa": ["clang-22", "--target=xtensa"],
    }[target.recipe]


def _assemble(source: str, out: str) -> Command:
    return ["llvm-mc-22", "-arch=xtensa", "-mcpu=esp32", "-filetype=obj", source, "-o", out]


def compile_c(target: Target, options: list[str], source: str, out: str, level: str) -> list[Command]:
    """One C file to an object, step by step, by way of files beside it (of several steps, the first makes `out`.ll)."""
    if target.recipe != "llvm-xtensa":
        return [[*compiler(target), *options, "-c", source, "-o", out]]
    # Clang, llc to assembly, llvm-mc to an object: llc's own object writer fails on some functions.
    speed = "-O3" if level == "-O3" else "-O2"  # llc knows no -Os: it obeys the functions' own attributes
    return [
        [*compiler(target), *options, "-S", "-emit-llvm", source, "-o", f"{out}.ll"],
        ["llc-22", *target.backend, speed, f"{out}.ll", "-o", f"{out}.s"],
        _assemble(f"{out}.s", out),
    ]


def assemble(target: Target, options: list[str], source: str, out: str) -> list[Command]:
    """One assembly file with directives of the preprocessor to an object, step by step."""
    if target.recipe != "llvm-xtensa":
        return [[*compiler(target), *target.flags, *target.assembler_flags, *options, "-c", source, "-o", out]]
    return [[*compiler(target), "-E", "-P", *options, source, "-o", f"{out}.s"], _assemble(f"{out}.s", out)]


def link(target: Target, files: list[str], out: str) -> Command:
    """Objects and archives to an image."""
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
