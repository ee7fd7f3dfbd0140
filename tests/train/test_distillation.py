"""A student predicts as its teacher does; its blob says what it is; a run that is interrupted ends the same."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from cli.command import call

torch = pytest.importorskip("torch", reason="torch (extra train) is not installed")

from aether_temporal import PatternSettings, WeightBlob  # noqa: E402
from aether_temporal.settings import PYRAMID, CalibrationSettings  # noqa: E402
from aether_temporal.torch import Description, NetworkConfig, TemporalClassifier, export  # noqa: E402
from aether_temporal.train.distillation import DistillConfig, Distilling, disagreement, with_pattern  # noqa: E402
from aether_temporal.train.runs import Run  # noqa: E402

FEATURES = 12
DENSE = PatternSettings(window=None, use_log_stride=False, use_landmarks=False, global_tokens=())


def teacher_of(*, embedding: int = 0, others: dict[str, object] | None = None) -> TemporalClassifier:
    torch.manual_seed(3)
    config = NetworkConfig(
        input_dim=FEATURES, n_classes=3, width=16, n_layers=1, pattern=DENSE, agc="mean", embedding_dim=embedding
    )
    network = TemporalClassifier(config, Description(("a", "b", "c"), 50.0, "A teacher.", others=others or {}))
    with torch.no_grad():
        for name in ("wq", "wk", "wv", "wo"):
            network.layers[0].attention[name].mul_(4)  # so that attention matters
    return network.eval()


def frames_of(seed: int, count: int, length: int) -> np.ndarray:
    return (np.random.default_rng(seed).random((count, length, FEATURES)) + 0.5).astype(np.float32)


@pytest.mark.parametrize("embedding", [0, 8], ids=["classes", "embedding"])
def test_a_student_learns_to_predict_as_its_teacher_does(embedding: int) -> None:
    teacher = teacher_of(embedding=embedding)
    task = Distilling(teacher, with_pattern(teacher, PYRAMID), DistillConfig(steps=60, learning_rate=3e-3))
    held = torch.from_numpy(frames_of(99, 8, 48))
    before = float(disagreement(teacher, task.student, held).detach())
    weights = {name: value.clone() for name, value in teacher.state_dict().items()}
    Run(None, {}).train(
        task,
        lambda generator: (frames_of(int(generator.integers(1 << 30)), 8, 48), None),
        steps=60,
        seed=0,
        show_progress=False,
    )
    assert float(disagreement(teacher, task.student, held).detach()) < 0.7 * before
    assert all((teacher.state_dict()[name] == value).all() for name, value in weights.items())


def test_a_student_of_the_same_pattern_agrees_and_stays() -> None:
    teacher = teacher_of(embedding=8)
    task = Distilling(teacher, with_pattern(teacher, DENSE), DistillConfig(steps=5))
    assert task.step(0, (frames_of(1, 4, 20), None))["disagreement"] == pytest.approx(0, abs=1e-6)
    for name, value in task.student.state_dict().items():
        torch.testing.assert_close(value, teacher.state_dict()[name], rtol=0, atol=2e-4)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "recordings.npz"
    np.savez(
        path,
        amp=frames_of(5, 10, 120).reshape(-1, FEATURES),
        rec_name=np.array([f"r{i}" for i in range(10)]),
        rec_offset=np.arange(11) * 120,
        rate_hz=50.0,
    )
    return path


CONFIG = "length = 40\nbatch = 4\n"


def settings(tmp_path: Path, more: str = "") -> Path:
    path = tmp_path / "distill.toml"
    path.write_text(CONFIG + more)
    return path


def test_the_command_writes_a_student_that_says_so(tmp_path: Path, data: Path) -> None:
    teacher, out = tmp_path / "teacher.rvne", tmp_path / "student.rvne"
    export(teacher_of(others={"calibration": CalibrationSettings(1.5)}), teacher)
    arguments = ("--data", data, "--config", settings(tmp_path), "--steps", 4, "--out", out)
    said = call("train", "distill", teacher, *arguments, code=0).stdout
    assert "2 recordings that the student is not taught on" in said
    assert "kernel exchanged only: the same class in" in said
    blob = WeightBlob.load(out)
    assert blob.settings is not None
    assert blob.settings.pattern == PYRAMID
    assert blob.settings.calibration is None  # whoever wants it calibrates the student
    assert str(blob.settings.provenance).startswith("A teacher. Distilled from teacher.rvne (CRC-32 ")
    assert list(blob.settings.class_names or ()) == ["a", "b", "c"]


def test_the_history_is_the_teachers_where_the_pattern_has_none(tmp_path: Path, data: Path) -> None:
    teacher, out = tmp_path / "teacher.rvne", tmp_path / "student.rvne"
    export(with_pattern(teacher_of(), dataclasses.replace(DENSE, history=64)), teacher)
    call(
        *("train", "distill", teacher, "--data", data, "--config", settings(tmp_path)),
        *("--steps", 1, "--out", out),
        code=0,
    )
    settings_of_student = WeightBlob.load(out).settings
    assert settings_of_student is not None
    assert settings_of_student.pattern == PYRAMID.replace(history=64)


def test_an_interrupted_distillation_ends_as_an_uninterrupted_one(tmp_path: Path, data: Path) -> None:
    teacher = tmp_path / "teacher.rvne"
    export(teacher_of(embedding=8), teacher)
    more = "[run]\ncheckpoint_every = 2\n[pattern]\npattern = 'reference'\nwindow = 4\n"
    start = ("train", "distill", teacher, "--data", data, "--config", settings(tmp_path, more))
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    call(*start, "--run", whole, "--steps", 4, code=0)
    real = Distilling.step

    def stops(self: Distilling, step: int, batch: object) -> object:
        if step == 3:
            raise KeyboardInterrupt
        return real(self, step, batch)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Distilling, "step", stops)
        call(*start, "--run", parted, "--steps", 4, code=130)
    call(*start, "--run", parted, "--steps", 4, "--resume", code=0)
    assert (parted / "model.rvne").read_bytes() == (whole / "model.rvne").read_bytes()
    result = json.loads((parted / "result.json").read_text())
    assert 0 <= result["distilled"]["neighbours"] <= 1


def test_what_does_not_fit_the_teacher_is_named(tmp_path: Path, data: Path) -> None:
    teacher = tmp_path / "teacher.rvne"
    export(teacher_of(), teacher)
    out = tmp_path / "student.rvne"
    start = ("train", "distill", teacher, "--out", out, "--data")
    narrow = tmp_path / "narrow.npz"
    np.savez(narrow, amp=frames_of(1, 2, 60)[:, :, :7].reshape(-1, 7), rec_name=["a", "b"], rec_offset=[0, 60, 120])
    config = settings(tmp_path)
    said = call(*start, narrow, "--config", config, code=2).stderr
    assert (
        "narrow.npz: frames: expected 12 features, as teacher.rvne has them, found 7; distil on recordings like" in said
    )
    config = settings(tmp_path, "[reading]\nperiod_us = 10000\n")
    said = call(*start, data, "--config", config, code=2).stderr
    assert "reading.period_us: expected none, for the teacher's blob says it, found 10000" in said
    config = settings(tmp_path, "[pattern]\nwindow = 3\nblock_size = 3\n")
    assert "block_size" in call(*start, data, "--config", config, code=2).stderr
    assert not out.exists()
