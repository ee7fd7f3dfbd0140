"""The workflows use actions by the hash of a commit, which nobody can move to another one."""

from __future__ import annotations

import re
from pathlib import Path

WORKFLOWS = sorted((Path(__file__).resolve().parent.parent / ".github" / "workflows").glob("*.yml"))


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
