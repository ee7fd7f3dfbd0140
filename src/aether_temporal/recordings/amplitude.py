"""I/Q pairs to amplitudes, by the core: the same bits as on a chip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from aether_temporal import _core
from numpy.typing import NDArray


def amplitude(iq: NDArray[np.int8], pairs: Sequence[int] | None = None) -> NDArray[np.float32]:
    """int8 [T, pairs, 2] to binary32 [T, n]: sqrt(I*I + Q*Q) of the pairs named, in that order (None: all)."""
    carriers = None if pairs is None else np.asarray(pairs, dtype=np.uint16)
    n = iq.shape[1] if carriers is None else len(carriers)
    out = np.empty((iq.shape[0], n), dtype=np.float32)
    for t in range(iq.shape[0]):
        out[t] = _core.csi_amplitude(np.ascontiguousarray(iq[t]), carriers)
    return out
