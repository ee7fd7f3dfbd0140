"""The archive of what the fuzzers found: deterministic, and added to without repeating what it holds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools" / "fuzz"))

import corpus
from readers import READERS


def test_archive_is_what_packing_its_finds_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed = corpus.ARCHIVE.read_bytes()
    finds = corpus.finds()
    monkeypatch.setattr(corpus, "ARCHIVE", tmp_path / "corpus.zip")
    corpus.pack(dict(reversed(finds.items())))
    assert corpus.ARCHIVE.read_bytes() == committed


def test_every_target_has_inputs(tmp_path: Path) -> None:
    targets = {path.stem.removeprefix("fuzz_") for path in Path(corpus.__file__).parent.glob("fuzz_*.c")}
    targets |= set(READERS)
    count = corpus.unpack(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == targets
    assert len(list(tmp_path.glob("*/*"))) == count == len(corpus.finds()) + len(corpus.seeds())


def test_adding_keeps_new_bytes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = corpus.finds()
    corpus.unpack(tmp_path / "work")
    monkeypatch.setattr(corpus, "ARCHIVE", tmp_path / "corpus.zip")
    corpus.pack(before)
    assert corpus.add(tmp_path / "work") == 0
    (tmp_path / "work" / "rvne" / "renamed").write_bytes(corpus.seeds()["rvne/plain-binary32"])
    (tmp_path / "work" / "rvne" / "new").write_bytes(b"new")
    assert corpus.add(tmp_path / "work") == 1
    assert corpus.finds() == {**before, "rvne/new": b"new"}
