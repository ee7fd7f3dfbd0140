"""What `quality_of` says of recordings, each with one thing wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli.command import call
from numpy.typing import NDArray

from aether_temporal.recordings import Recording, open_recording
from aether_temporal.recordings.quality import quality_of
from aether_temporal.recordings.recording import gaps_between, rate_of
from aether_temporal.subcarriers import Band, SubcarrierMap

PAIRS = 16


def healthy(frames: int = 200, times: NDArray[np.float64] | None = None, **more: Any) -> Recording:
    """I/Q of noise at 50 frames a second: nothing to warn of."""
    iq = np.random.default_rng(0).integers(-100, 101, (frames, PAIRS, 2)).astype(np.int8)
    stamps = np.arange(frames) / 50 if times is None else times
    return Recording("a.csv", "node", "csi-text", iq=iq, timestamps=stamps, frame_rate=rate_of(stamps), **more)


def changed(change: Callable[[NDArray[np.int8]], None]) -> Recording:
    recording = healthy()
    assert recording.iq is not None
    iq = recording.iq.astype(np.int8)
    change(iq)
    return replace(recording, iq=iq)


def test_a_healthy_recording_has_no_warning() -> None:
    found = quality_of(healthy())
    assert found.warnings == ()
    assert (found.frames, found.width, found.bits, found.raw) == (200, PAIRS, 8, True)
    assert found.timing is not None
    assert found.timing.rate == pytest.approx(50)
    assert found.timing.median == pytest.approx(0.02)
    assert (found.dead, found.saturated, found.repeated, found.dropped_share) == ((), (), 0, 0)


def test_bursts_are_named_although_the_mean_rate_fits() -> None:
    times = np.array([burst * 0.2 + frame * 0.0005 for burst in range(20) for frame in range(10)])
    found = quality_of(healthy(times=times))
    assert found.timing is not None
    assert found.timing.together == 10
    assert found.timing.arrivals == pytest.approx(5, rel=0.05)
    assert found.frame_rate == pytest.approx(50, rel=0.05)
    assert found.timing.gaps == ()
    (warning,) = found.warnings
    assert warning.startswith("frames come in bursts: 10 at a time, 5.")


@pytest.mark.parametrize("seed", range(3))
def test_random_arrival_is_no_burst(seed: int) -> None:
    times = np.cumsum(np.random.default_rng(seed).exponential(0.02, 200))
    assert quality_of(healthy(times=times)).warnings == ()


def test_a_hole_is_a_gap_and_leaves_the_rate_as_it_is() -> None:
    times = np.arange(200) / 50
    times[150:] += 10
    found = quality_of(healthy(times=times))
    assert found.frame_rate == pytest.approx(50)
    assert found.timing is not None
    (gap,) = found.timing.gaps
    assert gap.start == pytest.approx(149 / 50)
    assert gap.seconds == pytest.approx(10.02)
    assert [warning for warning in found.warnings if warning.startswith("a gap of 10 s")]


def test_slow_and_bursty_recordings_have_no_gaps() -> None:
    assert not len(gaps_between(np.arange(0.0, 250.0, 5.0)))
    bursty = [burst * 3.0 + frame * 0.001 for burst in range(20) for frame in range(10)]
    assert not len(gaps_between(np.array(bursty, dtype=np.float64)))
    assert gaps_between(np.array([0.0, 0.02, 0.04, 8.0, 8.02])).tolist() == [2]


def test_rate_of_times_that_go_back() -> None:
    assert rate_of(np.array([0.0, 0.1, 0.2, 0.0, 0.1, 0.2])) == pytest.approx(10)
    assert rate_of(np.zeros(4)) is None
    found = quality_of(healthy(6, np.array([0.0, 0.1, 0.2, 0.0, 0.1, 0.2])))
    assert "the timestamps go back once; frames are taken in the file's order" in found.warnings


def test_a_frozen_buffer_is_named() -> None:
    def freeze(iq: NDArray[np.int8]) -> None:
        iq[100:] = iq[100]

    found = quality_of(changed(freeze))
    assert (found.repeated, found.longest_repeat) == (99, 100)
    (warning,) = found.warnings
    assert warning.startswith("99 of 200 frames repeat an earlier one exactly, 100 in a row")


def test_two_buffers_in_turn_are_named() -> None:
    def freeze(iq: NDArray[np.int8]) -> None:
        iq[0::2], iq[1::2] = iq[0], iq[1]

    assert quality_of(changed(freeze)).repeated == 198


def test_the_drivers_first_word_is_named() -> None:
    def store_length(iq: NDArray[np.int8]) -> None:
        iq[:, 0, 0] = np.arange(200) % 60
        iq[:, 0, 1], iq[:, 1] = -80, (4, 0)

    found = quality_of(changed(store_length))
    assert found.first_word
    assert [warning for warning in found.warnings if "first word stands in place of I/Q pairs 0..1" in warning]
    assert not quality_of(changed(store_length), select=range(2, 64)).warnings
    partly = quality_of(changed(store_length), select=[1, 5, 6])
    assert [warning for warning in partly.warnings if "in place of I/Q pairs 1" in warning]

    def zero(iq: NDArray[np.int8]) -> None:
        iq[:, :2] = 0

    assert not quality_of(changed(zero)).first_word


def test_saturated_subcarriers_are_named() -> None:
    def saturate(iq: NDArray[np.int8]) -> None:
        iq[::10, 3:6, 1] = -128

    found = quality_of(changed(saturate))
    assert found.saturated == (3, 4, 5)
    assert [warning for warning in found.warnings if warning.endswith("3..5")]


def test_dead_subcarriers_are_listed_and_named_where_they_are_used() -> None:
    def kill(iq: NDArray[np.int8]) -> None:
        iq[:, 7:9] = 0

    recording = changed(kill)
    assert quality_of(recording).dead == (7, 8)
    assert quality_of(recording).warnings == ()  # guard subcarriers look the same
    assert quality_of(recording, range(6)).warnings == ()
    assert quality_of(recording, range(8)).warnings == (
        "subcarriers that should carry something but are always zero: 7",
    )


def test_frozen_columns_are_named() -> None:
    def freeze(iq: NDArray[np.int8]) -> None:
        iq[:, 4] = (9, -7)
        iq[:, 5] = 0

    recording = changed(freeze)
    found = quality_of(recording)
    assert (found.frozen, found.dead) == ((4,), (5,))
    assert found.warnings == (
        "subcarriers that never change, although they are not zero: 4: leave them out (--subcarriers)",
    )
    assert quality_of(recording, range(4)).warnings == ()
    frames = np.random.default_rng(1).uniform(1, 300, (50, 4)).astype(np.float32)
    frames[:, 2] = 3
    (warning,) = quality_of(Recording("a.npz", "a", "npz", frames=frames)).warnings
    assert warning.startswith("features that never change, although they are not zero: 2")
    assert quality_of(Recording("a.npz", "a", "npz", frames=frames[:19])).frozen == ()  # too few to tell


def test_more_than_a_tenth_dropped_is_named() -> None:
    (warning,) = quality_of(healthy(dropped={"length": 20, "cut": 3})).warnings
    assert warning == "23 of 223 frames are dropped (10%): 20 length, 3 cut"
    assert quality_of(healthy(dropped={"length": 20})).warnings == ()
    assert quality_of(healthy(dropped={"other_text": 5000, "other_sender": 400})).warnings == ()


def test_classes_are_counted() -> None:
    labels = np.repeat([-1, 1, 0], [100, 60, 40])
    found = quality_of(healthy(labels=labels, label_names=("sit", "walk", "run")))
    assert (found.classes, found.unlabelled) == ({"sit": 40, "walk": 60}, 100)


def test_features_have_no_saturation_and_no_bits() -> None:
    frames = np.random.default_rng(1).uniform(1, 300, (50, 4)).astype(np.float32)
    found = quality_of(Recording("a.npz", "a", "npz", frames=frames))
    assert (found.bits, found.saturated, found.warnings, found.timing) == (None, (), (), None)


def test_an_empty_recording_is_described() -> None:
    empty = Recording("a.npz", "a", "npz", frames=np.zeros((0, 4), np.float32), dropped={"not_finite": 7})
    assert quality_of(empty).warnings == ("7 of 7 frames are dropped (100%): 7 not_finite",)


def test_subcarriers_are_named_by_number_where_they_are_known() -> None:
    def kill(iq: NDArray[np.int8]) -> None:
        iq[:, [0, 7, 8]] = 0

    recording = changed(kill)
    assert quality_of(recording).named([0, 7, 8]) == "0,7..8"
    known = replace(recording, subcarriers=SubcarrierMap.of([*range(8), *range(-8, 0)], Band.LLTF))
    found = quality_of(known)
    assert found.named([0, 7, 8]) == "lltf:0,7,-8"
    assert found.warnings == ("subcarriers that should carry something but are always zero: lltf:7,-8",)
    outermost = SubcarrierMap.of([0, *range(20, 27), 30, *range(-7, 0)], Band.LLTF)
    (warning,) = quality_of(replace(recording, subcarriers=outermost)).warnings
    assert warning.endswith("zero: lltf:26")


def test_twelve_bit_words_saturate_at_their_own_limit() -> None:
    recording = healthy()
    assert recording.iq is not None
    wide = recording.iq.astype(np.int16) * 3
    assert quality_of(replace(recording, iq=wide)).saturated == ()
    wide[:, 2, 0] = 2047
    found = quality_of(replace(recording, iq=wide))
    assert (found.bits, found.saturated) == (12, (2,))


def test_columns_of_either_band_that_are_chosen_are_dead_beyond_lltf_too() -> None:
    """Either band may be L-LTF, which has nothing beyond 26: of no interest, unless 27 and 28 are asked for."""

    def kill(iq: NDArray[np.int8]) -> None:
        iq[:, [7, 8]] = 0

    known = replace(changed(kill), subcarriers=SubcarrierMap.of([*range(21, 29), -28, *range(-27, -20)]))
    assert quality_of(known).warnings == ()
    (warning,) = quality_of(known, range(16)).warnings
    assert warning == "subcarriers that should carry something but are always zero: any:28,-28"


def test_gains_that_the_device_states_are_told(tmp_path: Path) -> None:
    lines = []
    for i, (fft, agc) in enumerate([(-3, 40), (2, 62), (0, 41), ("", 7), (999, 45)]):
        values = json.dumps([i + 1] * 128)
        lines.append(f'CSI_DATA,{i},aa:bb:cc:dd:ee:ff,-40,11,-90,{fft},{agc},6,{i * 1000},9,0,128,0,"{values}"\n')
    (tmp_path / "c6.csv").write_text("".join(lines), "utf-8")
    found = quality_of(open_recording(tmp_path / "c6.csv"))
    assert found.amplification == {"fft_gain": (-3, 2), "agc_gain": (7, 62)}
    assert found.document()["amplification"] == found.amplification
    shown = call("recordings", tmp_path / "c6.csv").stdout
    assert "gain         fft_gain -3 to 2, agc_gain 7 to 62, as the device states; not applied to the frames" in shown
    assert "-32..31, of L-LTF or HT-LTF (any); none always zero" in " ".join(shown.split())
    assert quality_of(healthy()).amplification == {}


def test_a_folder_of_features_by_frames_is_described_and_run_with_its_classes(tmp_path: Path) -> None:
    for number in range(4):
        place = tmp_path / ("sit", "walk")[number % 2] / f"clip{number}.npy"
        place.parent.mkdir(exist_ok=True)
        np.save(place, np.random.default_rng(number).uniform(0, 9, (52, 200)).astype(np.float32))
    told = ("--axes", "features,time", "--label-from", "folder")
    shown = call("recordings", tmp_path, *told).stdout
    assert "labels       sit 400, walk 400" in shown
    assert "[52, 200] was read as [features, time], as stated" in " ".join(shown.split())
    run = call("run", "demo", tmp_path, "--all", *told, "--json", "--max-memory", "2G").stdout
    assert json.loads(run)["total"]["frames"] == 800
    assert json.loads(call("recordings", tmp_path, *told, "--json").stdout)["recordings"][0]["classes"] == {"sit": 200}


def test_notes_of_a_few_recordings_say_of_how_many(tmp_path: Path) -> None:
    frames = np.random.default_rng(3).uniform(0, 9, (60, 3, 3, 30))
    for number in range(4):
        np.save(tmp_path / f"act_{number}.npy", frames if number else frames.reshape(60, 270))
    shown = " ".join(call("recordings", tmp_path).stdout.split())
    assert "4 recordings, 240 frames" in shown
    assert "[60, 3, 3, 30] was read as frames of 3 times 3 times 30 features" in shown
    assert "--axes says another (3 recordings)" in shown
