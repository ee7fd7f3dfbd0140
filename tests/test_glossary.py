"""Identifiers of Python and C use the words of the glossary in CONTRIBUTING.md."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RETIRED = {
    *("answer", "answers", "answered", "answering", "truth", "truths", "person", "persons", "carrier", "carriers"),
    *("pick", "picked", "corpus", "track", "tracks", "stretch", "stretches", "refuse", "refused", "refusal", "halving"),
    *("lag", "gather", "teller", "stranger", "strangers", "shipped", "widened"),
}
ALLOWED = {
    "src/aether_temporal/train/demo_recipe.py": {"track"},  # a function of rich
    # the fuzzers' own term, also the name of libFuzzer's argument
    "tools/fuzz": {"corpus"},
    "tests/fuzz": {"corpus"},
}
PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
C_TEXT = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|^\s*#\s*include[^\n]*', re.DOTALL | re.MULTILINE
)
C_NAME = re.compile(r"\b[A-Za-z_]\w*\b")


def words(identifier: str) -> set[str]:
    """`PacketReceiver` and `packet_receiver` have the words packet and receiver."""
    return {part.lower() for part in PARTS.findall(identifier)}


def identifiers(path: Path) -> set[str]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        return {token.string for token in tokens if token.type == tokenize.NAME}
    if path.suffix in (".pyx", ".pxi", ".pxd", ".pyi"):
        text = re.sub(r'"""(?:.|\n)*?"""|#[^\n]*|"(?:\\.|[^"\\\n])*"', " ", text)
    else:
        text = C_TEXT.sub(" ", text)
    return set(C_NAME.findall(text))


def sources() -> list[Path]:
    suffixes = (".py", ".pyx", ".pxi", ".pxd", ".pyi", ".c", ".h")
    folders = ("src", "csrc", "tools", "firmware")
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*")) if path.suffix in suffixes]


def retired(path: Path) -> dict[str, set[str]]:
    """The identifiers of a file that have a retired word, and those words."""
    name = path.relative_to(ROOT).as_posix()
    allowed = {word for place, some in ALLOWED.items() if name.startswith(place) for word in some}
    found = {identifier: words(identifier) & RETIRED - allowed for identifier in identifiers(path)}
    return {identifier: some for identifier, some in found.items() if some}


def test_identifiers_use_the_glossary() -> None:
    files = sources()
    assert len(files) > 200
    found = {path.relative_to(ROOT).as_posix(): retired(path) for path in files}
    assert not {path: some for path, some in found.items() if some}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.py", "newest_answer = 1  # answer\n", {"newest_answer"}),
        ("a.py", "'answer'\nclass TrackList: ...\n", {"TrackList"}),
        ("a.c", "/* answer */ int op_answer; // truth\n", {"op_answer"}),
        ("a.c", 'const char *text = "answer";\n', set()),
        ("a.py", "personal = attraction = 1\n", set()),
    ],
)
def test_retired_words_are_found(name: str, text: str, expected: set[str], tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert {each for each in identifiers(path) if words(each) & RETIRED} == expected
