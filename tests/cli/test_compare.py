"""`aether compare`: every prediction that changes from one model to another, and nothing else."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import call, call_json, make_blob, save_model, save_recordings

from aether_temporal import TemporalModel, WeightBlob
from aether_temporal.recordings import Sources
from aether_temporal.running import run
from aether_temporal.running.model_comparison import compare, totals
from aether_temporal.settings import TimingSettings


def save_other(folder: Path, **settings: Any) -> Path:
    """The model of `save_model` with other settings."""
    blob = make_blob()
    assert blob.settings is not None
    path = folder / "other.rvne"
    blob.with_settings(blob.settings.replace(**settings)).save(path)
    return path


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return save_model(tmp_path)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    return save_recordings(tmp_path)


def test_a_model_equals_itself_in_every_bit(old: Path, recordings: Path) -> None:
    said = call("compare", old, old, recordings).output
    assert said.splitlines()[-3:-1] == [
        "0 of 180 predictions change, in 3 recordings",
        "every bit of the logits is the same",
    ]


def test_changes_are_those_of_the_predictions(tmp_path: Path, old: Path, recordings: Path) -> None:
    other = save_other(tmp_path, agc="none")
    before, after = (TemporalModel.from_blob(path) for path in (old, other))
    found = [compare(before, after, recording) for recording in Sources([recordings])]
    for each in found:
        expected = {}
        results = [run(model, each.recording) for model in (before, after)]
        labels = [[result.names[index] for index in result.predictions] for result in results]
        for index, pair in enumerate(zip(*labels, strict=True)):
            if pair[0] != pair[1]:
                expected[index] = pair
        listed = {
            index: (change.old, change.new)
            for change in each.changes
            for index in range(change.index, change.index + change.predictions)
        }
        assert listed == expected
        assert each.changed == len(expected)
        assert each.compared == len(each.recording)
        for change in each.changes:
            assert change.begin == pytest.approx(change.index / 50)
            assert change.end == pytest.approx((change.index + change.predictions - 1) / 50)
    total = totals(found)
    assert 0 < total["changed"] < total["compared"] == 180
    assert total["differing_logits"] == 180
    document = call_json("compare", old, other, recordings)
    assert document["total"] == total
    assert [each["changes"] for each in document["recordings"]] == [each.summary()["changes"] for each in found]
    said = call("compare", old, other, recordings).output
    assert f"{total['changed']} of 180 predictions change" in said
    assert "accuracy" in said


def test_adjacent_changes_of_other_classes_are_told_apart(tmp_path: Path, old: Path, recordings: Path) -> None:
    other = save_other(tmp_path, class_names=("turn", "sit", "walk"))
    (each,) = call_json("compare", old, other, recordings)["recordings"][:1]
    assert each["changed"] == each["compared"] == sum(change["predictions"] for change in each["changes"])
    assert all(change["old"] != change["new"] for change in each["changes"])
    pairs = [(change["old"], change["new"]) for change in each["changes"]]
    assert all(one != other for one, other in itertools.pairwise(pairs))
    assert len(set(pairs)) == 3
    assert each["differing_logits"] is None


def test_models_with_different_grids_are_compared_by_time(tmp_path: Path, old: Path, recordings: Path) -> None:
    other = save_other(tmp_path, frame_rate=25.0, timing=TimingSettings(period_us=40_000, max_gap_us=400_000))
    each = call_json("compare", old, other, recordings)["recordings"][0]
    assert each["compared"] == 70
    assert each["differing_logits"] is None
    slow, fast = (run(TemporalModel.from_blob(path), next(iter(Sources([recordings])))) for path in (other, old))
    labels = [fast.names[index] for index in fast.predictions]
    held = [slow.names[slow.predictions[index // 2]] for index in range(70)]
    assert each["changed"] == sum(one != two for one, two in zip(labels, held, strict=True))


def test_a_recording_that_one_model_cannot_take_names_the_model(tmp_path: Path, old: Path, recordings: Path) -> None:
    wide = tmp_path / "wide.rvne"
    make_blob(input_dim=7).save(wide)
    said = call("compare", old, wide, recordings, code=2).output
    assert said.startswith("aether: new model: ")
    assert "expected 7 features a frame" in said
    assert call("compare", wide, old, recordings, code=2).output.startswith("aether: old model: ")


def test_without_times_models_with_different_grids_have_no_common_clock(tmp_path: Path, old: Path) -> None:
    frames = tmp_path / "frames.npy"
    np.save(frames, np.random.default_rng(1).uniform(1, 40, (30, 6)).astype(np.float32))
    each = call_json("compare", old, old, frames)["recordings"][0]
    assert each["compared"] == 30
    other = save_other(tmp_path, agc="none")
    said = call("compare", old, other, frames).output
    assert "#" in said


def test_a_blob_is_checked_before_any_recording_is_read(tmp_path: Path, old: Path) -> None:
    broken = tmp_path / "broken.rvne"
    data = bytearray(old.read_bytes())
    data[40] ^= 1
    broken.write_bytes(data)
    assert "broken.rvne" in call("compare", old, broken, tmp_path / "missing.npz", code=2).output
    assert isinstance(WeightBlob.load(old), WeightBlob)
