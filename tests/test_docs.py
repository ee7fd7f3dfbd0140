"""The pages under docs/ do what they say: their Python and console blocks run, in order, one page a session.

`python` blocks are executed (with doctest when they hold `>>>`), `console` blocks run each line after `$ ` and compare
what it prints with the lines below, which tools/refresh_doc_outputs.py writes. Blocks that are not run are marked `sh`
or `text`. The README's console blocks are not run; its Python is.
"""

from __future__ import annotations

import doctest
import inspect
import json
import os
import pydoc
import re
import runpy
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from device.fake_chip import SLOT_A, SLOT_B, SLOT_BYTES, blank
from hang import HANG

from aether_temporal import AetherTemporalHead, TemporalModel
from aether_temporal.device.compare import host_run
from aether_temporal.device.slots import pack_slot

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]
FENCE = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
FLAGS = doctest.NORMALIZE_WHITESPACE
VARYING = re.compile(
    r"\d+(?:\.\d+)? ?(?:ns|µs|ms)\b|\d+(?:\.\d+)?(?= ?s\b)|(?<=port )\d+|\d+(?:\.\d+)?(?=% of it)"
    r"|\d\.\d+e-\d+|\d\d:\d\d:\d\d|\d+ packets"
)

MEASURED = re.compile(r"%|^ *predicted |\bof the largest")  # lines with the accuracy or predictions of a model


@dataclass(frozen=True)
class Block:
    """One fenced block; `line` is the page's line its text begins at."""

    kind: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """The runnable blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = [Block(m[1], m[2], text.count("\n", 0, m.start()) + 2) for m in FENCE.finditer(text)]
    return [block for block in found if block.kind == "python" or page.name != "README.md"]


def name(page: Path) -> str:
    """A page's path inside the project."""
    return page.relative_to(ROOT).as_posix()


def run_python(block: Block, page: Path, names: dict[str, Any]) -> None:
    """Execute a block in the page's namespace."""
    if ">>>" not in block.text:
        code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
        exec(code, names)
        return
    test = doctest.DocTestParser().get_doctest(block.text, names, name(page), str(page), block.line - 1)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    result = runner.run(test, out=said.append, clear_globs=False)
    names.update(test.globs)
    assert result.failed == 0, "".join(said)


def steps(block: Block) -> list[tuple[str, str]]:
    """Each command of a block, and the output that the page shows."""
    parts = [step.partition("\n") for step in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]]
    return [(command, expected) for command, _, expected in parts]


def printed(command: str, cwd: Path, where: str) -> str:
    """What a command prints; it must succeed."""
    programs = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "120",
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        command,
        shell=True,
        cwd=cwd,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=HANG,
    )
    assert done.returncode == 0, f"{where}\n{done.stdout}"
    return done.stdout


def comparable(line: str) -> list[str]:
    """The words of a line. What differs from run to run is left out: times, ports, rounding errors."""
    return VARYING.sub("#", line.replace("<BLANKLINE>", "")).split()


def lines(output: str) -> list[str]:
    """The lines of an output that are not empty."""
    return [line for line in output.splitlines() if comparable(line)]


def run_console(block: Block, page: Path, cwd: Path) -> None:
    """Run each command of a block and compare what it prints."""
    for command, expected in steps(block):
        where = f"{name(page)}, block at line {block.line}: {command}"
        output = printed(command, cwd, where)
        if expected.strip():
            assert same(output, expected), f"{where}\n{output}"


def same(output: str, expected: str) -> bool:
    """Equal words, line by line. Numbers may differ a little where a line states measured shares, since sine and
    exponential of a simulation are the platform's; sizes, sums and counts are equal."""
    ours, theirs = lines(output), lines(expected)
    return len(ours) == len(theirs) and all(map(same_line, ours, theirs))


def same_line(ours: str, theirs: str) -> bool:
    a, b = comparable(ours), comparable(theirs)
    near = close if MEASURED.search(theirs) else str.__eq__
    return len(a) == len(b) and all(map(near, a, b))


def close(a: str, b: str) -> bool:
    if a == b:
        return True
    try:
        x, y = float(a.rstrip("%,;")), float(b.rstrip("%,;"))
    except ValueError:
        return False
    return abs(x - y) <= max(3, 0.02 * abs(y))


