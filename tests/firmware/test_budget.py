"""The core costs no more than docs/budgets.md says, counted again; flash and memory are what memory() predicts."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from budget_table import figures, measure
from budget_table.cases import CASES, POINTER_BYTES, REFERENCE
from budget_table.image import functions_of
from budget_table.measure import LEVELS, MeasureError, Result, Said, measure_all
from parity_matrix.build import call
from parity_matrix.targets import all_targets

PAGE = Path(__file__).resolve().parents[2] / "docs" / "budgets.md"
TARGET = next(target for target in all_targets() if target.name == "xtensa-fpu")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    """Every level, measured; skipped by name where a program is missing."""
    missing = measure.missing(TARGET)
    if missing:
        pytest.skip(f"budgets: {TARGET.name} needs {', '.join(missing)}")
    return measure_all(TARGET, list(LEVELS), tmp_path_factory.mktemp("budget"), 2)


@pytest.mark.slow
def test_nothing_grew(results: list[Result]) -> None:
    """Memory and logits were compared on the way: measure_all raises otherwise."""
    assert figures.compare(figures.read(PAGE), figures.figures(results)) == []


@pytest.mark.slow
def test_goals_are_met_as_the_page_says(results: list[Result]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    for goal in figures.goals(results):
        line = next(line for line in text.splitlines() if line.startswith(f"| {goal.what} |"))
        assert line.endswith(" yes |" if goal.met else " no |"), goal


@pytest.mark.slow
def test_the_count_is_whole(results: list[Result]) -> None:
    """No instruction of a push is of no function, and a push is made of what it must be made of."""
    for result in results:
        for model in result.models:
            assert "?" not in model.functions
            assert sum(model.functions.values()) == pytest.approx(model.mean, abs=len(model.functions))
            assert model.mean > 2 * model.multiply_adds  # one multiplication and one addition each
            assert 0 < model.reading < 100


@pytest.mark.slow
def test_the_same_image_counts_the_same(results: list[Result], tmp_path: Path) -> None:
    image = results[0].images.self_test
    models, self_test = measure.measure(TARGET, image, CASES, measure.plugin(tmp_path), tmp_path)
    assert [model.functions for model in models] == [model.functions for model in results[0].models]
    assert self_test == results[0].self_test


@pytest.mark.slow
def test_an_image_for_other_models_is_rejected(results: list[Result], tmp_path: Path) -> None:
    wrong = [replace(CASES[0], dtype="float32"), *CASES[1:]]
    with pytest.raises(MeasureError, match="CRC|memory"):
        measure.measure(TARGET, results[0].images.self_test, wrong, measure.plugin(tmp_path), tmp_path)


@pytest.mark.slow
def test_functions_do_not_overlap(results: list[Result]) -> None:
    functions = functions_of(results[0].images.self_test.path)
    assert len(functions) > 50
    assert all(a.address + a.size <= b.address for a, b in pairwise(functions))


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = measure.missing(TARGET)
    assert "gcc (package gcc), for the plugin" in missing
    assert "qemu-system-xtensa (package qemu-system-misc)" in missing


def said(**changes: int) -> Said:
    """What the application says of the first case."""
    case = CASES[0]
    memory = case.model.memory(case.context, case.dtype, pointer_bytes=POINTER_BYTES)
    values = {"flash": memory.flash, "ram": memory.ram, "state": memory.state, "used": memory.ram, "crc": case.crc()}
    values |= {"stack": 100, **changes}
    return Said([(key, values[key]) for key in ("stack", "flash", "ram", "state", "stack", "used", "crc")])


def segments(pushes: int) -> list[Counter[str]]:
    return [Counter(a=n + 1, b=1) for n in range(pushes + 3)]


def test_what_is_said_becomes_numbers() -> None:
    case = CASES[0]
    model = measure._model(case, said(), iter(segments(case.pushes)))
    assert (model.open, model.init) == (2, 3)
    assert model.worst == case.pushes + 3
    assert model.refill == sum(range(4, case.fill + 4))
    assert model.multiply_adds == 2 * (2 * 16 * (128 + 32) + 2 * 41 * 128) + 16 * 4


@pytest.mark.parametrize("what", ["flash", "ram", "state", "used", "crc"])
def test_what_is_not_as_predicted_is_an_error(what: str) -> None:
    with pytest.raises(MeasureError, match="CRC" if what == "crc" else r"model\.memory\(\) says"):
        measure._model(CASES[0], said(**{what: 1}), iter(segments(CASES[0].pushes)))


def test_lines_out_of_order_are_an_error() -> None:
    with pytest.raises(MeasureError, match="expected a line flash, found 'ram'"):
        Said([("ram", 1)]).value("flash")


def test_growth_is_found() -> None:
    key, other = ("Code", "head -O2", "all"), ("Code", "head -Os", "all")
    assert figures.compare({key: 1000}, {key: 1030}) == []
    assert figures.compare({key: 1000}, {key: 1031}) == ["Code / head -O2 / all grew from 1000 to 1031"]
    assert figures.compare({key: 1000}, {key: 10}) == []
    assert len(figures.compare({key: 1}, {other: 1})) == 2


def test_the_page_is_read(tmp_path: Path) -> None:
    """Every figure, and every row of every table."""
    page = figures.read(PAGE)
    assert {name for name, _, _ in page} == {table.name for table in figures.TABLES}
    rows = {row for name, row, _ in page if name == "Instructions"}
    assert rows == {f"{case.name} {level}" for case in CASES for level in LEVELS}
    assert all(case.header == REFERENCE for case in CASES[:2])
    (tmp_path / "page.md").write_text("no marks\n", encoding="utf-8")
    assert figures.read(tmp_path / "page.md") == {}
    with pytest.raises(ValueError, match="marks"):
        figures.write(tmp_path / "page.md", [])


def test_functions_of_thumb_are_where_they_are_executed(tmp_path: Path) -> None:
    """A Thumb function's symbol is odd; what the plugin meets is not."""
    compiler = "arm-none-eabi-gcc"
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is missing")
    (tmp_path / "a.c").write_text("int one(int x) { return x + 1; }\nint two(int x) { return one(x) * 2; }\n")
    options = ["-mthumb", "-mcpu=cortex-m3", "-O1", "-nostdlib", "-Wl,--entry=two"]
    call([compiler, *options, str(tmp_path / "a.c"), "-o", str(tmp_path / "a.elf")])
    functions = {function.name: function for function in functions_of(tmp_path / "a.elf")}
    assert all(functions[name].address % 2 == 0 and functions[name].size > 0 for name in ("one", "two"))
