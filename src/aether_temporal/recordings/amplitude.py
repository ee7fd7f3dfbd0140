"""I/Q pairs to amplitudes, by the core: the same bits as on a chip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def amplitude(iq: NDArray[np.int8]) -> NDArray[np.float32]:
    """int8 [T, pairs, 2] to binary32 [T, pairs]: sqrt(I*I + Q*Q), correctly rounded, whichever of the two comes first."""
    from aether_temporal import _core  # here, so that reading a recording needs no compiled part

    flat: NDArray[np.float32] = _core.csi_amplitude(np.ascontiguousarray(iq), None)
    return flat.reshape(iq.shape[:2])
