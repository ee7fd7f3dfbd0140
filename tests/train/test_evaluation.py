"""The protocol behind every accuracy in the documentation, and the calibration of confidence."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from hang import HANG

from aether_temporal import TemporalModel, WeightBlob, WeightBlobHeader
from aether_temporal.bundled import bundled_models
from aether_temporal.running.result import labelled_windows
from aether_temporal.train.dataset import LabelledRecording
from aether_temporal.train.evaluation import (
    BINS,
    Predictions,
    Scores,
    balanced,
    calibration_error,
    confidence,
    fit_temperature,
    likelihood_loss,
    mean_of,
    predictions,
    probabilities,
    say_classes,
    score,
    share_of,
    stored,
    student,
    temperature_note,
    with_temperature,
)


def drawn(temperature: float, n: int = 40_000) -> Predictions:
    """Labels drawn from the probabilities that logits / temperature say."""
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 2, (n, 3)).astype(np.float32)
    edges = probabilities(logits, temperature).cumsum(axis=1)
    labels = (rng.uniform(size=(n, 1)) > edges[:, :2]).sum(axis=1)
    return Predictions(logits, labels)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_finds_the_temperature_that_made_the_labels(temperature: float) -> None:
    given = drawn(temperature)
    found = fit_temperature(given)
    assert found == pytest.approx(temperature, rel=0.04)
    assert likelihood_loss(given, found) <= likelihood_loss(given, temperature)
    assert calibration_error(given, found) < 0.012
    if temperature != 1:
        assert calibration_error(given) > 0.1


def test_a_temperature_at_its_limit_is_told() -> None:
    logits = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    easy, reversed_ = Predictions(logits, np.array([0, 1])), Predictions(logits, np.array([1, 0]))
    assert "not to be trusted" in temperature_note(fit_temperature(easy))
    assert "next to nothing" in temperature_note(fit_temperature(reversed_))
    assert temperature_note(fit_temperature(drawn(1.0))) == ""


def test_errors_by_hand() -> None:
    logits = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]], np.float32))
    given = Predictions(logits, np.array([0, 1, 0]))
    assert calibration_error(given) == pytest.approx((2 * abs(0.9 - 0.5) + abs(0.6 - 1)) / 3, abs=1e-6)
    assert likelihood_loss(given) == pytest.approx(-np.log([0.9, 0.1, 0.6]).mean(), abs=1e-6)


def test_predictions_in_parts_and_on_disk_give_the_same_figures(tmp_path: Path) -> None:
    """Against the definitions, over all frames at once."""
    given = drawn(0.6)
    cuts = [0, 1, 900, 900, 20_011, len(given)]
    parts = [Predictions(given.logits[a:b], given.labels[a:b].astype(np.uint8)) for a, b in itertools.pairwise(cuts)]
    kept = stored(iter(parts), tmp_path)
    assert not list(tmp_path.iterdir())
    assert kept.labels.dtype == np.uint8
    assert kept.logits.tobytes() == given.logits.tobytes()
    np.testing.assert_array_equal(kept.labels, given.labels)
    p = probabilities(given.logits, 0.6)
    rows = np.arange(len(p))
    assert likelihood_loss(kept, 0.6) == pytest.approx(-np.log(p[rows, given.labels]).mean(), rel=1e-13)
    sure, right = p.max(axis=1), p.argmax(axis=1) == given.labels
    bins = [(sure >= low / BINS) & (sure < (low + 1) / BINS) for low in range(BINS)]
    there = [(one.sum(), sure[one].mean(), right[one].mean()) for one in bins if one.any()]
    plain, scaled = confidence(iter(parts), (1.0, 0.6))
    counted = scaled.reliability[scaled.reliability[:, 0] > 0]
    np.testing.assert_allclose(counted, there, rtol=1e-12)
    assert scaled.error == pytest.approx(sum(n * abs(c - r) for n, c, r in there) / len(p), rel=1e-12)
    assert plain.error == pytest.approx(calibration_error(kept), rel=1e-12)
    assert plain.error > 2 * scaled.error
    assert fit_temperature(kept) == pytest.approx(fit_temperature(given), rel=1e-9)


def test_error_names_the_disk_that_predictions_fill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full is not there")

    def full(**_: object) -> IO[bytes]:
        return Path("/dev/full").open("w+b", buffering=0)

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(OSError, match="No space left") as error:
        stored([drawn(1.0, 100)], tmp_path)
    assert error.value.filename == str(tmp_path)


def test_long_recording_gives_the_same_predictions_in_bounded_memory() -> None:
    """The core's workspace is no memory of Python's: what the process takes more, in a process of its own."""
    if not Path("/proc/self/status").exists():
        pytest.skip("/proc/self/status, which tells what a process took at most, is not there")
    code = """
