"""A prepared dataset that is damaged is found out; one that was not finished is cleared away, one being made is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from aether_temporal.cli import aether
from aether_temporal.recordings import RecordingError
from aether_temporal.train import prepared
from aether_temporal.train.prepared import Prepared, prepare, read_dataset


def data(path: Path) -> Path:
    """Three recordings of 200 frames."""
    frames = np.random.default_rng(1).uniform(1, 9, (600, 20)).astype(np.float32)
    labels = np.tile(np.repeat([0, 1], 100), 3)
    np.savez(path, frames=frames, labels=labels, label_names=["a", "b"], rec_offset=[0, 200, 400, 600])
    return path


def flip(path: Path, place: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize(("name", "row_bytes"), [("frames.f32", 80), ("labels.i64", 8), ("fingerprints.i64", 16)])
def test_a_damaged_dataset_is_found_out(
    tmp_path: Path, name: str, row_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "dataset"
    first = prepare([data(tmp_path / "set.npz")], folder)[0]
    assert first.fingerprints is not None
    assert len(first.fingerprints) > 5
    read_dataset(folder)
    flip(folder / name, ((len(first.fingerprints) if name == "fingerprints.i64" else 200) + 2) * row_bytes)
    message = rf"dataset/{name}: .*set\.npz:recording1: expected .*; prepare the dataset again"
    with pytest.raises(RecordingError, match=message):
        read_dataset(folder)
    monkeypatch.setattr(prepared, "VERIFIED", 600 * 80 - 1)
    large = read_dataset(folder)  # too large to be read whole without being asked
    assert isinstance(large, Prepared)
    with pytest.raises(RecordingError, match=message):
        large.verify()
    monkeypatch.setattr(prepared, "VERIFIED", 600 * 80)
    with pytest.raises(RecordingError, match=message):
        read_dataset(folder)


def test_the_command_verifies(tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    prepare([data(tmp_path / "set.npz")], folder)
    good = CliRunner().invoke(aether, ["train", "verify", str(folder)])
    assert good.exit_code == 0
    assert good.output == f"{folder}: 3 recordings, 600 frames: whole\n"
    flip(folder / "frames.f32", 47_000)
    bad = CliRunner().invoke(aether, ["train", "verify", str(folder)])
    assert bad.exit_code == 2
    assert "frames.f32: " in bad.stderr
    assert "recording2: expected CRC 0x" in bad.stderr
    none = CliRunner().invoke(aether, ["train", "verify", str(tmp_path)])
    assert none.exit_code == 2
    assert "expected a prepared dataset" in none.stderr


HOLDING = """
import sys, time
from aether_temporal.train.prepared import prepare
def wait(title):
    print("begun", flush=True)
    time.sleep(600)
prepare([sys.argv[1]], sys.argv[2], on_recording=wait)
"""


@pytest.mark.skipif(not hasattr(os, "O_DIRECTORY") or sys.platform == "win32", reason="locks of POSIX")
def test_what_a_killed_process_left_is_cleared_away_and_a_living_one_is_left_alone(tmp_path: Path) -> None:
    source, folder = data(tmp_path / "set.npz"), tmp_path / "deep" / "dataset"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(source), str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            left = [path.name for path in folder.parent.iterdir()]
            assert left == [".dataset.preparing"]
            with pytest.raises(RecordingError, match="deep/dataset: another process is preparing this dataset"):
                prepare([source], folder)
            assert [path.name for path in folder.parent.iterdir()] == left  # it goes on
            assert (folder.parent / ".dataset.preparing" / "frames.f32").exists()
        finally:
            process.send_signal(signal.SIGKILL)
    assert [path.name for path in folder.parent.iterdir()] == left
    made = prepare([source], folder)
    assert len(made) == 3
    assert [path.name for path in folder.parent.iterdir()] == ["dataset"]
    assert {path.name for path in folder.iterdir()} == {"frames.f32", "labels.i64", "fingerprints.i64", "index.json"}


def test_a_file_is_prepared_once(tmp_path: Path) -> None:
    source = data(tmp_path / "set.npz")
    with pytest.raises(RecordingError, match=r"set\.npz: expected each file once"):
        prepare([source, tmp_path / "." / "set.npz"], tmp_path / "dataset")
    assert [path.name for path in tmp_path.iterdir()] == ["set.npz"]


def test_folders_that_were_made_for_nothing_are_gone(tmp_path: Path) -> None:
    np.savez(tmp_path / "nan.npz", frames=np.full((9, 3), np.nan, np.float32))
    with pytest.raises(RecordingError, match=r"nan\.npz"):
        prepare([tmp_path / "nan.npz"], tmp_path / "a" / "b" / "dataset")
    assert [path.name for path in tmp_path.iterdir()] == ["nan.npz"]
