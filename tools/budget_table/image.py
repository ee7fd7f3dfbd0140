"""The budget application as an image for one target, and what of the core is in it."""

from __future__ import annotations

import re
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from parity_matrix import build as recipes
from parity_matrix.build import CSRC, call, core_sources, finish
from parity_matrix.targets import ROOT, Target

from aether_temporal.cache_types import CACHE_DTYPES

from .cases import Case

HERE = Path(__file__).resolve().parent
SELF_TEST = ROOT / "firmware" / "components" / "ruv_temporal" / "src" / "self_test_vectors.c"  # what a node runs
ARM = 40  # e_machine: the lowest bit of a function's address says Thumb
SECTION = re.compile(r"^ (\.\S+)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Function:
    address: int
    size: int
    name: str


@dataclass(frozen=True)
class Image:
    path: Path
    functions: list[Function]  # ascending
    code: int  # bytes of the core that are linked: instructions with their literals
    constants: int  # and read-only data


def functions_of(path: Path) -> list[Function]:
    """Every symbol in executable sections of a 32-bit ELF file; one without a size reaches to the next."""
    data = path.read_bytes()
    (machine,) = struct.unpack_from("<H", data, 18)
    table, size, count = struct.unpack_from("<I10xHH", data, 32)
    sections = [struct.unpack_from("<10I", data, table + i * size) for i in range(count)]
    found: dict[int, tuple[int, str]] = {}
    ends: dict[int, int] = {}
    for section in sections:
        if section[1] != 2:  # SHT_SYMTAB
            continue
        names = sections[section[6]][4]
        for at in range(section[4], section[4] + section[5], 16):
            name_at, value, length, info, _, index = struct.unpack_from("<IIIBBH", data, at)
            if not 0 < index < count or not sections[index][2] & 4 or info & 15 > 2:  # SHF_EXECINSTR; no names of files
                continue
            value &= ~1 if machine == ARM and info & 15 == 2 else ~0  # STT_FUNC
            name = data[names + name_at : data.index(b"\0", names + name_at)].decode()
            if name and not name.startswith((".L", "$")) and (value not in found or found[value][0] < length):
                found[value] = (length, name)
                ends[value] = sections[index][3] + sections[index][5]
    starts = sorted(found)
    following = [*starts[1:], 0]
    return [
        Function(start, found[start][0] or min(after or ends[start], ends[start]) - start, found[start][1])
        for start, after in zip(starts, following, strict=True)
    ]


def _data(cases: list[Case], folder: Path) -> Path:
    """The blobs and the table of app.c in assembly."""
    lines = ['    .section .rodata.budget,"a"']
    table = ["    .p2align 2", "    .globl budget_cases", "budget_cases:"]
    for i, case in enumerate(cases):
        data = {"blob": case.blob.serialize(), "saved": case.saved}
        for name, content in data.items():
            file = folder / f"case{i}.{name}"
            file.write_bytes(content)
            lines += ["    .p2align 4", f"budget_{name}{i}:", f'    .incbin "{file}"']
        words = [*(f"budget_{name}{i}" for name in data), *map(len, data.values())]
        words += [case.context, CACHE_DTYPES.index(case.dtype), case.pushes]
        table.append(f"    .long {', '.join(map(str, words))}")
    path = folder / "data.S"
    path.write_text("\n".join([*lines, *table, "    .long 0, 0, 0, 0, 0, 0, 0"]) + "\n", encoding="utf-8")
    return path


def _compile(target: Target, source: Path, level: str, more: list[str], out: Path) -> None:
    if source.suffix == ".S":
        for command in recipes.assemble(target, [], str(source), str(out)):
            call(command)
        return
    folders = [CSRC / "include", CSRC / "src", CSRC / "src" / "kernels", CSRC / "golden", HERE, SELF_TEST.parent]
    includes = [f"-I{folder}" for folder in [*folders, *recipes.runtime_includes(target)]]
    options = [*recipes.flags(target), level, *includes, *recipes.own_flags(target, source)]
    options += ["-ffunction-sections", "-fdata-sections", *more]
    for command in recipes.compile_c(target, options, str(source), str(out), level):
        call([*command, "-function-sections", "-data-sections"] if command[0].startswith("llc") else command)


def _link(target: Target, core: dict[Path, Path], others: list[Path], path: Path) -> Image:
    """What nobody calls is left out."""
    listing = path.with_suffix(".map")
    through = "" if target.recipe == "llvm-xtensa" else "-Wl,"
    files = [*map(str, [*core, *others]), f"{through}--gc-sections", f"{through}-Map={listing}"]
    call(recipes.link(target, files, str(path)))
    code = constants = 0
    text = listing.read_text(encoding="utf-8").partition("Linker script")[2]
    text = re.sub(r"^( \.\S+)\n\s+", r"\1 ", text, flags=re.MULTILINE)  # a long name stands in a line of its own
    for name, address, size, where in SECTION.findall(text):
        if Path(where) not in core or int(address, 16) == 0:
            continue
        if name.startswith(".rodata"):
            constants += int(size, 16)
        elif name.startswith((".text", ".literal")):
            code += int(size, 16)
    return Image(path, functions_of(path), code, constants)


@dataclass(frozen=True)
class Images:
    """The core in three programs: one runs models, one the same without the pyramid, one models and the self-test."""

    head: Image
    without_pyramid: Image
    self_test: Image


def build(target: Target, level: str, cases: list[Case], folder: Path, jobs: int) -> Images:
    """The core at `level`, all else at -O2. BuildError."""
    folder.mkdir(parents=True, exist_ok=True)
    core = {folder / f"core-{source.stem}.o": source for source in core_sources(target)}
    without = {folder / f"without-{out.name}": source for out, source in core.items()}
    shared = {
        folder / f"{source.parent.name}-{source.stem}.o": source
        for source in [*recipes.runtime_sources(target), _data(cases, folder)]
    }
    tests = {folder / f"test-{source.stem}.o": source for source in [*sorted((CSRC / "golden").glob("*.c")), SELF_TEST]}
    plain, testing = folder / "app.o", folder / "app-self-test.o"
    with ThreadPoolExecutor(jobs) as pool:
        work = [pool.submit(_compile, target, source, level, [], out) for out, source in core.items()]
        work += [
            pool.submit(_compile, target, source, level, ["-DAETHER_REFERENCE_ONLY"], out)
            for out, source in without.items()
        ]
        work += [pool.submit(_compile, target, source, "-O2", [], out) for out, source in {**shared, **tests}.items()]
        work += [
            pool.submit(_compile, target, HERE / "app.c", "-O2", ["-std=gnu99", *more], out)
            for out, more in ((plain, []), (testing, ["-DBUDGET_SELF_TEST"]))
        ]
        finish(work)
    return Images(
        _link(target, core, [*shared, plain], folder / "head.elf"),
        _link(target, without, [*shared, plain], folder / "without.elf"),
        _link(target, core, [*shared, *tests, testing], folder / "self-test.elf"),
    )
