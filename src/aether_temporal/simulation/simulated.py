"""Simulates a recording from a script and a seed."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from aether_temporal.recordings import Recording
from aether_temporal.subcarriers import SubcarrierMap

from . import script as scripts
from .body import CROSS_SECTIONS, Motion, Subject, move
from .channel import Receiver, Subcarriers, channel
from .room import Room

FRAME_RATE = 50.0
"""Frames a second by default, as today's nodes send."""

DEMO_SEED = 4242
"""The seed of the demo recording; the demo model was trained on others."""

STILL, FALLING = map(scripts.ACTIVITIES.index, ("still", "falling"))

SHADOW_DEPTH, SHADOW_RADIUS = 0.6, 0.25


@dataclasses.dataclass(frozen=True, eq=False)
class SimulatedRecording:
    """iq int8 [T, K, 2] (imaginary part first), frames float32 [T, K] their amplitudes, timestamps [T] in seconds,
    labels [T] into `label_names`. subcarriers: which they are. All of it is simulated."""

    iq: NDArray[np.int8]
    timestamps: NDArray[np.float64]
    labels: NDArray[np.int64]
    label_names: tuple[str, ...]
    frame_rate: float
    seed: int
    subcarriers: SubcarrierMap

    @property
    def frames(self) -> NDArray[np.float32]:
        """sqrt(I² + Q²): at most 2 · 128², so exact until the one rounding of the root."""
        whole = self.iq.astype(np.float32)
        root: NDArray[np.float32] = np.sqrt((whole * whole).sum(axis=-1))
        return root

    def __len__(self) -> int:
        return len(self.iq)

    def to_recording(self) -> Recording:
        """A `Recording` as the readers return it, of format "simulation"."""
        return Recording(
            source="simulation",
            name=f"seed{self.seed}",
            format="simulation",
            iq=self.iq,
            timestamps=self.timestamps,
            labels=self.labels,
            label_names=self.label_names,
            frame_rate=self.frame_rate,
            subcarriers=self.subcarriers,
            notes=("simulated by a physical model, not recorded",),
        )


def _distance_to_segment(
    points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    along = end - start
    share = np.clip(((points - start) @ along) / (along @ along), 0.0, 1.0)
    nearest = start + share[:, None] * along
    distance: NDArray[np.float64] = np.linalg.norm(points - nearest, axis=1)
    return distance


def room_channel(room: Room, motion: Motion, subcarriers: Subcarriers) -> NDArray[np.complex128]:
    """The noiseless channel [T, K]: direct path (shadowed by the torso), static reflections, the subject's
    scatterers."""
    frequencies = subcarriers.frequencies
    static = channel(frequencies, *room.reflected_paths())
    length = np.array([room.direct_length()])
    direct = channel(frequencies, length, 1.0 / length)
    clearance = _distance_to_segment(motion.points[:, 0], room.transmitter, room.receiver)
    shadow = 1.0 - SHADOW_DEPTH * motion.presence * np.exp(-((clearance / SHADOW_RADIUS) ** 2))
    moving = channel(frequencies, *room.scattered_paths(motion.points, CROSS_SECTIONS))
    moving += channel(frequencies, *room.reflected_scattered_paths(motion.points, CROSS_SECTIONS))
    return static + shadow[:, None] * direct + motion.presence[:, None] * moving


def simulate(
    script: scripts.Script,
    seed: int,
    *,
    frame_rate: float = FRAME_RATE,
    subcarriers: Subcarriers | None = None,
    receiver: Receiver | None = None,
    room: Room | None = None,
    subject: Subject | None = None,
) -> SimulatedRecording:
    """A simulated recording of `script`, [(activity, seconds), …]; the same arguments give the same bytes.

    room, subject: drawn from the seed unless given. ValueError for an invalid script or rate.
    """
    scripts.check(script)
    if not 0 < frame_rate < float("inf"):
        raise ValueError(f"frame_rate: expected a number above 0, found {frame_rate}")
    generator = np.random.Generator(np.random.PCG64(seed))
    subcarriers = subcarriers or Subcarriers()
    receiver = receiver or Receiver()
    room = room or Room.random(generator)
    subject = subject or Subject.random(generator)
    ends = np.cumsum([seconds for _, seconds in script])
    packets = max(1, int(ends[-1] * frame_rate))
    nominal = np.arange(packets) / frame_rate
    times = nominal + generator.uniform(0.0, 0.1, packets) / frame_rate
    which = np.minimum(np.searchsorted(ends, nominal, side="right"), len(script) - 1)
    labels = np.array([scripts.ACTIVITIES.index(activity) for activity, _ in script], dtype=np.int64)[which]
    motion = move(room, subject, labels, times, generator)
    labels = np.where(motion.landed & (labels == FALLING), STILL, labels)
    clean = room_channel(room, motion, subcarriers)
    iq = receiver.receive(clean, subcarriers.frequencies - subcarriers.centre, generator)
    return SimulatedRecording(iq, times, labels, scripts.ACTIVITIES, float(frame_rate), seed, subcarriers.map())


def demo_recording(seed: int = DEMO_SEED) -> Recording:
    """A simulated recording of 24 seconds: an empty room, walking, still, waving, falling."""
    return simulate(scripts.demo_script(), seed).to_recording()
