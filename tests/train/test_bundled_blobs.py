"""The three blobs that ship: what they are, what they fit into, how good they are."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from aether_temporal import TemporalModel, WeightBlob
from aether_temporal.bundled import bundled_models
from aether_temporal.simulation import ACTIVITIES, Subcarriers, demo_script, random_script, simulate
from aether_temporal.train.dataset import Dataset, LabelledRecording
from aether_temporal.train.evaluation import Scores, recalls, score
from aether_temporal.train.prepared import read_dataset
from aether_temporal.train.reading import without_side

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "training.md"
LABEL_DELAY, CONTEXT = 25, 128
BASELINE = {"session 1": 0.589, "session 2": 0.611}  # extra trees on window statistics, trained on session 0


@pytest.mark.parametrize("name", list(bundled_models()))
def test_a_chip_can_hold_it(name: str) -> None:
    model = TemporalModel.from_blob(bundled_models()[name])
    for context in (128, 256):
        memory = model.memory(context=context)
        assert memory.flash < 128 * 1024
        assert memory.ram < 64 * 1024
        assert model.memory(context=context, dtype="float16").ram <= memory.ram


@pytest.mark.parametrize("name", ["activity", "demo"])
def test_it_says_what_it_is(name: str) -> None:
    blob = WeightBlob.load(bundled_models()[name])
    settings = blob.settings
    assert settings is not None
    assert settings.frame_rate == {"activity": 100.0, "demo": 50.0}[name]
    assert settings.embedding is None  # none was trained
    assert settings.provenance is not None
    if name == "demo":
        assert tuple(settings.class_names or ()) == ACTIVITIES
        assert "SIMULATED" in settings.provenance
        assert settings.calibration is not None
        assert settings.subcarrier_numbers is not None
        assert settings.subcarrier_numbers.wanted() == Subcarriers().map()
    else:
        assert tuple(settings.class_names or ()) == ("SEATED", "SITTING_DOWN", "STANDING_UP", "TURN", "WALKING")
        for part in ("GeoTecINIT/stability-csi-har", "10.1109/IPIN57070.2023.10332214", "ODC-By 1.0", "session 1"):
            assert part in settings.provenance


@pytest.mark.parametrize("name", ["activity", "demo"])
def test_a_context_beyond_the_history_changes_no_bit(name: str) -> None:
    model = TemporalModel.from_blob(bundled_models()[name])
    frames = simulate(demo_script(), 9).frames[:, np.arange(model.input_dim) % 52]
    np.testing.assert_array_equal(model.forward(frames, CONTEXT), model.forward(frames))


def test_activity_names_its_subcarriers_in_the_order_of_its_recordings(recordings_dir: Path) -> None:
    """HT-LTF by increasing number: neighbouring columns resemble each other, the first and the last do not."""
    settings = WeightBlob.load(bundled_models()["activity"]).settings
    assert settings is not None
    assert settings.subcarrier_numbers is not None
    assert str(settings.subcarrier_numbers.wanted()) == "htltf:-28..-1,1..28"
    dataset = read_dataset(recordings_dir / "geotec_sessions_1_3.npz")
    frames = np.concatenate([recording.frames for recording in dataset]).astype(np.float64)
    alike = np.corrcoef(frames.T / frames.mean(axis=1))
    assert alike.diagonal(1).min() >= 0.88
    assert alike[0, -1] < 0


def activity_scores(recordings_dir: Path) -> dict[str, Scores]:
    dataset = read_dataset(recordings_dir / "geotec_sessions_1_3.npz", rename=without_side)
    model = TemporalModel.from_blob(bundled_models()["activity"])
    assert model.settings is not None
    assert tuple(model.settings.class_names or ()) == dataset.classes
    return {
        f"session {number}": score(
            model, [e for e in dataset if e.session == str(number)], label_delay=LABEL_DELAY, context=CONTEXT
        )
        for number in range(3)
    }


def test_activity_beats_the_baselines_and_the_page_tells_its_figures(recordings_dir: Path) -> None:
    page = DOCS.read_text(encoding="utf-8")
    for name, found in activity_scores(recordings_dir).items():
        if name in BASELINE:
            assert found.streamed > BASELINE[name], name
            assert found.fresh > BASELINE[name], name
        row = re.search(rf"^\| {name}[^|]*\|(.*)\|$", page, re.MULTILINE)
        assert row is not None, name
        told = [cell.strip() for cell in row[1].split("|")][:4]
        measured = [
            str(found.windows),
            *(f"{v:.3f}" for v in (found.fresh, found.streamed, found.frames)),
        ]
        assert told == measured, name


def unseen_room(seed: int) -> LabelledRecording:
    """One that the demo's model was not trained on: its seeds are below a million."""
    made = simulate(random_script(np.random.Generator(np.random.PCG64([seed, 1]))), seed)
    return LabelledRecording(f"seed{seed}", "simulated", made.frames, made.labels)


