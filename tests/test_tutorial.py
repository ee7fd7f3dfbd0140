"""The tutorial, from recordings to a flashed blob, executed as it stands; the chip is a program and a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import test_docs
from device.chip_flash import SLOT_A, SLOT_B, SLOT_BYTES, blank

from aether_temporal import TemporalModel
from aether_temporal.device.slots import pack_slot

PAGE = test_docs.ROOT / "docs" / "guide" / "tutorial.md"
FAKE = Path(__file__).with_name("device") / "fake_esptool.py"

STAND_IN = """
import runpy, sys

sys.argv[1:1] = [{flash!r}, {state!r}, "5.1.0"]
runpy.run_path({fake!r}, run_name="__main__")
"""


@pytest.fixture
def chip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The flash of a chip that `python -m esptool` of every program started from here reads and writes."""
    flash, state, module = tmp_path / "flash.bin", tmp_path / "state.json", tmp_path / "modules" / "esptool"
    flash.write_bytes(blank())
    state.write_text("{}")
    module.mkdir(parents=True)
    (module / "__init__.py").write_text("")
    (module / "__main__.py").write_text(STAND_IN.format(flash=str(flash), state=str(state), fake=str(FAKE)))
    monkeypatch.setenv("PYTHONPATH", str(module.parent))
    return flash


@pytest.mark.slow
def test_from_recordings_to_a_flashed_blob(chip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="torch (extra train) is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib (extra plot) is not installed")
    folder = tmp_path / "page"
    folder.mkdir()
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {"__name__": "tutorial"}
    for block in test_docs.blocks(PAGE):
        if block.kind == "python":
            test_docs.run_python(block, PAGE, names)
        else:
            test_docs.run_console(block, PAGE, folder)
    blob = (folder / "walks.rvne").read_bytes()
    image = pack_slot(blob)
    assert (folder / "walks.bin").read_bytes() == image
    slot = chip.read_bytes()[SLOT_A : SLOT_A + SLOT_BYTES]
    assert slot == image.ljust(SLOT_BYTES, b"\xff")
    assert chip.read_bytes()[SLOT_B:] == blank()[SLOT_B:]
    calls = json.loads((tmp_path / "state.json").read_text())["calls"]
    assert [name for name, _, _ in calls].count("write-flash") == 2
    assert set(TemporalModel.from_blob(blob).class_names or ()) == {"empty", "falling", "still", "walking", "waving"}
    for name in ("timeline.png", "confusion.png", "attention.html", "drift.svg", "demo.png"):
        assert (folder / name).stat().st_size > 10_000
    assert "(here)" in (folder / "heard.txt").read_text()
