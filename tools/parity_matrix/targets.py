"""What the target files say."""

from __future__ import annotations

import platform
import shutil
import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
TARGETS = ROOT / "firmware" / "targets"
LEVELS = ("-O2", "-O3", "-Os")
EXPECTATIONS = ("mismatch", "trap", "refused", "one-case")
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
    """A build or a machine on which the vectors must fail."""

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
    helpers: bool = False  # what the compiler calls comes from firmware/runtime
    serial: bool = False  # the board has platform_read: `-serial stdio` of the emulator goes both ways
    machine: str = ""
    application: str = "parity_main"  # of firmware/app; serial_main: as a board does it
    core_flags: list[str] = field(default_factory=list)  # of a control
    fused: bool = False
    vectors: str = "whole"
    control: list[Control] = field(default_factory=list)

    def programs(self) -> list[str]:
        """What has to be installed to build and run it."""
        tools = {
            "gcc": [self.compiler],
            "llvm-xtensa": ["clang-22", "llc-22", "llvm-mc-22", "xtensa-lx106-elf-ld"],
            "llvm-wasm": ["clang-22", "wasm-ld-22"],
        }[self.recipe]
        return tools if self.emulator[0] == "{image}" else [*tools, self.emulator[0]]

    def missing(self) -> list[str]:
        """What keeps this computer from it, in words; empty when nothing does."""
        reasons = [
            f"{program} (package {PACKAGES.get(program, 'unknown')})"
            for program in self.programs()
            if shutil.which(program) is None
        ]
        if self.machine and platform.machine() != self.machine:
            reasons.append(f"a computer with {self.machine}")
        return reasons

    def under(self, control: Control) -> Target:
        """The target as a control changes it."""
        return replace(
            self,
            core_flags=control.flags,
            sources=control.sources if control.sources is not None else self.sources,
            emulator=control.emulator if control.emulator is not None else self.emulator,
            fused=control.fused,
            vectors=control.vectors,
        )


def _checked(kind: type, values: dict[str, Any], path: Path) -> dict[str, Any]:
    known = {f.name for f in fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"{path}: unknown {', '.join(unknown)}")
    return values


def load(path: Path) -> Target:
    """One target file."""
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    controls = [Control(**_checked(Control, control, path)) for control in values.pop("control", [])]
    for control in controls:
        if control.expect not in EXPECTATIONS or control.vectors not in VECTORS:
            raise ValueError(f"{path}: control {control.name}: expect {control.expect}, vectors {control.vectors}")
    named = {**values, "name": path.stem, "folder": path.parent, "control": controls}
    return Target(**_checked(Target, named, path))


def all_targets() -> list[Target]:
    """Every target file, by family and name."""
    return [load(path) for path in sorted(TARGETS.glob("*/*.toml"))]