@pytest.mark.slow
def test_demo_recognises_every_class_in_simulated_rooms_it_has_not_met() -> None:
    model = TemporalModel.from_blob(bundled_models()["demo"])
    unseen = [unseen_room(seed) for seed in range(1_000_000, 1_000_100)]
    found = score(model, unseen, label_delay=model.label_delay, window=2 * model.label_delay, context=CONTEXT)
    assert not found.warnings()
    assert (found.fresh_windows.sum(axis=1) > 50).all()
    for name, recall in zip(ACTIVITIES, recalls(found.fresh_windows), strict=True):
        assert recall > 0.85, name


def tool(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script of `tools`."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: it is needed for the baselines alone")
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module(name)


def test_motion_is_tiny_and_says_what_it_is() -> None:
    blob = WeightBlob.load(bundled_models()["motion"])
    assert len(blob.serialize()) <= 9 * 1024
    model = TemporalModel.from_blob(blob)
    assert model.memory(dtype="float16").ram < 8 * 1024
    settings = blob.settings
    assert settings is not None
    assert tuple(settings.class_names or ()) == ("quiet", "moving")
    assert settings.subcarrier_numbers is not None
    assert str(settings.subcarrier_numbers.wanted()) == "-26..-1,1..26"
    assert settings.timing is not None
    assert settings.timing.period_us == 20_000
    assert "stability-csi-har" in (settings.provenance or "")
    assert "ODC-By 1.0" in (settings.provenance or "")


def test_motion_has_the_figures_of_the_page(recordings_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recall and false positives of each chip, in recordings that it has not met."""
    if not (recordings_dir / "espectre").is_dir():
        pytest.skip(f"{recordings_dir / 'espectre'}: no recordings of quiet rooms and of motion there")
    baseline = tool("motion_baseline", monkeypatch)
    clips = baseline.read(recordings_dir / "espectre", TemporalModel.from_blob(bundled_models()["motion"]))
    chips = ("c5", "c6", "esp32", "s3")
    predictions = [
        baseline.shares([clip for clip in clips if clip.chip == chip], lambda clip: clip.odds > 0) for chip in chips
    ]
    told = " | ".join(
        f"{recall:.3f} / {false:.3f}" for recall, false in (*predictions, tuple(np.mean(predictions, axis=0)))
    )
    assert f"| model, its own threshold | {told} |" in DOCS.read_text(encoding="utf-8")


def test_baselines_see_the_time_alone_or_the_frames_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="torch (extra train) is not installed")
    baselines = tool("activity_baselines", monkeypatch)
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], 100)  # always the same script, and frames that say nothing of it
    scripted = Dataset(
        [
            LabelledRecording(f"r{i}", "0", rng.uniform(1, 2, (300, 6)).astype(np.float32), labels.copy())
            for i in range(8)
        ],
        ("a", "b", "c"),
    )
    train, test = scripted.subset(range(5)), scripted.subset(range(5, 8))
    assert baselines.extra_trees(train, test, "time") == (1.0, 18)
    assert baselines.extra_trees(train, test, "window")[0] < 0.7
    shuffled = baselines.in_random_order(test, seed=0)
    assert any((after.labels != before.labels).any() for before, after in zip(test, shuffled, strict=True))
    for before, after in zip(test, shuffled, strict=True):
        assert np.bincount(after.labels).tolist() == [100, 100, 100]
        rows = {row.tobytes(): int(label) for row, label in zip(before.frames, before.labels, strict=True)}
        assert [rows[row.tobytes()] for row in after.frames] == after.labels.tolist()
