"""Damaged galleries, slot images, partition tables and reports give a result or one of the package's errors."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools" / "fuzz"))

import host_files

from aether_temporal import InvalidArgumentError
from aether_temporal.running import Gallery

SPECIAL = (b"\x00", b"\x01", b"\x7f", b"\x80", b"\xff", b"\x00" * 8, b"\xff" * 8, b"\xff\xff\xff\x7f")


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four changes: a byte, special bytes, a piece cut out, a piece doubled."""
    found = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(0, len(found) + 1))
        size = int(rng.integers(1, 17))
        match rng.integers(0, 4):
            case 0:
                found[at : at + 1] = bytes([rng.integers(0, 256)])
            case 1:
                value = SPECIAL[rng.integers(0, len(SPECIAL))]
                found[at : at + len(value)] = value
            case 2:
                del found[at : at + size]
            case _:
                found[at:at] = found[at : at + size]
    return bytes(found)


@pytest.mark.parametrize("name", host_files.READERS)
@pytest.mark.parametrize("whole", [True, False])
def test_damage_gives_a_named_error(name: str, whole: bool) -> None:
    """With checksums that fit, and with those of the whole file."""
    rng = np.random.default_rng(len(name))
    for _ in range(1500):
        data = host_files.seed(name)
        changed = host_files.sealed(name, damaged(data, rng)) if whole else damaged(host_files.sealed(name, data), rng)
        host_files.read(name, changed)


@pytest.mark.parametrize("name", host_files.READERS)
def test_truncation_gives_a_named_error(name: str) -> None:
    data = host_files.sealed(name, host_files.seed(name))
    for size in range(len(data)):
        host_files.read(name, data[:size])


@pytest.mark.parametrize("name", host_files.READERS)
def test_whole_files_are_read(name: str) -> None:
    """Otherwise the tests above would test nothing but the first check."""
    host_files.READERS[name](host_files.sealed(name, host_files.seed(name)))


def test_embeddings_beyond_binary32_are_rejected(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", gallery_names=np.array(["ann"]), gallery_embeddings=np.array([[1e300, 0.0]]))
    with pytest.raises(InvalidArgumentError, match="expected names and finite embeddings"):
        Gallery.load(tmp_path / "x.npz")
