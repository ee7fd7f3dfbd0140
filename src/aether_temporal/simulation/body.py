"""The subject: six scatterers, moved by simple kinematics.

The body stands at a root point on the floor, faces a heading, and turns about its feet when it falls. Transitions are
first-order: a value follows its target with a time constant.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from .room import Room
from .script import ACTIVITIES

Array = NDArray[np.float64]

PARTS = ("torso", "head", "left hand", "right hand", "left leg", "right leg")
CROSS_SECTIONS = np.array([0.8, 0.1, 0.15, 0.15, 0.2, 0.2])
"""Square metres at 2.4 GHz, 1.6 in all."""

REST = np.array(  # metres: along the heading, to the left, up
    [
        [0.10, 0.00, 1.20],
        [0.05, 0.00, 1.62],
        [0.05, 0.28, 0.95],
        [0.05, -0.28, 0.95],
        [0.00, 0.12, 0.50],
        [0.00, -0.12, 0.50],
    ]
)
MARGIN = 0.8  # metres from a wall at which a walker turns back


@dataclasses.dataclass(frozen=True)
class Subject:
    """The habits of a subject, in SI units."""

    speed: float
    stride: float  # metres a full gait cycle
    breath_rate: float
    breath_depth: float
    sway: float  # standard deviation of standing sway
    wave_rate: float
    wave_reach: float
    fall_seconds: float

    @classmethod
    def random(cls, generator: np.random.Generator) -> Subject:
        u = generator.uniform
        return cls(
            speed=u(0.8, 1.4),
            stride=u(1.2, 1.5),
            breath_rate=u(0.2, 0.35),
            breath_depth=u(0.004, 0.010),
            sway=u(0.005, 0.009),
            wave_rate=u(1.0, 2.0),
            wave_reach=u(0.3, 0.5),
            fall_seconds=u(0.7, 1.0),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Motion:
    """Scatterer positions [T, 6, 3] in metres, and how much of the subject is in the room [T], 0 to 1."""

    points: Array
    presence: Array


def _follow(target: Array, dt: Array, seconds: float) -> Array:
    """target [T] through a first-order lag, starting where the target starts."""
    out = np.empty_like(target)
    value = target[0]
    for t, step in enumerate(dt):
        value += (target[t] - value) * (1.0 - np.exp(-step / seconds))
        out[t] = value
    return out


def _wander(dt: Array, seconds: float, columns: int, generator: np.random.Generator) -> Array:
    """[T, columns]: an Ornstein-Uhlenbeck process of unit deviation and this correlation time."""
    out = np.empty((len(dt), columns))
    value = generator.normal(size=columns)
    for t, step in enumerate(dt):
        keep = np.exp(-step / seconds)
        value = keep * value + np.sqrt(1.0 - keep * keep) * generator.normal(size=columns)
        out[t] = value
    return out


def _route(room: Room, speed: Array, dt: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """Root points [T, 2] and headings [T] of a subject who walks about and turns back before a wall."""
    place = generator.uniform([MARGIN, MARGIN], room.size[:2] - MARGIN)
    heading = generator.uniform(-np.pi, np.pi)
    turning = _wander(dt, 1.0, 1, generator)[:, 0] * 0.6  # rad/s
    places, headings = np.empty((len(dt), 2)), np.empty(len(dt))
    for t, step in enumerate(dt):
        ahead = place + 0.5 * np.array([np.cos(heading), np.sin(heading)])
        rate = turning[t]
        if ((ahead < MARGIN) | (ahead > room.size[:2] - MARGIN)).any():
            to_centre = room.size[:2] / 2 - place
            wrong = np.arctan2(to_centre[1], to_centre[0]) - heading
            rate = 4.0 * np.arctan2(np.sin(wrong), np.cos(wrong))
        heading += rate * step * min(1.0, speed[t] / 0.5)
        place = place + speed[t] * step * np.array([np.cos(heading), np.sin(heading)])
        place = np.clip(place, 0.3, room.size[:2] - 0.3)
        places[t], headings[t] = place, heading
    return places, headings


def _tilt(labels: NDArray[np.int64], times: Array, subject: Subject) -> Array:
    """Angle [T] from upright, rad: quarter turn within `fall_seconds` of a fall's start, ever faster; then it stays."""
    fallen = np.flatnonzero(labels == ACTIVITIES.index("falling"))
    if not len(fallen):
        return np.zeros(len(labels))
    progress: Array = np.clip((times - times[fallen[0]]) / subject.fall_seconds, 0.0, 1.0)
    return 0.5 * np.pi * progress**2


def move(
    room: Room, subject: Subject, labels: NDArray[np.int64], times: Array, generator: np.random.Generator
) -> Motion:
    """The motion of `subject` for activities [T] (indices into ACTIVITIES) at times [T] in seconds."""
    dt = np.diff(times, prepend=times[0])

    def doing(name: str) -> Array:
        found: Array = (labels == ACTIVITIES.index(name)).astype(np.float64)
        return found

    upright = 1.0 - np.minimum(_tilt(labels, times, subject) / (0.5 * np.pi), 1.0)
    speed = _follow(doing("walking") * subject.speed, dt, 0.25) * upright
    waving = _follow(doing("waving"), dt, 0.2) * upright
    presence = _follow(1.0 - doing("empty"), dt, 0.15)
    places, headings = _route(room, speed, dt, generator)

    local = np.repeat(REST[None], len(times), axis=0)
    gait = 2.0 * np.pi * np.cumsum(speed * dt) / subject.stride + generator.uniform(0, 2 * np.pi)
    swing = np.sin(gait) * speed / subject.speed
    local[:, 2, 0] += 0.22 * swing  # arms against legs
    local[:, 3, 0] -= 0.22 * swing
    local[:, 4, 0] -= 0.25 * swing
    local[:, 5, 0] += 0.25 * swing
    local[:, 0, 2] += 0.02 * np.cos(2.0 * gait) * speed / subject.speed
    local[:, 1, 2] += 0.02 * np.cos(2.0 * gait) * speed / subject.speed

    wave = np.sin(2.0 * np.pi * subject.wave_rate * times + generator.uniform(0, 2 * np.pi))
    local[:, 3, 1] += waving * (subject.wave_reach * wave - 0.05)
    local[:, 3, 2] += waving * (0.55 + 0.25 * subject.wave_reach * wave * wave)
    local[:, 3, 0] += waving * 0.2

    breath = subject.breath_depth * np.sin(2.0 * np.pi * subject.breath_rate * times + generator.uniform(0, 2 * np.pi))
    local[:, 0, 0] += breath
    sway = subject.sway * _wander(dt, 0.8, 3, generator) * (0.3 + 0.7 * upright)[:, None]
    local += sway[:, None, :]

    tilt = _tilt(labels, times, subject)[:, None]
    along = local[..., 0] * np.cos(tilt) + local[..., 2] * np.sin(tilt)
    height = np.maximum(local[..., 2] * np.cos(tilt) - local[..., 0] * np.sin(tilt), 0.0) + 0.12 * np.sin(tilt)
    cos, sin = np.cos(headings)[:, None], np.sin(headings)[:, None]
    points = np.stack(
        [
            places[:, :1] + along * cos - local[..., 1] * sin,
            places[:, 1:] + along * sin + local[..., 1] * cos,
            height,
        ],
        axis=-1,
    )
    return Motion(points, presence)
