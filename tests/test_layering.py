"""Who may import whom in the Python package, and who may include whom in C. An import within a function counts too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "src"
PACKAGE = "aether_temporal"
CSRC = ROOT / "csrc"

# -- Python ------------------------------------------------------------------------------------------------------

# Each package may import those that come before it, and the modules of the package's root, which import none of them.
LAYERS = [
    {"recordings"},
    {"simulation"},
    {"running"},
    {"blob_tools", "host"},
    {"torch"},
    {"device", "listening", "explore", "train"},
    {"gate", "live"},
    {"cli"},
]
WITH_TORCH = {"torch", "train", "gate"}
OPTIONAL_TORCH = {f"{PACKAGE}.host.benchmark"}  # measures torch beside the core when it is installed
ROOT_PARTS = {"_internal"}  # what the modules of the root share: it counts as part of the root
ENTRY = f"{PACKAGE}.__main__"
# `TemporalModel.classify` calls what it is built on, so that users need no second import; nothing in it imports back.
SHORTCUTS = {(f"{PACKAGE}.model", f"{PACKAGE}.running.classification")}
# What the compiled module calls: conversions, exceptions and the names of types; it decides nothing.
OF_CORE = {"_internal.convert", "_internal.explain", "cache_types", "errors"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted((SOURCES / PACKAGE).rglob("*.py"))}
CORE = f"{PACKAGE}._core"


def imports_of(tree: ast.AST, package: str) -> Iterator[str]:
    """Absolute names of all that a module imports, except for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in MODULES or full == CORE else base
        else:
            yield from imports_of(node, package)


@cache
def graph() -> Mapping[str, frozenset[str]]:
    found = {}
    for name, path in MODULES.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        found[name] = frozenset(imports_of(ast.parse(path.read_text(encoding="utf-8")), package)) - {name}
    return found


def part(module: str) -> str:
    """The package of the second level that a module is in; nothing for modules of the root."""
    names = module.split(".")
    inside = names[0] == PACKAGE and len(names) > 1 and (SOURCES / PACKAGE / names[1]).is_dir()
    return names[1] if inside and names[1] not in ROOT_PARTS else ""


def no_cycle(edges: Mapping[str, frozenset[str]]) -> None:
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        pytest.fail("a cycle: " + " -> ".join(error.args[1]))


def test_every_package_has_a_layer() -> None:
    assert {part(name) for name in MODULES} - {""} == set().union(*LAYERS)


def test_packages_import_only_what_is_below_them() -> None:
    rank = {name: i for i, layer in enumerate(LAYERS) for name in layer}
    wrong = [
        f"{name} imports {other}"
        for name, imported in graph().items()
        for other in imported
        if part(other) != part(name)
        and name != ENTRY
        and (name, other) not in SHORTCUTS
        and rank.get(part(other), -1) >= rank.get(part(name), -1)
        and part(other)
    ]
    assert not wrong, "\n".join(wrong)


def test_torch_is_imported_only_where_it_is_required() -> None:
    users = {name for name, imported in graph().items() if any(other.split(".")[0] == "torch" for other in imported)}
    assert {name for name in users if part(name) not in WITH_TORCH} <= OPTIONAL_TORCH
    assert {part(name) for name in users} >= WITH_TORCH, "the rule no longer sees imports of torch"


def test_compiled_module_decides_nothing() -> None:
    folder = SOURCES / PACKAGE
    texts = [
        path.read_text(encoding="utf-8") for path in [folder / "_core.pyx", *(folder / "_core_parts").glob("*.pxi")]
    ]
    imported = {name for text in texts for name in re.findall(r"^\s*from \.([\w.]*) import", text, re.MULTILINE)}
    assert imported, "the rule no longer sees imports"
    assert imported <= OF_CORE
    assert not any(re.search(r"^\s*(from|import) aether_temporal", text, re.MULTILINE) for text in texts)


def test_no_module_imports_itself_through_others() -> None:
    edges = {name: frozenset(imported & {*MODULES, CORE}) for name, imported in graph().items()}
    edges[CORE] = frozenset(f"{PACKAGE}.{name}" for name in OF_CORE)
    no_cycle(edges)


# -- C -----------------------------------------------------------------------------------------------------------

FREESTANDING = {"stddef.h", "stdint.h"}
INTRINSICS = {"arm_neon.h", "cpuid.h", "emmintrin.h", "immintrin.h", "intrin.h", "xmmintrin.h"}
# Folder: the folders whose headers it may include, and the headers of the system.
MAY_INCLUDE = {
    "include/aether": ({"include/aether"}, FREESTANDING),
    "src": ({"include/aether", "src", "src/kernels"}, FREESTANDING | INTRINSICS | {"string.h"}),
    "src/kernels": ({"include/aether", "src", "src/kernels"}, FREESTANDING | INTRINSICS),
    "golden": ({"include/aether", "src", "src/kernels", "golden"}, FREESTANDING | {"string.h"}),
    "train": ({"include/aether", "src", "src/kernels", "train"}, FREESTANDING | INTRINSICS | {"string.h"}),
}
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:<(?P<system>[^>]+)>|"(?P<own>[^"]+)")', re.MULTILINE)