# The tutorial needs a chip: a test, below, stands in for one.
SLOW_PAGES = {"benchmarks.md", "explore.md"}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(p, marks=[pytest.mark.slow] if p.name in SLOW_PAGES else [])
        for p in PAGES
        if blocks(p) and p.name != "tutorial.md"
    ],
    ids=name,
)
def test_blocks(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block of a page runs, one after the other in one folder."""
    if any("import torch" in block.text for block in blocks(page)):
        pytest.importorskip("torch", reason="torch (extra train) is not installed")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": name(page)}
    for block in blocks(page):
        if block.kind == "python":
            run_python(block, page, names)
        else:
            run_console(block, page, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links(page: Path) -> None:
    """Every relative link leads to a file of the project."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    missing = [target for target in LINK.findall(text) if not (page.parent / target).exists()]
    assert not missing


def test_outputs_are_shown_as_printed() -> None:
    """No page abbreviates what a command prints."""
    shown = [
        expected for page in PAGES for block in blocks(page) for _, expected in steps(block) if block.kind == "console"
    ]
    assert len(shown) > 8
    assert not [text for text in shown if "..." in text]


def test_comparison_sees_a_changed_word() -> None:
    shown = "latency   median 7.1 µs, port 5005\naccuracy  90.0% of 1 175 frames\nCRC-32 0x02D10E9D\n41 244 bytes"
    assert same(shown, shown.replace("7.1 µs", "120 µs").replace("5005", "1").replace("90.0", "90.1"))
    changes = (
        ("90.0", "80.0"),
        ("accuracy", "answers"),
        ("0x02D1", "0x12D1"),
        (" of ", " "),
        ("244", "245"),
        ("\n4", " 4"),
    )
    for old, new in changes:
        assert not same(shown, shown.replace(old, new))


# Commands whose output a page does not show, and why. Any other command without a shown output writes it to a file.
UNSHOWN = {
    "aether bench": "times",
    "aether device flash": "the state of a chip",
    "aether device info": "the state of a chip",
    "aether device pack walks.rvne": "follows a training of some steps, which differ by platform",
    "aether explore confusion demo recordings.csv": "the picture is the result",
    "aether explore confusion walks.rvne": "follows a training",
    "aether explore attention walks.rvne": "follows a training",
    "aether explore drift walks.rvne": "follows a training",
    "aether inspect walks.rvne": "follows a training",
    "aether run walks.rvne": "follows a training",
    "aether train activity": "follows a training",
    "cat heard.txt": "follows a training; an example stands below",
    "ls runs/first": "docs/guide/train.md lists the files",
}


def test_outputs_are_shown_unless_they_vary() -> None:
    unshown = [
        command
        for page in PAGES
        for block in blocks(page)
        for command, expected in steps(block)
        if not expected.strip() and " > " not in command
    ]
    assert not [command for command in unshown if not command.startswith(tuple(UNSHOWN))]
    assert not [start for start in UNSHOWN if not any(command.startswith(start) for command in unshown)]


def test_the_guide_has_blocks() -> None:
    """The check above would pass on pages without a block: the guide has some."""
    kinds = {block.kind for page in PAGES if page.parent.name == "guide" for block in blocks(page)}
    assert kinds == {"python", "console"}


def test_each_page_has_a_title_of_its_own() -> None:
    titles: dict[str, list[str]] = {}
    for page in sorted((ROOT / "docs").rglob("*.md")):
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for title in re.findall(r"^# (.+)$", text, re.MULTILINE):
            titles.setdefault(title.lower(), []).append(name(page))
    assert len(titles) > 30
    assert not {title: pages for title, pages in titles.items() if len(pages) > 1}


def documented(page: Path) -> list[str]:
    """The full names of what an API page shows."""
    found, module = [], "aether_temporal"
    directive = re.compile(
        r"^\.\. (currentmodule|autoclass|autofunction|automodule):: (\S+)(?:\n +:members: (.+))?", re.MULTILINE
    )
    for kind, target, members in directive.findall(page.read_text(encoding="utf-8")):
        if kind == "currentmodule":
            module = target
            continue
        full = target if target.startswith("aether_temporal.") else f"{module}.{target}"
        found += [full, *(f"{full}.{member}" for member in members.split(", ") if member)]
    return found


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "api").glob("*.md")), ids=name)
def test_api_pages_name_what_exists(page: Path) -> None:
    if any(full.startswith(("aether_temporal.torch", "aether_temporal.train")) for full in documented(page)):
        pytest.importorskip("torch", reason="torch (extra train) is not installed")
    assert not [full for full in documented(page) if pydoc.locate(full) is None]


