"""I/Q pairs to amplitudes, by the core: the same bits as on a chip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aether_temporal import _core


def amplitude(iq: NDArray[np.int8]) -> NDArray[np.float32]:
    """int8 [T, pairs, 2] to binary32 [T, pairs]: sqrt(I*I + Q*Q), correctly rounded; either byte first."""
    flat: NDArray[np.float32] = _core.csi_amplitude(np.ascontiguousarray(iq), None)
    return flat.reshape(iq.shape[:2])
