"""Reads firmware/targets/targets.toml."""

from __future__ import annotations

import platform
import shutil
import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
TARGETS = ROOT / "firmware" / "targets" / "targets.toml"
LEVELS = ("-O2", "-O3", "-Os")
EXPECTATIONS = ("mismatch", "trap", "rejected", "one-case")
VECTORS = ("whole", "flipped", "flipped-under-crc")

PACKAGES = {
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf",
    "xtensa-lx106-elf-gcc": "gcc-xtensa-lx106",
    "xtensa-lx106-elf-ld": "binutils-xtensa-lx106",
    "clang-22": "clang-22",
    "llc-22": "llvm-22",
    "llvm-mc-22": "llvm-22",
    "wasm-ld-22": "lld-22",
    "qemu-system-arm": "qemu-system-arm",
    "qemu-system-riscv32": "qemu-system-misc",
    "qemu-system-xtensa": "qemu-system-misc",
    "qemu-aarch64": "qemu-user",
    "node": "nodejs",
    "gcc": "gcc",
}


@dataclass(frozen=True)
class Control:
    """A changed build or machine on which the vectors must fail."""

    name: str
    what: str
    expect: str
    flags: list[str] = field(default_factory=list)
    sources: list[str] | None = None
    fused: bool = False
    emulator: list[str] | None = None
    vectors: str = "whole"


@dataclass(frozen=True)
class Target:
    name: str
    folder: Path
    processor: str
    stands_for: str
    recipe: str
    emulator: list[str]
    sources: list[str]
    flags: list[str] = field(default_factory=list)
    compiler: str = "clang-22"
    assembler_flags: list[str] = field(default_factory=list)
    backend: list[str] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)
    link: list[str] = field(default_factory=list)
    portable_only: bool = True
    hosted: bool = False  # with a C library
    helpers: bool = False  # firmware/runtime defines the functions that the compiler calls
    serial: bool = False  # the board has platform_read: the emulator's `-serial stdio` works in both directions
    machine: str = ""
    application: str = "parity_main"  # a file of firmware/app; serial_main takes commands, as a board does
    core_flags: list[str] = field(default_factory=list)  # options of the core alone, in a control
    fused: bool = False
    vectors: str = "whole"
    control: list[Control] = field(default_factory=list)

    def programs(self) -> list[str]:
        """The programs that build and run it."""
        tools = {
            "gcc": [self.compiler],
            "llvm-xtensa": ["clang-22", "llc-22", "llvm-mc-22", "xtensa-lx106-elf-ld"],
            "llvm-wasm": ["clang-22", "wasm-ld-22"],
        }[self.recipe]
        return tools if self.emulator[0] == "{image}" else [*tools, self.emulator[0]]

    def missing(self) -> list[str]:
        """What this computer lacks to build and run it; empty if nothing."""
        reasons = [
            f"{program} (package {PACKAGES.get(program, 'unknown')})"
            for program in self.programs()
            if shutil.which(program) is None
        ]
        if self.machine and platform.machine() != self.machine:
            reasons.append(f"a computer with {self.machine}")
        return reasons

    def under(self, control: Control) -> Target:
        """The target with a control's changes."""
        return replace(
            self,
            core_flags=control.flags,
            sources=control.sources if control.sources is not None else self.sources,
            emulator=control.emulator if control.emulator is not None else self.emulator,
            fused=control.fused,
            vectors=control.vectors,
        )


def _checked(kind: type, values: dict[str, Any], where: str) -> dict[str, Any]:
    known = {f.name for f in fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"{where}: expected keys of {kind.__name__}, found {', '.join(unknown)}")
    return values


def _target(name: str, values: dict[str, Any], path: Path) -> Target:
    where = f"{path}: {name}"
    controls = [Control(**_checked(Control, control, where)) for control in values.pop("control", [])]
    for control in controls:
        if control.expect not in EXPECTATIONS or control.vectors not in VECTORS:
            raise ValueError(f"{where}: control {control.name}: expect {control.expect}, vectors {control.vectors}")
    named = {**values, "name": name, "folder": path.parent / values.get("folder", ""), "control": controls}
    return Target(**_checked(Target, named, where))


def load(path: Path) -> list[Target]:
    """Reads a file with one table per target. ValueError: an unknown key or value."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    return [_target(name, values, path) for name, values in tables.items()]


def all_targets() -> list[Target]:
    """All targets, in the order of the file."""
    return load(TARGETS)
