"""The cost of binary16, array by array: against rounding done here, on the blobs that ship and on blobs made for it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from aether_temporal import (
    InvalidConfigError,
    NonFiniteError,
    ResultOverflowError,
    ShapeError,
    TemporalModel,
    WeightBlob,
    WeightBlobHeader,
)
from aether_temporal.blob_tools import float16_error
from aether_temporal.bundled import bundled_models
from aether_temporal.recordings import open_recordings
from aether_temporal.simulation import demo_script, simulate


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return simulate(demo_script(), 4).frames[:300]


def test_together_it_is_what_the_binary16_blob_computes(frames: np.ndarray) -> None:
    blob = WeightBlob.load(bundled_models()["demo"])
    report = float16_error(blob, frames)
    exact, half = (TemporalModel.from_blob(b).forward(frames) for b in (blob, blob.to_dtype("float16")))
    assert report.together.logits == pytest.approx(np.abs(half - exact).max() / np.abs(exact).max(), rel=1e-6)
    assert report.together.changed == float((half.argmax(1) != exact.argmax(1)).mean())
    assert (report.bytes_before, report.bytes_after) == (
        len(blob.serialize()),
        len(blob.to_dtype("float16").serialize()),
    )
    assert report.frames == 300


def test_each_matrix_stands_there_once_with_its_own_rounding(frames: np.ndarray) -> None:
    blob = WeightBlob.load(bundled_models()["demo"])
    report, arrays = float16_error(blob, frames), blob.arrays()
    matrices = [name for name, array in blob.to_dtype("float16").arrays().items() if array.dtype == np.float16]
    assert [cost.name for cost in report.arrays] == matrices
    assert {"layers.0.attention.wq", "layers.1.attention.wo", "classifier.weight"} < set(matrices)
    assert sum(cost.values for cost in report.arrays) == report.together.values
    for cost in report.arrays:
        exact = arrays[cost.name].astype(np.float64)
        relative = np.abs(exact.astype(np.float16) - exact) / np.abs(exact)
        assert cost.max_relative == relative.max()
        assert cost.mean_relative == pytest.approx(relative.mean())
        assert 0 < cost.logits < 0.05
        assert cost.embeddings is None


def test_what_binary16_holds_exactly_costs_nothing(plain_blob: WeightBlob) -> None:
    exact = np.frombuffer(plain_blob.weights, "<f4").astype(np.float16).astype("<f4")
    one = exact.copy()
    one[100] = 1 + 2**-11 + 2**-20  # in layers.0.attention.wq
    frames = np.random.default_rng(3).standard_normal((50, 16)).astype(np.float32)
    nothing = float16_error(WeightBlob(plain_blob.header, exact.tobytes()), frames)
    assert all(cost.max_relative == cost.logits == cost.changed == 0 for cost in (*nothing.arrays, nothing.together))
    found = float16_error(WeightBlob(plain_blob.header, one.tobytes()), frames)
    assert [cost.name for cost in found.arrays if cost.max_relative > 0] == ["layers.0.attention.wq"]
    assert [cost.name for cost in found.arrays if cost.logits > 0] == ["layers.0.attention.wq"]
    assert found.together.max_relative == pytest.approx(2**-11, rel=0.01)
    assert found.together.logits == found.arrays[0].logits


def test_what_cannot_be_measured_is_rejected_by_name(plain_blob: WeightBlob, frames: np.ndarray) -> None:
    good = np.random.default_rng(3).standard_normal((5, 16)).astype(np.float32)
    with pytest.raises(InvalidConfigError, match="float16"):
        float16_error(plain_blob.to_dtype("float16"), good)
    with pytest.raises(ShapeError, match="at least one frame"):
        float16_error(plain_blob, good[:0])
    with pytest.raises(ShapeError, match="frames"):
        float16_error(plain_blob, frames)
    with pytest.raises(NonFiniteError, match="frames"):
        float16_error(plain_blob, good * np.float32("nan"))
    weights = np.frombuffer(plain_blob.weights, "<f4").copy()
    weights[-1] = 1e5
    header: WeightBlobHeader = plain_blob.header
    with pytest.raises(ResultOverflowError, match="classifier"):
        float16_error(WeightBlob(header, weights.tobytes()), good)


def test_the_documented_figures_are_what_is_measured(recordings_dir: Path) -> None:
    blob = WeightBlob.load(bundled_models()["activity"])
    recordings = list(open_recordings(recordings_dir / "geotec_sessions_1_3.npz"))
    reports = [float16_error(blob, recording.features()) for recording in recordings]
    worst = {cost.name: max(r.arrays[i].logits for r in reports) for i, cost in enumerate(reports[0].arrays)}
    page = (Path(__file__).resolve().parent.parent / "docs" / "guide" / "pytorch.md").read_text(encoding="utf-8")
    stated = {}
    for name, *cells in re.findall(r"^\| `([\w.]+)` \| (\S*) ?\| (\S*) ?\| (\S*) ?\|$", page, re.MULTILINE):
        stated |= {f"layers.{i}.{name}" if i < 2 else name: cell for i, cell in enumerate(cells) if cell}
    assert stated == {name: f"{value:.1e}" for name, value in worst.items()}
    (together,) = re.findall(r"\*\*all together\*\* \| \| \| (\S+) \|", page)
    assert together == f"{max(r.together.logits for r in reports):.1e}"
    frames = sum(r.frames for r in reports)
    changed = round(sum(r.together.changed * r.frames for r in reports))
    spaced = f"{frames:,}".replace(",", " ")
    assert f"Together they change {changed} of the {spaced} predictions." in page
    sizes = [f"{n:,}".replace(",", " ") for n in (reports[0].bytes_before, reports[0].bytes_after)]
    assert f"({sizes[0]} bytes, {sizes[1]} with binary16)" in page
