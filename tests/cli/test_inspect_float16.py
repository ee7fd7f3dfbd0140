"""aether inspect --float16-error."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
from command import call, call_json, save_model

from aether_temporal import WeightBlob
from aether_temporal.blob_tools import float16_error


def save_frames(path: Path, width: int) -> Path:
    rng = np.random.default_rng(2)
    np.savez(path, amp=rng.uniform(1, 40, (90, width)).astype(np.float32), rate_hz=50.0)
    return path


def test_half_prints_what_is_measured(tmp_path: Path) -> None:
    model, frames = save_model(tmp_path), save_frames(tmp_path / "frames.npz", 6)
    document = call_json("inspect", model, "--float16-error", frames)["float16_error"]
    report = float16_error(WeightBlob.load(model), np.load(frames)["amp"])
    assert document["recording"] == str(frames)
    assert document["together"] == asdict(report.together)
    assert document["arrays"] == [asdict(cost) for cost in report.arrays]
    assert report.together.embeddings is not None
    text = call("inspect", model, "--float16-error", frames).stdout
    assert "Over the 90 frames" in text
    for cost in (*report.arrays, report.together):
        (line,) = [line for line in text.splitlines() if line.split() and line.split()[0] == cost.name and "%" in line]
        assert f"{cost.logits:.1e}" in line
    assert "half" not in call_json("inspect", model)


def test_float16_error_of_an_unsuitable_blob_is_rejected(tmp_path: Path) -> None:
    model, half = save_model(tmp_path), tmp_path / "half.rvne"
    assert (
        "frame width" in call("inspect", model, "--float16-error", save_frames(tmp_path / "wide.npz", 7), code=2).stderr
    )
    WeightBlob.load(model).to_dtype("float16").save(half)
    assert "float16" in call("inspect", half, "--float16-error", save_frames(tmp_path / "frames.npz", 6), code=2).stderr
    assert "nothing.npz" in call("inspect", model, "--float16-error", tmp_path / "nothing.npz", code=2).stderr
