"""Two definitions of a slot, this package's and the node's C, against each other."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from pathlib import Path

import pytest
from parity_matrix.build import core_sources
from parity_matrix.targets import all_targets

from aether_temporal.bundled import bundled_models
from aether_temporal.device.slots import (
    choose_target,
    first_choice,
    next_sequence,
    pack_slot,
    read_slot,
    without_commit,
)

pytestmark = pytest.mark.slow  # compiles

ROOT = Path(__file__).resolve().parents[2]
CSRC, NODE = ROOT / "csrc", ROOT / "firmware" / "node"
SLOT = 0x20000
BLOBS = {name: path.read_bytes() for name, path in bundled_models().items() if path.stat().st_size < SLOT - 256}
OPTIONS = ["-std=c11", "-O1", "-ffp-contract=off", "-DAETHER_PORTABLE_ONLY", "-Wall", "-Wextra", "-Werror"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is missing")
    chip = next(target for target in all_targets() if target.portable_only)
    sources = [*core_sources(chip), *sorted(NODE.glob("*.c"))]
    folders = [CSRC / "include", CSRC / "src", CSRC / "src" / "kernels", NODE]
    out = tmp_path_factory.mktemp("slots") / "slots_host"
    includes = [f"-I{folder}" for folder in folders]
    files = [str(path) for path in [*sources, Path(__file__).with_name("slots_host.c")]]
    subprocess.run(["gcc", *OPTIONS, *includes, *files, "-o", str(out)], check=True)
    return out


def run(program: Path, folder: Path, a: bytes, b: bytes, cache: str = "f32") -> tuple[int, list[str], bytes, bytes]:
    """What the node does with two slots: which it uses, its words about both, and both as it leaves them."""
    file = folder / "slots.bin"
    file.write_bytes(a.ljust(SLOT, b"\xff") + b.ljust(SLOT, b"\xff"))
    done = subprocess.run([program, file, str(SLOT), cache], capture_output=True, text=True, check=True)
    used, *words = done.stdout.splitlines()
    left = file.read_bytes()
    return int(used), words, left[:SLOT], left[SLOT:]


@pytest.mark.parametrize("cache", ["f32", "f16"])
@pytest.mark.parametrize("name", list(BLOBS))
def test_node_accepts_packed_slots(program: Path, tmp_path: Path, name: str, cache: str) -> None:
    image = pack_slot(BLOBS[name], 5)
    used, words, a, _ = run(program, tmp_path, image, b"", cache)
    assert (used, words) == (0, ["in use", "empty"])
    slot = read_slot("aether_a", a)
    assert (slot.valid, slot.trials, slot.confirmed) == (True, 1, True)
    assert a[:0x44] + a[256:] == image.ljust(SLOT, b"\xff")[:0x44] + image.ljust(SLOT, b"\xff")[256:]


def harmed(kind: str) -> bytes:
    image = bytearray(pack_slot(BLOBS["demo"], 6))
    if kind == "blob":
        image[5000] ^= 1
    elif kind == "header":
        image[9] ^= 1
    elif kind == "check":
        image = bytearray(pack_slot(BLOBS["demo"], 6))
        image[0x20] ^= 1
        image[0x3C:0x40] = _crc(bytes(image[:0x3C]))
    elif kind == "cut":
        image = bytearray(without_commit(bytes(image)))
    elif kind == "no-trials-left":
        for at in (0x50, 0x60, 0x70):
            image[at : at + 4] = bytes(4)
    return bytes(image)


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


@pytest.mark.parametrize("kind", ["whole", "blob", "header", "check", "cut", "no-trials-left"])
def test_both_take_and_reject_the_same(program: Path, tmp_path: Path, kind: str) -> None:
    """An older model in one slot, an update, harmed or not, in the other."""
    a, b = pack_slot(BLOBS["activity"], 5), harmed(kind)
    slots = read_slot("aether_a", a), read_slot("aether_b", b)
    used, words, left_a, left_b = run(program, tmp_path, a, b)
    assert used == first_choice(slots) == (1 if kind == "whole" else 0), (words, slots)
    after = read_slot("aether_a", left_a), read_slot("aether_b", left_b)
    assert first_choice(after) == used  # the next update leaves this one alone
    assert choose_target(after) == 1 - used
    assert next_sequence(after[used]) == (7 if kind == "whole" else 6)


def test_a_row_of_updates(program: Path, tmp_path: Path) -> None:
    a, b = b"\xff" * SLOT, b"\xff" * SLOT
    for number in range(6):
        blob = BLOBS[("demo", "activity")[number % 2]]
        slots = read_slot("aether_a", a), read_slot("aether_b", b)
        target = choose_target(slots)
        image = pack_slot(blob, next_sequence(slots[1 - target]), SLOT)
        a, b = (image, b) if target == 0 else (a, image)
        used, words, a, b = run(program, tmp_path, a, b)
        assert used == target == number % 2, words
