"""The clock and the resampler through Python: against exact arithmetic, and as `run` uses them."""

from __future__ import annotations

import dataclasses
import io
import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making import c6, values_of

from aether_temporal import (
    Clock,
    ModelSettings,
    Resampler,
    TemporalModel,
    TimingSettings,
    WeightBlob,
    WeightBlobHeader,
    errors,
)
from aether_temporal.recordings import Recording, RecordingError, open_recording, open_recordings, resample
from aether_temporal.running import model_input, run
from aether_temporal.running.live_text import run_live


def timed_model(timing: TimingSettings, **more: Any) -> TemporalModel:
    """A small model of two features and three classes with this timing section."""
    header = WeightBlobHeader("float32", 2, 1, 1, 2, 1, 3)
    draw = np.random.default_rng(5).standard_normal
    names = ("wq", "wk", "wv", "wo")
    classes = ModelSettings(agc="mean", timing=timing, class_names=("a", "b", "c"), **more)
    return TemporalModel.from_blob(
        WeightBlob.from_arrays(header, [{name: draw((2, 2)) for name in names}], draw((2, 3)), classes)
    )


def test_clock_wraps_and_stands_still_at_a_restart() -> None:
    clock = Clock()
    found = [clock.read(value) for value in (4_294_967_290, 4, 10, 3, 8, 8)]
    assert found == [0, 10, 16, 16, 21, 21]
    assert clock.restarts == 1
    for wrong in (-1, 1 << 32, 1.5, "1"):
        with pytest.raises(errors.InvalidArgumentError):
            clock.read(wrong)  # type: ignore[arg-type]
    assert clock.read(9) == 22


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.integers(1, 25), st.integers(0, 30))
def test_grid_is_the_line_between_packets(gaps: list[int], period: int, more: int) -> None:
    """Frames whose first value is their own time come out with the grid's time, exactly where binary32 can."""
    max_gap = period + more
    times = np.cumsum(gaps).tolist()
    resampler = Resampler(2, period, max_gap)
    last: int | None = None
    grid: int | None = None
    for index, now in enumerate(times):
        restarted, frames, first = resampler.push([now, index], now)
        broken = last is not None and now - last > max_gap
        assert restarted == broken
        if last is None or broken:
            grid = now
        assert grid is not None
        expected = []
        while grid <= now:
            expected.append(grid)
            grid += period
        assert [first + i * period for i in range(len(frames))] == expected
        for when, (value, _) in zip(expected, frames, strict=True):
            assert abs(Fraction(float(value)) - when) <= Fraction(max(when, 1), 1 << 21)
        last = now


def test_rejections_leave_the_resampler_as_it_was() -> None:
    resampler = Resampler(2, 10, 30, agc="mean")
    other = Resampler(2, 10, 30, agc="mean")
    assert repr(resampler) == "<Resampler: dim 2; period 10 µs; gaps up to 30 µs; agc mean>"
    for each in (resampler, other):
        each.push([1, 3], 0)
    for frame, time, error in (
        ([1, np.nan], 10, errors.NonFiniteError),
        ([3e38, 3e38], 10, errors.ResultOverflowError),
        ([1, 2, 3], 10, errors.ShapeError),
        ([1, 2], -1, errors.InvalidArgumentError),
        ([1, 2], 1 << 63, errors.InvalidArgumentError),
        ([1, 2], 1.0, errors.InvalidArgumentError),
    ):
        with pytest.raises(error):
            resampler.push(frame, time)  # type: ignore[arg-type]
    found, expected = resampler.push([5, 2], 25), other.push([5, 2], 25)
    assert found[0] is expected[0] is False
    assert found[2] == expected[2] == 10
    np.testing.assert_array_equal(found[1], expected[1])
    assert found[1].shape == (2, 2)
    np.testing.assert_allclose(found[1].mean(axis=1), 1, rtol=1e-6)
    for bad in ((0, 10, 30), (2, 0, 30), (2, 10, 9), (2, 10, 2561), (2, 1 << 24, (1 << 24) + 1), (2, 1.5, 30)):
        with pytest.raises(errors.InvalidConfigError):
            Resampler(*bad)  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidConfigError):
        Resampler(2, 10, 30, agc="median")


def _recording(stamps: list[float], labels: list[int] | None = None) -> Recording:
    frames = np.arange(len(stamps) * 2, dtype=np.float32).reshape(-1, 2) + 1
    return Recording(
        source="test",
        name="r",
        format="npz",
        frames=frames,
        timestamps=np.array(stamps),
        labels=None if labels is None else np.array(labels),
        label_names=("a", "b", "c"),
        subject="7",
        session="2",
    )


def test_recording_keeps_its_labels_in_time() -> None:
    found = resample(_recording([5.0, 5.01, 5.025, 5.025, 5.5, 5.52], [0, 1, 2, 1, -1, 0]), 10_000, 100_000)
    made = found.recording
    assert found.segment_starts == (0, 3)
    assert made.timestamps is not None
    np.testing.assert_allclose(made.timestamps, [0, 0.01, 0.02, 0.5, 0.51, 0.52])
    assert made.labels is not None
    assert made.labels.tolist() == [0, 1, 1, -1, -1, 0]
    assert made.frame_rate == 100
    assert (made.subject, made.session) == ("7", "2")
    assert [len(range(6)[part]) for part in found.segments()] == [3, 3]
    back = resample(_recording([1.0, 1.01, 0.5, 0.51]), 10_000, 100_000)
    assert back.segment_starts == (0, 2)
    with pytest.raises(RecordingError, match="timestamps"):
        resample(Recording(source="test", name="", format="npy", frames=np.ones((3, 2), np.float32)), 10, 10)
    with pytest.raises(RecordingError, match="finite"):
        resample(_recording([0.0, np.nan]), 10, 10)


