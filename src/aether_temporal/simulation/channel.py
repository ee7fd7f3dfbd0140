"""Subcarriers, what a path does to them, and the receiver: it adds noise, a random phase and gain jumps to the channel,
and quantises to eight bits."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aether_temporal.subcarriers import Band, SubcarrierMap

LIGHT = 299_792_458.0
"""Metres a second."""


@dataclasses.dataclass(frozen=True)
class Subcarriers:
    """The used subcarriers of a 20 MHz channel: "lltf" has 52 (-26 … -1, 1 … 26), "ht" has 56 (-28 … -1, 1 … 28).

    `centre` in Hz (default: channel 6). ValueError for another layout.
    """

    layout: Literal["lltf", "ht"] = "lltf"
    centre: float = 2.437e9
    spacing: float = 312_500.0

    def __post_init__(self) -> None:
        if self.layout not in ("lltf", "ht"):
            raise ValueError(f"layout: expected 'lltf' or 'ht', found {self.layout!r}")

    @property
    def indices(self) -> NDArray[np.int64]:
        """Subcarrier numbers in ascending order, 0 (the DC subcarrier) left out."""
        half = 26 if self.layout == "lltf" else 28
        return np.array([k for k in range(-half, half + 1) if k])

    def map(self) -> SubcarrierMap:
        """Band and number of each."""
        return SubcarrierMap.of(self.indices.tolist(), Band.LLTF if self.layout == "lltf" else Band.HTLTF)

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """In Hz, one a subcarrier."""
        found: NDArray[np.float64] = self.centre + self.spacing * self.indices.astype(np.float64)
        return found

    @property
    def wavelength(self) -> float:
        """Of the centre frequency, in metres."""
        return LIGHT / self.centre


def channel(
    frequencies: NDArray[np.float64], lengths: NDArray[np.float64], amplitudes: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Sum over paths of amplitude · exp(-j 2π f length / c).

    frequencies [K] in Hz; lengths in metres and amplitudes, both [..., P]. Returns [..., K].
    """
    total = np.empty((*lengths.shape[:-1], len(frequencies)), np.complex128)
    turns = (-2j * np.pi / LIGHT) * lengths
    steps = np.diff(frequencies, prepend=0.0)
    turned = {step: np.exp(turns * step) for step in set(steps.tolist())}  # from one subcarrier to the next: two steps
    path = amplitudes.astype(np.complex128)
    for index, step in enumerate(steps.tolist()):
        path = path * turned[step]
        total[..., index] = path.sum(axis=-1)
    return total


def doppler_shift(length_rate: float, frequency: float) -> float:
    """The Doppler shift in Hz of a path that grows by `length_rate` metres a second; negative while it grows."""
    return -length_rate * frequency / LIGHT


@dataclasses.dataclass(frozen=True)
class Receiver:
    """snr_db: of the mean channel power over the noise. level: root mean square of |I + jQ| that the gain control aims
    at, in steps of the converter. jump_probability: of a new gain step at a packet, drawn from ± jump_db in whole dB.
    timing_jitter: seconds, standard deviation of a packet's symbol timing (a phase slope over the subcarriers)."""

    snr_db: float = 40.0
    level: float = 45.0
    jump_probability: float = 0.1
    jump_db: int = 3
    timing_jitter: float = 30e-9

    def gains(self, packets: int, generator: np.random.Generator) -> NDArray[np.float64]:
        """Gain of each packet relative to the nominal one: held, until it jumps."""
        steps = generator.integers(-self.jump_db, self.jump_db + 1, packets)
        jumps = generator.random(packets) < self.jump_probability
        jumps[:1] = True
        held = np.maximum.accumulate(np.where(jumps, np.arange(packets), 0))
        gains: NDArray[np.float64] = 10.0 ** (steps[held] / 20.0)
        return gains

    def receive(
        self, channel: NDArray[np.complex128], offsets: NDArray[np.float64], generator: np.random.Generator
    ) -> NDArray[np.int8]:
        """channel [T, K] to int8 I/Q [T, K, 2], the imaginary part first, as ESP-IDF writes them.

        offsets [K]: each subcarrier's distance from the centre in Hz.
        """
        packets = channel.shape[0]
        mean_power = np.mean(np.abs(channel) ** 2)
        noise = generator.normal(size=(*channel.shape, 2)) @ np.array([1.0, 1.0j])
        heard = channel + noise * np.sqrt(mean_power * 10.0 ** (-self.snr_db / 10.0) / 2.0)
        timing = generator.normal(0.0, self.timing_jitter, (packets, 1))
        phase = generator.uniform(0.0, 2.0 * np.pi, (packets, 1)) - 2.0 * np.pi * timing * offsets
        power = np.mean(np.abs(heard) ** 2, axis=1, keepdims=True)
        out = heard * np.exp(1j * phase) * (self.level * self.gains(packets, generator)[:, None] / np.sqrt(power))
        pairs: NDArray[np.int8] = np.clip(np.rint(np.stack([out.imag, out.real], axis=-1)), -128, 127).astype(np.int8)
        return pairs
