"""The receiver: it adds noise, a random phase and gain jumps to the channel, and quantises to eight bits."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray


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
