"""Builds the budget application for a target, counts it under QEMU with a plugin and gives the numbers names."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from parity_matrix import build as recipes
from parity_matrix.build import CSRC, call, core_sources, finish
from parity_matrix.targets import ROOT, Target

from aether_temporal.cache_types import CACHE_DTYPES

from .cases import CASES, POINTER_BYTES, Case

LEVELS = ("-Os", "-O2")
SECONDS = 300
APPLICATION = re.compile(r"budget_|firmware_main|run_|stack_clear|stack_depth|top_of_stack")


class MeasureError(RuntimeError):
    """The image did not do what it should; the message says what."""


@dataclass
class Measured:
    """One model: instructions of each call, bytes."""

    case: Case
    open: int
    init: int
    reading: int
    refill: int  # the pushes that fill the ring
    mean: int  # of a push into a full ring
    worst: int
    functions: dict[str, int]  # of a mean push, most first
    stack_open: int
    stack_push: int
    flash: int
    ram: int
    state: int

    @property
    def multiply_adds(self) -> int:
        return self.case.model.memory(self.case.context, self.case.dtype, pointer_bytes=POINTER_BYTES).multiply_adds


@dataclass
class SelfTest:
    instructions: int
    stack: int
    scratch: int
    cases: int


@dataclass
class Result:
    """One level of optimisation: the image of the head alone, the one with the self-test, and what they did."""

    level: str
    head: Image
    image: Image
    models: list[Measured]
    self_test: SelfTest


def missing(target: Target) -> list[str]:
    """What keeps this computer from measuring, in words."""
    return [*target.missing(), *([] if shutil.which("gcc") else ["gcc (package gcc), for the plugin"])]


def plugin(folder: Path) -> Path:
    """count.c as a shared library for this computer."""
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "count.so"
    call(
        [
            "gcc",
            "-std=c11",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-shared",
            "-fPIC",
            str(HERE / "count.c"),
            "-o",
            str(out),
        ]
    )
    return out


def _run(target: Target, image: Image, counter: Path, folder: Path) -> tuple[list[tuple[str, int]], list[Counter[str]]]:
    """The lines the application printed, and what was executed between each pair of marks, by function."""
    table, out = folder / "functions.txt", folder / "counts.txt"
    table.write_text("".join(f"{f.address:x} {f.size:x} {f.name}\n" for f in image.functions), encoding="ascii")
    options = f"functions={table},begin=budget_begin,end=budget_end,out={out}"
    command = [part.format(image=image.path, folder=target.folder) for part in target.emulator]
    try:
        done = subprocess.run(
            [*command, "-plugin", f"{counter},{options}"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        raise MeasureError(f"{image.path}: no end after {SECONDS} s") from late
    lines = [(key, int(value, 16)) for key, value in (line.split() for line in done.stdout.splitlines())]
    if done.returncode != 0 or not lines or lines[-1] != ("status", 0):
        raise MeasureError(f"{image.path}: exit code {done.returncode}, {lines[-1:]} {done.stderr.strip()[-300:]}")
    names = [*(f.name for f in image.functions), "?"]
    counts = []
    for row in out.read_text(encoding="ascii").splitlines():
        kind, *pairs = row.split()
        if kind == "end":
            counted: Counter[str] = Counter()
            for number, count in (pair.split(":") for pair in pairs):
                counted[names[int(number)]] += int(count)
            counts.append(counted)
    return lines, counts


def _without_application(counts: Counter[str]) -> Counter[str]:
    return Counter({name: count for name, count in counts.items() if not APPLICATION.match(name)})


class Said:
    """The application's lines, in the order in which it must print them."""

    def __init__(self, lines: list[tuple[str, int]]) -> None:
        self.lines = iter(lines)

    def value(self, key: str) -> int:
        """The next line's number. MeasureError when it is another line."""
        found, number = next(self.lines, ("", 0))
        if found != key:
            raise MeasureError(f"expected a line {key}, found {found!r}")
        return number


