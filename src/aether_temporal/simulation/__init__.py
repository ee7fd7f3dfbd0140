"""Simulates Wi-Fi channel state information by a small physical model. Nothing that it makes was measured.

A room with walls and furniture, one transmitter, one receiver, and a subject of a few moving scatterers; the channel of
every subcarrier follows from the lengths of the paths (docs/simulation.md has the equations). Everything is drawn from
one seed.

    from aether_temporal.simulation import simulate
    recording = simulate([("empty", 3.0), ("walking", 4.0), ("still", 3.0)], seed=1).to_recording()
"""

from .channel import Receiver, Subcarriers
from .room import Room
from .script import ACTIVITIES, demo_script, random_script
from .simulated import DEMO_SEED, SimulatedRecording, demo_recording, simulate

__all__ = [
    "ACTIVITIES",
    "DEMO_SEED",
    "Receiver",
    "Room",
    "SimulatedRecording",
    "Subcarriers",
    "demo_recording",
    "demo_script",
    "random_script",
    "simulate",
]
