"""Identifiers, prose, help and error texts use the words of the glossary in CONTRIBUTING.md."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROW = re.compile(r"^\|[^|\n]*\|[^|\n]*\|([^|\n]*)\|$", re.MULTILINE)
WORD = re.compile(r"[a-z]+(?:_[a-z]+)*")

# Retired words that also name something else: why, and in which folders (none: everywhere).
ALLOWED: dict[str, tuple[str, tuple[str, ...]]] = {
    "attend": ("the kernel `attend_query` and the core's cache", ()),
    "average": ("a mean; average precision", ()),
    "balanced": ("balanced accuracy", ()),
    "begins": ("first tokens of the pyramid's runs; tests of a start", ()),
    "capacity": ("tokens that a KvCache holds", ()),
    "corpus": (
        "the fuzzers' term, and libFuzzer's argument",
        ("tools/fuzz", "tests/fuzz", "tests/test_hostile_files.py"),
    ),
    "counts": ("results of counting", ()),
    "damaged": ("an input whose checksum fails", ()),
    "delay": ("`label_delay`", ()),
    "drift": ("the command `aether explore drift`", ()),
    "gain": ("of a receiver; an improvement", ("src/aether_temporal/simulation", "src/aether_temporal/train", "tests")),
    "gather": ("a function of torch.distributed", ("src/aether_temporal/train/distributed.py",)),
    "good": ("undamaged inputs of tests", ("tests", "tools", "firmware/test")),
    "look": ("how something appears", ("tests/train",)),
    "mark": ("a plot's marker; pytest.mark; FreeRTOS' high-water mark", ()),
    "marks": ("golden parameters; pytest's marks", ("tools/golden_cases", "tests")),
    "mix": ("the hash of docs/spec/golden.md", ()),
    "right": ("the side", ()),
    "rise": ("numbers that grow", ("firmware/test",)),
    "room": ("where a recording is made", ("src/aether_temporal/simulation", "tests/train", "tools/make_figures.py")),
    "rows": ("rows of an array", ()),
    "said": ("the output of a program", ()),
    "tell": ("a method of Python's files", ("src/aether_temporal/recordings", "tests/train")),
    "track": ("a function of rich", ("src/aether_temporal/train/demo_recipe.py",)),
    "try": ("Python's statement", ()),
    "view": ("a NumPy view; a view of contrastive training", ()),
    "visible": ("Matplotlib's method; tokens that a query sees", ()),
    "window": ("of the attention pattern, or of frames that are classified together", ()),
}
# Retired words that prose uses in another sense: which, and in which files or folders (none: everywhere).
ALLOWED_IN_PROSE: dict[str, tuple[str, tuple[str, ...]]] = {
    "attend": ("what a query does", ()),
    "average": ("a mean", ()),
    "balanced": ("classes of equal weight", ("src/aether_temporal/train",)),
    "begins": ("the verb", ()),
    "capacity": ("tokens that a cache holds", ()),
    "confuse": ("what a model does to classes", ()),
    "corpus": ("the fuzzers' term", ("docs/security.md", "tools/fuzz")),
    "counts": ("numbers, and the verb", ()),
    "damaged": ("a file whose checksum fails", ()),
    "delay": ("label delay; the verb", ()),
    "drift": ("the command", ()),
    "gain": ("of a receiver", ()),
    "gather": ("names of golden cases", ("firmware/components/ruv_temporal/src/self_test_vectors.c",)),
    "good": ("the opposite of bad", ()),
    "lag": ("of a filter", ("src/aether_temporal/simulation",)),
    "look": ("the verb", ()),
    "mark": ("a plot's marker, a byte order mark, the verb", ()),
    "marks": ("the same", ()),
    "right": (
        "the side; the fitting serial port",
        (
            "csrc/src",
            "docs/guide/explore.md",
            "docs/simulation.md",
            "src/aether_temporal/_internal/figures.py",
            "src/aether_temporal/cli/output.py",
            "src/aether_temporal/device/conversation.py",
            "src/aether_temporal/explore",
            "src/aether_temporal/gate/page.py",
            "src/aether_temporal/gate/pictures.py",
            "src/aether_temporal/simulation",
            "tests/device",
            "tests/test_mutation.py",
        ),
    ),
    "room": ("where a recording is made; space on a disk or in a table", ()),
    "rows": ("of a table or array", ()),
    "station": (
        "a sender or receiver of Wi-Fi",
        ("docs/simulation.md", "firmware/main/network.h", "src/aether_temporal/simulation"),
    ),
    "tell": ("tell apart", ()),
    "try": ("the verb", ()),
    "view": ("of an array; of contrastive training; out of view", ()),
    "visible": ("what a query sees", ()),
    "window": ("of the attention pattern, or of frames that are classified together", ()),
}
PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
C_TEXT = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|^\s*#\s*include[^\n]*', re.DOTALL | re.MULTILINE
)
C_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
CYTHON_TEXT = re.compile(r'"""(?:.|\n)*?"""|#[^\n]*|"(?:\\.|[^"\\\n])*"')
C_STRING = re.compile(r'"(?:\\.|[^"\\\n])*"')
PRIVATE = {".venv", ".git", "build", "_build", "dist", "node_modules", ".pytest_cache", ".pio"}
C_NAME = re.compile(r"\b[A-Za-z_]\w*\b")


def words(identifier: str) -> set[str]:
    """`PacketReceiver` and `packet_receiver` have the words packet and receiver."""
    return {part.lower() for part in PARTS.findall(identifier)}


@cache
def names_and_comments(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Of a Python file."""
    found = list(tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline))
    names, comments = (
        frozenset(token.string for token in found if token.type == kind) for kind in (tokenize.NAME, tokenize.COMMENT)
    )
    return names, comments


