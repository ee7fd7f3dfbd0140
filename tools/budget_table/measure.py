"""Runs an image under QEMU with the counting plugin and gives the numbers names."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from parity_matrix.build import call
from parity_matrix.targets import Target

from .cases import CASES, POINTER_BYTES, Case
from .image import HERE, Image, Images, build

LEVELS = ("-Os", "-O2")
SECONDS = 1800
"""Far beyond what a loaded machine takes: only what hangs is stopped."""
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
    """One level of optimisation: what was linked, and what the image with the self-test did."""

    level: str
    images: Images
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
        images = build(target, level, CASES, folder, jobs)
        results.append(Result(level, images, *measure(target, images.self_test, CASES, counter, folder)))
    return results
