"""The commands that compile a file and link an image for a target, for the parity matrix and for PlatformIO."""

from __future__ import annotations

from pathlib import Path

from .targets import ROOT, Target

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
