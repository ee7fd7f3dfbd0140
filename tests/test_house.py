"""How big the project may be: a bound of files, and of modules by package. Workflows use actions by a hash of a commit,
which nobody can move to another one.

The bounds are what stands. A reader for each family of recorders makes `recordings` the largest package. A change that
needs more first looks for what it can take away; raising a bound is a decision of its own.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "aether_temporal"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

MOST_FILES = 726
MOST_MODULES = {
    "": 14,
    "_internal": 12,
    "blob_tools": 5,
    "cli": 25,
    "device": 10,
    "explore": 10,
    "gate": 10,
    "host": 3,
    "listening": 15,
    "live": 7,
    "recordings": 17,
    "running": 12,
    "simulation": 6,
    "torch": 6,
    "train": 21,
}
MADE = {"runs", "__pycache__", "_build", "build", "dist", "target", ".venv", ".git"}
SUFFIXES_MADE = {".pyc", ".so", ".egg-info"}


def files(folder: Path) -> list[Path]:
    """The files of the project: what tools make beside them is left out, as .gitignore does."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.name in MADE or path.suffix in SUFFIXES_MADE or (path.name.startswith(".") and not ours(path)):
            continue
        found += files(path) if path.is_dir() else [path]
    return found


def ours(path: Path) -> bool:
    return path.name in {".ci", ".github", ".gitignore"}


def modules(package: str) -> int:
    return len(list((PACKAGE / package).glob("*.py")))


def test_files_are_few() -> None:
    found = len(files(ROOT))
    assert 500 < found <= MOST_FILES, f"expected at most {MOST_FILES} files, found {found}; merge what is read together"


def test_modules_are_few() -> None:
    folders = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
    assert {"" if folder == "." else folder for folder in folders} == set(MOST_MODULES)
    found = {package: modules(package) for package in MOST_MODULES}
    assert not {package: n for package, n in found.items() if n > MOST_MODULES[package]}


def test_module_names_are_unique() -> None:
    names = [path.stem for path in PACKAGE.rglob("*.py") if not path.stem.startswith("__")]
    assert not {name for name in names if names.count(name) > 1}


def test_actions_are_pinned_by_hash_and_named_by_version() -> None:
    used = [
        (path.name, line.strip())
        for path in WORKFLOWS
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r"\s*-?\s*uses:", line)
    ]
    assert len(used) > 10
    assert not [found for found in used if not re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", found[1])]


def test_workflows_may_only_read_by_default() -> None:
    for path in WORKFLOWS:
        assert re.search(r"^permissions:\n  contents: read$", path.read_text(encoding="utf-8"), re.MULTILINE), path.name