def test_api_pages_list_parameters() -> None:
    """The sentences of a docstring about parameters, results and exceptions become fields, the others stay."""
    pytest.importorskip("sphinx", reason="sphinx (extra docs) is not installed")
    lines = (inspect.getdoc(AetherTemporalHead.forward) or "").split("\n")
    runpy.run_path(str(ROOT / "docs" / "conf.py"))["list_parameters"](
        None, "method", "forward", AetherTemporalHead.forward, None, lines
    )
    fields = [re.match(r":(param|raises) (\w+): |:(returns): ", line) for line in lines]
    names = {found[2] or found[3] for found in fields if found}
    assert names >= {"q", "k", "v", "out", "threads", "dtype", "returns", "ShapeError", "NonFiniteError"}
    assert not lines[0].startswith(":")


def test_board_page_shows_the_current_vectors() -> None:
    """The report of a chip that the page shows is of today's golden vectors."""
    host = host_run([(path.name, path.read_bytes()) for path in sorted((ROOT / "tests" / "golden").glob("*.agv"))])
    page = (ROOT / "docs" / "guide" / "board.md").read_text(encoding="utf-8")
    rows = {
        "vectors": f"{host.bytes:,} bytes",
        "their CRC-32": host.crc,
        "cases": f"{host.total('cases'):,}",
        "checks": f"{host.total('checks'):,}",
        "values compared": f"{host.total('compared'):,}",
        "failed checks": f"{host.total('failed'):,}",
    }
    for name, value in rows.items():
        assert re.search(rf"^{name} +" + r" +".join([value.replace(",", " ")] * 3) + "$", page, re.MULTILINE), name


TUTORIAL = ROOT / "docs" / "guide" / "tutorial.md"
FAKE_ESPTOOL = Path(__file__).with_name("device") / "fake_esptool.py"

ESPTOOL_MAIN = """
import runpy, sys

sys.argv[1:1] = [{flash!r}, {state!r}, "5.1.0"]
runpy.run_path({fake!r}, run_name="__main__")
"""


@pytest.fixture
def chip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The flash of a chip that `python -m esptool` of every program started from here reads and writes."""
    flash, state, module = tmp_path / "flash.bin", tmp_path / "state.json", tmp_path / "modules" / "esptool"
    flash.write_bytes(blank())
    state.write_text("{}")
    module.mkdir(parents=True)
    (module / "__init__.py").write_text("")
    (module / "__main__.py").write_text(ESPTOOL_MAIN.format(flash=str(flash), state=str(state), fake=str(FAKE_ESPTOOL)))
    monkeypatch.setenv("PYTHONPATH", str(module.parent))
    return flash


@pytest.mark.slow
def test_from_recordings_to_a_flashed_blob(chip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="torch (extra train) is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib (extra plot) is not installed")
    folder = tmp_path / "page"
    folder.mkdir()
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {"__name__": "tutorial"}
    for block in blocks(TUTORIAL):
        if block.kind == "python":
            run_python(block, TUTORIAL, names)
        else:
            run_console(block, TUTORIAL, folder)
    blob = (folder / "walks.rvne").read_bytes()
    image = pack_slot(blob)
    assert (folder / "walks.bin").read_bytes() == image
    slot = chip.read_bytes()[SLOT_A : SLOT_A + SLOT_BYTES]
    assert slot == image.ljust(SLOT_BYTES, b"\xff")
    assert chip.read_bytes()[SLOT_B:] == blank()[SLOT_B:]
    calls = json.loads((tmp_path / "state.json").read_text())["calls"]
    assert [name for name, _, _ in calls].count("write-flash") == 2
    assert set(TemporalModel.from_blob(blob).class_names or ()) == {"empty", "falling", "still", "walking", "waving"}
    for name in ("timeline.png", "confusion.png", "attention.html", "drift.svg", "demo.png"):
        assert (folder / name).stat().st_size > 10_000
    assert "(here)" in (folder / "heard.txt").read_text()