import numpy as np
from aether_temporal import TemporalModel
from aether_temporal.train.evaluation import logits_of
frames = np.random.default_rng(0).random((40_000, 56), np.float32)
model = TemporalModel.from_blob("activity")
logits_of(model, frames[:1000], 128)
def most(): return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = most()
found = logits_of(model, frames, 128)
after = most()
whole = model.forward(frames, 128)
print(after - before, most() - before, found.tobytes() == whole.tobytes())
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=HANG).stdout
    streamed, at_once, same = said.split()
    assert same == "True"
    assert int(streamed) < 4096  # KiB; the predictions themselves are 800
    assert int(at_once) > 4 * 4096


def test_predictions_are_those_of_labelled_frames_by_recording() -> None:
    model = TemporalModel.from_blob(bundled_models()["activity"])
    frames = np.random.default_rng(3).uniform(1, 20, (90, 56)).astype(np.float32)
    labels = np.arange(90) % 5
    some = np.where(np.arange(90) % 3 == 0, -1, labels)
    recordings = [
        LabelledRecording(name, "0", frames, its) for name, its in (("a", labels), ("b", some), ("c", np.full(90, -1)))
    ]
    recordings.append(LabelledRecording("short", "0", frames[:49], labels[:49]))
    expected = model.forward(frames, 128)[49:]
    whole, part = predictions(model, recordings, label_delay=25, warm_up=49, context=128)
    np.testing.assert_array_equal(whole.labels, labels[24:65])
    np.testing.assert_array_equal(whole.logits, expected)
    np.testing.assert_array_equal(part.labels, some[24:65][some[24:65] >= 0])
    np.testing.assert_array_equal(part.logits, expected[some[24:65] >= 0])
    with pytest.raises(ValueError, match="expected frames with one after the first 49, found none"):
        list(predictions(model, recordings[2:], label_delay=25, warm_up=49))


def test_a_blob_takes_the_temperature_and_nothing_else() -> None:
    blob = WeightBlob.load(bundled_models()["activity"])
    cooler = with_temperature(blob, 1.7)
    before, after = blob.arrays(), cooler.arrays()
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed == {"classifier.weight", "classifier.bias"}
    assert cooler.settings is not None
    assert blob.settings is not None
    assert cooler.settings.timing == blob.settings.timing
    assert cooler.settings.provenance == blob.settings.provenance
    frames = np.random.default_rng(0).uniform(1, 20, (80, 56)).astype(np.float32)
    a, b = TemporalModel.from_blob(blob).forward(frames), TemporalModel.from_blob(cooler).forward(frames)
    np.testing.assert_allclose(b, a / 1.7, rtol=1e-4, atol=1e-5)
    plain = WeightBlob(WeightBlobHeader("float32", 1, 1, 1, 1, 1, 2), np.ones(6, "<f4").tobytes())
    assert with_temperature(plain, 2.0).arrays()["classifier.weight"].tolist() == [[0.5, 0.5]]


def test_means_and_their_intervals() -> None:
    found = mean_of([1.0, 2.0, 3.0, 4.0, 5.0])
    half = 2.7764451 * math.sqrt(2.5) / math.sqrt(5)  # Student's t for four degrees of freedom
    assert (found.mean, found.low, found.high) == pytest.approx((3, 3 - half, 3 + half))
    assert math.isnan(mean_of([1.0]).low)
    share = share_of([9, 5, 10, 8], [10, 10, 10, 10])
    assert share.mean == 0.8
    assert 0.5 < share.low < 0.8 < share.high <= 1.0
    assert share_of([5, 5], [10, 10]).low == 0.5


@pytest.mark.parametrize(
    ("count", "t"), [(2, 12.7062), (5, 2.7764), (31, 2.0423), (32, 2.0395), (50, 2.0096), (1000, 1.9623)]
)
def test_student_at_975_per_mille(count: int, t: float) -> None:
    assert student(count) == pytest.approx(t, abs=1e-4)


class Echo:
    """Stands in for a model: its prediction after a frame is what the frame's first feature says."""

    n_classes = 3
    class_names = ("a", "b", "c")

    def forward(self, frames: np.ndarray, context: int | None = None) -> np.ndarray:
        return np.eye(3, dtype=np.float32)[frames[:, 0].astype(int)]


def test_a_window_has_its_most_frequent_label_and_of_equals_the_first() -> None:
    labels = np.array([0, 1, 1, 2, 2, 0, 2, 1, 0, -1, -1, -1, -1, 2, -1, 1, 1])
    found, last = labelled_windows(labels, 3)
    np.testing.assert_array_equal(found, [1, 2, 0, 2])  # the fourth window has no label, the last is not complete
    np.testing.assert_array_equal(last, [2, 5, 8, 14])


