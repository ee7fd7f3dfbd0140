"""`aether explore recording`: what stands where in the map."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from aether_temporal.explore.recording_figure import amplitude_map, recording_picture
from aether_temporal.recordings import Recording, RecordingError
from aether_temporal.recordings.recording import rate_of
from aether_temporal.subcarriers import Band, SubcarrierMap

WIDTH = 12


def recording(times: NDArray[np.float64], subcarriers: SubcarrierMap | None = None) -> Recording:
    """Frame t has amplitude t + 1 in all columns but the first, which is dead."""
    frames = np.repeat(np.arange(1, len(times) + 1, dtype=np.float32)[:, None], WIDTH, axis=1)
    frames[:, 0] = 0
    labels = np.where(np.arange(len(times)) < len(times) // 2, 0, 1)
    return Recording(
        "a.npz",
        "a",
        "npz",
        frames=frames,
        timestamps=times,
        labels=labels,
        label_names=("sit", "walk"),
        frame_rate=rate_of(times),
        subcarriers=subcarriers,
    )


def test_steps_hold_the_mean_of_their_frames() -> None:
    found = amplitude_map(recording(np.arange(100) / 50), bins=20)
    assert found.unit == "seconds"
    assert found.frames.tolist() == [5] * 20
    assert found.values[:, 1].tolist() == pytest.approx([5 * step + 3 for step in range(20)])
    assert found.labels.tolist() == [0] * 10 + [1] * 10


def test_a_gap_stays_blank() -> None:
    times = np.arange(100) / 50
    times[50:] += 8
    found = amplitude_map(recording(times), bins=100)
    blank = np.isnan(found.values[:, 1])
    middle = (found.edges[:-1] > 1.2) & (found.edges[:-1] < 8.9)
    assert blank[middle].all()
    assert not blank[~middle & ((found.edges[:-1] < 0.9) | (found.edges[:-1] > 9.1))].any()
    assert (found.labels[blank] == -1).all()


def test_without_times_the_axis_counts_frames() -> None:
    plain = Recording("a.npz", "a", "npz", frames=np.ones((30, 4), np.float32))
    found = amplitude_map(plain)
    assert (found.unit, found.edges[-1]) == ("frames", 30)


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(RecordingError, match="expected frames"):
        amplitude_map(Recording("a.npz", "a", "npz", frames=np.ones((0, 4), np.float32)))


def test_each_band_has_a_map_by_number() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib (extra plot) is not installed")
    numbers = SubcarrierMap((Band.LLTF,) * 6 + (Band.HTLTF,) * 6, (0, 1, 2, -3, -2, -1, 2, 4, 6, -6, -4, -2))
    figure = recording_picture(amplitude_map(recording(np.arange(60) / 50, numbers))).figure
    band, first, second, rate, _ = figure.axes
    assert (first.get_ylabel(), second.get_ylabel()) == ("lltf subcarrier", "htltf subcarrier")
    assert rate.get_ylabel() == "frames a second"
    shown = np.ma.getmaskarray(np.ma.asarray(first.images[0].get_array()))
    assert shown.shape[0] == 6  # -3 … 2
    assert shown[3].all()  # 0 is dead
    assert not shown[[0, 1, 2, 4, 5]].any()
    assert list(first.images[0].get_extent()[2:]) == [-3.5, 2.5]
    wide = np.ma.getmaskarray(np.ma.asarray(second.images[0].get_array()))
    assert wide.shape[0] == 7  # every second number from -6 to 6
    assert wide[3].all()
    assert {text.get_text() for text in band.texts} == {"sit", "walk"}
