"""What was measured as plain numbers, and as the tables of docs/budgets.md: written, read back, compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .cases import REFERENCE
from .image import Image
from .measure import Result

BEGIN = "<!-- tools/budget --write: begin -->"
END = "<!-- tools/budget --write: end -->"
MAY_GROW = 0.03
FUNCTIONS = 12  # shown, of the reference model

CYCLES = 1.5  # an instruction
CLOCK = 240_000_000
PERIOD = 0.020  # seconds between frames

Figures = dict[tuple[str, str, str], int]  # table, row, column


@dataclass(frozen=True)
class Table:
    """One table of figures: a row is named by its first two cells."""

    name: str
    columns: tuple[str, ...]


PUSH = Table(
    "Instructions", ("multiply-adds", "a push", "worst push", "256 pushes", "reading the logits", "opening", "starting")
)
MEMORY = Table("Memory", ("flash", "ram", "of it state", "stack of a push", "stack of opening"))
CODE = Table("Code", ("instructions and literals", "constants", "all"))
SELF_TEST = Table("Self-test", ("cases", "instructions", "stack", "scratch"))
TABLES = (PUSH, MEMORY, CODE, SELF_TEST)


def figures(results: list[Result]) -> Figures:
    """Every number that is held against the page."""
    out: Figures = {}

    def put(table: Table, row: str, level: str, values: tuple[int, ...]) -> None:
        for column, value in zip(table.columns, values, strict=True):
            out[table.name, f"{row} {level}", column] = value

    for result in results:
        for m in result.models:
            put(PUSH, m.case.name, result.level,
                (m.multiply_adds, m.mean, m.worst, m.refill, m.reading, m.open, m.init))  # fmt: skip
            put(MEMORY, m.case.name, result.level, (m.flash, m.ram, m.state, m.stack_push, m.stack_open))
        images = result.images
        rows = {
            "head": images.head,
            "head without the pyramid": images.without_pyramid,
            "head and self-test": images.self_test,
        }
        for name, image in rows.items():
            put(CODE, name, result.level, (image.code, image.constants, _all(image)))
        test = result.self_test
        put(SELF_TEST, "self-test", result.level, (test.cases, test.instructions, test.stack, test.scratch))
    return out


def _spaced(number: str) -> str:
    return number.replace(",", " ")


def _number(value: int) -> str:
    return _spaced(f"{value:,}")


def _grid(head: list[str], lines: list[list[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines])


def _table(table: Table, found: Figures) -> str:
    rows = list(dict.fromkeys(row for name, row, _ in found if name == table.name))
    lines = [[row, *(_number(found[table.name, row, column]) for column in table.columns)] for row in rows]
    return f"## {table.name}\n\n{_grid(['', *table.columns], lines)}"


@dataclass(frozen=True)
class Goal:
    """What was asked for, and the most that was measured at any level."""

    what: str
    most: float
    found: float
    form: str = ",.0f"

    @property
    def met(self) -> bool:
        return self.found <= self.most


def goals(results: list[Result]) -> list[Goal]:
    """All of them, met or not."""
    models = [m for result in results for m in result.models]
    reference = [m for m in models if m.case.header == REFERENCE and not m.case.pyramid]
    ratio = max(m.mean / m.multiply_adds for m in reference if m.case.dtype == "float32")
    share = max(m.worst for m in models if not m.case.past) * CYCLES / (CLOCK * PERIOD)
    ram = max(m.ram for m in reference if m.case.dtype == "float16")
    pyramid = [m for m in models if m.case.pyramid and not m.case.past]
    long = [m for m in models if m.case.pyramid and m.case.past]
    pairs = list(zip(long, pyramid, strict=True))
    return [
        Goal("instructions a multiply-add, reference, binary32 cache", 4, ratio, ".2f"),
        Goal("a push, of a 20 ms period at 240 MHz, every model, 256 frames", 0.05, share, ".2%"),
        Goal("stack of a push, bytes, every model", 2048, max(m.stack_push for m in models)),
        Goal("working set, bytes, reference, binary16 cache", 44 * 1024, ram),
        Goal(
            "code of the head without the pyramid, bytes",
            44 * 1024,
            max(_all(r.images.without_pyramid) for r in results),
        ),
        Goal("code of the head, bytes", 48 * 1024, max(_all(r.images.head) for r in results)),
        Goal("a push, pyramid", 92_000, max(m.mean for m in pyramid if m.case.dtype == "float32")),
        Goal(
            "ram, bytes, pyramid, binary32 cache", 24 * 1024, max(m.ram for m in pyramid if m.case.dtype == "float32")
        ),
        Goal(
            "ram, bytes, pyramid, binary16 cache", 16 * 1024, max(m.ram for m in pyramid if m.case.dtype == "float16")
        ),
        Goal("a push after 100 000 frames, of one after 256", 1.5, max(a.mean / b.mean for a, b in pairs), ".2f"),
        Goal("ram for 100 000 frames, of that for 256", 1.5, max(a.ram / b.ram for a, b in pairs), ".2f"),
    ]


def _all(image: Image) -> int:
    return image.code + image.constants


def _goals(results: list[Result]) -> str:
    lines = [
        [
            goal.what,
            *(_spaced(format(value, goal.form)) for value in (goal.most, goal.found)),
            "yes" if goal.met else "no",
        ]
        for goal in goals(results)
    ]
    return _grid(["", "at most", "measured", "met"], lines)


def _times(result: Result) -> str:
    """What the counts are worth in time, under the one assumption that the page names."""
    lines = [
        [
            m.case.name,
            f"{m.mean / m.multiply_adds:.2f}",
            f"{1000 * m.mean * CYCLES / CLOCK:.2f} ms",
            f"{m.mean * CYCLES / (CLOCK * PERIOD):.2%}",
            f"{1000 * m.refill * CYCLES / CLOCK:.0f} ms",
        ]
        for m in result.models
    ]
    return _grid(["", "instructions a multiply-add", "a push", "of a 20 ms period", "256 pushes"], lines)


def _functions(result: Result) -> str:
    head, columns = ["function"], []
    for m in result.models:
        if m.case.header != REFERENCE or m.case.past:
            continue
        head += [m.case.name, "a multiply-add"]
        columns.append((m.functions, m.multiply_adds))
    dearest: dict[str, float] = {}  # in either column: one of them alone would hide what the other spends
    for counts, multiply_adds in columns:
        for name, count in counts.items():
            dearest[name] = max(dearest.get(name, 0), count / multiply_adds)
    names = sorted(dearest, key=lambda name: -dearest[name])[:FUNCTIONS]
    lines = []
    for name in names:
        line = [f"`{name}`"]
        for counts, multiply_adds in columns:
            count = counts.get(name, 0)
            line += [_number(count), f"{count / multiply_adds:.3f}"]
        lines.append(line)
    rest = ["all others"]
    for counts, multiply_adds in columns:
        count = sum(value for name, value in counts.items() if name not in names)
        rest += [_number(count), f"{count / multiply_adds:.3f}"]
    return _grid(head, [*lines, rest])


def render(results: list[Result]) -> str:
    """Everything between the two marks of the page."""
    found = figures(results)
    fast = next(result for result in results if result.level == "-O2")
    at = f"At `{fast.level}`"
    parts = [
        "## Goals",
        _goals(results),
        *(_table(table, found) for table in TABLES),
        f"## As time\n\n{at}, {CYCLES} cycles an instruction, 240 MHz.\n\n{_times(fast)}",
        f"## Where a push goes\n\n{at}, by function as linked: what the compiler put in line counts where it is.\n\n"
        + _functions(fast),
    ]
    return "\n\n".join(parts)


def write(page: Path, results: list[Result]) -> None:
    """Replace what lies between the marks."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{page}: the marks {BEGIN} and {END} are missing")
    page.write_text(f"{before}{BEGIN}\n\n{render(results)}\n\n{END}{after}", encoding="utf-8")


def read(page: Path) -> Figures:
    """The figures that stand in the page."""
    out: Figures = {}
    table: Table | None = None
    text = page.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    for line in text.splitlines():
        if line.startswith("## "):
            table = next((t for t in TABLES if t.name == line[3:]), None)
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if table is None or not line.startswith("|") or not cells[0] or set(cells[0]) <= {"-"}:
            continue
        for column, cell in zip(table.columns, cells[1:], strict=True):
            out[table.name, cells[0], column] = int(cell.replace(" ", ""))
    return out


def compare(page: Figures, measured: Figures) -> list[str]:
    """What is not as the page says: figures that grew, and rows that only one of the two has. Empty: nothing."""
    wrong = [f"{' / '.join(key)} is measured, but not on the page" for key in measured if key not in page]
    wrong += [f"{' / '.join(key)} stands on the page, but is not measured" for key in page if key not in measured]
    for key, value in measured.items():
        if key in page and value > page[key] * (1 + MAY_GROW):
            wrong.append(f"{' / '.join(key)} grew from {page[key]} to {value}")
    return wrong
