"""The simulation obeys its own physics, and says what it is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from aether_temporal.simulation import ACTIVITIES, Receiver, Room, Subcarriers, demo_script, random_script, simulate
from aether_temporal.simulation.body import Subject, move
from aether_temporal.simulation.channel import LIGHT, channel, doppler_shift
from aether_temporal.simulation.simulated import room_channel


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    one, two, other = (simulate(demo_script(), seed) for seed in (4, 4, 5))
    assert one.iq.tobytes() == two.iq.tobytes()
    assert one.timestamps.tobytes() == two.timestamps.tobytes()
    assert one.iq.tobytes() != other.iq.tobytes()


@pytest.mark.parametrize(("layout", "count"), [("lltf", 52), ("ht", 56)])
def test_shapes_types_and_labels(layout: str, count: int) -> None:
    made = simulate(demo_script(), 1, subcarriers=Subcarriers(layout))  # type: ignore[arg-type]
    assert made.iq.dtype == np.int8
    assert made.iq.shape == (1200, count, 2)
    assert made.frames.dtype == np.float32
    assert made.frames.shape == (1200, count)
    assert (np.diff(made.timestamps) > 0).all()
    assert [ACTIVITIES[i] for i in made.labels[[0, 199, 200, 449, 450, 1199]]] == [
        "empty",
        "empty",
        "walking",
        "walking",
        "still",
        "still",
    ]
    recording = made.to_recording()
    assert recording.format == recording.source == "simulation"
    assert any("simulated" in note for note in recording.notes)
    np.testing.assert_array_equal(recording.features(), made.frames)
    assert recording.subcarriers is not None
    assert list(recording.subcarriers.numbers) == Subcarriers(layout).indices.tolist()  # type: ignore[arg-type]


def test_converter_neither_clips_nor_sleeps() -> None:
    iq = simulate(demo_script(), 2).iq
    assert 30 < np.abs(iq.astype(int)).max() < 128


def test_subcarriers_are_those_of_the_standard() -> None:
    assert Subcarriers("lltf").indices.tolist() == [*range(-26, 0), *range(1, 27)]
    assert Subcarriers("ht").indices.tolist() == [*range(-28, 0), *range(1, 29)]
    spacing = np.diff(Subcarriers().frequencies)
    np.testing.assert_allclose(spacing[spacing < 4e5], 312_500.0)


def test_channel_of_one_path_is_its_delay() -> None:
    frequencies = Subcarriers().frequencies
    found = channel(frequencies, np.array([3.0]), np.array([0.5]))
    np.testing.assert_allclose(found, 0.5 * np.exp(-2j * np.pi * frequencies * 3.0 / LIGHT))


@pytest.mark.parametrize("speed", [-1.5, -0.2, 0.7, 2.0])
def test_doppler_has_the_right_sign_and_scale(speed: float) -> None:
    frequencies = Subcarriers().frequencies[:1]
    times = np.arange(400) / 400.0
    path = channel(frequencies, (8.0 + speed * times)[:, None], np.ones((400, 1)))[:, 0]
    turns = np.diff(np.unwrap(np.angle(path))) / (2 * np.pi) * 400.0
    np.testing.assert_allclose(turns, doppler_shift(speed, frequencies[0]), rtol=1e-6)
    assert np.sign(turns[0]) == -np.sign(speed)
    assert abs(turns[0]) == pytest.approx(abs(speed) / Subcarriers().wavelength, rel=0.01)


def test_a_mirror_image_is_as_far_as_the_reflected_ray() -> None:
    room = Room.random(generator())
    floor = room.mirrored_transmitters()[4]
    share = room.transmitter[2] / (room.transmitter[2] + room.receiver[2])
    bounce = room.transmitter + share * (room.receiver - room.transmitter)
    bounce[2] = 0.0
    by_way = np.linalg.norm(bounce - room.transmitter) + np.linalg.norm(room.receiver - bounce)
    assert np.linalg.norm(room.receiver - floor) == pytest.approx(by_way)


def test_nobody_there_is_a_still_channel_and_walking_moves_it_most() -> None:
    room, times = Room.random(generator(3)), np.arange(300) / 50.0
    subject = Subject.random(generator(4))
    movement = {}
    for index, name in enumerate(ACTIVITIES[:4]):
        motion = move(room, subject, np.full(300, index), times, generator(5))
        found = np.abs(room_channel(room, motion, Subcarriers()))
        movement[name] = float(np.abs(np.diff(found, axis=0)).mean())
    assert movement["empty"] == 0.0
    assert 0.0 < movement["still"] < movement["waving"] < movement["walking"]


def test_walking_keeps_its_speed_and_stays_in_the_room() -> None:
    room, subject = Room.random(generator(1)), dataclasses.replace(Subject.random(generator(2)), speed=1.2)
    times = np.arange(1500) / 50.0
    motion = move(room, subject, np.full(1500, ACTIVITIES.index("walking")), times, generator(3))
    head = motion.points[:, 1]
    speed = np.linalg.norm(np.diff(head[100:, :2], axis=0), axis=1) * 50.0
    assert np.median(speed) == pytest.approx(1.2, rel=0.1)
    assert (motion.points[..., :2] > -0.1).all()
    assert (motion.points[..., :2] < room.size[:2] + 0.1).all()


def test_a_fall_ends_on_the_floor() -> None:
    room, times = Room.random(generator(1)), np.arange(200) / 50.0
    labels = np.where(times < 1.0, ACTIVITIES.index("still"), ACTIVITIES.index("falling"))
    motion = move(room, Subject.random(generator(2)), labels, times, generator(3))
    assert motion.points[40, 1, 2] > 1.5
    assert motion.points[-1, 1, 2] < 0.4
    assert (np.diff(motion.points[motion.landed, 1, 2]) ** 2).mean() < 1e-4


def test_a_fall_is_labelled_until_the_body_has_come_to_rest_and_what_follows_is_still() -> None:
    subject = dataclasses.replace(Subject.random(generator(2)), fall_seconds=0.8)
    made = simulate([("walking", 2.0), ("falling", 2.0), ("still", 1.0)], 5, subject=subject)
    falling = np.flatnonzero(made.labels == ACTIVITIES.index("falling"))
    assert falling[0] == 100
    assert len(falling) in (85, 86)  # 0.9 s after the impact; packets come up to 2 ms late
    assert (made.labels[falling[-1] + 1 :] == ACTIVITIES.index("still")).all()


def test_standing_sways_slowly() -> None:
    room, times = Room.random(generator(1)), np.arange(3000) / 50.0
    subject = dataclasses.replace(Subject.random(generator(2)), breath_depth=0.0, sway=0.007)
    head = move(room, subject, np.full(3000, ACTIVITIES.index("still")), times, generator(3)).points[:, 1]
    assert head.std(axis=0).mean() == pytest.approx(0.007, rel=0.25)
    power = np.abs(np.fft.rfft(head - head.mean(axis=0), axis=0)) ** 2
    above = np.fft.rfftfreq(3000, 1 / 50.0) > 3.0
    assert power[above].sum() < 0.003 * power.sum()  # a body has mass


def test_gain_jumps_vanish_when_a_frame_is_divided_by_its_mean() -> None:
    calm = simulate([("empty", 4.0)], 7, receiver=Receiver(snr_db=60.0, jump_probability=0.5))
    frames = calm.frames.astype(np.float64)
    means = frames.mean(axis=1)
    assert means.max() / means.min() > 1.5  # jumps of up to 6 dB
    normal = frames / means[:, None]
    assert (normal.std(axis=0) / normal.mean(axis=0)).mean() < 0.02  # what eight bits leave


def test_gain_is_held_between_jumps() -> None:
    gains = Receiver(jump_probability=0.1).gains(2000, generator(1))
    changes = np.count_nonzero(np.diff(gains))
    assert 120 < changes < 230
    steps = 20 * np.log10(gains)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9)
    assert np.abs(steps).max() < 3.5
    assert (Receiver(jump_probability=0.0).gains(50, generator(2)) == Receiver().gains(1, generator(2))[0]).all()


def test_noise_has_the_promised_power() -> None:
    clean = np.ones((400, 52), np.complex128)
    quiet = Receiver(snr_db=20.0, level=90.0, jump_probability=0.0, jump_db=0, timing_jitter=0.0)
    iq = quiet.receive(clean, np.zeros(52), generator(3)).astype(np.float64)
    heard = iq[..., 1] + 1j * iq[..., 0]
    signal = heard.mean(axis=1, keepdims=True)
    noise = np.mean(np.abs(heard - signal) ** 2) / np.mean(np.abs(signal) ** 2)
    assert 10 * np.log10(noise) == pytest.approx(-20.0, abs=0.5)


def test_a_fall_throws_the_arms_up_and_rebounds_before_it_rests() -> None:
    room, times = Room.random(generator(1)), np.arange(200) / 50.0
    labels = np.where(times < 1.0, ACTIVITIES.index("still"), ACTIVITIES.index("falling"))
    subject = dataclasses.replace(
        Subject.random(generator(2)), fall_seconds=0.8, breath_depth=0.0, sway=0.0, fidget=0.0
    )
    motion = move(room, subject, labels, times, generator(3))
    hand = motion.points[:, 2, 2]
    assert hand[65] > hand[49] + 0.3  # 0.3 s after balance was lost
    heights = motion.points[90:, 0, 2]
    assert heights[1:10].max() > heights[-1] + 0.03
    assert np.abs(np.diff(motion.points[motion.landed], axis=0)).max() < 0.002


def test_random_scripts_hold_every_activity_and_end_with_a_fall() -> None:
    scripts = [random_script(generator(seed)) for seed in range(60)]
    assert {activity for script in scripts for activity, _ in script} == set(ACTIVITIES)
    for script in scripts:
        names = [activity for activity, _ in script]
        assert "empty" not in names[1:]
        assert names[names.index("falling") :] == ["falling", "still"]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ([], "script: expected at least one activity, found none"),
        ([("flying", 1.0)], r"script\[0\]: expected one of empty, .*; found 'flying'"),
        ([("still", 1.0), ("walking", 0.0)], r"script\[1\]: expected seconds above 0, found 0.0"),
        ([("still", float("inf"))], r"script\[0\]: expected seconds above 0, found inf"),
        ([("still", 1.0), ("empty", 1.0)], r"script\[1\]: expected 'empty' at the beginning only"),
    ],
)
def test_scripts_that_make_no_sense_are_rejected(script: list[tuple[str, float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate(script, 1)


def test_other_arguments_are_checked_too() -> None:
    with pytest.raises(ValueError, match="frame_rate: expected a number above 0, found 0"):
        simulate(demo_script(), 1, frame_rate=0)
    with pytest.raises(ValueError, match="layout: expected 'lltf' or 'ht', found 'vht'"):
        Subcarriers("vht")  # type: ignore[arg-type]
