#!/usr/bin/env python3
"""Checks the compiled core against what the documentation promises: `tools/core_audit.py [COMPILER ...]`
(gcc 10 or newer; default: gcc).

- It needs no external symbol but memcpy, memmove, memset and memcmp: no libm, no allocation.
- It has no writable data.
- Every global symbol begins with `aether_`.
- No function is recursive, every frame is bounded, and the deepest stack stays below a limit.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = {"memcpy", "memmove", "memset", "memcmp"}
STACK_LIMIT = {"portable": 4096, "variants": 16384}
FLAGS = ["-std=c99", "-O2", "-ffp-contract=off", "-ffreestanding", "-fno-pic", "-fno-pie", "-fno-stack-protector"]
NODE = re.compile(r'node: \{ title: "([^"]+)" label: "([^"]*)"')
EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')
FRAME = re.compile(r"(\d+) bytes \(([a-z,]+)\)")
INDIRECT = "__indirect_call"
STEP_KERNELS = {"portable.c", "scalar.c", "sse2.c", "avx2.c", "avx512.c", "neon.c"}
KERNELS = {*STEP_KERNELS, "sequence.c"}
TABLES = {  # units whose calls through pointers do not go to any kernel
    "sequence.c": STEP_KERNELS,  # forward_rows, one query at a time
    "model_pass.c": {"model_forward.c", "stream.c"},  # the attention of a pass
}


@dataclass
class Graph:
    """The call graph, with the frame size of each function."""

    frames: dict[str, int] = field(default_factory=dict)
    calls: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    unbounded: list[str] = field(default_factory=list)

    def read(self, text: str, unit: str) -> None:
        """Adds a translation unit. Static functions are prefixed with its name."""

        def key(title: str) -> str:
            return f"{unit}:{title.rsplit(':', 1)[-1]}" if ":" in title else title

        for title, label in NODE.findall(text):
            if frame := FRAME.search(label):
                self.frames[key(title)] = int(frame[1])
                if "dynamic" in frame[2] and "bounded" not in frame[2]:
                    self.unbounded.append(f"{key(title)} ({frame[2]})")
        for source, target in EDGE.findall(text):
            to = f"{unit}:{INDIRECT}" if target == INDIRECT else key(target)
            self.calls[key(source)].add(to)
            self.calls[to].update()

    def resolve_indirect(self) -> None:
        """A call through a pointer may reach every static function that nobody calls by name, of the units that TABLES
        names for the caller's unit."""
        called = {target for targets in self.calls.values() for target in targets}
        uncalled = {name for name in self.frames if ":" in name and name not in called}
        for caller in [name for name in self.calls if name.endswith(INDIRECT)]:
            reached = TABLES.get(caller.partition(":")[0], KERNELS)
            self.calls[caller] = {name for name in uncalled if name.partition(":")[0] in reached}
            self.frames[caller] = 0

    def deepest(self) -> tuple[int, list[str]]:
        """Bytes and path of the deepest stack. RecursionError if a function can reach itself."""
        known: dict[str, tuple[int, list[str]]] = {}

        def visit(name: str, path: tuple[str, ...]) -> tuple[int, list[str]]:
            if name in path:
                raise RecursionError(" -> ".join([*path[path.index(name) :], name]))
            if name not in known:
                below = max((visit(target, (*path, name)) for target in self.calls[name]), default=(0, []))
                known[name] = (self.frames.get(name, 0) + below[0], [name, *below[1]])
            return known[name]

        return max(visit(name, ()) for name in list(self.frames))


def symbols(objects: list[Path]) -> tuple[set[str], set[str], set[str]]:
    """Global definitions, undefined names, and writable definitions."""
    defined, undefined, writable = set(), set(), set()
    for line in run(["nm", *map(str, objects)]).splitlines():
        parts = line.split()
        if len(parts) < 2 or line.endswith(":"):
            continue
        kind, name = parts[-2], parts[-1]
        if kind == "U":
            undefined.add(name)
        elif kind in "DdBbCSsGg":
            writable.add(name)
        if kind.isupper() and kind != "U":
            defined.add(name)
    return defined, undefined - defined, writable


def run(command: list[str]) -> str:
    """The command's output. A failure ends the audit."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        sys.exit(f"core_audit: expected a program {command[0]!r}, found none")
    except subprocess.CalledProcessError as error:
        output = error.stderr.strip()[-2000:]
        sys.exit(f"core_audit: {' '.join(command)[:200]}: exit status {error.returncode}\n{output}")


def audit(compiler: str, part: str) -> list[str]:
    """The broken promises of the core compiled with this compiler. part: "portable" or "variants"."""
    flags = [*FLAGS, "-fcallgraph-info=su", "-I", str(ROOT / "csrc/include"), "-I", str(ROOT / "csrc/src")]
    if part == "portable":
        flags.append("-DAETHER_PORTABLE_ONLY")
    machine = run([compiler, "-dumpmachine"])
    if not machine.startswith("x86_64"):  # there the compiler's own intrinsics ask for a C library's headers
        flags += ["-nostdinc", "-isystem", run([compiler, "-print-file-name=include"]).strip()]
    graph, objects = Graph(), []
    with tempfile.TemporaryDirectory() as folder:
        for source in sorted((ROOT / "csrc/src").rglob("*.c")):
            target = Path(folder) / f"{source.stem}.o"
            run([compiler, *flags, "-c", str(source), "-o", str(target)])
            objects.append(target)
            graph.read(target.with_suffix(".ci").read_text(), source.name)
        defined, undefined, writable = symbols(objects)
        sizes = run(["size", "-t", *map(str, objects)]).splitlines()[-1].split()
    wrong = [f"needs {name}" for name in sorted(undefined - OUTSIDE)]
    wrong += [f"writable data: {name}" for name in sorted(writable)]
    wrong += [f"a symbol that does not begin with aether_: {name}" for name in sorted(defined) if name[:7] != "aether_"]
    wrong += [f"frame without bound: {name}" for name in graph.unbounded]
    graph.resolve_indirect()
    try:
        depth, path = graph.deepest()
    except RecursionError as cycle:
        return [*wrong, f"recursion: {cycle}"]
    if depth > STACK_LIMIT[part]:
        wrong.append(f"stack: {depth} bytes, at most {STACK_LIMIT[part]} expected")
    print(f"{compiler}, {part}: text {sizes[0]}, data {sizes[1]}, bss {sizes[2]}, deepest stack {depth} bytes:")
    print("  " + " > ".join(path))
    return wrong


if __name__ == "__main__":
    failed = False
    for chosen in sys.argv[1:] or ["gcc"]:
        for kind in STACK_LIMIT:
            for problem in audit(chosen, kind):
                print(f"{chosen}, {kind}: {problem}", file=sys.stderr)
                failed = True
    sys.exit(failed)
