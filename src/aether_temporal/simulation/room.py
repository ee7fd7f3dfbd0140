"""The room: a box whose six surfaces reflect by the image method, with furniture as point scatterers."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Room:
    """Metres, a corner at the origin, z up. All amplitudes are relative to a free path of one metre.

    size [3]; transmitter, receiver [3]; reflection [6] of the surfaces x=0, x=size, y=0, y=size, floor, ceiling (a
    mirrored path of length d arrives with reflection/d); furniture [n, 3] with radar cross-sections [n] in m².
    """

    size: Array
    transmitter: Array
    receiver: Array
    reflection: Array
    furniture: Array
    cross_sections: Array

    @classmethod
    def random(cls, generator: np.random.Generator) -> Room:
        """A room of about 6.5 m x 5.5 m with the two stations near opposite walls."""
        size = generator.uniform([5.0, 4.0, 2.5], [8.0, 7.0, 3.0])
        low, high = 0.3 * size[1], 0.7 * size[1]
        transmitter = np.array([generator.uniform(0.3, 0.6), generator.uniform(low, high), generator.uniform(1.6, 2.1)])
        receiver = np.array(
            [size[0] - generator.uniform(0.3, 0.6), generator.uniform(low, high), generator.uniform(0.6, 1.0)]
        )
        count = int(generator.integers(4, 9))
        return cls(
            size=size,
            transmitter=transmitter,
            receiver=receiver,
            reflection=-generator.uniform(0.3, 0.7, 6),
            furniture=generator.uniform([0.2, 0.2, 0.2], size - [0.2, 0.2, 1.0], (count, 3)),
            cross_sections=generator.uniform(0.1, 0.6, count),
        )

    def mirrored_transmitters(self) -> Array:
        """[6, 3]: where the transmitter seems to stand behind each surface."""
        images = np.repeat(self.transmitter[None], 6, axis=0)
        for axis in range(3):
            images[2 * axis, axis] = -self.transmitter[axis]
            images[2 * axis + 1, axis] = 2.0 * self.size[axis] - self.transmitter[axis]
        return images

    def direct_length(self) -> float:
        """Metres from transmitter to receiver."""
        return float(np.linalg.norm(self.receiver - self.transmitter))

    def reflected_paths(self) -> tuple[Array, Array]:
        """Lengths and amplitudes of everything static but the direct path: six mirrors, then the furniture."""
        mirrors = np.linalg.norm(self.receiver - self.mirrored_transmitters(), axis=1)
        lengths, amplitudes = self.scattered_paths(self.furniture, self.cross_sections)
        return np.concatenate([mirrors, lengths]), np.concatenate([self.reflection / mirrors, amplitudes])

    def scattered_paths(self, points: Array, cross_sections: Array) -> tuple[Array, Array]:
        """Lengths and amplitudes [..., n] by way of point scatterers [..., n, 3]: d1 + d2 and sqrt(sigma / 4 pi) / (d1
        d2)."""
        return self._scattered(self.transmitter, points, cross_sections)

    def reflected_scattered_paths(self, points: Array, cross_sections: Array) -> tuple[Array, Array]:
        """The same by way of a surface first, then the scatterer: [..., 6 n], for points [..., n, 3]."""
        images = self.mirrored_transmitters()
        each = [self._scattered(image, points, cross_sections) for image in images]
        lengths = np.concatenate([length for length, _ in each], axis=-1)
        amplitudes = np.concatenate([r * a for r, (_, a) in zip(self.reflection, each, strict=True)], axis=-1)
        return lengths, amplitudes

    def _scattered(self, source: Array, points: Array, cross_sections: Array) -> tuple[Array, Array]:
        out = np.linalg.norm(points - source, axis=-1)
        back = np.linalg.norm(points - self.receiver, axis=-1)
        near = 0.3  # metres: the far-field formula holds no closer
        amplitude = np.sqrt(cross_sections / (4.0 * np.pi)) / (np.maximum(out, near) * np.maximum(back, near))
        return out + back, amplitude