def test_windows_begin_again_with_each_segment() -> None:
    labels = np.array([0, 0, 0, 1, 2, 2, 2, 2, 1])
    found, last = labelled_windows(labels, 2, (0, 3, 4))
    np.testing.assert_array_equal(found, [0, 2, 2])
    np.testing.assert_array_equal(last, [1, 5, 7])
    assert [len(part) for part in labelled_windows(labels[:0], 2, ())] == [0, 0]


def test_windows_follow_each_other_and_are_predicted_at_their_last_frame() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 0, 0, 2, 2, 2, 2], dtype=np.int64)
    predictions = np.array([0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 2, 2, 2])
    execution = LabelledRecording("one", "0", np.repeat(predictions[:, None], 4, axis=1).astype(np.float32), labels)
    found = score(Echo(), [execution], label_delay=1, window=4)  # type: ignore[arg-type]
    # windows 0-3, 4-7, 8-11 have majorities 0, 1, 2; predictions at frames 3, 7, 11: 0, 1, 2
    assert found.windows == 3
    assert found.streamed == 1.0
    assert found.fresh == 1.0
    np.testing.assert_array_equal(found.streamed_windows, np.eye(3))
    assert found.frames == 1.0
    assert score(Echo(), [execution], label_delay=0, window=4).frames == np.mean(predictions == labels)  # type: ignore[arg-type]


def test_confusion_counts_wrong_predictions() -> None:
    execution = LabelledRecording("one", "0", np.full((8, 2), 2.0, np.float32), np.array([0, 0, 0, 0, 2, 2, 2, 2]))
    found = score(Echo(), [execution], label_delay=0, window=4)  # type: ignore[arg-type]
    assert found.streamed == found.fresh == found.frames == 0.5
    assert found.fresh_windows[0, 2] == found.streamed_windows[0, 2] == 1
    assert (found + found).windows == 4


def scores(windows: list[list[int]], frames: list[list[int]]) -> Scores:
    counts = np.array(windows)
    return Scores(("normal", "fall\n")[: len(counts)], counts, counts, np.array(frames))


def test_a_class_that_is_never_predicted_is_named_however_high_the_mean() -> None:
    rare = scores([[60, 0], [0, 0]], [[2745, 0], [180, 0]])
    assert rare.fresh == 1.0
    assert balanced(rare.streamed_frames) == 0.5
    assert rare.warnings() == [
        "frames: every prediction is normal",
        "frames: fall\\n (180 of 2925) is never predicted",
    ]
    said: list[str] = []
    say_classes(rare, said.append)
    assert said == [
        "                    windows  recall  precision    frames  recall  precision",
        "  normal                 60  100.0%     100.0%      2745  100.0%      93.8%",
        "  fall\\n                  0                          180    0.0%",
        "  mean of classes        60  100.0%                 2925   50.0%",
        "  warning: frames: every prediction is normal",
        "  warning: frames: fall\\n (180 of 2925) is never predicted",
    ]
    document = rare.document()
    assert document["warnings"] == rare.warnings()
    assert document["frames"]["balanced"] == 0.5
    assert document["frames"]["by_class"]["fall\n"] == {"count": 180, "recall": 0.0, "precision": None}
    assert document["fresh_windows"]["by_class"]["fall\n"] == {"count": 0, "recall": None, "precision": None}


def test_predictions_no_better_than_the_commonest_class_are_named() -> None:
    worse = scores([[7, 3], [3, 2]], [[70, 30], [10, 40]])
    assert worse.warnings() == [
        "fresh windows: 0.600 correct is no better than always normal (0.667)",
        "streamed windows: 0.600 correct is no better than always normal (0.667)",
    ]
    assert scores([[9, 1], [1, 4]], [[90, 10], [10, 40]]).warnings() == []


def test_the_picture_of_the_loss_has_a_plain_axis_and_a_smoothed_line(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib (extra plot) is not installed")
    pytest.importorskip("torch", reason="no torch")
    from aether_temporal.train.plots import loss_figure, smoothed
    from aether_temporal.train.runs import Run

    np.testing.assert_allclose(smoothed(np.array([4.0, 1.0, 1.0, 6.0]), 1), [2.5, 2.0, 8 / 3, 3.5])
    lines = [json.dumps({"step": 10 * i, "loss": 1.0 + i % 2, "part": "model"}) for i in range(40)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (axes,) = loss_figure(Run(tmp_path, {})).axes
    assert axes.get_yscale() == "linear"
    logged, smooth = (np.asarray(line.get_ydata()) for line in axes.lines)
    assert np.ptp(logged) == 1.0
    assert np.ptp(smooth[2:-2]) < 0.3