def test_run_puts_frames_on_the_grid_and_resets_the_stream(tmp_path: Path) -> None:
    model = timed_model(TimingSettings(label_delay=2, period_us=10_000, max_gap_us=100_000))
    assert model.label_delay == 2
    recording = _recording([0.0, 0.01, 0.025, 0.025, 0.5, 0.52], [0, 1, 2, 1, 0, 0])
    given = model_input(model, recording)
    result = run(model, recording, context=8)
    assert len(result) == 6
    expected = np.concatenate([model.forward(part, 8) for part in given.segments()])
    np.testing.assert_array_equal(result.scores, expected)
    assert result.labels is not None
    assert result.labels.tolist() == [-1, -1, 0, -1, -1, 0]  # labels of two grid frames before, in the same segment
    assert any("grid of 10 ms: 6 frames" in note for note in result.notes)
    assert any("was reset 1 times" in note for note in result.notes)
    untimed = Recording(source="test", name="", format="npy", frames=np.ones((3, 2), np.float32))
    late = run(model, untimed, context=8)
    assert len(late) == 3
    assert "without timestamps" in late.notes[0]


def test_a_recording_without_times_is_put_on_the_grid_by_its_rate() -> None:
    model = timed_model(TimingSettings(period_us=10_000, max_gap_us=100_000))
    frames = np.random.default_rng(5).uniform(1, 2, (9, 2)).astype(np.float32)
    untimed = Recording(source="test", name="", format="npy", frames=frames, frame_rate=80.0)
    timed = dataclasses.replace(untimed, timestamps=np.arange(9) / 80)
    given = model_input(model, untimed)
    np.testing.assert_array_equal(given.frames, model_input(model, timed).frames)
    assert len(given.frames) == 11
    assert given.notes[-1] == "9 frames were put on a grid of 10 ms, at the stated rate of 80 a second: 11 frames"


def test_live_text_is_put_on_the_grid_too(tmp_path: Path) -> None:
    """Bursts on a console, a clock that wraps and a long gap: as from the file, bit for bit."""
    model = timed_model(TimingSettings(period_us=10_000, max_gap_us=100_000))
    times = [-30_000, -30_000, -12_345, 0, 1, 26_000, 500_000, 512_000]
    text = "".join(c6(i, values_of(i, 4), us=us % 2**32) + "\n" for i, us in enumerate(times))
    (tmp_path / "console.txt").write_text(text)
    stored = run(model, open_recording(tmp_path / "console.txt"), context=8)
    live = run_live(model, io.BytesIO(text.encode()), context=8)
    assert len(stored) == 8
    np.testing.assert_array_equal(live.scores, stored.scores)
    assert live.recording.timestamps is not None
    assert stored.recording.timestamps is not None
    np.testing.assert_allclose(live.recording.timestamps, stored.recording.timestamps, atol=1e-9)


def test_real_bursts_become_steady(recordings_dir: Path) -> None:
    for index, recording in enumerate(open_recordings(recordings_dir / "wiper_persons_0_59.npz")):
        found = resample(recording, 20_000, 1_200_000, agc="mean").recording
        assert found.timestamps is not None
        assert recording.timestamps is not None
        np.testing.assert_allclose(np.diff(found.timestamps), 0.02, atol=1e-9)
        assert found.timestamps[-1] <= np.ptp(recording.timestamps) < found.timestamps[-1] + 0.02
        assert found.frames is not None
        np.testing.assert_allclose(found.frames.mean(axis=1), 1, rtol=1e-5)
        if index == 5:
            break


def test_settings_are_checked_and_kept() -> None:
    model = timed_model(TimingSettings(3, 20_000, 500_000))
    assert model.settings is not None
    assert model.settings.timing == TimingSettings(3, 20_000, 500_000)
    for bad in (
        TimingSettings(label_delay=-1),
        TimingSettings(label_delay=65536),
        TimingSettings(max_gap_us=5),
        TimingSettings(period_us=10),
        TimingSettings(period_us=10, max_gap_us=9),
        TimingSettings(period_us=0, max_gap_us=9),
        TimingSettings(period_us=10, max_gap_us=2_561),
        TimingSettings(period_us=70_000, max_gap_us=(1 << 24) + 1),
    ):
        with pytest.raises(errors.InvalidConfigError, match="timing"):
            timed_model(bad)
    with pytest.raises(errors.InvalidConfigError, match="frame_rate"):
        timed_model(TimingSettings(period_us=10_000, max_gap_us=10_000), frame_rate=50.0)


@pytest.mark.parametrize(("period", "max_gap"), [(1000, 256_000), (70_000, 1 << 24)])
def test_a_blob_with_too_many_frames_in_one_gap_is_rejected(period: int, max_gap: int) -> None:
    """One packet after a gap must not keep a node busy for hours."""
    raw = bytearray(timed_model(TimingSettings(period_us=period, max_gap_us=max_gap)).blob)
    field = struct.pack("<3I", 0, period, max_gap)
    assert raw.count(field) == 1
    at = raw.index(field) + 8
    raw[at : at + 4] = struct.pack("<I", max_gap + 1)
    raw[-4:] = struct.pack("<I", zlib.crc32(raw[:-4]))
    with pytest.raises(errors.BlobHeaderError, match=f"timing.max_gap: expected period to 256 periods.*{max_gap + 1}"):
        TemporalModel.from_blob(bytes(raw))
