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
CROSS_SECTIONS = np.array([4.8, 0.6, 0.9, 0.9, 1.2, 1.2])
"""Effective ones in square metres: six times those of a body seen from one side, so that walking moves the amplitude by
8 %, as in recordings. They stand for the paths that the model leaves out."""

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
    fidget: float  # the same of each hand and foot beside it
    wave_rate: float
    wave_reach: float
    fall_seconds: float  # from losing balance to the impact

    @classmethod
    def random(cls, generator: np.random.Generator) -> Subject:
        u = generator.uniform
        return cls(
            speed=u(1.0, 1.5),
            stride=u(1.2, 1.5),
            breath_rate=u(0.2, 0.35),
            breath_depth=u(0.004, 0.010),
            sway=u(0.005, 0.009),
            fidget=u(0.005, 0.010),
            wave_rate=u(0.9, 1.5),
            wave_reach=u(0.12, 0.2),
            fall_seconds=u(0.65, 0.9),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Motion:
    """Scatterer positions [T, 6, 3] in metres; how much of the subject is in the room [T], 0 to 1; whether a fall is
    over [T]."""

    points: Array
    presence: Array
    landed: NDArray[np.bool_]


def _follow(target: Array, dt: Array, seconds: float) -> Array:
    """target [T, ...] through a first-order lag, starting where the target starts."""
    out = np.empty_like(target)
    value = target[0]
    for t, share in enumerate((1.0 - np.exp(-dt / seconds)).tolist()):
        value = value + (target[t] - value) * share
        out[t] = value
    return out


def _wander(dt: Array, seconds: float, columns: int, generator: np.random.Generator) -> Array:
    """[T, columns]: an Ornstein-Uhlenbeck process of unit deviation and this correlation time."""
    value = generator.normal(size=columns)
    news = generator.normal(size=(len(dt), columns))
    keep = np.exp(-dt / seconds)
    out = np.sqrt(1.0 - keep * keep)[:, None] * news
    for t, share in enumerate(keep.tolist()):
        value = share * value + out[t]
        out[t] = value
    return out


def _sway(dt: Array, columns: int, slow: float, generator: np.random.Generator) -> Array:
    """[T, columns] of unit deviation: wandering, followed within 0.3 s, because a body has mass. The velocity of the
    wandering itself is noise of all frequencies, louder than a waving hand."""
    quick = 0.3
    wandering = _wander(dt, slow, columns, generator) * np.sqrt((slow + quick) / slow)
    return _follow(wandering, dt, quick)


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


SETTLING = 0.9
"""Seconds from the impact until a body has come to rest."""


def _since_fall(labels: NDArray[np.int64], times: Array) -> Array:
    """Seconds [T] since balance was lost, below 0 before; all -1 where nobody falls."""
    fallen = np.flatnonzero(labels == ACTIVITIES.index("falling"))
    return times - times[fallen[0]] if len(fallen) else np.full(len(times), -1.0)


def move(
    room: Room, subject: Subject, labels: NDArray[np.int64], times: Array, generator: np.random.Generator
) -> Motion:
    """The motion of `subject` for activities [T] (indices into ACTIVITIES) at times [T] in seconds."""
    dt = np.diff(times, prepend=times[0])

    def doing(name: str) -> Array:
        found: Array = (labels == ACTIVITIES.index(name)).astype(np.float64)
        return found

    since = _since_fall(labels, times)
    progress = np.clip(since / subject.fall_seconds, 0.0, 1.0)
    settling = np.clip(since - subject.fall_seconds, 0.0, 2.0)
    upright = 1.0 - progress**2
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

    thrown = _follow(((progress > 0) & (progress < 1)).astype(np.float64), dt, 0.15)
    for hand, side in ((2, 1.0), (3, -1.0)):
        local[:, hand] += thrown[:, None] * np.array([0.35, 0.2 * side, 0.6])
    kick = np.exp(-settling / 0.25) * np.sin(2.0 * np.pi * 3.0 * settling)
    local[:, 4, 0] += 0.15 * kick
    local[:, 5, 0] -= 0.15 * kick

    breath = subject.breath_depth * np.sin(2.0 * np.pi * subject.breath_rate * times + generator.uniform(0, 2 * np.pi))
    local[:, 0, 0] += breath
    sway = subject.sway * _sway(dt, 3, 0.8, generator) * (0.3 + 0.7 * upright)[:, None]
    local += sway[:, None, :]
    local[:, 2:] += subject.fidget * _sway(dt, 12, 0.5, generator).reshape(-1, 4, 3)

    tilt = 0.5 * np.pi * (1.0 - upright[:, None])
    along = local[..., 0] * np.cos(tilt) + local[..., 2] * np.sin(tilt)
    height = np.maximum(local[..., 2] * np.cos(tilt) - local[..., 0] * np.sin(tilt), 0.0) + 0.12 * np.sin(tilt)
    height += 0.08 * np.abs(kick)[:, None]
    cos, sin = np.cos(headings)[:, None], np.sin(headings)[:, None]
    points = np.stack(
        [
            places[:, :1] + along * cos - local[..., 1] * sin,
            places[:, 1:] + along * sin + local[..., 1] * cos,
            height,
        ],
        axis=-1,
    )
    return Motion(points, presence, settling >= SETTLING)