@cache
def identifiers(path: Path) -> frozenset[str]:
    if path.suffix == ".py":
        return names_and_comments(path)[0]
    text = path.read_text(encoding="utf-8")
    without = CYTHON_TEXT if path.suffix in (".pyx", ".pxi", ".pxd", ".pyi") else C_TEXT
    return frozenset(C_NAME.findall(without.sub(" ", text)))


def texts(path: Path) -> str:
    """The sentences of a file: a page without code; docstrings, strings and comments of Python, Cython and C."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        text = text.split("## Glossary")[0]
        return re.sub(r"^```.*?^```$|`[^`\n]*`|\]\([^)]*\)", " ", text, flags=re.DOTALL | re.MULTILINE)
    if path.suffix == ".py":
        nodes = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
        found = [value for value in nodes if isinstance(value, str)]
        found += names_and_comments(path)[1]
    elif path.suffix in (".pyx", ".pxi", ".pxd", ".pyi"):
        found = CYTHON_TEXT.findall(text)
    else:
        found = [match[0] for match in (*C_STRING.finditer(text), *C_COMMENT.finditer(text))]
    return "\n".join(re.sub(r"`[^`]*`", " ", each) for each in found if " " in each)


@cache
def prose() -> dict[str, frozenset[str]]:
    """The words of the sentences of every file with prose, by the file's path."""
    pages = [path for path in ROOT.rglob("*.md") if not PRIVATE & set(path.relative_to(ROOT).parts)]
    paths = pages + [path for path in sources() if path != Path(__file__)]  # its tests hold retired words
    return {path.relative_to(ROOT).as_posix(): words_of(texts(path)) for path in sorted(paths)}


def words_of(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z_]+", text.lower()))


@cache
def forms(word: str) -> frozenset[str]:
    """A word, its plural, and the forms of a verb."""
    stem = word[:-1] if word.endswith("e") else word
    found = {word, f"{word}s", f"{stem}es", f"{stem}ed", f"{stem}ing"}
    return frozenset(found | {f"{word[:-1]}ies", f"{word[:-1]}ied"} if word.endswith("y") else found)


def in_prose(found: frozenset[str], among: set[str]) -> set[str]:
    """The retired words that the words of sentences hold, in any form."""
    return {word for word in among if forms(word) & found}


@cache
def sources() -> list[Path]:
    suffixes = (".py", ".pyx", ".pxi", ".pxd", ".pyi", ".c", ".h")
    folders = ("src", "csrc", "tools", "firmware", "tests")
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*")) if path.suffix in suffixes]


def retired_words() -> set[str]:
    """The single words in the last column of the glossary. Phrases and names with punctuation are for readers."""
    _, glossary = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Glossary")
    cells = [cell for row in ROW.findall(glossary.split("\n## ")[0]) for cell in row.split(",")]
    return {cell.strip() for cell in cells if WORD.fullmatch(cell.strip())} - {"not"}  # the heading


RETIRED = retired_words()


def retired(identifier: str, among: set[str]) -> set[str]:
    """The retired words that an identifier holds, in any form."""
    parts = words(identifier) | {identifier.lower()}
    return {word for word in among if forms(word) & parts}


def allowed(path: str, among: dict[str, tuple[str, tuple[str, ...]]] = ALLOWED) -> set[str]:
    return {word for word, (_, places) in among.items() if not places or path.startswith(places)}


def test_table_of_retired_words_is_read() -> None:
    assert len(RETIRED) > 40
    assert {"answer", "truth", "person", "stretch", "refusal", "halving", "proven", "room"} <= RETIRED


def test_allowed_words_are_retired_and_used() -> None:
    assert not set(ALLOWED) - RETIRED
    found = {part for path in sources() for name in identifiers(path) for part in words(name)}
    assert not [word for word in ALLOWED if not forms(word) & found]


def test_identifiers_use_the_glossary() -> None:
    files = sources()
    assert len(files) > 400
    found = {}
    for path in files:
        name = path.relative_to(ROOT).as_posix()
        among = RETIRED - allowed(name)
        found[name] = {each: some for each in identifiers(path) if (some := retired(each, among))}
    assert not {name: some for name, some in found.items() if some}


def test_prose_uses_the_glossary() -> None:
    found = prose()
    assert len(found) > 500
    wrong = {name: in_prose(some, RETIRED - allowed(name, ALLOWED_IN_PROSE)) for name, some in found.items()}
    assert not {name: some for name, some in wrong.items() if some}


def test_words_allowed_in_prose_are_retired_and_used() -> None:
    assert not set(ALLOWED_IN_PROSE) - RETIRED
    everything = prose()
    for word, (_, places) in ALLOWED_IN_PROSE.items():
        for place in places or ("",):
            assert any(in_prose(some, {word}) for name, some in everything.items() if name.startswith(place)), (
                word,
                place,
            )


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.md", "The answer is `truth`.\n```\nperson\n```\n[a stretch](refusal.md)", {"answer", "stretch"}),
        (
            "a.py",
            "def f():\n    'People answer.'\n    raise E(f'{f}: refuse it', 'person')  # the truth\n",
            {"answer", "refuse", "truth"},
        ),
        ("a.c", '/* the truths */ const char *text = "the answers"; // it refused\n', {"answer", "truth", "refuse"}),
        ("a.pxi", 'def f():\n    """What it refuses."""  # a stranger\n', {"refuse", "stranger"}),
    ],
)
def test_retired_words_are_found_in_prose(name: str, text: str, expected: set[str], tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert in_prose(words_of(texts(path)), RETIRED) == expected


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
    assert {each for each in identifiers(path) if retired(each, RETIRED)} == expected
