"""Subcarriers and what a path does to them."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from numpy.typing import NDArray

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
    phase = (-2.0 * np.pi / LIGHT) * lengths[..., :, None] * frequencies
    total: NDArray[np.complex128] = (amplitudes[..., :, None] * np.exp(1j * phase)).sum(axis=-2)
    return total


def doppler_shift(length_rate: float, frequency: float) -> float:
    """The Doppler shift in Hz of a path that grows by `length_rate` metres a second; negative while it grows."""
    return -length_rate * frequency / LIGHT