def _model(case: Case, said: Said, segments: Iterator[Counter[str]]) -> Measured:
    opened, stack_open = next(segments).total(), said.value("stack")
    flash, ram, state = said.value("flash"), said.value("ram"), said.value("state")
    init = next(segments).total()
    pushes = [next(segments) for _ in range(case.pushes)]
    stack_push, reading, used = said.value("stack"), next(segments).total(), said.value("used")
    crc = said.value("crc")
    if crc != case.crc():
        raise MeasureError(f"{case.name}: the logits have the CRC {crc:08X}, on this computer {case.crc():08X}")
    told = case.model.memory(case.context, case.dtype, pointer_bytes=POINTER_BYTES)
    for what, found, wanted in (
        ("flash", flash, told.flash),
        ("ram", ram, told.ram),
        ("state", state, told.state),
        ("memory used", used, told.ram),
    ):
        if found != wanted:
            raise MeasureError(f"{case.name}: {what} is {found} bytes, model.memory() says {wanted}")
    totals = [push.total() for push in pushes]
    steady = totals[case.fill :]
    by_function = sum(pushes[case.fill :], Counter[str]()).most_common()
    return Measured(
        case,
        open=opened,
        init=init,
        reading=reading,
        refill=sum(totals[: case.fill]),
        mean=round(sum(steady) / case.steady),
        worst=max(steady),
        functions={name: round(count / case.steady) for name, count in by_function},
        stack_open=stack_open,
        stack_push=stack_push,
        flash=flash,
        ram=ram,
        state=state,
    )


def measure(
    target: Target, image: Image, cases: list[Case], counter: Path, folder: Path
) -> tuple[list[Measured], SelfTest]:
    """Every case, and the self-test. MeasureError: also for another logit than the computer's, or other memory."""
    lines, counts = _run(target, image, counter, folder)
    said, segments = Said(lines), iter([_without_application(c) for c in counts])
    next(segments, None)  # the marks themselves
    try:
        models = [_model(case, said, segments) for case in cases]
    except StopIteration:
        raise MeasureError(f"{image.path}: fewer calls were counted than were made") from None
    scratch, stack = said.value("scratch"), said.value("stack")
    n, failed = said.value("cases"), said.value("failed")
    if failed or not n:
        raise MeasureError(f"the self-test failed in {failed} of {n} cases")
    return models, SelfTest(next(segments).total(), stack, scratch, n)


def measure_all(target: Target, levels: list[str], work: Path, jobs: int) -> list[Result]:
    """Every level. BuildError, MeasureError."""
    counter = plugin(work)
    results = []
    for level in levels:
        folder = work / f"{target.name}{level}"
        head, image = build(target, level, CASES, folder, jobs)
        results.append(Result(level, head, image, *measure(target, image, CASES, counter, folder)))
    return results


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
        blob = folder / f"case{i}.rvne"
        blob.write_bytes(case.blob.serialize())
        lines += ["    .p2align 4", f"budget_blob{i}:", f'    .incbin "{blob}"']
        words = [f"budget_blob{i}", blob.stat().st_size, case.context, CACHE_DTYPES.index(case.dtype), case.pushes]
        table.append(f"    .long {', '.join(map(str, words))}")
    path = folder / "data.S"
    path.write_text("\n".join([*lines, *table, "    .long 0, 0, 0, 0, 0"]) + "\n", encoding="utf-8")
    return path


def _compile(target: Target, source: Path, level: str, more: list[str], out: Path) -> None:
    if source.suffix == ".S":
        for command in recipes.assemble(target, [], str(source), str(out)):
            call(command)
        return
    folders = [CSRC / "include", CSRC / "src", CSRC / "src" / "kernels", CSRC / "golden", HERE, SELF_TEST.parent]
    includes = [f"-I{folder}" for folder in [*folders, *recipes.runtime_includes(target)]]
    options = [*recipes.flags(target), level, *includes, *recipes.own_flags(target, source), "-DAETHER_REFERENCE_ONLY"]
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


def build(target: Target, level: str, cases: list[Case], folder: Path, jobs: int) -> tuple[Image, Image]:
    """The core at `level`, all else at -O2: an image with the models alone, and one with the self-test. BuildError."""
    folder.mkdir(parents=True, exist_ok=True)
    core = {folder / f"core-{source.stem}.o": source for source in core_sources(target)}
    shared = {
        folder / f"{source.parent.name}-{source.stem}.o": source
        for source in [*recipes.runtime_sources(target), _data(cases, folder)]
    }
    tests = {folder / f"test-{source.stem}.o": source for source in [*sorted((CSRC / "golden").glob("*.c")), SELF_TEST]}
    plain, testing = folder / "app.o", folder / "app-self-test.o"
    with ThreadPoolExecutor(jobs) as pool:
        work = [pool.submit(_compile, target, source, level, [], out) for out, source in core.items()]
        work += [pool.submit(_compile, target, source, "-O2", [], out) for out, source in {**shared, **tests}.items()]
        work += [
            pool.submit(_compile, target, HERE / "app.c", "-O2", ["-std=gnu99", *more], out)
            for out, more in ((plain, []), (testing, ["-DBUDGET_SELF_TEST"]))
        ]
        finish(work)
    head = _link(target, core, [*shared, plain], folder / "head.elf")
    return head, _link(target, core, [*shared, *tests, testing], folder / "self-test.elf")