def c_files(folder: str) -> list[Path]:
    return sorted(path for path in (CSRC / folder).iterdir() if path.suffix in (".c", ".h"))


def included(path: Path) -> Iterator[tuple[str, Path | None]]:
    """Each header that a file includes: its name, and its path when it is one of csrc."""
    for match in INCLUDE.finditer(path.read_text(encoding="utf-8")):
        name = match["own"] or match["system"]
        places = [path.parent, CSRC / "include", *(CSRC / folder for folder in MAY_INCLUDE)]
        yield name, next(((place / name).resolve() for place in places if (place / name).is_file()), None)


@pytest.mark.parametrize("folder", MAY_INCLUDE)
def test_c_files_include_only_what_is_below_them(folder: str) -> None:
    folders, system = MAY_INCLUDE[folder]
    for path in c_files(folder):
        for name, header in included(path):
            where = header.parent.relative_to(CSRC.resolve()).as_posix() if header else None
            assert (where in folders) if where else (name in system), f"{path.relative_to(CSRC)} includes {name}"


def test_c_headers_include_one_another_in_no_circle() -> None:
    files = [path for folder in MAY_INCLUDE for path in c_files(folder)]
    assert {path.parent for path in CSRC.rglob("*.h") if "examples" not in path.parts} == {
        CSRC / folder for folder in MAY_INCLUDE
    }
    no_cycle({str(path.resolve()): frozenset(str(header) for _, header in included(path) if header) for path in files})


def subjects() -> tuple[dict[str, str], dict[str, set[str]]]:
    """The table of docs/architecture.md: the row, by its first name, of each name; and the rows that each may use."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## The core, bottom up")[2]
    found = re.findall(r"^\| (`[^|]+) \|[^|]+\| ([^|]+) \|$", text.partition("\n## ")[0], re.MULTILINE)
    rows = [(re.findall(r"`([^`]+)`", names), re.findall(r"`([^`]+)`", below)) for names, below in found]
    row_of = {name: names[0] for names, _ in rows for name in names}
    return row_of, {names[0]: {row_of[name] for name in below} for names, below in rows}


def row_of_file(path: Path, rows: Mapping[str, str]) -> str:
    """The row of the longest name that the file's name begins with."""
    if path.parent.name == "kernels":
        return "kernels/"
    found = [name for name in rows if path.stem == name or path.stem.startswith(f"{name}_")]
    assert found, f"{path.name}: expected a row of the table in docs/architecture.md, found none"
    return rows[max(found, key=len)]


def test_core_files_include_only_rows_below_them() -> None:
    rows, below = subjects()
    reached: dict[str, set[str]] = {}
    for row in TopologicalSorter(below).static_order():
        reached[row] = {row}.union(*(reached[name] for name in below[row]))
    wrong = [
        f"{path.relative_to(CSRC)} includes {name}"
        for folder in ("include/aether", "src", "src/kernels")
        for path in c_files(folder)
        for name, header in included(path)
        if header and row_of_file(header, rows) not in reached[row_of_file(path, rows)]
    ]
    assert not wrong, "\n".join(wrong)


def test_core_files_call_one_another_in_no_circle() -> None:
    sources = {path: re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
               for path in [*c_files("src"), *c_files("src/kernels")] if path.suffix == ".c"}  # fmt: skip
    defined = {
        name: path
        for path, text in sources.items()
        for name in re.findall(r"^(?!static\b)[a-z][\w *]*?\b(aether_\w+)\([^;{]*\{", text, re.MULTILINE)
    }
    assert len(defined) > 100, "the rule no longer sees functions"
    no_cycle({
        path.name: frozenset(
            defined[name].name for name in re.findall(r"\b(aether_\w+)\(", text) if defined.get(name, path) != path
        )
        for path, text in sources.items()
    })  # fmt: skip


def test_node_code_knows_the_core_by_its_public_headers() -> None:
    node = ROOT / "firmware" / "node"
    own = {path.name for path in node.glob("*.h")}
    public = {f"aether/{path.name}" for path in c_files("include/aether")}
    for path in [*node.glob("*.c"), *node.glob("*.h")]:
        names = {name for name, _ in included(path)}
        assert names <= own | public | FREESTANDING | {"string.h"}, path.name
